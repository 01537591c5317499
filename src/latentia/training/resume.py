"""From a trainer to a checkpoint's state and back; and what must not have changed in between."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

import latentia
from latentia.errors import ConfigError, CorruptedError, LatentiaError, ResumeError
from latentia.storage import show
from latentia.training.checkpoint import State, digest, flatten_optimizer, load_optimizer
from latentia.training.position import Position
from latentia.training.settings import describe
from latentia.training.weights import load_weights, weights

if TYPE_CHECKING:
    from latentia.training.loop import Trainer
    from latentia.training.run import RunFolder

__all__ = ["Keeper", "Position", "capture", "identity", "restore"]


def identity(trainer: Trainer, config: Mapping[str, Any] | None, fingerprint: str) -> dict[str, Any]:
    """Return what a run is made from and where it runs; see `RunFolder.check`.

    Parameters
    ----------
    trainer
        The run.
    config
        The caller's configuration, JSON.
    fingerprint
        Of the data; without one the training and validation rows are hashed.
    """
    rows, validation = trainer.rows, trainer.validation
    if not fingerprint:
        both = hashlib.sha256()
        for one in (rows, *([validation.rows] if validation is not None else [])):
            both.update(one.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        fingerprint = both.hexdigest()
    players = {}
    for stepper in trainer.steppers:
        player, optimizer = stepper.player, stepper.optimizer
        options = {name: value for name, value in optimizer.defaults.items() if _is_plain(value)}
        players[player.name] = {
            "optimizer": {"name": type(optimizer).__name__, **options},
            "noise": {name: dataclasses.asdict(noise) for name, noise in player.noise.items()},
            "schedules": {name: describe(schedule) for name, schedule in player.schedules.items()},
            "every": player.every,
        }
    made_from = {
        "config": dict(config or {}),
        "settings": trainer.settings.numbers(),
        "players": players,
        "data": {
            "fingerprint": fingerprint,
            "rows": [*rows.shape],
            "dtype": str(rows.dtype),
            "valid_rows": None if validation is None else [*validation.rows.shape],
        },
    }
    environment = {
        "torch": torch.__version__,
        "latentia": latentia.__version__,
        "device": rows.device.type,
        "num_threads": trainer.num_threads,
    }
    try:
        text = json.dumps({"made_from": made_from, "environment": environment}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config must be JSON (strings, finite numbers, lists, dicts): {error}.") from error
    return cast("dict[str, Any]", json.loads(text))  # tuples have become lists, as in what is read back


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float | str | tuple | None)


def capture(trainer: Trainer, made: Mapping[str, Any]) -> State:
    """Return everything that the next step depends on; tensors are not copied."""
    position, settings = trainer.position, trainer.settings
    size = len(trainer.rows)
    optim: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    terms: dict[str, Tensor] = {}
    counters: dict[str, dict[str, int]] = {}
    names = {id(value): name for name, value in weights(trainer.module).items()}
    for stepper in trainer.steppers:
        player = stepper.player.name
        stepper.settle()
        tensors, others = flatten_optimizer(stepper.optimizer, names, player)
        optim |= tensors
        values |= others
        terms |= {f"{player}/{name}": value for name, value in stepper.means.tensors().items()}
        counters[player] = {"skipped": stepper.skipped, "consecutive": stepper.consecutive}
    files = {"model": weights(trainer.module), "optim": optim, "terms": terms}
    if trainer.average is not None:
        files["ema"] = trainer.average.tensors()
    if trainer.best is not None:
        files["best"] = trainer.best
    place = {one.name: getattr(position, one.name) for one in dataclasses.fields(position)}
    history = place.pop("history")
    numbers = {
        "step": position.step,
        "samples_seen": position.epoch * size + min(position.batch * settings.batch_size, size),
        "seed": settings.seed,
        "position": place,
        "players": counters,
        "optimizer_values": values,
        "config_hash": digest(made["made_from"]),
        **made,
    }
    return State(numbers, history, files)


def restore(trainer: Trainer, state: State) -> None:
    """Give a trainer the state that `capture` returned.

    Raises
    ------
    CorruptedError
        If it is none that `capture` returns.
    ResumeError
        If it is one of other players or another module.
    """
    try:
        _restore(trainer, state)
    except ConfigError as error:  # names or shapes of weights
        raise ResumeError(f"The checkpoint is not one of this model: {error}") from error
    except LatentiaError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise
        raise CorruptedError(
            f"The checkpoint is not one that Latentia wrote: {type(error).__name__}: {show(error)}; "
            "remove it to go on from an earlier one, or start a new run"
        ) from error


def _restore(trainer: Trainer, state: State) -> None:
    position, numbers = trainer.position, state.numbers
    names_of_players = {stepper.player.name for stepper in trainer.steppers}
    if numbers["players"].keys() != names_of_players:
        raise ResumeError(
            f"The checkpoint has the players {show(sorted(numbers['players']))}, the run {sorted(names_of_players)}."
        )
    if numbers["position"]["batch"] >= trainer.batches or numbers["position"]["epoch"] != len(state.history):
        raise CorruptedError(
            "state.json is not one that Latentia wrote: its position is outside of the epoch, or not of its history"
        )
    for name, value in numbers["position"].items():
        setattr(position, name, value)
    position.history = list(state.history)
    load_weights(trainer.module, state.tensors["model"])
    if trainer.average is not None:
        trainer.average.load_tensors(state.tensors["ema"])
    if "best" in state.tensors:
        _check_best(trainer, state.tensors["best"])
        trainer.best = {name: value.to(trainer.rows.device) for name, value in state.tensors["best"].items()}
    names = {id(value): name for name, value in weights(trainer.module).items()}
    for stepper in trainer.steppers:
        player = stepper.player.name
        load_optimizer(stepper.optimizer, names, player, state.tensors["optim"], numbers["optimizer_values"])
        stepper.restored()
        mine = {
            name.removeprefix(f"{player}/"): value
            for name, value in state.tensors["terms"].items()
            if name.startswith(f"{player}/")
        }
        stepper.means.load_tensors(mine)
        stepper.skipped = numbers["players"][player]["skipped"]
        stepper.consecutive = numbers["players"][player]["consecutive"]


def _check_best(trainer: Trainer, best: Mapping[str, Tensor]) -> None:
    """Refuse now what would be loaded at the end of training."""
    wanted = {name: value.shape for name, value in weights(trainer.module).items()}
    if wanted != {name: value.shape for name, value in best.items()}:
        raise ResumeError("The checkpoint is not one of this model: its best weights have other names or shapes.")


class Keeper:
    """Keeps the state of a trainer in a run folder.

    Parameters
    ----------
    trainer, run
        Whose state, and where.
    config, fingerprint
        As for `identity`.
    """

    def __init__(self, trainer: Trainer, run: RunFolder, config: Mapping[str, Any] | None, fingerprint: str) -> None:
        self.trainer = trainer
        self.run = run
        self._config = config
        self._fingerprint = fingerprint
        self._made: dict[str, Any] | None = None
        self._step: int | None = None
        self._time = time.monotonic()

    def open(self) -> None:
        """Give the trainer the state of the run that is resumed, if there is one; start ``metrics.jsonl``."""
        trainer = self.trainer
        state = self.run.load(sum(value.nbytes for value in weights(trainer.module).values()))
        if state is not None:
            if trainer.settings.num_threads is None:
                trainer.num_threads = state.numbers["environment"]["num_threads"]
            self._made = identity(trainer, self._config, self._fingerprint)
            self.run.check(state.numbers, self._made)
            restore(trainer, state)
            self._step = trainer.position.step
        self.run.start_metrics(trainer.position.history)

    def is_due(self, seconds: float) -> bool:
        """Say whether the last checkpoint is so old, or this step is one of those that were asked for."""
        every = self.trainer.settings.checkpoint_steps
        if every is not None and self.trainer.position.step % every == 0:
            return True
        return time.monotonic() >= self._time + seconds

    def save(self) -> None:
        """Write a checkpoint, unless the last one is of this step."""
        if self._step == self.trainer.position.step:
            return
        if self._made is None:
            self._made = identity(self.trainer, self._config, self._fingerprint)
        self.run.save(capture(self.trainer, self._made))
        self._step, self._time = self.trainer.position.step, time.monotonic()

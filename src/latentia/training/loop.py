"""The loop: order, batch, step, epoch. It sees players, and knows no model."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from latentia.errors import ConfigError, DivergedError, Interrupted
from latentia.storage import show
from latentia.training.checks import check
from latentia.training.divergence import diverged
from latentia.training.events import Callback, EpochEnd, Stopped, TrainingResult
from latentia.training.means import WINDOW
from latentia.training.noise import Noise, permutation
from latentia.training.players import Player, Validate
from latentia.training.progress import Progress
from latentia.training.resume import Keeper, Position
from latentia.training.run import RunFolder
from latentia.training.settings import Settings
from latentia.training.signals import EXIT_CODES, StopSignals
from latentia.training.steps import Stepper
from latentia.training.threads import calibrate, threads
from latentia.training.validation import Validation
from latentia.training.weights import MovingAverage, Snapshot, clone_weights, load_weights, weights

__all__ = ["Trainer", "train"]


def train(
    players: Sequence[Player],
    rows: Tensor,
    *,
    module: nn.Module,
    settings: Settings,
    valid: Tensor | None = None,
    validate: Validate | None = None,
    valid_noise: Mapping[str, Noise] | None = None,
    config: Mapping[str, Any] | None = None,
    data_fingerprint: str = "",
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    run: RunFolder | None = None,
) -> TrainingResult:
    """Train the players on rows that lie on the device; the final weights are in `module`.

    Parameters
    ----------
    players
        Who moves, in this order, on the same batch.
    rows
        Training data (N, *event*), N ≥ 1, on the device, in its storage dtype (``uint8`` stays ``uint8``).
    module
        Holds all the players' parameters; its weights are what is saved, averaged, restored.
    settings
        The numbers of the run.
    valid, validate, valid_noise
        Validation rows; a function of them that returns terms, and its noise. By default the terms of the first
        player's loss with that player's noise. Selection and early stopping look at nothing else.
    config, data_fingerprint
        What the run was made from; a resumed run must have the same. `config` is JSON.
    callbacks
        Called after every epoch; one that returns True ends training.
    progress
        Whether to show a progress bar, if standard error is a terminal.
    run
        An open run folder, for checkpoints and ``metrics.jsonl``; its mode says whether to go on from what is in it.
        None: nothing is written.

    Returns
    -------
    TrainingResult
        `interrupted` is set if a signal ended training; the caller decides whether to raise it.

    Raises
    ------
    ConfigError, DataError
        For settings that do not fit together and for data without rows.
    DivergedError
        After `max_bad_steps` consecutive steps that were not finite; the module has its last good weights.
    ResumeError
        If the run was made from something else, or (without force) somewhere else; with a list of differences.
    StorageError
        If a checkpoint cannot be written or none can be read; what was written before is kept.
    """
    trainer = Trainer(players, rows, module, settings, valid, validate, valid_noise)
    return trainer.run(callbacks, progress, run, config, data_fingerprint)


class Trainer:
    """A run: players, rows, weights and position. See `train` for the arguments."""

    def __init__(
        self,
        players: Sequence[Player],
        rows: Tensor,
        module: nn.Module,
        settings: Settings,
        valid: Tensor | None,
        validate: Validate | None,
        valid_noise: Mapping[str, Noise] | None,
    ) -> None:
        check(players, rows, module, settings, valid)
        self.rows = rows
        self.module = module
        self.settings = settings
        owned = sum(value.requires_grad for value in players[0].module.parameters())
        alone = len(players) == 1 and owned == sum(value.requires_grad for value in module.parameters())
        self.steppers = [_stepper(player, settings, rows.device, alone, module) for player in players]
        self.batches = -(-len(rows) // settings.batch_size)
        self.average = None if settings.ema_decay is None else MovingAverage(module, settings.ema_decay)
        self.validation = None
        if valid is not None:
            first = self.steppers[0]
            self.validation = Validation(
                valid,
                validate if validate is not None else lambda batch, inputs: first.player.loss(batch, inputs)[1],
                first.player.noise if valid_noise is None and validate is None else (valid_noise or {}),
                settings.valid_batch_size,
                settings.seed,
                first.dtype,
            )
        self.position = Position()
        self.best: dict[str, Tensor] | None = None
        self.num_threads: int | None = settings.num_threads
        self._good = Snapshot()
        self._keeper: Keeper | None = None

    def run(
        self,
        callbacks: Sequence[Callback],
        progress: bool,
        run: RunFolder | None,
        config: Mapping[str, Any] | None,
        fingerprint: str,
    ) -> TrainingResult:
        """Train to the end, or to a signal."""
        was_training = self.module.training
        position = self.position
        try:
            with ExitStack() as stack:
                signals = stack.enter_context(StopSignals(terminate=run is not None))
                if run is not None:
                    self._keeper = Keeper(self, run, config, fingerprint)
                    self._keeper.open()
                if self.num_threads is None:
                    self.num_threads = self._calibrate()
                stack.enter_context(threads(self.num_threads))
                self._save()
                bar = stack.enter_context(Progress(progress, self.settings.max_epochs, self.batches))
                while position.stopped is None and position.epoch < self.settings.max_epochs:
                    self.module.train()
                    if self._epoch(signals, bar):
                        self._end_of_epoch(callbacks)
                        bar.epoch(position.history[-1])
                    if signals.received is not None:
                        break
                    if position.stopped is None:
                        self._save(self.settings.checkpoint_seconds)
                received = signals.received
                if received is None:
                    self._check_selection()
                stopped: Stopped = "signal" if received is not None else position.stopped or "max_epochs"
                if position.stopped == "callback":
                    position.stopped = None  # a run that was stopped from outside goes on when it is resumed
                self._save()
        finally:
            self.module.train(was_training)
            for stepper in self.steppers:
                stepper.release()
        return self._finish(stopped, received)

    def _epoch(self, signals: StopSignals, bar: Progress) -> bool:
        """Go to the end of the epoch; return False if a signal came first."""
        position, settings = self.position, self.settings
        size = settings.batch_size
        if all(stepper.consecutive == 0 for stepper in self.steppers):
            self._good.take(position.step, self._state())
        order = permutation(len(self.rows), settings.seed, position.epoch, self.rows.device)
        begun = time.perf_counter() - position.epoch_seconds
        while position.batch < self.batches:
            start = position.batch * size
            batch = self.rows.index_select(0, order[start : start + size])
            epoch = position.epoch + position.batch / self.batches
            for stepper in self.steppers:
                if position.step % stepper.player.every == 0:
                    stepper.step(batch, position.step, epoch)
            position.step += 1
            position.batch += 1
            if self.average is not None:
                self.average.update(position.step)
            ended = position.batch == self.batches
            if looked := position.batch % WINDOW == 0 or ended:
                self._look(order)
                bar.steps(position.epoch, position.batch)
            if ended:
                break
            position.epoch_seconds = time.perf_counter() - begun
            self._save(10 * settings.checkpoint_seconds if looked else math.inf)
            if signals.received is not None:
                return False
        position.epoch_seconds = time.perf_counter() - begun
        return True

    def _save(self, seconds: float = 0.0) -> None:
        """Write a checkpoint, where there is a run folder, if the last one is that many seconds old."""
        if self._keeper is not None and self._keeper.is_due(seconds):
            self._keeper.save()

    def _look(self, order: Tensor) -> None:
        """Read what the device noted since the last look; raise if a player takes no step any more."""
        for stepper in self.steppers:
            ago = stepper.flush()
            if ago is None and self._ends_badly(stepper):
                ago = 1
            if ago is not None:
                raise self._diverged(stepper, ago, order)

    def _ends_badly(self, stepper: Stepper) -> bool:
        """Say whether training is over and its last epoch, or most of it, took no step, short as it was."""
        position = self.position
        if position.epoch + 1 < self.settings.max_epochs or position.batch < self.batches:
            return False
        taken = position.step // stepper.player.every
        return (
            stepper.consecutive >= max(2, self.batches // stepper.player.every) or 2 * stepper.consecutive > taken > 1
        )

    def _check_selection(self) -> None:
        """Raise if there was never a finite validation value to select by."""
        monitor, position = self.settings.monitor, self.position
        if monitor is None or self.validation is None or position.best_value is not None or not position.history:
            return
        self._good.restore(self._state())
        raise DivergedError(
            f"Training diverged: the validation value {monitor!r} was not finite in any of {position.epoch} epochs. "
            f"The module has its weights of step {self._good.step}. Try a smaller learning rate, clip_norm=1.0, or "
            "scaling the data (look for extreme values in the validation rows)."
        )

    def _diverged(self, stepper: Stepper, ago: int, order: Tensor) -> DivergedError:
        position, size = self.position, self.settings.batch_size
        every = stepper.player.every  # this player's steps are those that `every` divides
        step = (position.step - 1) // every * every - (ago - 1) * every
        batch = step - (position.step - position.batch)
        rows = order[batch * size : (batch + 1) * size]
        epoch = position.epoch + batch / self.batches
        if self.best is not None:
            said = f"The module has the weights of the best epoch, {position.best_epoch}."
        else:
            said = f"The module has its last good weights, of step {self._good.step}."
        error = diverged(stepper, self.rows.index_select(0, rows), rows, step, epoch, said)
        self._good.restore(self._state())
        if self.best is not None:
            load_weights(self.module, self.best)
        return error

    def _end_of_epoch(self, callbacks: Sequence[Callback]) -> None:
        position, settings = self.position, self.settings
        begun = time.perf_counter()
        self.module.eval()
        with ExitStack() as stack:
            if self.average is not None:
                stack.enter_context(self.average.applied())
            last = position.epoch + (self.batches - 1) / self.batches
            skipped = sum(stepper.skipped for stepper in self.steppers)
            rates = {stepper.player.name: stepper.learning_rate(last) for stepper in self.steppers}
            row: dict[str, Any] = {"epoch": position.epoch + 1, "step": position.step, "train": self._train_means()}
            if self.validation is not None:
                row["valid"] = self._valid_means(last)
            row["learning_rate"] = rates if len(rates) > 1 else next(iter(rates.values()))
            row["skipped"] = skipped - position.skipped_before
            position.skipped_before = skipped
            self._select(row)
            position.epoch += 1
            position.batch = 0
            for stepper in self.steppers:
                stepper.means.reset()
            row["seconds"] = position.epoch_seconds + time.perf_counter() - begun
            position.seconds += row["seconds"]
            position.epoch_seconds = 0.0
            position.history.append(row)
            if self._keeper is not None:
                self._keeper.run.add_metrics(row)
            if settings.patience is not None and position.without_better >= settings.patience:
                position.stopped = "patience"
            event = EpochEnd(position.epoch, settings.max_epochs, position.step, MappingProxyType(row), self.module)
            for callback in callbacks:
                if callback(event) is True and position.stopped is None:
                    position.stopped = "callback"

    def _train_means(self) -> dict[str, Any]:
        if len(self.steppers) == 1:
            return self.steppers[0].means.means()
        return {
            f"{stepper.player.name}/{name}": value
            for stepper in self.steppers
            for name, value in stepper.means.means().items()
        }

    def _valid_means(self, epoch: float) -> dict[str, float | list[float]]:
        assert self.validation is not None
        first = self.steppers[0]
        scheduled = {
            name: torch.full((), schedule(epoch), device=first.device, dtype=first.dtype)
            for name, schedule in first.player.schedules.items()
        }
        return self.validation.means(scheduled)

    def _select(self, row: Mapping[str, Any]) -> None:
        """Keep the weights (the averaged ones, which are applied now) if the monitored value is the best so far."""
        monitor, position = self.settings.monitor, self.position
        if monitor is None or self.validation is None:
            return
        value = row["valid"].get(monitor)
        if not isinstance(value, float):
            scalars = sorted(name for name, one in row["valid"].items() if isinstance(one, float))
            raise ConfigError(f"monitor is {monitor!r}, which is no scalar validation term; choose one of {scalars}.")
        if math.isfinite(value) and (position.best_value is None or value > position.best_value):
            position.best_value, position.best_epoch, position.without_better = value, row["epoch"], 0
            if self.settings.restore_best:
                self.best = clone_weights(self.module)
        else:
            position.without_better += 1

    def _state(self) -> list[Tensor]:
        """Return everything on the device that steps change."""
        found = list(weights(self.module).values())
        for stepper in self.steppers:
            for state in stepper.optimizer.state.values():
                found += [value for value in state.values() if isinstance(value, Tensor)]
        return found

    def _calibrate(self) -> int:
        """Measure one step's forward and backward pass at one thread and at as many as torch would use."""
        most = torch.get_num_threads()
        if self.rows.device.type != "cpu" or most == 1:
            return most
        batch = self.rows[: self.settings.batch_size]
        kept = clone_weights(self.module)
        self.module.train()
        sets = [(stepper, stepper.inputs(len(batch), 0, 0.0)) for stepper in self.steppers]

        def step() -> None:
            for stepper, inputs in sets:
                stepper.gradients(batch, inputs, keep_terms=False)

        count = calibrate(step, (1, most))
        load_weights(self.module, kept)  # forward passes may have moved buffers
        return count

    def _finish(self, stopped: Stopped, received: signal.Signals | None) -> TrainingResult:
        """Put the weights to use into the module: the best, else the averaged, else the last."""
        position = self.position
        weights_epoch = position.epoch
        if self.best is not None:
            load_weights(self.module, self.best)
            weights_epoch = position.best_epoch or position.epoch
        elif self.average is not None:
            with self.average.applied():
                averaged = clone_weights(self.module)
            load_weights(self.module, averaged)
        interrupted = None
        if received is not None:
            keeper = self._keeper
            saved = "" if keeper is None else f"; everything is saved in {show(keeper.run.path)}: resume to go on"
            message = f"Training stopped at step {position.step}, in epoch {position.epoch + 1}{saved}."
            interrupted = Interrupted(message, EXIT_CODES[received])
        return TrainingResult(
            history=position.history,
            epochs=position.epoch,
            steps=position.step,
            best_epoch=position.best_epoch,
            best_value=position.best_value,
            weights_epoch=weights_epoch,
            skipped_steps=sum(stepper.skipped for stepper in self.steppers),
            stopped=stopped,
            interrupted=interrupted,
            num_threads=self.num_threads or torch.get_num_threads(),
            seconds=position.seconds,
        )


def _stepper(player: Player, settings: Settings, device: torch.device, alone: bool, module: nn.Module) -> Stepper:
    if not settings.compile:
        return Stepper(player, settings, device, alone)
    from latentia.training.compiled import CompiledStepper

    return CompiledStepper(player, settings, device, alone, module)

"""How to train: the numbers of a run."""

from __future__ import annotations

import dataclasses
import math
import types
from dataclasses import dataclass
from typing import Any

from latentia.errors import ConfigError
from latentia.training.schedules import Schedule

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The numbers of a training run.

    Parameters
    ----------
    max_epochs
        Passes over the training rows, at most.
    batch_size
        Rows per step; the last batch of an epoch may be smaller and is used too.
    seed
        Of the order of the rows and of all noise.
    micro_batch_size
        Rows per forward and backward pass: gradients of the slices of a batch are summed, which needs less memory and
        gives the same step. None: the whole batch at once.
    monitor
        The validation term to maximise, for early stopping and the best weights. None: no selection.
    patience
        Epochs without a better monitored value after which training stops. None: never.
    restore_best
        Whether to end with the weights of the best epoch (which needs `monitor`) instead of the last.
    clip_norm
        The largest norm of a player's whole gradient; larger ones are scaled down to it.
    ema_decay
        Decay d of the exponential moving average of the parameters, w̄ ← d′ w̄ + (1 − d′) w after each step, where
        d′ = min(d, (1 + t) / (10 + t)) at step t = 1, 2, …, so that the start is forgotten. Validation and the final
        module use the average.
    learning_rate_schedule
        A factor of each player's own learning rate, as a function of the epoch (a real number).
    precision
        ``"float32"``; ``"bfloat16"``: the loss is computed under autocast, parameters and optimiser stay float32;
        ``"float64"``: rows of noise are drawn in float64, for a module that is float64.
    compile
        Whether to compile the whole step into one graph; needs a C++ compiler.
    max_bad_steps
        Consecutive steps with a non-finite loss or gradient (they are skipped) after which training stops with
        `DivergedError`.
    checkpoint_seconds
        In a run with a folder, a checkpoint is written at the end of an epoch once this many seconds have passed since
        the last one, inside an epoch once ten times as many have, and always at the end.
    checkpoint_steps
        Write a checkpoint after every so many steps as well.
    num_threads
        Threads of torch's CPU kernels. None: measured once at the start (1 against what torch would use), kept with
        the run.
    valid_batch_size
        Validation rows per call.
    """

    max_epochs: int
    batch_size: int
    seed: int
    micro_batch_size: int | None = None
    monitor: str | None = None
    patience: int | None = None
    restore_best: bool = True
    clip_norm: float | None = None
    ema_decay: float | None = None
    learning_rate_schedule: Schedule | None = None
    precision: str = "float32"
    compile: bool = False
    max_bad_steps: int = 20
    checkpoint_seconds: float = 30.0
    checkpoint_steps: int | None = None
    num_threads: int | None = None
    valid_batch_size: int = 1000

    def __post_init__(self) -> None:
        counts = ("max_epochs", "batch_size", "max_bad_steps", "valid_batch_size")
        optional_counts = ("micro_batch_size", "patience", "checkpoint_steps", "num_threads")
        for name in counts + optional_counts:
            value = getattr(self, name)
            allowed = "a whole number of at least 1" + (" or None" if name in optional_counts else "")
            if value is None and name in optional_counts:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be {allowed}, got {value!r}.")
        if self.clip_norm is not None and not (self.clip_norm > 0 and math.isfinite(self.clip_norm)):
            raise ConfigError(f"clip_norm must be a finite number above 0 or None, got {self.clip_norm!r}.")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigError(f"ema_decay must lie between 0 and 1 (say 0.999) or be None, got {self.ema_decay!r}.")
        if self.precision not in ("float32", "bfloat16", "float64"):
            raise ConfigError(f"precision is {self.precision!r}; choose 'float32', 'bfloat16' or 'float64'.")
        if not self.checkpoint_seconds >= 0:
            raise ConfigError(f"checkpoint_seconds must be at least 0, got {self.checkpoint_seconds!r}.")

    def numbers(self) -> dict[str, Any]:
        """Return what decides the weights of a run, for comparison on resume.

        Left out: `max_epochs` (a run may be prolonged), `num_threads` (kept with the run), where and how often to
        write, and the size of validation calls.
        """
        free = ("max_epochs", "num_threads", "checkpoint_seconds", "checkpoint_steps", "valid_batch_size")
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        schedule = self.learning_rate_schedule
        values["learning_rate_schedule"] = None if schedule is None else describe(schedule)
        return {name: value for name, value in values.items() if name not in free}


def describe(function: Schedule) -> str:
    """Return a text that is the same in every process and tells schedules apart.

    That is a frozen dataclass's repr, or the name of a function at the top of a module (whose body is not compared).

    Raises
    ------
    ConfigError
        For any other function: two of them could not be told apart when the run is resumed.
    """
    kind: Any = type(function)
    if dataclasses.is_dataclass(kind) and getattr(kind, "__dataclass_params__").frozen:  # noqa: B009
        for field in dataclasses.fields(kind):
            if callable(inner := getattr(function, field.name)):
                describe(inner)  # such as `WarmUp.then`
        return repr(function)
    name = getattr(function, "__qualname__", "")
    if isinstance(function, types.FunctionType | types.BuiltinFunctionType) and name.isidentifier():
        return f"{function.__module__}.{name}"
    raise ConfigError(
        f"A run with a folder cannot have the schedule {function!r:.100}: what it does could not be compared when the "
        "run is resumed. Use one of latentia.training (Constant, Linear, Cosine, Exponential, Step, Cyclic, WarmUp), a "
        "frozen dataclass with __call__, or a function that is defined by name at the top of a module."
    )

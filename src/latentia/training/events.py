"""What training tells: rows of the history, events for callbacks, and the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from latentia.errors import Interrupted

__all__ = ["Callback", "EpochEnd", "Stopped", "TrainingResult"]

Stopped = Literal["max_epochs", "patience", "callback", "signal"]


@dataclass(frozen=True)
class EpochEnd:
    """What a callback gets after every epoch; read, do not change.

    Parameters
    ----------
    epoch
        Epochs done: 1 after the first.
    max_epochs
        Epochs to do, at most.
    step
        Steps done.
    row
        The row of the history (and of ``metrics.jsonl``).
    module
        The module, in evaluation mode, with the averaged weights where there is an average.
    """

    epoch: int
    max_epochs: int
    step: int
    row: Mapping[str, Any]
    module: nn.Module


Callback = Callable[[EpochEnd], bool | None]
"""Called after every epoch; returning True ends training."""


@dataclass(frozen=True)
class TrainingResult:
    """What came of training; the weights are in the module.

    Parameters
    ----------
    history
        One dict per epoch: ``epoch``, ``step``, ``train`` and ``valid`` (means of terms, float or list of float),
        ``learning_rate``, ``skipped`` (steps), ``seconds``.
    epochs, steps
        Done, those before a resume included.
    best_epoch, best_value
        Where and how high the monitored validation term was highest; None without one.
    weights_epoch
        The epoch whose weights the module holds.
    skipped_steps
        Steps that were left out because their loss or gradient was not finite.
    stopped
        Why it ended.
    interrupted
        The error to raise if a signal ended it: in a command line or a job, ``raise result.interrupted``; in a
        notebook, go on with the module. None if no signal came.
    num_threads
        Threads of torch's CPU kernels that were used.
    seconds
        Time spent in epochs, those before a resume included.
    """

    history: list[dict[str, Any]]
    epochs: int
    steps: int
    best_epoch: int | None
    best_value: float | None
    weights_epoch: int
    skipped_steps: int
    stopped: Stopped
    interrupted: Interrupted | None
    num_threads: int
    seconds: float

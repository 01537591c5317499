"""Values that change over training, as functions of the epoch (a real number: 2.5 is the middle of the third epoch).

They scale the learning rate (``Settings.learning_rate_schedule``: a factor of each player's own rate) and set a
player's scalars such as β (``Player.schedules``: the value itself). They are frozen dataclasses, so that a run's
configuration can be compared with an earlier one when it is resumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from latentia.errors import ConfigError

__all__ = ["Constant", "Cosine", "Cyclic", "Exponential", "Linear", "Schedule", "Stages", "Step", "WarmUp"]

Schedule = Callable[[float], float]
"""Epoch (0.0 at the start of training) to value."""


def _require_positive(name: str, value: float) -> None:
    if not value > 0 or not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number above 0, got {value!r}.")


@dataclass(frozen=True)
class Constant:
    """The same value always."""

    value: float = 1.0

    def __call__(self, epoch: float) -> float:
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class Linear:
    """From `start` to `stop` in a straight line over `epochs`, then `stop`: β annealing is ``Linear(0, 1, 10)``."""

    start: float
    stop: float
    epochs: float

    def __post_init__(self) -> None:
        _require_positive("epochs", self.epochs)

    def __call__(self, epoch: float) -> float:
        """Return the value at an epoch."""
        return self.start + (self.stop - self.start) * min(epoch / self.epochs, 1.0)


@dataclass(frozen=True)
class Cosine:
    """From `start` to `stop` along half a cosine over `epochs`, then `stop` (Loshchilov and Hutter, 2017, eq. 5)."""

    epochs: float
    start: float = 1.0
    stop: float = 0.0

    def __post_init__(self) -> None:
        _require_positive("epochs", self.epochs)

    def __call__(self, epoch: float) -> float:
        """Return the value at an epoch."""
        return self.stop + (self.start - self.stop) * (1 + math.cos(math.pi * min(epoch / self.epochs, 1.0))) / 2


@dataclass(frozen=True)
class Exponential:
    """From `start` to `stop` by a constant factor per epoch over `epochs`, then `stop`: a line in the logarithm."""

    start: float
    stop: float
    epochs: float

    def __post_init__(self) -> None:
        _require_positive("start", self.start)
        _require_positive("stop", self.stop)
        _require_positive("epochs", self.epochs)

    def __call__(self, epoch: float) -> float:
        """Return the value at an epoch."""
        return float(self.start * (self.stop / self.start) ** min(epoch / self.epochs, 1.0))


@dataclass(frozen=True)
class Step:
    """`start` times `factor` for every full `epochs` that have passed."""

    epochs: float
    factor: float = 0.1
    start: float = 1.0

    def __post_init__(self) -> None:
        _require_positive("epochs", self.epochs)
        _require_positive("factor", self.factor)

    def __call__(self, epoch: float) -> float:
        """Return the value at an epoch."""
        return float(self.start * self.factor ** math.floor(epoch / self.epochs))


@dataclass(frozen=True)
class Stages:
    """Stages i = 0, 1, 2, … of ``growth``^i epochs each, at ``factor``^i: Burda, Grosse and Salakhutdinov (2016), §5.

    With the values of the paper, 3^i epochs at 10^(−i/7), the first six stages take 364 epochs and all eight 3280.
    """

    growth: float = 3.0
    factor: float = 10.0 ** (-1.0 / 7.0)

    def __post_init__(self) -> None:
        _require_positive("factor", self.factor)
        if not 1 < self.growth < math.inf:
            raise ConfigError(f"growth must be a finite number above 1, got {self.growth!r}.")

    def __call__(self, epoch: float) -> float:
        """Return the value at an epoch."""
        # The first i stages take (growth^i − 1)/(growth − 1) epochs; a hair more than an exact start is in the stage.
        stage = math.floor(math.log(1.0 + (self.growth - 1.0) * epoch) / math.log(self.growth) + 1e-12)
        return float(self.factor**stage)


@dataclass(frozen=True)
class Cyclic:
    """Repeated rises from `start` to `stop`: a line over `rise` of each `epochs`-long cycle, then `stop`.

    The cyclical β annealing of Fu et al. (2019), whose R is `rise`.
    """

    epochs: float
    rise: float = 0.5
    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        _require_positive("epochs", self.epochs)
        if not 0 < self.rise <= 1:
            raise ConfigError(f"rise must be above 0 and at most 1, got {self.rise!r}.")

    def __call__(self, epoch: float) -> float:
        """Return the value at an epoch."""
        position = math.fmod(epoch, self.epochs) / self.epochs
        return self.start + (self.stop - self.start) * min(position / self.rise, 1.0)


@dataclass(frozen=True)
class WarmUp:
    """A linear rise from 0 over `epochs`, times `then`, which counts its epochs from the start of training."""

    epochs: float
    then: Schedule = Constant(1.0)

    def __post_init__(self) -> None:
        _require_positive("epochs", self.epochs)

    def __call__(self, epoch: float) -> float:
        """Return the value at an epoch."""
        return min(epoch / self.epochs, 1.0) * self.then(epoch)

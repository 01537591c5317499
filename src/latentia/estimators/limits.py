"""What each constructor argument may be: limits are data, and one function builds the error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol

from latentia.errors import ConfigError

__all__ = ["Choice", "Flag", "Limit", "Number", "Whole", "check_parameters"]


@dataclass(frozen=True)
class Whole:
    """A whole number between two ends, or None where that is allowed."""

    low: int
    high: int
    optional: bool = False

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high:,}" + (" or None" if self.optional else "")

    def allows(self, value: Any) -> bool:
        """Say whether the value is within the limits."""
        return not isinstance(value, bool) and isinstance(value, Integral) and self.low <= int(value) <= self.high


@dataclass(frozen=True)
class Number:
    """A finite number between two ends, or None where that is allowed."""

    low: float
    high: float
    optional: bool = False
    open_low: bool = False

    def __str__(self) -> str:
        above = "above" if self.open_low else "of at least"
        top = "" if self.high == math.inf else f" and at most {self.high:g}"
        return f"a finite number {above} {self.low:g}{top}" + (" or None" if self.optional else "")

    def allows(self, value: Any) -> bool:
        """Say whether the value is within the limits."""
        if isinstance(value, bool) or not isinstance(value, Real):
            return False
        number = float(value)
        above = number > self.low if self.open_low else number >= self.low
        return above and number <= self.high and math.isfinite(number)


def accept(value: Any) -> bool:
    """Accept any value."""
    return True


@dataclass(frozen=True)
class Choice:
    """One of a few words, or None where that is allowed, or an object (described in words) that passes a test."""

    words: tuple[str, ...]
    optional: bool = False
    or_object: str = ""
    test: Callable[[Any], bool] = accept

    def __str__(self) -> str:
        tail = (" or None" if self.optional else "") + (f" or {self.or_object}" if self.or_object else "")
        return f"one of {', '.join(map(repr, self.words))}{tail}"

    def allows(self, value: Any) -> bool:
        """Say whether the value is among the words, or an object where objects are allowed."""
        return value in self.words if isinstance(value, str) else bool(self.or_object) and self.test(value)


@dataclass(frozen=True)
class Flag:
    """True or False."""

    optional: bool = False

    def __str__(self) -> str:
        return "True or False"

    def allows(self, value: Any) -> bool:
        """Say whether the value is a truth value."""
        return isinstance(value, bool)


class Limit(Protocol):
    """What an argument may be; its text completes the sentence "… must be …"."""

    @property
    def optional(self) -> bool:
        """Whether None is allowed."""

    def allows(self, value: Any) -> bool:
        """Say whether the value is within the limit."""


def check_parameters(estimator: str, values: Mapping[str, Any], limits: Mapping[str, Limit]) -> None:
    """Raise ConfigError, naming the argument, what is allowed and what came, for the first value outside its limits."""
    for name, limit in limits.items():
        value = values[name]
        if (value is None and limit.optional) or limit.allows(value):
            continue
        raise ConfigError(f"{name} of {estimator} must be {limit}, got {value!r}")

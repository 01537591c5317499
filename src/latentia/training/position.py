"""Where a run stands, as ``state.json`` says it; nothing of such a file is believed before it has been checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from latentia.errors import CorruptedError
from latentia.storage import show
from latentia.training.events import Stopped

__all__ = ["Position", "check_numbers"]


@dataclass
class Position:
    """Where a run stands: all but the tensors that the next step depends on."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_value: float | None = None
    best_epoch: int | None = None
    without_better: int = 0
    skipped_before: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    stopped: Stopped | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _is_positive(value: Any) -> bool:
    return _is_count(value) and value > 0


def _is_real(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_Checks = Mapping[str, Callable[[Any], bool]]

_POSITION: _Checks = {
    "step": _is_count,
    "epoch": _is_count,
    "batch": _is_count,
    "best_value": _or_none(_is_real),
    "best_epoch": _or_none(_is_positive),
    "without_better": _is_count,
    "skipped_before": _is_count,
    "seconds": lambda value: _is_real(value) and value >= 0,
    "epoch_seconds": lambda value: _is_real(value) and value >= 0,
    "stopped": lambda value: value is None or value in get_args(Stopped),
}
_COUNTERS: _Checks = {"skipped": _is_count, "consecutive": _is_count}
_STATE: _Checks = {
    "step": _is_count,
    "seed": lambda value: type(value) is int,
    "position": _is_object,
    "players": _is_object,
    "optimizer_values": _is_object,
    "made_from": _is_object,
    "environment": _is_object,
}
_SETTINGS: _Checks = {"micro_batch_size": _or_none(_is_positive)}
_ENVIRONMENT: _Checks = {"num_threads": _is_positive}


def check_numbers(numbers: Mapping[str, Any], where: str) -> None:
    """Check the content of ``state.json``, so that what follows can use it.

    Raises
    ------
    CorruptedError
        Naming the first value that no run writes.
    """
    _check(numbers, _STATE, "", where)
    _check(numbers["position"], _POSITION, "position.", where, exactly=True)
    for name, counters in numbers["players"].items():
        _check(counters, _COUNTERS, f"players.{name}.", where, exactly=True)
    _check(numbers["made_from"].get("settings"), _SETTINGS, "made_from.settings.", where)
    _check(numbers["environment"], _ENVIRONMENT, "environment.", where)
    if numbers["position"]["step"] != numbers["step"]:
        raise _corrupted(where, "position.step", numbers["position"]["step"])


def _check(values: Any, checks: _Checks, path: str, where: str, *, exactly: bool = False) -> None:
    if not isinstance(values, dict):
        raise _corrupted(where, path.removesuffix("."), values)
    for name, is_right in checks.items():
        if name not in values:
            raise CorruptedError(
                f"state.json of {where} is not one that Latentia wrote: {show(path + name)} is missing"
            )
        if not is_right(values[name]):
            raise _corrupted(where, path + name, values[name])
    if exactly and (more := sorted(values.keys() - checks.keys())):
        raise _corrupted(where, path + more[0], values[more[0]])


def _corrupted(where: str, name: str, value: Any) -> CorruptedError:
    return CorruptedError(
        f"state.json of {where} is not one that Latentia wrote: {show(name)} is {show(repr(value))[:80]}; "
        "use an earlier checkpoint, or start a new run"
    )

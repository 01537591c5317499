"""Text that comes from outside: JSON with limits, and names that are safe to show on a terminal."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from latentia.errors import CorruptedError, StorageError

__all__ = ["parse_json", "read_json", "show"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 32


def show(text: object) -> str:
    r"""Return a name or a path for a message, with control characters escaped, at most 200 characters long.

    >>> show("a\nb")
    'a\\nb'
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return shown if len(shown) <= 200 else f"{shown[:90]}…{shown[-90:]}"


def read_json(path: str | Path, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Read a JSON file of limited size and depth; NaN, infinities and repeated keys are refused.

    Raises
    ------
    StorageError
        If the file cannot be read or is too large.
    CorruptedError
        If it is no JSON within the limits.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise StorageError(f"{show(path)} cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise StorageError(f"{show(path)} is larger than {max_bytes:,} bytes, the most that is read as JSON here")
    return parse_json(data, show(path), max_depth=max_depth)


def parse_json(data: bytes, what: str, *, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON text with the limits of :func:`read_json`; ``what`` names it in errors."""
    try:
        content = json.loads(
            data.decode(),
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise CorruptedError(f"{what} is nested more than {max_depth} levels deep") from None
    except ValueError as error:  # also of bytes that are not UTF-8, and of integers with thousands of digits
        raise CorruptedError(f"{what} is no valid JSON: {show(error)}") from None
    _check_depth(content, what, max_depth)
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is out of range")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated!r} stands there twice")
    return content


def _check_depth(content: Any, what: str, max_depth: int) -> None:
    level = [content]
    for _ in range(max_depth + 1):
        level = [value for value in level if isinstance(value, (dict, list))]
        if not level:
            return
        level = [item for value in level for item in (value.values() if isinstance(value, dict) else value)]
    raise CorruptedError(f"{what} is nested more than {max_depth} levels deep")

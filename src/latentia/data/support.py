"""What values data can take: the property that a likelihood has to match."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentia.errors import DataError
from latentia.storage import show

__all__ = ["Support"]

Array = NDArray[Any]

_COUNTED = ("levels", "categories")
_KINDS = ("binary", "levels", "unit", "real", "positive", "categories")
_ALLOWED = "'binary', 'levels:K', 'unit', 'real', 'positive' or 'categories:K'"
_MAX_LEVELS = 65536
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Support:
    """The values that each entry of the data can take.

    ======================  =======================================================================
    ``binary``              0 and 1
    ``levels`` with k       the grey levels or counts 0, 1, …, k − 1; neighbours are alike
    ``categories`` with k   the codes 0, 1, …, k − 1 of categories without an order
    ``unit``                reals in [0, 1]
    ``positive``            reals greater than 0
    ``real``                reals
    ======================  =======================================================================

    Parameters
    ----------
    kind
        One of the names above.
    levels
        k, from 2 to 65,536, for ``levels`` and ``categories``; None for the others.

    Examples
    --------
    >>> Support.parse("levels:17")
    Support(kind='levels', levels=17)
    >>> str(Support.infer(np.array([0, 1, 1])))
    'binary'
    """

    kind: str
    levels: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise DataError(f"the support {show(repr(self.kind))} is unknown: it must be {_ALLOWED}")
        if self.kind not in _COUNTED:
            if self.levels is not None:
                raise DataError(f"the support '{self.kind}' takes no number of levels, but {self.levels!r} came")
        elif type(self.levels) is not int or not 2 <= self.levels <= _MAX_LEVELS:
            raise DataError(
                f"the support '{self.kind}' needs a whole number of levels from 2 to {_MAX_LEVELS:,}, "
                f"but {show(repr(self.levels))} came: write for example '{self.kind}:16'"
            )

    def __str__(self) -> str:
        return self.kind if self.levels is None else f"{self.kind}:{self.levels}"

    @classmethod
    def parse(cls, text: str | Support) -> Support:
        """Return the support that a text such as ``"levels:17"`` names, the inverse of ``str``.

        Raises
        ------
        DataError
            If the text names no support.
        """
        if isinstance(text, Support):
            return text
        match = re.fullmatch(r"([a-z]+)(?::([0-9]{1,6}))?", text) if isinstance(text, str) else None
        if match is None:
            raise DataError(f"the support {show(repr(text))} is unknown: it must be {_ALLOWED}")
        return cls(match[1], None if match[2] is None else int(match[2]))

    @classmethod
    def infer(cls, array: Array) -> Support:
        """Return the support of a bare array.

        Truth values, or zeros and ones only, are ``binary``; uint8 is ``levels:256``; all else is ``real``.

        Raises
        ------
        DataError
            If the array holds no numbers.
        """
        array = np.asarray(array)
        _check_numeric(array, "the array")
        if array.dtype.kind == "b" or (array.size and _is_binary(array)):
            return cls("binary")
        return cls("levels", 256) if array.dtype == np.uint8 else cls("real")

    def check(self, array: Array, what: str = "x") -> None:
        """Refuse values outside of this support; missing values (NaN) are left to the caller.

        Parameters
        ----------
        array
            Numbers of any type and shape.
        what
            What the array is called in the error.

        Raises
        ------
        DataError
            Naming the observed range, the first value that does not fit, and what to do.
        """
        array = np.asarray(array)
        _check_numeric(array, what)
        top = 2 if self.kind == "binary" else self.levels
        if top is not None and array.dtype.kind in "biu" and (not array.size or 0 <= array.min() <= array.max() < top):
            return
        for part in _parts(array):
            good = self._contains(part)
            if part.dtype.kind == "f":
                good |= np.isnan(part)
            if not good.all():
                raise DataError(self._refusal(array, part[~good][0].item(), what))

    def cast(self, array: Array) -> Array:
        """Return checked values in the type they are stored in.

        uint8 for at most 256 levels, uint16 above; float32 where that is exact (from float16, float32, small integers),
        float64 otherwise. Nothing is copied where nothing changes.
        """
        array = np.asarray(array)
        if self.kind == "binary" or self.levels is not None:
            return array.astype(np.uint8 if (self.levels or 2) <= 256 else np.uint16, copy=False)
        exact = np.result_type(array.dtype, np.float32) == np.float32
        return array.astype(np.float32 if exact else np.float64, copy=False)

    def to_json(self) -> dict[str, str | int]:
        """Return a JSON object; :meth:`from_json` reads it back."""
        return {"kind": self.kind} if self.levels is None else {"kind": self.kind, "levels": self.levels}

    @classmethod
    def from_json(cls, content: object) -> Support:
        """Return the support that :meth:`to_json` wrote; anything else is a DataError."""
        if not isinstance(content, Mapping) or not isinstance(content.get("kind"), str):
            raise DataError(f"a support is an object with a 'kind' and maybe 'levels', but {show(repr(content))} came")
        if unknown := set(content) - {"kind", "levels"}:
            raise DataError(f"a support has no {show(sorted(map(str, unknown))[0])!r}, only 'kind' and 'levels'")
        return cls(content["kind"], content.get("levels"))

    def _contains(self, values: Array) -> NDArray[np.bool_]:
        top = 2 if self.kind == "binary" else self.levels
        result: NDArray[np.bool_]
        if top is not None:
            result = (values >= 0) & (values <= top - 1)
            if values.dtype.kind == "f":
                result &= np.floor(values) == values
        elif self.kind == "unit":
            result = (values >= 0) & (values <= 1)
        elif self.kind == "positive":
            result = (values > 0) & np.isfinite(values)
        else:
            result = np.isfinite(values)
        return result

    def _refusal(self, array: Array, value: object, what: str) -> str:
        finite = [part[np.isfinite(part)] for part in _parts(array)]
        finite = [part for part in finite if part.size]
        low = min((part.min().item() for part in finite), default=value)
        high = max((part.max().item() for part in finite), default=value)
        allowed = {
            "binary": "0 and 1",
            "levels": f"the whole numbers 0 to {(self.levels or 0) - 1}",
            "categories": f"the codes 0 to {(self.levels or 0) - 1}",
            "unit": "numbers from 0 to 1",
            "positive": "finite numbers above 0",
            "real": "finite numbers",
        }[self.kind]
        return (
            f"{what} has values from {low:g} to {high:g} (for example {value:g}), but the support '{self}' allows only "
            f"{allowed}: change the values or pass the support that fits, {_ALLOWED}"
        )


def _check_numeric(array: Array, what: str) -> None:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} has type {show(array.dtype)}, but numbers or truth values are needed")


def _is_binary(array: Array) -> bool:
    if array.dtype.kind in "iu":
        return bool(0 <= array.min() <= array.max() <= 1)
    return all(bool(((part == 0) | (part == 1)).all()) for part in _parts(array))


def _parts(array: Array) -> Iterator[Array]:
    """Yield the values in flat pieces, so that a check takes little memory however large the array is."""
    if not array.flags.c_contiguous and array.ndim > 1:
        for row in array:
            yield from _parts(row)
        return
    flat = array.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        yield flat[start : start + _CHUNK]

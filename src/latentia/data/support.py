"""What values data can take: the property that a likelihood has to match."""

from __future__ import annotations

import itertools
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
_DISCRETE = ("binary", "levels", "categories", "count")
_KINDS = (*_DISCRETE, "unit", "real", "positive", "columns")
_ALLOWED = (
    "'binary', 'levels:K', 'unit', 'real', 'positive', 'categories:K', 'count', or for a table one of these for each "
    "column, such as 'columns:real*2;categories:3'"
)
_MAX_LEVELS = 65536
_MAX_COLUMNS = 65536
_MAX_CODES = 1 << 20
_MAX_COUNT = 2**31 - 1
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Support:
    """The values that each entry of the data can take.

    ======================  =======================================================================
    ``binary``              0 and 1
    ``levels`` with k       the grey levels or counts 0, 1, …, k − 1; neighbours are alike
    ``categories`` with k   the codes 0, 1, …, k − 1 of categories without an order
    ``count``               the whole numbers 0, 1, 2, … up to 2,147,483,647, of which none is the top
    ``unit``                reals in [0, 1]
    ``positive``            reals greater than 0
    ``real``                reals
    ``columns``             a table: one of the others for each column
    ======================  =======================================================================

    Parameters
    ----------
    kind
        One of the names above.
    levels
        k, from 2 to 65,536, for ``levels`` and ``categories``; None for the others.
    columns
        The support of each column, for ``columns``; None for the others.

    Examples
    --------
    >>> Support.parse("levels:17").levels
    17
    >>> str(Support.infer(np.array([0, 1, 1])))
    'binary'
    >>> table = Support.parse("columns:real;real;categories:3;count")
    >>> str(table)
    'columns:real*2;categories:3;count'
    >>> table.columns[2].kind
    'categories'
    """

    kind: str
    levels: int | None = None
    columns: tuple[Support, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise DataError(f"the support {show(repr(self.kind))} is unknown: it must be {_ALLOWED}")
        if (self.kind == "columns") != (self.columns is not None):
            raise DataError("a support has columns where it is of the kind 'columns', and only there")
        if self.columns is not None and not (
            0 < len(self.columns) <= _MAX_COLUMNS and all(part.columns is None for part in self.columns)
        ):
            raise DataError(
                f"the support of a table names from 1 to {_MAX_COLUMNS:,} columns that are no tables themselves, but "
                f"{len(self.columns):,} came"
            )
        codes = sum(part.levels or 0 for part in self.columns or () if part.kind == "categories")
        if codes > _MAX_CODES:
            raise DataError(
                f"the columns of a table have {codes:,} categories in all, but at most {_MAX_CODES:,} can be: "
                "join rare ones, or leave columns out"
            )
        if self.kind not in _COUNTED:
            if self.levels is not None:
                raise DataError(f"the support '{self.kind}' takes no number of levels, but {self.levels!r} came")
        elif type(self.levels) is not int or not 2 <= self.levels <= _MAX_LEVELS:
            raise DataError(
                f"the support '{self.kind}' needs a whole number of levels from 2 to {_MAX_LEVELS:,}, "
                f"but {show(repr(self.levels))} came: write for example '{self.kind}:16'"
            )

    def __str__(self) -> str:
        if self.columns is not None:
            runs = ((str(part), len(list(run))) for part, run in itertools.groupby(self.columns))
            return "columns:" + ";".join(name if count == 1 else f"{name}*{count}" for name, count in runs)
        return self.kind if self.levels is None else f"{self.kind}:{self.levels}"

    @property
    def is_discrete(self) -> bool:
        """Whether data of this support have a probability mass, not a density; of a table, every column's."""
        if self.columns is not None:
            return all(part.is_discrete for part in self.columns)
        return self.kind in _DISCRETE

    @classmethod
    def parse(cls, text: str | Support) -> Support:
        """Return the support that a text such as ``"levels:17"`` names, the inverse of ``str``.

        Columns are separated by semicolons; ``real*3`` stands for three of a kind.

        Raises
        ------
        DataError
            If the text names no support.
        """
        if isinstance(text, Support):
            return text
        if isinstance(text, str) and text.startswith("columns:"):
            return cls("columns", columns=tuple(_repeated(text.removeprefix("columns:").split(";"))))
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
        if self.columns is not None:
            self._check_columns(array, what)
            return
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

        uint8 for at most 256 levels, uint16 above, int32 for counts; for reals and tables float32 where that is exact
        (from float16, float32, small integers), float64 otherwise. Nothing is copied where nothing changes.
        """
        array = np.asarray(array)
        if self.kind == "count":
            return array.astype(np.int32, copy=False)
        if self.kind == "binary" or self.levels is not None:
            return array.astype(np.uint8 if (self.levels or 2) <= 256 else np.uint16, copy=False)
        exact = np.result_type(array.dtype, np.float32) == np.float32
        return array.astype(np.float32 if exact else np.float64, copy=False)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; :meth:`from_json` reads it back."""
        if self.columns is not None:
            return {"kind": self.kind, "columns": str(self).removeprefix("columns:")}
        return {"kind": self.kind} if self.levels is None else {"kind": self.kind, "levels": self.levels}

    @classmethod
    def from_json(cls, content: object) -> Support:
        """Return the support that :meth:`to_json` wrote; anything else is a DataError."""
        if not isinstance(content, Mapping) or not isinstance(content.get("kind"), str):
            raise DataError(f"a support is an object with a 'kind' and maybe 'levels', but {show(repr(content))} came")
        if unknown := set(content) - {"kind", "levels", "columns"}:
            raise DataError(
                f"a support has no {show(sorted(map(str, unknown))[0])!r}, only 'kind', 'levels' and 'columns'"
            )
        columns = content.get("columns")
        if columns is not None and not isinstance(columns, str):
            raise DataError(f"the columns of a support are a text, but {show(repr(columns))} came")
        parts = None if columns is None else cls.parse(f"columns:{columns}").columns
        return cls(content["kind"], content.get("levels"), parts)

    def _check_columns(self, array: Array, what: str) -> None:
        parts = self.columns or ()
        if array.ndim != 2 or array.shape[1] != len(parts):
            raise DataError(
                f"{what} has the shape {array.shape}, but the support '{self}' is that of a table with {len(parts)} "
                "columns: name a support for each column"
            )
        for i, part in enumerate(parts):
            part.check(array[:, i], f"column {i} of {what}")

    def _contains(self, values: Array) -> NDArray[np.bool_]:
        top = 2 if self.kind == "binary" else self.levels
        result: NDArray[np.bool_]
        if top is not None:
            result = (values >= 0) & (values <= top - 1)
            if values.dtype.kind == "f":
                result &= np.floor(values) == values
        elif self.kind == "count":
            result = (values >= 0) & (values <= _MAX_COUNT) & (np.floor(values) == values)
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
            "count": f"the whole numbers from 0 to {_MAX_COUNT:,}",
            "unit": "numbers from 0 to 1",
            "positive": "finite numbers above 0",
            "real": "finite numbers",
        }[self.kind]
        return (
            f"{what} has values from {low:g} to {high:g} (for example {value:g}), but the support '{self}' allows only "
            f"{allowed}: change the values or pass the support that fits, {_ALLOWED}"
        )


def _repeated(texts: list[str]) -> Iterator[Support]:
    """Yield the support of each column: ``real*3`` stands for three."""
    total = 0
    for text in texts:
        name, star, times = text.partition("*")
        if name.startswith("columns"):
            raise DataError("the columns of a support are no tables themselves")
        if star and not re.fullmatch(r"[1-9][0-9]{0,4}", times):
            raise DataError(f"the column {show(repr(text))} of a support is repeated a whole number of times: 'real*3'")
        total += (count := int(times) if star else 1)
        if total > _MAX_COLUMNS:
            raise DataError(f"the support of a table names from 1 to {_MAX_COLUMNS:,} columns, but more came")
        yield from itertools.repeat(Support.parse(name), count)


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

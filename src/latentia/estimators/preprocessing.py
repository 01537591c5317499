"""Between data as they come and rows as a model takes them: binarisation, standardisation and its Jacobian."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentia.data import Support
from latentia.errors import DataError, warn
from latentia.evaluation import RowNoise

__all__ = ["Preprocessing", "column_moments", "describe_column", "warn_of_constants"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Preprocessing:
    """What is done to rows before a model sees them, and undone afterwards.

    Attributes
    ----------
    support
        Of the data as they come.
    event_shape
        Shape of one item.
    binarize
        None, "static" or "dynamic" (a draw with the grey value as probability: fixed by seed and row for evaluation,
        anew in every training step for "dynamic") or "threshold" (above half of the range).
    seed
        Of the binarisation.
    shift, scale
        Standardisation of reals: x ↦ (x − shift)/scale, shapes (D,) for tables, () for images; None for discrete data.
    dtype
        Of standardised rows: "float32" or "float64".
    """

    support: Support
    event_shape: tuple[int, ...]
    binarize: str | None
    seed: int
    shift: npt.NDArray[np.float64] | None = None
    scale: npt.NDArray[np.float64] | None = None
    dtype: str = "float32"

    @classmethod
    def fit(
        cls,
        rows: Array,
        support: Support,
        event_shape: tuple[int, ...],
        binarize: str | None,
        seed: int,
        dtype: str,
        names: tuple[str, ...] | None = None,
    ) -> Preprocessing:
        """Learn the standardisation from training rows, shape (N, D), where the support is real.

        Tables are standardised column by column, images with one mean and one deviation for all pixels. The unit of
        a constant column is its value (1 for zeros), so that nothing depends on the units passed in.
        """
        if support.kind in ("binary", "levels", "categories") or binarize is not None:
            return cls(support, event_shape, binarize, seed)
        axis = 0 if len(event_shape) == 1 else None
        values = rows.astype(np.float64, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            shift, scale = np.asarray(values.mean(axis)), np.asarray(values.std(axis))
        if not np.isfinite(scale).all():
            column = int(np.flatnonzero(~np.isfinite(np.atleast_1d(scale)))[0])
            largest = np.abs(values[:, column] if axis == 0 else values).max()
            raise DataError(
                f"{describe_column(column, event_shape, names)} has values up to {largest:.3g}, whose squares overflow "
                "double precision: rescale it"
            )
        # A spread that is only the rounding of a large constant is no spread.
        constant = scale <= 1e-12 * np.abs(shift)
        first = values[0] if axis == 0 else values[0, 0]
        shift = np.where(constant, first, shift)
        scale = np.where(constant, np.where(shift == 0, 1.0, np.abs(shift)), scale)
        return cls(support, event_shape, None, seed, shift, scale, dtype)

    @property
    def model_support(self) -> Support:
        """Support of the rows that the model sees."""
        return Support("binary") if self.binarize else self.support

    @property
    def log_jacobian(self) -> float:
        """What is added to log p of a standardised row to make it a density in the units passed in, nats."""
        if self.scale is None:
            return 0.0
        repeats = 1 if self.scale.ndim else math.prod(self.event_shape)
        return -repeats * float(np.log(self.scale).sum())

    def store(self, rows: Array, *, training: bool = False) -> Array:
        """Return rows (N, D) in the type a model takes, shape (N, *E).

        With ``training`` and dynamic binarisation the grey values are kept: ``batch`` binarises them in each step.
        """
        if self.binarize and rows.dtype != np.bool_ and not (training and self.binarize == "dynamic"):
            rows = self._binarized(self.support.cast(rows))
        elif self.scale is not None and self.shift is not None:
            scaled = (rows - self.shift) / self.scale
            self._check_squares(scaled, rows)
            # Adding zero turns −0 into 0: equal numbers must have equal bytes, which key their noise.
            rows = scaled.astype(self.dtype) + np.zeros((), self.dtype)
        else:
            self._check_squares(rows, rows)
            rows = self.support.cast(rows)
        rows = np.ascontiguousarray(rows.reshape(len(rows), *self.event_shape))
        return rows if rows.flags.writeable else rows.copy()  # torch takes no read-only memory, such as a memory map

    def _check_squares(self, values: Array, rows: Array) -> None:
        """Refuse finite numbers whose squares are none in the precision of the model."""
        if values.dtype.kind != "f":
            return
        single = self.scale is not None and self.dtype == "float32"
        limit = 1e15 if single else 1e150  # squared, over the least variance and summed, still below the largest number
        if values.size and max(float(values.max()), -float(values.min())) > limit:
            row, column = (int(i) for i in np.argwhere(np.abs(values, dtype=np.float64) > limit)[0])
            raise DataError(
                f"{describe_column(column, self.event_shape)} has the value {rows[row, column]:.3g} in row {row}, "
                f"whose square overflows {'single' if single else 'double'} precision in the units of the model: check "
                "or leave out this row"
            )

    def restore(self, values: Array) -> Array:
        """Return standardised values, shape (N, *E), in the units passed in; others as they are."""
        if self.scale is None or self.shift is None:
            return values
        flat = values.reshape(len(values), -1).astype(np.float64)
        return (flat * self.scale + self.shift).reshape(values.shape)

    @property
    def noise_kind(self) -> Literal["bytes255", "uniform"] | None:
        """The noise that ``batch`` needs: None, "bytes255" or "uniform"."""
        if self.binarize != "dynamic":
            return None
        return "bytes255" if self.support.levels == 256 else "uniform"

    def batch(self, rows: Tensor, noise: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return stored training rows as the numbers a model sees in this step."""
        if noise is None or rows.dtype == torch.bool:
            return rows.to(dtype)
        if noise.dtype == torch.uint8:
            return (rows > noise).to(dtype)
        return (rows > noise * self._top).to(dtype)

    @property
    def _top(self) -> float:
        return 1.0 if self.support.levels is None else self.support.levels - 1.0

    def _binarized(self, rows: Array) -> Array:
        if self.binarize == "threshold":
            return (rows > 0.5 * self._top).astype(np.uint8)
        out = np.empty(rows.shape, np.uint8)
        if rows.dtype.kind == "f":  # the same numbers have the same bytes in every precision
            rows = rows.astype(np.float64) + 0.0
        noise = RowNoise(rows, self.seed, "binarize")
        for i, row in enumerate(rows):
            np.greater(row, noise.uniform(i, row.shape).numpy() * self._top, out=out[i], casting="unsafe")
        return out

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; ``from_json`` reads it back."""
        return {
            "support": self.support.to_json(),
            "event_shape": list(self.event_shape),
            "binarize": self.binarize,
            "seed": self.seed,
            "shift": None if self.shift is None else self.shift.tolist(),
            "scale": None if self.scale is None else self.scale.tolist(),
            "dtype": self.dtype,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Preprocessing:
        """Return what ``to_json`` wrote; anything else is a DataError."""
        shape, seed, dtype, binarize = (content[name] for name in ("event_shape", "seed", "dtype", "binarize"))
        if not (isinstance(shape, list) and 1 <= len(shape) <= 3 and all(type(n) is int and n > 0 for n in shape)):
            raise DataError(f"the stored shape of items {shape!r} is not one to three whole numbers above 0")
        if type(seed) is not int or not 0 <= seed < 2**31 or dtype not in ("float32", "float64"):
            raise DataError(f"the stored seed {seed!r} or type {dtype!r} of rows cannot be")
        if binarize not in (None, "static", "dynamic", "threshold"):
            raise DataError(f"the stored binarisation {binarize!r} is unknown")
        arrays = [None if content[k] is None else np.asarray(content[k], np.float64) for k in ("shift", "scale")]
        if (arrays[0] is None) != (arrays[1] is None) or (arrays[0] is not None and binarize):
            raise DataError("the stored standardisation is incomplete, or beside a binarisation")
        for array in arrays:
            if array is not None and (array.shape not in ((), tuple(shape)) or not np.isfinite(array).all()):
                raise DataError("the stored standardisation does not fit the stored shape of the items")
        if arrays[1] is not None and not (arrays[1] > 0).all():
            raise DataError("the stored standardisation has a scale that is not above 0")
        support = Support.from_json(content["support"])
        return cls(support, tuple(shape), binarize, seed, shift=arrays[0], scale=arrays[1], dtype=dtype)


def warn_of_constants(pre: Preprocessing, rows: Array, min_scale: float, names: tuple[str, ...] | None = None) -> None:
    """Warn of columns that are constant, of whose spread a density knows nothing.

    Parameters
    ----------
    pre
        Whose standardised training rows they are.
    rows
        Shape (N, *E).
    min_scale
        Least standard deviation of the likelihood, in standardised units.
    names
        Of the columns, if they have any.
    """
    found = np.flatnonzero(np.ptp(rows.reshape(len(rows), -1), axis=0) == 0)
    if pre.scale is None or not len(found):
        return
    floors = min_scale * np.broadcast_to(pre.scale, math.prod(pre.event_shape))[found]
    first = describe_column(int(found[0]), pre.event_shape, names)
    more = "" if len(found) == 1 else f" and {len(found) - 1:,} more"
    warn(
        f"{first}{more} {'is' if len(found) == 1 else 'are'} constant in the training data: the standard deviation is "
        f"held at its floor of {floors[0]:.3g}, on which log p(x) depends; leave what is constant out"
    )


def describe_column(column: int, event_shape: tuple[int, ...], names: tuple[str, ...] | None = None) -> str:
    """Return the words for a column of flat rows: its number and name, or the place of a pixel."""
    if len(event_shape) > 1:
        return f"pixel {tuple(int(i) for i in np.unravel_index(column, event_shape))}"
    return f"column {column}" + (f" ({names[column]!r})" if names else "")


def column_moments(rows: Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return means and variances of the columns of rows (N, D), in double precision but a block of rows at a time."""
    block = max(1, (1 << 20) // max(1, rows.shape[1]))
    starts = range(0, len(rows), block)
    mean = sum(rows[i : i + block].sum(0, dtype=np.float64) for i in starts) / len(rows)
    spread = sum(np.square(rows[i : i + block] - mean).sum(0) for i in starts)
    return np.asarray(mean), np.asarray(spread) / len(rows)

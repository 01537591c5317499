"""Between data as they come and rows as a model takes them: binarisation, standardisation and its Jacobian."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
_LOG_LIMITS = -700.0, 700.0  # of what double precision can be the exponential of


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
        None, "static", "dynamic" (a draw with the grey value as probability: fixed by seed and row for evaluation,
        anew in every training step for "dynamic") or "threshold" (above half of the range).
    seed
        Of the binarisation.
    shift, scale
        Standardisation of reals, or of their logarithms: y ↦ (y − shift)/scale, shapes (D,) for tables, () for images;
        0 and 1 for the columns of a table that are left as they are; None where nothing is standardised.
    dtype
        Of rows of reals and of tables: "float32" or "float64".
    logarithm
        Where the logarithm is taken first, shape of ``scale``; None for nowhere.
    """

    support: Support
    event_shape: tuple[int, ...]
    binarize: str | None
    seed: int
    shift: npt.NDArray[np.float64] | None = None
    scale: npt.NDArray[np.float64] | None = None
    dtype: str = "float32"
    logarithm: npt.NDArray[np.bool_] | None = None

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
        units: Sequence[str] = ("standard",),
    ) -> Preprocessing:
        """Learn the standardisation from training rows, shape (N, D).

        Tables are standardised column by column, images with one mean and one deviation for all pixels. The unit of
        a constant column is its value (1 for zeros), so that nothing depends on the units passed in.

        Parameters
        ----------
        rows, support, event_shape, binarize, seed, dtype
            As the attributes.
        names
            Of the columns, for errors.
        units
            What the likelihood is a density of: "plain" for the data as they are, "standard" or "log" (the standardised
            logarithm); once for all, or for each column of a table. Discrete data are always plain.
        """
        if binarize is not None or (support.columns is None and (support.is_discrete or units == ("plain",))):
            plain_reals = support.kind == "unit" and binarize is None
            return cls(support, event_shape, binarize, seed, dtype=dtype if plain_reals else "float32")
        axis = 0 if len(event_shape) == 1 else None
        logarithm, kept = (np.array([unit == word for unit in units]) for word in ("log", "plain"))
        if len(units) == 1:
            whole = np.shape(rows[0]) if axis == 0 else ()
            logarithm, kept = np.broadcast_to(logarithm[0], whole), np.broadcast_to(kept[0], whole)
        values = _logarithms(rows.astype(np.float64, copy=False), logarithm)
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
        constant = scale <= 1e-12 * np.where(logarithm, np.maximum(np.abs(shift), 1.0), np.abs(shift))
        first = values[0] if axis == 0 else values[0, 0]
        shift = np.where(constant, first, shift)
        scale = np.where(constant, np.where((shift == 0) | logarithm, 1.0, np.abs(shift)), scale)
        shift, scale = np.where(kept, 0.0, shift), np.where(kept, 1.0, scale)
        return cls(support, event_shape, None, seed, shift, scale, dtype, logarithm if logarithm.any() else None)

    @property
    def model_support(self) -> Support:
        """Support of the rows that the model sees, before any standardisation."""
        return Support("binary") if self.binarize else self.support

    def log_jacobian(self, rows: Array) -> float | npt.NDArray[np.float64]:
        """Return what is added to log p of a model's rows to make it a density in the units passed in, nats.

        One number for all rows (N, D); where logarithms are taken, one for each, shape (N,): minus the sum of log x.
        """
        if self.scale is None:
            return 0.0
        repeats = 1 if self.scale.ndim else math.prod(self.event_shape)
        constant = -repeats * float(np.log(self.scale).sum())
        if self.logarithm is None:
            return constant
        where = np.broadcast_to(self.logarithm, rows.shape)
        summed: npt.NDArray[np.float64] = constant - np.log(rows, where=where, out=np.zeros(rows.shape)).sum(1)
        return summed

    def store(self, rows: Array, *, training: bool = False) -> Array:
        """Return rows (N, D) in the type a model takes, shape (N, *E).

        With ``training`` and dynamic binarisation the grey values are kept: ``batch`` binarises them in each step.
        """
        if self.binarize and rows.dtype != np.bool_ and not (training and self.binarize == "dynamic"):
            rows = self._binarized(self.support.cast(rows))
        elif self.scale is not None and self.shift is not None:
            values = rows if self.logarithm is None else _logarithms(rows.astype(np.float64), self.logarithm)
            scaled = (values - self.shift) / self.scale
            self._check_squares(scaled, rows)
            # Adding zero turns −0 into 0: equal numbers must have equal bytes, which key their noise.
            rows = scaled.astype(self.dtype) + np.zeros((), self.dtype)
        elif self.support.kind == "unit" and not self.binarize:
            rows = rows.astype(self.dtype) + np.zeros((), self.dtype)
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
        """Return values of the model, shape (N, *E), in the units passed in; others as they are."""
        if self.scale is None or self.shift is None:
            return values
        flat = values.reshape(len(values), -1).astype(np.float64) * self.scale + self.shift
        if self.logarithm is not None:  # a positive number stays one, however far out the draw
            flat = np.where(
                self.logarithm, np.exp(flat.clip(*_LOG_LIMITS), where=self.logarithm, out=flat.copy()), flat
            )
        return flat.reshape(values.shape)

    def expectation(self, density: Any) -> Tensor:
        """Return what ``restore`` turns into E[x] under a density of the model, shape (…, *E).

        That is the density's mean; where logarithms were taken, log E[x] = m + s μ + s² σ²/2 for a Gaussian with the
        mean μ and variance σ² of (log x − m)/s. Categories have their most probable code.
        """
        mean: Tensor = density.mode if self.model_support.kind == "categories" else density.mean
        if self.logarithm is None or self.scale is None:
            return mean
        half = torch.from_numpy(np.where(self.logarithm, 0.5 * self.scale, 0.0)).to(mean)
        return torch.where(half > 0, mean + half * density.variance, mean)

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
            # The first release had no logarithms: without them it can read what is written here.
            **({} if self.logarithm is None else {"logarithm": self.logarithm.tolist()}),
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
        if support.columns is not None and (arrays[1] is None or list(arrays[1].shape) != [len(support.columns)]):
            raise DataError("the stored standardisation does not fit the stored columns")
        logarithm = None if content.get("logarithm") is None else np.asarray(content["logarithm"])
        if logarithm is not None and (
            arrays[1] is None or logarithm.dtype != bool or logarithm.shape != arrays[1].shape
        ):
            raise DataError("the stored logarithms do not fit the stored standardisation")
        kinds = np.array([part.kind == "positive" for part in support.columns or (support,)])
        if logarithm is not None and (logarithm & ~kinds).any():
            raise DataError(f"logarithms are stored of data of the support '{support}', which are not all positive")
        return cls(support, tuple(shape), binarize, seed, arrays[0], arrays[1], dtype, logarithm)


def _logarithms(values: npt.NDArray[np.float64], where: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return values with the logarithm taken of some columns, or of all."""
    if not where.any():
        return values
    return np.log(values, where=np.broadcast_to(where, values.shape), out=values.copy())


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
    if (kinds := pre.support.columns) is not None:  # masses and walls know no spread
        found = np.array([i for i in found if kinds[i].kind in ("real", "positive")], np.intp)
    if pre.scale is None or not len(found):
        return
    width = math.prod(pre.event_shape)
    floors = min_scale * np.broadcast_to(pre.scale, width)[found]
    logarithm = pre.logarithm is not None and bool(np.broadcast_to(pre.logarithm, width)[found[0]])
    first = describe_column(int(found[0]), pre.event_shape, names)
    more = "" if len(found) == 1 else f" and {len(found) - 1:,} more"
    warn(
        f"{first}{more} {'is' if len(found) == 1 else 'are'} constant in the training data: the standard deviation "
        f"{'of the logarithm ' if logarithm else ''}is held at its floor of {floors[0]:.3g}, on which log p(x) "
        "depends; leave what is constant out"
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

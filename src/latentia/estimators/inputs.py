"""The door: what may be passed as data, and how it becomes checked rows."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from latentia.data import Dataset, Info, Split, Support, read
from latentia.errors import DataError
from latentia.estimators.preprocessing import describe_column

__all__ = ["Given", "checked_rows", "describe_data", "unpack"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Given:
    """Data as they were passed in, unpacked."""

    x: Any
    y: Any = None
    info: Info | None = None
    valid: Split | None = None


def unpack(data: Any) -> Given:
    """Return the array or DataFrame behind a split or a path; anything else as it is."""
    if isinstance(data, Split):
        return Given(data.x, data.y, data.info, data.valid)
    if isinstance(data, (str, os.PathLike)):
        x, y = read(Path(data))
        return Given(x, y)
    if isinstance(data, Dataset):
        raise DataError(f"{data!r} came, but one of its parts is needed: pass its .train, .valid or .test")
    return Given(data)


def checked_rows(
    estimator: BaseEstimator, data: Any, *, event_shape: tuple[int, ...] | None, support: Support | None
) -> tuple[Array, tuple[int, ...]]:
    """Return the rows as an array of shape (N, D), checked by scikit-learn's rules and ours, and the event shape.

    Parameters
    ----------
    estimator
        Whose ``n_features_in_`` and ``feature_names_in_`` are set (at fit) or compared with.
    data
        Array-like or DataFrame of shape (N, D), or images of shape (N, H, W) or (N, H, W, C).
    event_shape
        None at fit; afterwards the shape that items must have (flat rows of the same length will do).
    support
        None at fit; afterwards the support that the data are held to.

    Raises
    ------
    ValueError
        scikit-learn's own sentences for arrays that are no numbers, not finite (followed by where), or have too few
        rows or other columns.
    DataError
        For items of another shape or values outside the support.
    """
    reset = event_shape is None
    if (
        isinstance(data, (list, tuple))
        and data
        and isinstance(data[0], (list, tuple, np.ndarray))
        and np.ndim(data[0]) > 1
    ):
        data = np.asarray(data)
    shape = tuple(getattr(data, "shape", ()))
    if len(shape) > 2:
        if event_shape is not None and shape[1:] != event_shape:
            raise DataError(
                f"items have the shape {shape[1:]}, but the model was fitted to items of shape {event_shape}: "
                f"{_shape_advice(shape[1:], event_shape)}"
            )
        if len(shape) > 4:
            raise DataError(f"images have the shape (N, H, W) or (N, H, W, C), but an array of shape {shape} came")
        if reset and len(shape) == 4 and shape[3] > 4 >= shape[1]:
            raise DataError(
                f"an array of shape {shape} looks like images with the colours first; pass (N, H, W, C), for example "
                "x.transpose(0, 2, 3, 1)"
            )
        given = shape[1:]
        data = np.asarray(data).reshape(shape[0], math.prod(given))
    else:
        given = None
    try:
        rows: Array = validate_data(
            estimator, data, reset=reset, dtype="numeric", ensure_min_samples=2 if reset else 1, accept_sparse=False
        )
    except ValueError as error:
        where = _not_finite(data, event_shape or given)
        if not where:
            raise
        raise DataError(f"{error}\n{where}") from None
    rows = rows.astype(rows.dtype.newbyteorder("="), copy=False)
    if support is not None:
        support.check(rows, "the data")
    return rows, event_shape or given or (rows.shape[1],)


def _not_finite(data: Any, shape: tuple[int, ...] | None) -> str:
    """Return a sentence on where the first value that is not finite stands, or nothing if all are finite."""
    try:
        values = np.asarray(data)
        values = values.astype(np.float64, copy=False) if values.dtype.kind != "c" else values
    except (TypeError, ValueError):
        return ""
    if values.dtype != np.float64:
        return ""
    bad = ~np.isfinite(values)
    if values.ndim != 2 or not bad.any():
        return ""
    row, column = (int(i) for i in np.argwhere(bad)[0])
    fits = shape is not None and math.prod(shape) == values.shape[1]
    columns = getattr(data, "columns", None)
    names = None if columns is None else tuple(map(str, columns))
    place = describe_column(column, shape if shape is not None and fits else (values.shape[1],), names)
    missing = int(np.isnan(values).sum())
    return (
        f"The first stands in row {row}, {place}; {missing:,} values are NaN and {int(bad.sum()) - missing:,} are "
        f"infinite, in {int(bad.any(1).sum()):,} of {len(values):,} rows: leave these rows out or fill the values in."
    )


def _shape_advice(came: Sequence[int], expected: Sequence[int]) -> str:
    if sorted(came) == sorted(expected):
        return "reorder the axes (grey images are (H, W), colour images (H, W, C))"
    if math.prod(came) == math.prod(expected):
        return "reshape them"
    return "resize them, or fit a model to items of this shape"


def describe_data(info: Info | None, n: int) -> dict[str, Any]:
    """Return what a fitted model keeps of its n training rows: words and numbers, never a row."""
    if info is None:
        return {"name": "array", "n_train": n}
    return {
        "name": info.name,
        "n_train": n,
        "description": info.description,
        "class_names": None if info.class_names is None else list(info.class_names),
        "feature_names": None if info.feature_names is None else list(info.feature_names),
        "licence": info.licence,
        "citation": info.citation,
        "fingerprint": info.fingerprint,
        "split": info.split,
    }

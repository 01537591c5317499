"""Data from files and folders of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentia.data.splits import MIN_ROWS, Dataset, Info, make_dataset, split_rows
from latentia.data.support import Support
from latentia.errors import DataError
from latentia.storage import read_idx, read_npy, read_npz, refuse_pickle, show

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_path", "read"]

Array = NDArray[Any]
Rows = NDArray[np.intp]

READABLE = ".npy, .npz, .csv, .parquet, idx (also .gz), or a folder of images"
_PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Contents:
    """What a file holds: parts ("all", or "train" and "test" and maybe "valid") of rows and raw labels."""

    parts: Mapping[str, tuple[Array | pd.DataFrame, Array | None]]
    feature_names: tuple[str, ...] | None = None


def read(
    path: str | Path, *, label: str | None = None, drop: Sequence[str] = (), mmap: bool = False
) -> tuple[Array | pd.DataFrame, Array | None]:
    """Read rows from a file or folder as they are, for encoding and scoring.

    Parameters
    ----------
    path
        ``.npy``, ``.npz``, ``.csv``, ``.parquet``, idx (also ``.gz``), or a folder of images.
    label
        The column of a table, or the array of a ``.npz`` file, that holds labels; it is kept out of the rows.
    drop
        Columns or arrays to leave out.
    mmap
        Return a read-only memory map (``.npy`` only), for files larger than memory.

    Returns
    -------
    rows
        An array (N, *event), or a DataFrame for a table, with numbers only; missing values are NaN.
    labels
        The labels as they stand in the file, (N,), or None.

    Raises
    ------
    DataError
        If the file cannot be used as rows of numbers.
    StorageError
        If it is damaged, too large or unsafe.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{show(path)} does not exist: check the path")
    if mmap:
        if path.suffix.lower() != ".npy":
            raise DataError(
                f"only .npy files can be memory-mapped, but {show(path.name)} came: convert it or leave mmap out"
            )
        return check_rows(read_npy(path, mmap=True), show(path.name)), None
    contents = _read_contents(path, label, drop)
    if set(contents.parts) != {"all"}:
        raise DataError(
            f"{show(path)} holds the parts {', '.join(contents.parts)}, but one set of rows is needed: "
            "save the one that you want as .npy or point to its folder"
        )
    return contents.parts["all"]


def load_path(path: Path, *, support: Support | None, label: str | None, drop: Sequence[str], seed: int) -> Dataset:
    """Load a file or folder as a data set; see :func:`latentia.data.load`."""
    contents = _read_contents(path, label, drop)
    name = show(path.resolve().name if path.is_dir() else path.name.split(".")[0] or path.name)
    parts = {part: (_to_array(rows), labels) for part, (rows, labels) in contents.parts.items()}
    shapes = {rows.shape[1:] for rows, _ in parts.values()}
    if len(shapes) > 1:
        raise DataError(
            f"the parts of {show(path)} have rows of different shapes, {sorted(shapes)}: one shape is needed"
        )
    if support is None:
        found = {Support.infer(rows) for rows, _ in parts.values()}
        # A part may by chance hold zeros and ones only: the wider support is that of the whole.
        support = found.pop() if len(found) == 1 else max(found, key=lambda s: (s.kind == "real", s.levels or 0))
    for part, (rows, _) in parts.items():
        support.check(rows, name if part == "all" else f"the {part} part of {name}")
    classes, codes = encode_labels({part: labels for part, (_, labels) in parts.items()})
    split, rows_of = _split({part: len(rows) for part, (rows, _) in parts.items()}, seed, show(path))
    divided = {}
    for part, (origin, where) in rows_of.items():
        x, y = parts[origin][0], codes[origin]
        divided[part] = (support.cast(x[where]), None if y is None else y[where])
    info = Info(
        name=name,
        event_shape=next(iter(shapes)),
        support=support,
        class_names=classes,
        feature_names=contents.feature_names,
        description=f"{sum(len(x) for x, _ in divided.values()):,} rows from {show(path.name)}.",
        split=split,
    )
    return make_dataset(info, divided)


def check_rows(array: Array, what: str) -> Array:
    """Refuse what is not a set of rows of numbers; images with one channel last lose that axis."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} has type {show(array.dtype)}, but numbers or truth values are needed")
    if array.ndim < 2:
        raise DataError(f"{what} has shape {array.shape}, but rows are needed: (N, columns), (N, H, W) or (N, H, W, C)")
    if len(array) == 0 or 0 in array.shape:
        raise DataError(f"{what} has shape {array.shape}: there is nothing in it")
    if array.ndim == 4 and array.shape[3] == 1:
        return array[..., 0]
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] > 4:
        raise DataError(
            f"{what} has shape {array.shape}, which looks like channels first, but images are (N, H, W) or "
            "(N, H, W, C): pass array.transpose(0, 2, 3, 1)"
        )
    return array


def encode_labels(
    labels: Mapping[str, Array | None],
) -> tuple[tuple[str, ...] | None, dict[str, NDArray[np.int64] | None]]:
    """Turn the labels of all parts into codes 0, 1, … and class names; a missing label becomes −1."""
    codes: dict[str, NDArray[np.int64] | None] = dict.fromkeys(labels)
    given = {part: values for part, values in labels.items() if values is not None}
    if not given:
        return None, codes
    known = {part: _is_known(values) for part, values in given.items()}
    values = np.unique(np.concatenate([_plain(given[part][known[part]]) for part in given]))
    if values.dtype.kind == "f":
        if (odd := values[values != np.round(values)]).size:
            raise DataError(f"labels are classes, but one is {odd[0]:g}: use drop for a column of measurements")
        values = values.astype(np.int64)
    for part, raw in given.items():
        code = np.full(len(raw), -1, np.int64)
        code[known[part]] = np.searchsorted(values, _plain(raw[known[part]]))
        codes[part] = code
    return tuple(show(value) for value in values.tolist()), codes


def _is_known(labels: Array) -> NDArray[np.bool_]:
    if labels.dtype.kind == "f":
        return ~np.isnan(labels)
    if labels.dtype.kind == "O":
        return np.array([value is not None for value in labels], bool)
    return np.ones(len(labels), bool)


def _plain(labels: Array) -> Array:
    """Give labels a type that can be sorted."""
    return labels.astype(str) if labels.dtype.kind == "O" else labels


def _to_array(rows: Array | pd.DataFrame) -> Array:
    if isinstance(rows, np.ndarray):
        return rows
    kinds = [np.dtype(np.uint8) if kind.kind == "b" else np.dtype(kind) for kind in rows.dtypes]
    return rows.to_numpy(dtype=np.result_type(*kinds))


def _split(counts: Mapping[str, int], seed: int, what: str) -> tuple[str, dict[str, tuple[str, Rows]]]:
    """Say which rows of which part of the file make up the training, validation and test rows."""
    if "all" in counts:
        if counts["all"] < MIN_ROWS:
            raise DataError(
                f"{what} has {counts['all']} rows, but at least {MIN_ROWS} are needed to divide them into training, "
                "validation and test rows: pass the array itself to fit"
            )
        valid, test, train = split_rows(counts["all"], seed, 0.1, 0.1)
        rows = {"train": ("all", train), "valid": ("all", valid), "test": ("all", test)}
        return f"80/10/10 by chance with seed {seed}", rows
    if "valid" in counts:
        return "as in the file", {part: (part, np.arange(counts[part])) for part in _PARTS}
    if counts["train"] < MIN_ROWS:
        raise DataError(f"{what} has {counts['train']} training rows, but at least {MIN_ROWS} are needed")
    valid, train = split_rows(counts["train"], seed, 0.1)
    rows = {"train": ("train", train), "valid": ("train", valid), "test": ("test", np.arange(counts["test"]))}
    return f"as in the file; a tenth of the training rows, by chance with seed {seed}, for validation", rows


def _read_contents(path: Path, label: str | None, drop: Sequence[str]) -> Contents:
    if path.is_dir():
        from latentia.data.image_folders import read_image_folder

        _no_columns(path, label, drop)
        return Contents(read_image_folder(path))
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz", ".parquet", ".pq")):
        from latentia.data.tables import read_table

        table, labels = read_table(path, label, drop)
        return Contents({"all": (table, labels)}, feature_names=tuple(map(str, table.columns)))
    if name.endswith(".npz"):
        return Contents(_read_npz(path, label, drop))
    _no_columns(path, label, drop)
    if name.endswith(".npy"):
        array = read_npy(path)
    elif "idx" in name or "ubyte" in name:
        array = read_idx(path)
    else:
        refuse_pickle(path)
        raise DataError(f"{show(path)} cannot be read as data: give {READABLE}")
    return Contents({"all": (check_rows(array, show(path.name)), None)})


def _no_columns(path: Path, label: str | None, drop: Sequence[str]) -> None:
    if label is not None or drop:
        raise DataError(f"label and drop name columns of a table, but {show(path.name)} is none: leave them out")


def _read_npz(path: Path, label: str | None, drop: Sequence[str]) -> dict[str, tuple[Array, Array | None]]:
    arrays = read_npz(path)
    for name in (*drop, *([] if label is None else [label])):
        if name not in arrays:
            raise DataError(f"{show(path.name)} has no array {show(name)}: it holds {_keys(arrays)}")
    arrays = {name: array for name, array in arrays.items() if name not in drop}
    labels = None if label is None else arrays.pop(label)
    parts: dict[str, tuple[Array, Array | None]] = {}
    for part in ("train", "valid", "test"):
        x = next((arrays[name] for name in (part, f"x_{part}") if name in arrays), None)
        y = next((arrays[name] for name in (f"y_{part}", f"{part}_labels") if name in arrays), None)
        if x is not None:
            parts[part] = (x, y)
    if label is not None or not {"train", "test"} <= set(parts):
        single = next(iter(arrays.values())) if len(arrays) == 1 else arrays.get("x")
        if single is None:
            raise DataError(
                f"{show(path.name)} holds {_keys(arrays)}, but x (and y), or train and test (and valid), or one array "
                "are needed: rename them, or name the others in drop"
            )
        parts = {"all": (single, arrays.get("y") if labels is None and "x" in arrays else labels)}
    for part, (x, y) in parts.items():
        where = f"{show(path.name)} ({part})" if part != "all" else show(path.name)
        parts[part] = (check_rows(x, where), y)
        if y is not None and (y.ndim != 1 or len(y) != len(x)):
            raise DataError(f"{where} has {len(x):,} rows but labels of shape {y.shape}: one for each row is needed")
    return parts


def _keys(arrays: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:20]) or "no arrays"

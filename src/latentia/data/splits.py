"""A data set: three splits of rows, and what is known about them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentia.data.support import Support
from latentia.errors import DataError
from latentia.storage import show

__all__ = ["Dataset", "Info", "Split", "fingerprint", "make_dataset", "split_rows"]

Array = NDArray[Any]

MIN_ROWS = 10


@dataclass(frozen=True)
class Info:
    """What is known about a data set.

    Parameters
    ----------
    name
        Its name, or the stem of the file it came from.
    event_shape
        The shape of one row: (H, W) for grey images, (H, W, C) for colour, (D,) for tables.
    support
        The values that each entry can take.
    class_names
        What the labels 0, 1, … mean, or None without labels.
    feature_names
        The names of the columns of a table, or None.
    licence
        Under what terms the data may be used, as far as that is known.
    citation
        BibTeX of the source to be cited, or "".
    description
        What it is, in one or two sentences.
    split
        How it was split into training, validation and test rows.
    fingerprint
        sha256 over type, shape and bytes of all arrays (see :func:`fingerprint`).
    homepage
        Where it comes from, or "".
    """

    name: str
    event_shape: tuple[int, ...]
    support: Support
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    licence: str = "unknown"
    citation: str = ""
    description: str = ""
    split: str = ""
    fingerprint: str = ""
    homepage: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with every field."""
        content = {**asdict(self), "support": self.support.to_json(), "event_shape": list(self.event_shape)}
        for name in ("class_names", "feature_names"):
            content[name] = None if content[name] is None else list(content[name])
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Info:
        """Return the info that :meth:`to_json` wrote.

        Raises
        ------
        DataError
            If a field is unknown, missing or of another type.
        """
        values = dict(content)
        values["support"] = Support.from_json(values.get("support"))
        for name in ("event_shape", "class_names", "feature_names"):
            values[name] = tuple(values[name]) if isinstance(values.get(name), list) else values.get(name)
        try:
            info = cls(**values)
        except TypeError as error:
            raise DataError(f"this is no description of a data set: {show(error)}") from None
        for name in (part.name for part in fields(cls)):
            if not _is_valid(name, getattr(info, name)):
                raise DataError(f"this is no description of a data set: its {name} is {show(repr(values.get(name)))}")
        return info


def _is_valid(name: str, value: object) -> bool:
    match name:
        case "support":
            return True
        case "event_shape":
            return isinstance(value, tuple) and all(type(side) is int and side > 0 for side in value)
        case "class_names" | "feature_names":
            return value is None or (isinstance(value, tuple) and all(isinstance(text, str) for text in value))
        case _:
            return isinstance(value, str)


@dataclass(frozen=True, eq=False)
class Split:
    """Rows for one purpose.

    Attributes
    ----------
    x
        (N, *event): uint8 for binary data and up to 256 levels, float32 or float64 for reals.
    y
        (N,) int64 labels into ``info.class_names``, −1 where one is missing, or None.
    info
        What is known about the data set.
    name
        "train", "valid" or "test".
    valid
        The validation rows that belong to the training rows; None for the other splits.
    """

    x: Array
    y: NDArray[np.int64] | None
    info: Info
    name: str
    valid: Split | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.x.shape))
        labels = "no labels" if self.info.class_names is None else f"{len(self.info.class_names)} classes"
        return f"Split({self.info.name} {self.name}: {shape} {self.x.dtype}, {self.info.support}, {labels})"


@dataclass(frozen=True, eq=False)
class Dataset:
    """The training, validation and test rows of one data set."""

    train: Split
    valid: Split
    test: Split

    @property
    def info(self) -> Info:
        """What is known about the data set."""
        return self.train.info

    def __repr__(self) -> str:
        rows = " / ".join(f"{len(split):,}" for split in (self.train, self.valid, self.test))
        shape = " × ".join(map(str, self.info.event_shape))
        return f"Dataset({self.info.name}: {rows} rows of {shape}, {self.info.support})"


Part = tuple[Array, NDArray[np.int64] | None]


def make_dataset(info: Info, parts: Mapping[str, Part]) -> Dataset:
    """Build a data set from its three parts (x, y) and write the fingerprint into its info."""
    arrays = [array for name in ("train", "valid", "test") for array in parts[name] if array is not None]
    info = replace(info, fingerprint=fingerprint(*arrays))
    valid, test = (Split(*parts[name], info, name) for name in ("valid", "test"))
    return Dataset(Split(*parts["train"], info, "train", valid), valid, test)


def fingerprint(*arrays: Array) -> str:
    """Return the sha256 over type, shape and bytes of arrays, the same on every machine."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array)
        little = array.dtype.newbyteorder("<")
        digest.update(f"{little.str}{array.shape};".encode())
        block = max(1, (1 << 24) // max(1, array[:1].nbytes))
        for start in range(0, len(array), block):  # block by block: also of memory maps and strided views
            digest.update(np.ascontiguousarray(array[start : start + block], dtype=little).view(np.uint8).data)
    return digest.hexdigest()


def split_rows(groups: int | Array, seed: int, *fractions: float) -> list[NDArray[np.intp]]:
    """Divide rows by chance into parts of the given fractions and the rest, each in the order of the file.

    Parameters
    ----------
    groups
        How many rows there are, or one number for each row: rows of one group stay together.
    seed
        The division depends on it and on nothing else; it is the same for every version of NumPy.
    fractions
        The share of each part but the last.

    Returns
    -------
    parts
        The row numbers of each part, sorted; the last is the rest.
    """
    names, members = (groups, np.arange(groups)) if isinstance(groups, int) else _groups(groups)
    # Philox's raw numbers are fixed by its definition; what Generator makes of them may change with NumPy.
    order = np.argsort(np.random.Philox(key=seed & (2**64 - 1)).random_raw(names), kind="stable")
    sizes = np.bincount(members, minlength=names)[order]
    position = np.empty(names, np.intp)
    position[order] = np.arange(names)
    wanted = np.cumsum(np.round(np.multiply(fractions, len(members))).astype(np.intp))
    edges = np.searchsorted(np.cumsum(sizes), wanted) + 1  # the group that reaches the wanted size still belongs
    part = np.searchsorted(edges, position[members], side="right")
    return [np.flatnonzero(part == index) for index in range(len(fractions) + 1)]


def _groups(groups: Array) -> tuple[int, NDArray[np.intp]]:
    values, members = np.unique(groups, return_inverse=True)
    return len(values), members

"""The data sets known by name: what each is, which files it consists of, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from latentia.data import locate
from latentia.data.splits import Dataset, Info, Part, make_dataset
from latentia.errors import DataError

__all__ = ["Row", "Source", "describe", "find", "names", "register"]

Reader = Callable[[Mapping[str, Path], int], Mapping[str, Part]]

_SOURCES: dict[str, Source] = {}


@dataclass(frozen=True)
class Source:
    """A data set known by name.

    Parameters
    ----------
    info
        What is known about it before it is read; "{seed}" in its ``split`` becomes the seed that was used.
    rows
        How many training, validation and test rows it has.
    files
        The files it consists of; none if it comes with a library.
    read
        Function (path of each file by name, seed) → the parts "train", "valid", "test", each (x, y).
    contents
        What the files hold, for those who have to make them.
    """

    info: Info
    rows: tuple[int, int, int]
    files: tuple[locate.RemoteFile, ...]
    read: Reader
    contents: str = ""

    def load(self, seed: int, download: bool) -> Dataset:
        """Find or fetch the files, read them and check that they hold what they should."""
        paths = locate.find_files(self.info.name, self.files, self.contents, download=download)
        parts = self.read(paths, seed)
        # Where people or documents stay together, the validation part is a tenth only about.
        counts = (len(parts["train"][0]) + len(parts["valid"][0]), len(parts["test"][0]))
        if counts != (self.rows[0] + self.rows[1], self.rows[2]):
            raise DataError(self._unexpected(f"{counts[0]:,} rows for training and {counts[1]:,} for testing"))
        for part, (x, y) in parts.items():
            if x.shape[1:] != self.info.event_shape:
                raise DataError(self._unexpected(f"rows of shape {x.shape[1:]}"))
            self.info.support.check(x, f"the {part} part of {self.info.name}")
            classes = len(self.info.class_names or ())
            if y is not None and (len(y) != len(x) or y.min() < 0 or y.max() >= classes):
                raise DataError(self._unexpected(f"labels that are not one of {classes} classes for each row"))
        return make_dataset(replace(self.info, split=self.info.split.replace("{seed}", str(seed))), parts)

    def _unexpected(self, found: str) -> str:
        train, valid, test = self.rows
        shape = " × ".join(map(str, self.info.event_shape))
        return (
            f"the files of {self.info.name} hold {found}, but {train + valid:,} and {test:,} rows of {shape} are "
            f"needed: {self.contents or 'the published files'}"
        )


@dataclass(frozen=True)
class Row:
    """One line of ``latentia data list``.

    Attributes
    ----------
    name, shape, support, rows
        What it is: for example "mnist", "28 × 28", "levels:256", "50,000 / 10,000 / 10,000".
    present
        Whether it can be loaded now without a download.
    where
        Where it is, that it is downloaded at first use, or which files go where.
    """

    name: str
    shape: str
    support: str
    rows: str
    present: bool
    where: str


def register(source: Source) -> None:
    """Make a data set known by its name.

    Raises
    ------
    DataError
        If the name is taken.
    """
    if source.info.name in _SOURCES:
        raise DataError(f"the name {source.info.name!r} is taken: give the data set another")
    _SOURCES[source.info.name] = source


def find(name: str) -> Source | None:
    """Return the data set of that name, or None."""
    return _SOURCES.get(name)


def names() -> list[str]:
    """Return the names of the data sets that :func:`latentia.data.load` knows."""
    return list(_SOURCES)


def describe() -> list[Row]:
    """Return one row for each known data set, with where it is or where its files go."""
    rows = []
    for name, source in _SOURCES.items():
        present, where = locate.whereabouts(name, source.files, source.contents)
        counts = " / ".join(f"{count:,}" for count in source.rows)
        shape = " × ".join(map(str, source.info.event_shape))
        rows.append(Row(name, shape, str(source.info.support), counts, present, where))
    return rows

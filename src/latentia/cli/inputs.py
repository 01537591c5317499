"""Rows and models that a command reads: files in chunks, models from their folders."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentia.cli import records
from latentia.cli.console import note
from latentia.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentia.data import Dataset

    Array = NDArray[Any]

__all__ = ["Rows", "load_model", "load_source", "match_columns", "read_rows", "rows_per_chunk"]

_CHUNK_BYTES = 32 << 20  # of the rows as float32
_CHUNK_ROWS = 10_000


def load_model(run: Path, device: str | None) -> Any:
    """Load the model of a run folder."""
    import latentia

    return latentia.load(run) if device is None else latentia.load(run, device=device)


def load_source(run: Path, model: Any) -> Dataset:
    """Load the data that a model was fitted to, and make sure that they are the same.

    Raises
    ------
    DataError
        If it is not known where they came from, they are gone, or they have changed.
    """
    from latentia import data

    record = records.read_record(run)
    known: Mapping[str, Any] = getattr(model, "info_", None) or {}
    if record is not None:
        source = record.source
    elif known.get("name") in data.names():
        source = records.Source(str(known["name"]))
    else:
        raise DataError(f"{str(run)!r} does not say which data it was fitted to: name them with --data")
    place = source.data
    if source.path is not None and not Path(place).exists():
        place = source.path
    dataset = data.load(
        place, support=source.support, label=source.label, drop=source.drop, seed=source.split_seed, download=False
    )
    expected = known.get("fingerprint") or (record.fingerprint if record is not None else None)
    if expected and dataset.info.fingerprint != expected:
        raise DataError(
            f"the data {source.data!r} have changed since {str(run)!r} was fitted: their fingerprint is "
            f"{dataset.info.fingerprint[:12]}…, it was {str(expected)[:12]}…; restore them, or name others with --data"
        )
    return dataset


def rows_per_chunk(values_per_row: int) -> int:
    """Return how many rows are held at a time."""
    return max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // (4 * max(1, values_per_row))))


@dataclass(frozen=True)
class Rows:
    """The rows of a file, an array or a DataFrame; a large .npy file stays on the disk."""

    content: Any

    def __len__(self) -> int:
        return len(self.content)

    def chunks(self, size: int) -> Iterator[Any]:
        """Yield the rows in order, at most `size` at a time."""
        import numpy as np

        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            if isinstance(self.content, np.memmap) and self.content.flags.c_contiguous:
                yield _read_mapped(self.content, start, stop)
            elif hasattr(self.content, "iloc"):
                yield self.content.iloc[start:stop]
            else:
                yield self.content[start:stop]


def read_rows(file: Path, label: str | None, drop: tuple[str, ...], run: Path | None = None) -> Rows:
    """Open a file of rows.

    A table that comes without a word on its columns is read as the one that the run was fitted to, if it can be.

    Raises
    ------
    DataError
        If there is no such file, or it holds no rows.
    LatentiaError
        Whatever else the reader finds wrong; pickles are refused with advice.
    """
    from latentia import storage

    if not file.exists():
        raise DataError(
            f"there is no file {str(file)!r}: give a .npy, .npz, .csv, .parquet or idx file, or a folder of images"
        )
    if file.suffix.lower() == ".npy":
        content: Any = storage.read_npy(file, mmap=True)
    else:
        content = _read(file, label, drop, run)
    if getattr(content, "ndim", 2) == 0 or len(content) == 0:
        raise DataError(f"{str(file)!r} holds no rows: at least one is needed")
    return Rows(content)


def match_columns(rows: Rows, model: Any, run: Path) -> Rows:
    """Put the columns of a table into the order of the model, which knows no names itself where a split was fitted.

    Raises
    ------
    DataError
        If a column is missing or one too many.
    """
    record = records.read_record(run)
    frame, features = rows.content, None if record is None else record.features
    if features is None or not hasattr(frame, "iloc") or hasattr(model, "feature_names_in_"):
        return rows
    missing, unknown = set(features) - set(frame.columns), set(frame.columns) - set(features)
    if missing or unknown:
        wrong = [f"{name!r} is missing" for name in sorted(missing)] + [
            f"{name!r} is unknown" for name in sorted(unknown)
        ]
        raise DataError(
            f"the columns are not those that the model was fitted to: {', '.join(wrong[:5])}; "
            "add what is missing, and leave out the others with --drop"
        )
    return Rows(frame[list(features)].to_numpy())


def _read(file: Path, label: str | None, drop: tuple[str, ...], run: Path | None) -> Any:
    from latentia import data

    record = records.read_record(run) if run is not None and label is None and not drop else None
    if record is not None and (record.source.label is not None or record.source.drop):
        without = [*record.source.drop, *([record.source.label] if record.source.label is not None else [])]
        with contextlib.suppress(DataError):  # it has no such columns
            content, _ = data.read(file, label=record.source.label, drop=record.source.drop)
            note(f"left out as when the model was fitted: {', '.join(without)}")
            return content
    content, _ = data.read(file, label=label, drop=drop)
    return content


def _read_mapped(mapped: Any, start: int, stop: int) -> Array:
    # A map of its own for every chunk: pages of one long map would all stay counted as this process's memory.
    import numpy as np

    row = mapped.dtype.itemsize * int(np.prod(mapped.shape[1:], dtype=np.int64))
    shape = (stop - start, *mapped.shape[1:])
    piece = np.memmap(mapped.filename, mapped.dtype, "r", mapped.offset + start * row, shape)
    return np.array(piece, dtype=mapped.dtype.newbyteorder("="))

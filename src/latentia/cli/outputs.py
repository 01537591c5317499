"""Files that a command writes: in chunks, under a temporary name, and in place at once when they are whole."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from latentia.cli.exits import UsageError
from latentia.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentia.data import Support

    Array = NDArray[Any]

__all__ = ["check_folder", "check_output", "output", "write_array", "write_figures", "write_pictures"]

_MAX_PICTURES = 10_000
_MAX_PIXELS = 1 << 28
_SMALLEST_SIDE = 600  # pixels to which small sheets are enlarged, by a whole factor
_GAP = 1


def check_output(path: Path, suffixes: tuple[str, ...], *, overwrite: bool) -> None:
    """Refuse an output of an unknown kind, or one that exists, before any work is done.

    Raises
    ------
    UsageError
        With the kinds that can be written, or the option that replaces a file.
    """
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"the output {str(path)!r} must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}")
    if path.is_dir():
        raise UsageError(f"the output {str(path)!r} is a folder: name a file in it")
    if path.exists() and not overwrite:
        raise UsageError(f"the output {str(path)!r} exists: add --overwrite to replace it, or choose another name")


def check_folder(folder: Path | None, names: Iterable[str], overwrite: bool) -> None:
    """Refuse a folder for several outputs that is a file, or holds one of them, before any work is done.

    Raises
    ------
    UsageError
        With the option that replaces files.
    """
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{str(folder)!r} is a file: --out needs a folder")
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise UsageError(
            f"the output {str(folder / there[0])!r} exists: add --overwrite to replace it, or choose another folder"
        )


@contextlib.contextmanager
def output(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name when the block ends well, and not at all otherwise.

    Raises
    ------
    StorageError
        If the folder cannot be written or the disk is full; what was there before is intact.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as failure:
        if isinstance(failure, StorageError):
            raise
        what = "the disk is full" if failure.errno == errno.ENOSPC else failure.strerror or str(failure)
        raise StorageError(f"{str(path)!r} cannot be written: {what}; nothing was changed") from failure
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_array(path: Path, chunks: Iterable[Array], num_rows: int, names: Callable[[int], list[str]]) -> None:
    """Write rows that come in chunks, so that memory holds one chunk only.

    Parameters
    ----------
    path
        A .npy or .csv file.
    chunks
        Arrays whose leading axes add up to `num_rows`, of one type and shape otherwise.
    num_rows
        How many rows there will be.
    names
        The names of so many columns, for .csv.

    Raises
    ------
    ConfigError
        If the rows are images and the file is a table.
    """
    with output(path) as file:
        write = _npy_rows if path.suffix.lower() == ".npy" else _csv_rows
        written = 0
        for chunk in chunks:
            write(file, chunk, num_rows if written == 0 else None, names)
            written += len(chunk)
        if written != num_rows:
            raise StorageError(
                f"{str(path)!r} needs {num_rows} rows, but {written} came: this is a bug, please report it"
            )


def _npy_rows(file: BinaryIO, chunk: Array, num_rows: int | None, names: Callable[[int], list[str]]) -> None:
    import numpy as np

    chunk = np.ascontiguousarray(chunk)
    if num_rows is not None:
        header = np.lib.format.header_data_from_array_1_0(chunk)
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (num_rows, *chunk.shape[1:])})
    file.write(chunk.tobytes())


def _csv_rows(file: BinaryIO, chunk: Array, num_rows: int | None, names: Callable[[int], list[str]]) -> None:
    import csv
    import io

    import numpy as np

    if chunk.ndim > 2:
        shape = " × ".join(map(str, chunk.shape[1:]))
        raise ConfigError(f"rows of shape {shape} do not fit a .csv file: write a .npy file")
    table = chunk[:, None] if chunk.ndim == 1 else chunk
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if num_rows is not None:
        writer.writerow(names(table.shape[1]))
    # repr of a Python float is the shortest text that reads back as the same number, at the array's own precision.
    narrow = table.dtype == np.float32
    writer.writerows([[str(value) for value in row] if narrow else row.tolist() for row in table])
    file.write(text.getvalue().encode())


def write_pictures(path: Path, items: Array, support: Support) -> None:
    """Write images (n, H, W[, C]) as one PNG, row by row in a grid as square as it can be.

    Raises
    ------
    ConfigError
        If the items are no images, or too many for one picture.
    """
    import numpy as np
    from PIL import Image

    from latentia.report.pictures import is_picture, shared_limits

    count, shape = len(items), items.shape[1:]
    if not is_picture(shape):
        raise ConfigError(f"rows of shape {' × '.join(map(str, shape))} are no images: write a .npy or .csv file")
    height, width, channels = (*shape, 1)[:3]
    columns = int(np.ceil(np.sqrt(count * height / width)))
    rows = -(-count // columns)
    size = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP)
    if count > _MAX_PICTURES or size[0] * size[1] > _MAX_PIXELS:
        raise ConfigError(f"{count:,} images of {height} × {width} are too many for one picture: write a .npy file")
    low, high = shared_limits(support, items)
    canvas = np.full((*size, channels), 128, dtype=np.uint8)
    for index, item in enumerate(items):
        top, left = (index // columns) * (height + _GAP), (index % columns) * (width + _GAP)
        level = np.clip((item.astype(np.float64) - low) / (high - low), 0.0, 1.0) * 255
        canvas[top : top + height, left : left + width] = np.rint(level).reshape(height, width, channels)
    zoom = max(1, _SMALLEST_SIDE // max(size))
    canvas = canvas.repeat(zoom, axis=0).repeat(zoom, axis=1)
    with output(path) as file:
        Image.fromarray(canvas[..., 0] if channels == 1 else canvas).save(file, format="PNG")


def write_figures(folder: Path, figures: Mapping[str, Any]) -> None:
    """Write axes of figures as NAME.png and NAME.svg."""
    import matplotlib

    from latentia.report.style import figure_of

    for name, ax in figures.items():
        for kind in ("png", "svg"):
            with output(folder / f"{name}.{kind}") as file, matplotlib.rc_context({"svg.hashsalt": name}):
                figure_of(ax).savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else None)

"""Readers of array files that believe nothing: sizes are checked before memory is taken, and no code ever runs.

``.npy`` and ``.npz`` follow NumPy's format description, idx the one of the MNIST distribution: two zero bytes, a type
code, the number of axes, the big-endian sizes, then the values in row order.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from latentia.errors import CorruptedError, StorageError
from latentia.storage.inflate import default_cap, read_inflated
from latentia.storage.pickles import refuse_pickle
from latentia.storage.text import show

__all__ = ["read_idx", "read_npy", "read_npz"]

Array = NDArray[Any]

MAX_MEMBERS = 1000
_MAX_HEADER = 1 << 14  # NumPy's own are of 128 bytes, but for tables of named columns
_MAX_DIRECTORY = 1 << 20
_MAX_AXES = 32
_KINDS = "biufcUS"
_SHAPE = r"'shape'\s*:\s*\(((?:\s*[0-9]{1,19}\s*,)*(?:\s*[0-9]{1,19}\s*)?)\)"
_ORDER = r"'fortran_order'\s*:\s*(True|False)\b"
_TYPE = r"'descr'\s*:\s*('[^',]{1,20}'|\[.*\])"
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_npy(path: str | Path, *, mmap: bool = False, max_bytes: int | None = None) -> Array:
    """Read a ``.npy`` file of numbers, truth values or strings.

    Parameters
    ----------
    path
        The file.
    mmap
        Return a read-only memory map instead of an array in memory.
    max_bytes
        The most that the array may take; without it, the size of the file is the limit.

    Raises
    ------
    StorageError
        If it cannot be read, is no ``.npy`` file, holds Python objects, or is larger than ``max_bytes``.
    CorruptedError
        If the file is not as long as its header says.
    """
    path = Path(path)
    refuse_pickle(path)
    what = show(path)
    try:
        with path.open("rb") as file:
            shape, fortran, dtype = _read_header(file, what)
            offset = file.tell()
            expected = math.prod(shape) * dtype.itemsize
            _check_size(what, expected, os.fstat(file.fileno()).st_size - offset)
            if max_bytes is not None and expected > max_bytes and not mmap:
                raise StorageError(f"{what} holds {expected:,} bytes, but at most {max_bytes:,} are allowed")
            if mmap and expected:
                return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
            return _read_values(file, what, shape, fortran, dtype)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{what} cannot be read: {error.strerror}") from error


def read_npz(path: str | Path, *, max_bytes: int | None = None) -> dict[str, Array]:
    """Read every array of a ``.npz`` file.

    Parameters
    ----------
    path
        The file.
    max_bytes
        The most that all arrays may take together. By default 500 times the size of the file, but 256 MB in any case,
        and never more than 4 GB. The sum is taken from the directory of the file before anything is unpacked.

    Returns
    -------
    arrays
        By name, in the order of the file.

    Raises
    ------
    StorageError
        If it cannot be read, is no ``.npz`` file, holds anything but plain arrays, or more than ``max_bytes``.
    CorruptedError
        If it is cut off or damaged.
    """
    path = Path(path)
    refuse_pickle(path)
    what = show(path)
    try:
        with _open_archive(path, what) as archive:
            members = _members(archive, what, default_cap(path.stat().st_size) if max_bytes is None else max_bytes)
            return {name: _read_member(archive, info, f"{name} in {what}") for name, info in members.items()}
    except StorageError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError) as error:
        raise CorruptedError(f"{what} is damaged or no .npz file: {show(error)}") from None
    except OSError as error:
        raise StorageError(f"{what} cannot be read: {error.strerror or error}") from error


def read_idx(path: str | Path, *, max_bytes: int | None = None) -> Array:
    """Read an idx file, the format of the MNIST distribution; gzip is told by its first bytes.

    Parameters
    ----------
    path
        The file.
    max_bytes
        The most that the content may have, as in :func:`latentia.storage.read_inflated`.

    Raises
    ------
    StorageError
        If it cannot be read, is no idx file, or holds more than ``max_bytes``.
    CorruptedError
        If it is not as long as its header says.
    """
    path = Path(path)
    refuse_pickle(path)
    what = show(path)
    content = read_inflated(path, max_bytes=max_bytes)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES or content[3] == 0:
        raise StorageError(
            f"{what} is no idx file: it begins with {content[:4].hex(' ') or 'nothing'}, "
            "but two zero bytes, a type code and the number of axes are needed"
        )
    dtype, axes = np.dtype(_IDX_TYPES[content[2]]), content[3]
    offset = 4 + 4 * axes
    if len(content) < offset:
        raise CorruptedError(f"{what} is cut off: {offset} bytes of header expected, {len(content)} found")
    shape = tuple(int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes))
    _check_size(what, math.prod(shape) * dtype.itemsize, len(content) - offset)
    values = np.frombuffer(content, dtype, offset=offset).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _read_header(file: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of a ``.npy`` stream: shape, whether the order is Fortran's, and the type.

    NumPy's own reader evaluates the header as Python text; patterns are enough here and cannot be surprised.
    """
    magic = file.read(8)
    sizes = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4, b"\x93NUMPY\3\0": 4}
    if magic not in sizes:
        raise StorageError(
            f"{what} is no .npy file that can be read: it begins with {magic.hex(' ') or 'nothing'}, "
            "but the mark of NumPy's format 1, 2 or 3 is needed"
        )
    length = int.from_bytes(file.read(sizes[magic]), "little")
    header = file.read(min(length, _MAX_HEADER)).decode("latin1")
    found = [re.search(pattern, header) for pattern in (_SHAPE, _ORDER, _TYPE)]
    if length > _MAX_HEADER or len(header) != length or None in found:
        raise CorruptedError(f"{what} is no .npy file that can be read: its header of {length:,} bytes is damaged")
    shape, order, kind = (match[1] for match in found if match is not None)
    sides = tuple(int(side) for side in shape.split(",") if side.strip())
    if len(sides) > _MAX_AXES:
        raise CorruptedError(f"{what} has {len(sides)} axes, but at most {_MAX_AXES} are read")
    return sides, order == "True", _checked_type(kind, what)


def _checked_type(text: str, what: str) -> np.dtype[Any]:
    fields = text.startswith("[")
    if "O" in (re.findall(r"'[<>|=]?(O)[0-9]*'", text) if fields else text):
        raise StorageError(
            f"{what} holds Python objects, which are pickles and would run code: save it with a numeric type, "
            "numpy.save('data.npy', array.astype(float))"
        )
    try:
        dtype = None if fields else np.dtype(text.strip("'"))
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise StorageError(f"{what} has type {show(text)}, but only numbers, truth values and strings are read")
    return dtype


def _check_size(what: str, expected: int, found: int) -> None:
    if found != expected:
        state = "cut off" if found < expected else "damaged"
        raise CorruptedError(f"{what} is {state}: its header says {expected:,} bytes of values, but it has {found:,}")


def _read_values(file: IO[bytes], what: str, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> Array:
    """Read values whose number has been checked, in the machine's own byte order."""
    try:
        values = np.empty(math.prod(shape), dtype)
    except MemoryError:
        size = math.prod(shape) * dtype.itemsize
        raise StorageError(f"{what} needs {size:,} bytes of memory: open it with mmap=True instead") from None
    view = values.view(np.uint8).data if values.size else memoryview(b"")
    done = 0
    while done < len(view):
        chunk = file.read(min(1 << 22, len(view) - done))
        if not chunk:
            raise CorruptedError(f"{what} is cut off: {len(view):,} bytes of values expected, {done:,} found")
        view[done : done + len(chunk)] = chunk
        done += len(chunk)
    return values.reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="), copy=False)


class _Guarded(io.BufferedReader):
    """A file whose single reads are limited: zipfile reads the whole directory of an archive in one."""

    limit: int | None = _MAX_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limit is not None:
            size = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if self.limit is not None and size is not None and size > self.limit:
            raise StorageError(f"the directory of {show(self.name)} is too large: it lists too many arrays")
        return super().read(size)


@contextlib.contextmanager
def _open_archive(path: Path, what: str) -> Iterator[zipfile.ZipFile]:
    with _Guarded(io.FileIO(path)) as file:
        try:
            archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise StorageError(f"{what} is no .npz file or is cut off: {error}") from None
        file.limit = None
        with archive:
            yield archive


def _members(archive: zipfile.ZipFile, what: str, cap: int) -> Mapping[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise StorageError(f"{what} holds {len(infos):,} arrays, but at most {MAX_MEMBERS:,} are allowed")
    total = sum(info.file_size for info in infos)
    if total > cap:
        raise StorageError(
            f"{what} unpacks to {total:,} bytes, but at most {cap:,} are allowed for a file of its size; "
            "pass max_bytes= if that is meant"
        )
    members = {}
    for info in infos:
        if not info.filename.endswith(".npy") or info.flag_bits & 1:
            raise StorageError(
                f"{what} holds {show(info.filename)}, but only plain .npy arrays are read from a .npz file"
            )
        name = show(info.filename.removesuffix(".npy"))
        if name in members:
            raise CorruptedError(f"{what} holds two arrays named {name}")
        members[name] = info
    return members


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str) -> Array:
    with archive.open(info) as file:
        shape, fortran, dtype = _read_header(file, what)
        _check_size(what, math.prod(shape) * dtype.itemsize, info.file_size - file.tell())
        return _read_values(file, what, shape, fortran, dtype)  # zipfile compares the checksum at the last byte

"""Files that may be gzip-compressed, inflated under a limit: a small file cannot fill the memory."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import BinaryIO

from latentia.errors import CorruptedError, StorageError
from latentia.storage.text import show

__all__ = ["default_cap", "read_inflated"]

GIGABYTE = 10**9
_MAX_BYTES = 4 * GIGABYTE
_RATIO = 500  # real arrays and tables compress less; deflate's own limit is about 1030
_FREE = 256 * 10**6
_CHUNK = 1 << 18


def default_cap(compressed_size: int) -> int:
    """Return how much a compressed file may hold unless the caller says otherwise.

    500 times its own size, but 256 MB in any case, and never more than 4 GB.
    """
    return min(_MAX_BYTES, max(_FREE, _RATIO * compressed_size))


def read_inflated(path: str | Path, *, max_bytes: int | None = None) -> bytearray:
    """Return the content of a file, inflated if its first bytes say that it is gzip.

    Parameters
    ----------
    path
        The file.
    max_bytes
        The most that the content may have; by default :func:`default_cap` for a compressed file, no limit for others,
        which take no more memory than they take on the disk.

    Raises
    ------
    StorageError
        If it cannot be read or holds more than ``max_bytes``.
    CorruptedError
        If the compressed stream is damaged or cut off.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if file.read(2) == b"\x1f\x8b":
                file.seek(0)
                return _inflate(file, default_cap(size) if max_bytes is None else max_bytes, show(path))
            if max_bytes is not None and size > max_bytes:
                raise StorageError(_too_large(show(path), max_bytes))
            file.seek(0)
            content = bytearray(size)
            return content[: file.readinto(content)]
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{show(path)} cannot be read: {error.strerror}") from error


def _inflate(file: BinaryIO, cap: int, what: str) -> bytearray:
    content = bytearray()
    stream = zlib.decompressobj(wbits=31)
    waiting = b""
    try:
        while waiting := waiting or file.read(_CHUNK):
            if stream.eof:  # a gzip file is one or more streams, and some writers pad it with zeros
                waiting = waiting.lstrip(b"\0")
                if not waiting:
                    continue
                stream = zlib.decompressobj(wbits=31)
            content += stream.decompress(waiting, min(_CHUNK, cap - len(content) + 1))
            if len(content) > cap:
                raise StorageError(_too_large(what, cap))
            waiting = stream.unused_data if stream.eof else stream.unconsumed_tail
    except zlib.error as error:
        raise CorruptedError(f"{what} is damaged: {error}; copy or download it again") from None
    if not stream.eof:
        raise CorruptedError(f"{what} is cut off: its gzip stream ends early; copy or download it again")
    return content


def _too_large(what: str, cap: int) -> str:
    return f"{what} holds more than {cap:,} bytes when unpacked; pass max_bytes= if that is meant"

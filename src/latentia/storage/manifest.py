"""The manifest of a folder: size and sha256 of each file that belongs to it, and a reader that trusts nothing else.

A saved model and a checkpoint are folders of a few plain files beside one ``manifest.json``::

    {"format": 1, "files": {"config.json": {"size": 812, "sha256": "9f86…"}, …}}

Only listed names are ever opened, and only when they are plain regular files directly inside the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from latentia.errors import CorruptedError, StorageError
from latentia.storage.text import parse_json, show

__all__ = ["MANIFEST", "FileEntry", "Manifest", "VerifiedFolder", "has_manifest", "open_folder", "verify_folder"]

MANIFEST = "manifest.json"
PENDING = ".latentia-pending"  # a complete new set of files on its way into the folder; see atomic.py
FORMAT = 1
MAX_FILES = 1000
MAX_MANIFEST_BYTES = 1 << 20
CHUNK = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """What a manifest says about one file: its size in bytes and its sha256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files that belong to a folder, by name."""

    files: Mapping[str, FileEntry]

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", MappingProxyType(dict(self.files)))

    def to_bytes(self) -> bytes:
        """Return the text of ``manifest.json``, the same for the same files."""
        files = {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in sorted(self.files.items())}
        return (json.dumps({"format": FORMAT, "files": files}, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, what: str) -> Manifest:
        """Parse and check the text of a manifest; ``what`` names it in errors.

        Raises
        ------
        CorruptedError
            If it is not what :meth:`to_bytes` writes.
        StorageError
            If it was written by a newer version of the format.
        """
        content = parse_json(data, what)
        if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
            raise CorruptedError(f"{what} is damaged: it lists no files; restore the folder from a copy")
        if content.get("format") != FORMAT:
            raise StorageError(
                f"{what} has format {show(content.get('format'))}, but this version of latentia reads format {FORMAT}: "
                "update latentia"
            )
        if len(content["files"]) > MAX_FILES:
            raise CorruptedError(f"{what} lists {len(content['files'])} files, but at most {MAX_FILES} are allowed")
        return cls({name: _entry(name, value, what) for name, value in content["files"].items()})


def _entry(name: str, value: object, what: str) -> FileEntry:
    check_name(name, what)
    size = value.get("size") if isinstance(value, dict) else None
    sha256 = value.get("sha256") if isinstance(value, dict) else None
    if type(size) is not int or size < 0 or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise CorruptedError(f"{what} is damaged: the entry of {name} needs a size and a sha256")
    return FileEntry(size, sha256)


def check_name(name: str, what: str) -> None:
    """Refuse every name that is not one plain file directly inside the folder (no ``/``, no ``..``, nothing hidden)."""
    if not _NAME.fullmatch(name) or name == MANIFEST:
        raise CorruptedError(
            f"{what} names {show(name)}, but only plain file names inside the folder are allowed "
            "(letters, digits, '.', '_' and '-'): do not use this folder"
        )


@dataclass(frozen=True)
class VerifiedFolder:
    """A folder whose manifest was read and checked; each file is verified as it is read."""

    path: Path
    manifest: Manifest

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return the content of a listed file after checking its size and sha256.

        Parameters
        ----------
        name
            A name from the manifest.
        max_bytes
            The most that the caller is ready to hold; a larger file is refused before it is opened.

        Raises
        ------
        StorageError
            If the file is not listed or larger than ``max_bytes``.
        CorruptedError
            If it is missing, is not a plain file of the folder's own, or differs from its manifest.
        """
        entry = self._listed(name)
        if entry.size > max_bytes:
            raise StorageError(
                f"{show(self.path / name)} has {entry.size:,} bytes, but at most {max_bytes:,} are allowed here"
            )
        with _open_listed(self.path, name, entry) as file:
            data = file.read(entry.size + 1)
        _check(self.path / name, entry, len(data), hashlib.sha256(data).hexdigest())
        return data

    def verify(self, name: str) -> None:
        """Check a listed file without holding it in memory; raises as :meth:`read` does."""
        entry = self._listed(name)
        digest, size = hashlib.sha256(), 0
        with _open_listed(self.path, name, entry) as file:
            while size <= entry.size and (chunk := file.read(CHUNK)):
                digest.update(chunk)
                size += len(chunk)
        _check(self.path / name, entry, size, digest.hexdigest())

    def check_sizes(self) -> None:
        """Check that each listed file is there with its listed size, without reading any."""
        for name, entry in self.manifest.files.items():
            _open_listed(self.path, name, entry).close()

    def _listed(self, name: str) -> FileEntry:
        try:
            return self.manifest.files[name]
        except KeyError:
            listed = ", ".join(self.manifest.files) or "nothing"
            raise StorageError(
                f"{show(name)} is not listed in {show(self.path / MANIFEST)}: it lists {listed}"
            ) from None


def has_manifest(folder: str | Path) -> bool:
    """Return whether a folder has a manifest, be it in a complete write that was cut off; it is not read."""
    return os.path.lexists(locate(Path(folder), MANIFEST))


def open_folder(folder: str | Path) -> VerifiedFolder:
    """Read the manifest of a folder; files are verified one by one as they are read.

    A write that was cut off after it was complete (:func:`latentia.storage.write_files`) is seen as done.

    Raises
    ------
    StorageError
        If there is no such folder, it has no manifest, or its format is newer than this version.
    CorruptedError
        If the manifest is damaged or names a file outside of the folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise StorageError(f"{show(folder)} {what}, but the folder of a saved model or run is needed")
    path = locate(folder, MANIFEST)
    if not os.path.lexists(path):
        raise StorageError(f"{show(folder)} holds no saved model or checkpoint: it has no {MANIFEST}")
    with open_regular(path) as file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
        raise CorruptedError(f"{show(path)} is larger than {MAX_MANIFEST_BYTES:,} bytes: it is no manifest")
    return VerifiedFolder(folder, Manifest.from_bytes(data, show(path)))


def verify_folder(folder: str | Path) -> Manifest:
    """Check every listed file of a folder against its manifest and return the manifest.

    Files that are not listed are never opened. Raises as :func:`open_folder` and :meth:`VerifiedFolder.read` do.
    """
    opened = open_folder(folder)
    for name in opened.manifest.files:
        opened.verify(name)
    return opened.manifest


def locate(folder: Path, name: str) -> Path:
    """Return where the current content of a file is: in a complete pending write, or in the folder itself."""
    pending = folder / PENDING
    try:
        is_folder = stat.S_ISDIR(pending.lstat().st_mode)
    except OSError:
        is_folder = False
    # The manifest is the last file to leave it, so without one it is none of ours, or empty.
    counts = is_folder and os.path.lexists(pending / MANIFEST) and os.path.lexists(pending / name)
    return pending / name if counts else folder / name


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading if it is a plain regular file with one name; never follows a link, never blocks."""
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(info.st_mode) else "no regular file"
            raise CorruptedError(f"{show(path)} is {kind}, which is not opened: copy the real file there")
        # Between lstat and open the file may change into a link or a pipe: the flags and fstat close that gap.
        descriptor = os.open(path, os.O_RDONLY | _flag("O_NOFOLLOW") | _flag("O_NONBLOCK") | _flag("O_BINARY"))
    except FileNotFoundError:
        raise CorruptedError(f"{show(path)} is missing: restore it from a copy") from None
    except CorruptedError:
        raise
    except OSError as error:
        raise StorageError(f"{show(path)} cannot be read: {error.strerror}") from error
    file = os.fdopen(descriptor, "rb")
    info = os.fstat(descriptor)
    if stat.S_ISREG(info.st_mode) and info.st_nlink == 1:
        return file
    file.close()
    raise CorruptedError(
        f"{show(path)} is shared with another name (a hard link) or is no regular file, which is not opened: "
        "copy the folder file by file"
    )


def _open_listed(folder: Path, name: str, entry: FileEntry) -> BinaryIO:
    file = open_regular(locate(folder, name))
    size = os.fstat(file.fileno()).st_size
    if size != entry.size:
        file.close()
        _check(folder / name, entry, size, "")
    return file


def _check(path: Path, entry: FileEntry, size: int, sha256: str) -> None:
    if size != entry.size:
        raise CorruptedError(
            f"{show(path)} is damaged: it has {size:,} bytes, but the manifest says {entry.size:,}; "
            "use an earlier checkpoint or a copy"
        )
    if sha256 != entry.sha256:
        raise CorruptedError(
            f"{show(path)} is damaged: its content differs from the manifest (sha256 {sha256[:12]}… instead of "
            f"{entry.sha256[:12]}…); use an earlier checkpoint or a copy"
        )


def _flag(name: str) -> int:
    return int(getattr(os, name, 0))  # not every system has every flag

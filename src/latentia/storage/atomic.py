"""Writing that is either done or not done: kill -9 and a full disk leave the old content as it was.

Two ways, both with fsync before every rename:

- :func:`write_folder` makes a whole new folder (a checkpoint): everything goes to ``.latentia-tmp-<pid>-<random>``
  beside it, and one rename makes it appear.
- :func:`write_files` replaces some files of an existing folder (a saved model inside its run folder): the new files and
  the new manifest are gathered in a folder inside, one rename to ``.latentia-pending`` makes them count, and then
  each is moved to its place. If the process dies in between, readers look into ``.latentia-pending`` first and the
  next writer finishes the moves. So a set of files changes as one.

A hidden folder that is not named exactly so is somebody else's, and is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from latentia.errors import LatentiaError, StorageError
from latentia.storage.manifest import CHUNK, MANIFEST, PENDING, FileEntry, Manifest, check_name, open_folder
from latentia.storage.manifest import verify_folder as _verify_folder
from latentia.storage.text import show

__all__ = ["Content", "check_writable", "write_files", "write_folder"]

Content = bytes | Callable[[BinaryIO], object]

TEMPORARY = ".latentia-tmp-"  # being written
RETIRED = ".latentia-old-"  # being removed
_LEFTOVER = re.compile(r"\.latentia-(?:tmp|old)-[0-9]+-[0-9a-f]{8}")
_WAIT_SECONDS = 60.0


def write_files(folder: str | Path, files: Mapping[str, Content], *, manifest: bool = True) -> None:
    """Replace the named files of a folder, all of them or none; the folder is made if it is not there.

    Parameters
    ----------
    folder
        The folder; what is in it under other names stays.
    files
        Contents by name: bytes, or a function that writes to a binary file (it may seek).
    manifest
        Whether the files become part of the folder's ``manifest.json`` (size and sha256 of each, written last).
        Files that the old manifest lists and this call does not name stay listed.
        Without it each file is replaced on its own and must not be a listed one.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written; the previous content is intact.
    """
    folder = Path(folder)
    for name in files:
        check_name(name, "write_files")
    with _translated(folder, files):
        _make(folder)
        with _exclusive(folder):
            if not manifest:
                _replace_each(folder, files, _previous_manifest(folder))
                return
            finish_pending(folder)
            sweep(folder)
            old = _previous_manifest(folder)
            with _temporary(folder) as staging:
                entries = {name: _write(staging / name, content) for name, content in files.items()}
                _write(staging / MANIFEST, Manifest({**old.files, **entries}).to_bytes())
                fsync_folder(staging)
                staging.rename(folder / PENDING)  # from here on the new content counts
            fsync_folder(folder)
            finish_pending(folder)


def write_folder(folder: str | Path, files: Mapping[str, Content], *, replace: bool = False) -> None:
    """Make a whole new folder of files with its manifest, which appears at once or not at all.

    Parameters
    ----------
    folder
        The folder to make; its parents are made if they are not there.
    files
        Contents by name, as for :func:`write_files`.
    replace
        Whether an intact folder of that name may be replaced; a damaged one always is.

    Raises
    ------
    StorageError
        If the disk is full or read-only, or an intact folder of that name exists; what was there is intact.
    """
    folder = Path(folder)
    parent = folder.parent
    for name in files:
        check_name(name, "write_folder")
    with _translated(parent, files):
        _make(parent)
        with _exclusive(parent):
            sweep(parent)
            if folder.exists() and not replace and _is_intact(folder):
                raise StorageError(f"{show(folder)} already exists and is intact: choose another name or remove it")
            with _temporary(parent) as staging:
                entries = {name: _write(staging / name, content) for name, content in files.items()}
                _write(staging / MANIFEST, Manifest(entries).to_bytes())
                fsync_folder(staging)
                if os.path.lexists(folder):
                    retire(folder, remove=False)
                staging.rename(folder)
            fsync_folder(parent)
            sweep(parent)


def check_writable(folder: str | Path, *, needed_bytes: int = 0) -> None:
    """Make sure that a folder can be written before hours of work depend on it; it is made if it is not there.

    Parameters
    ----------
    folder
        The folder that will be written to.
    needed_bytes
        How much free space is needed at least.

    Raises
    ------
    StorageError
        If a file cannot be made, written, renamed and removed there, or if there is too little free space.
    """
    folder = Path(folder)
    with _translated(folder, {}):
        _make(folder)
        with _temporary(folder) as probe:
            _write(probe / "probe", b"latentia")
            (probe / "probe").rename(probe / "renamed")
        free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StorageError(
            f"disk full: {_megabytes(needed_bytes)} needed in {show(folder)}, but {_megabytes(free)} are free; "
            "free some space or choose another folder"
        )


def finish_pending(folder: Path) -> None:
    """Move the files of a complete pending write to their places, the manifest last.

    Raises
    ------
    StorageError
        If the folder of that name is none that :func:`write_files` made; nothing in it is touched.
    """
    pending = folder / PENDING
    if not pending.is_dir() or pending.is_symlink():
        return
    names = sorted((entry.name for entry in os.scandir(pending)), key=lambda name: (name == MANIFEST, name))
    if names:
        _check_pending(pending, names)
    for name in names:
        (pending / name).replace(folder / name)
    fsync_folder(folder)
    pending.rmdir()


def _check_pending(pending: Path, names: list[str]) -> None:
    try:
        listed = open_folder(pending).manifest.files
    except StorageError as error:
        raise StorageError(f"{show(pending)} is no unfinished write of latentia: move it away; {error}") from error
    if strange := sorted(set(names) - {MANIFEST, *listed}):
        raise StorageError(f"{show(pending)} holds {show(strange[0])}, which its manifest does not list: move it away")


def is_leftover(name: str) -> bool:
    """Return whether a name is one that a writer of ours gives to a folder that is not finished or being removed."""
    return _LEFTOVER.fullmatch(name) is not None


def sweep(folder: Path) -> None:
    """Remove what dead writers left in a folder; only to be called by its one writer."""
    for entry in list(os.scandir(folder)):
        if is_leftover(entry.name) and entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)


def retire(folder: Path, *, remove: bool = True) -> None:
    """Take a folder out of sight with one rename, then remove it: it is never seen half removed."""
    hidden = _unused(folder.parent, RETIRED)
    folder.rename(hidden)
    if remove:
        shutil.rmtree(hidden, ignore_errors=True)


def fsync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system has a way to do it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(folder: Path) -> None:
    """Make a folder and those above it, and bring their names to the disk."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        fsync_folder(path.parent)


def _write(path: Path, content: Content) -> FileEntry:
    """Write one new file to the disk and return its size and sha256."""
    with path.open("xb+") as file:
        if isinstance(content, bytes):
            file.write(content)
            digest = hashlib.sha256(content)
        else:
            content(file)
            file.flush()
            file.seek(0)
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
        return FileEntry(os.fstat(file.fileno()).st_size, digest.hexdigest())


def _replace_each(folder: Path, files: Mapping[str, Content], old: Manifest) -> None:
    for name in files:
        if name in old.files:
            raise StorageError(f"{show(folder / name)} is listed in {MANIFEST}: it must be written with its manifest")
    with _temporary(folder) as staging:
        for name, content in files.items():
            _write(staging / name, content)
        for name in files:
            (staging / name).replace(folder / name)
    fsync_folder(folder)


def _previous_manifest(folder: Path) -> Manifest:
    try:
        return open_folder(folder).manifest
    except StorageError:  # none, or damaged: then nothing of it is worth keeping
        return Manifest({})


def _is_intact(folder: Path) -> bool:
    try:
        _verify_folder(folder)
    except StorageError:
        return False
    return True


def _unused(parent: Path, prefix: str) -> Path:
    return parent / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"


@contextlib.contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    """Make a folder for new files; it is gone afterwards unless it was renamed."""
    path = _unused(parent, TEMPORARY)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder for one writer at a time, where the file system has locks."""
    if os.name != "posix":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise StorageError(
                        f"{show(folder)} is being written by another process for more than {_WAIT_SECONDS:.0f} s: "
                        "wait for it to end or stop it"
                    ) from None
                time.sleep(0.005)
            except OSError:  # this file system has no locks; the run lock still guards the folder
                break
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated(folder: Path, files: Mapping[str, Content]) -> Iterator[None]:
    """Turn the system's errors into sentences."""
    try:
        yield
    except LatentiaError:
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"cannot write to {show(folder)}: {error.strerror or error}; "
                "choose another folder or change its permissions"
            ) from error
        raise StorageError(_disk_full(folder, files)) from error


def _disk_full(folder: Path, files: Mapping[str, Content]) -> str:
    needed = sum(len(content) for content in files.values() if isinstance(content, bytes))
    free = 0
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
    at_least = "" if all(isinstance(content, bytes) for content in files.values()) else "more than "
    needed = needed if not at_least else max(needed, free)
    return (
        f"disk full: {at_least}{_megabytes(needed)} needed in {show(folder)}, but {_megabytes(free)} are free; "
        "the previous content is kept; free some space and run again"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"

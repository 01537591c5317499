"""One process at a time per run folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from latentia.errors import RunLockedError, StorageError
from latentia.storage.text import show

__all__ = ["RunLock"]

_LOCK = "lock"
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


class RunLock:
    """Hold a run folder for this process: ``with RunLock(folder): …``.

    The file ``lock`` in the folder is locked (``flock``) and says which process on which host holds it since when.
    The system drops the lock when the process dies, however it dies; the file that remains then is taken over and
    ``recovered`` says so. Where the file system has no locks, the file's existence is the lock, and only a process
    on the same host that is no longer alive is taken over.

    Parameters
    ----------
    folder
        The run folder; it is made if it is not there.

    Attributes
    ----------
    recovered
        A sentence about the stale lock that was taken over, or None.

    Raises
    ------
    RunLockedError
        On entering, if another process (or this one) already holds the folder; it names the process and the host.
    StorageError
        On entering, if the lock file cannot be made.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.recovered: str | None = None
        self._descriptor: int | None = None

    @property
    def path(self) -> Path:
        """Where the lock file is."""
        return self.folder / _LOCK

    def __enter__(self) -> Self:
        if self._descriptor is not None:
            raise RunLockedError(f"{show(self.folder)} is already held by this very lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._acquire()
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"cannot lock {show(self.folder)}: {error.strerror or error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is None:
            return
        # Removed while it is still held: whoever opened it before finds out by its inode (see _acquire).
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = None
        if os.name != "posix":  # where an open file cannot be removed
            self.path.unlink(missing_ok=True)

    def _acquire(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        while True:
            descriptor = os.open(self.path, flags, 0o644)
            try:
                locked = _try_flock(descriptor)
                holder = _read_holder(descriptor)
                if locked is False:
                    raise self._locked(holder, "wait for it to end, stop it")
                if locked is None and _may_be_alive(holder):
                    raise self._locked(holder, f"wait for it to end, remove {show(self.path)} if it is gone")
                if _same_file(descriptor, self.path):
                    self.recovered = self._taken_over(holder)
                    _write_holder(descriptor)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its former holder removed this file meanwhile: try the new one

    def _taken_over(self, holder: dict[str, object]) -> str | None:
        if not holder:
            return None
        return (
            f"took over {show(self.path)}, left by process {show(holder.get('pid'))} on {show(holder.get('host'))} "
            f"(started {show(holder.get('start'))}), which ended without cleaning up"
        )

    def _locked(self, holder: dict[str, object], advice: str) -> RunLockedError:
        who = f"process {show(holder.get('pid'))} on {show(holder.get('host'))}" if holder else "another process"
        since = f" (started {show(holder.get('start'))})" if holder else ""
        return RunLockedError(f"{show(self.folder)} is in use by {who}{since}: {advice}, or choose another folder")


def _try_flock(descriptor: int) -> bool | None:
    """Lock the file: True if it is ours now, False if another holds it, None if this file system has no locks."""
    if os.name != "posix":
        return None
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _may_be_alive(holder: dict[str, object]) -> bool:
    pid = holder.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    if os.name != "posix" or holder.get("host") != socket.gethostname():
        return True  # there is no way to ask
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int) -> dict[str, object]:
    """Return what the lock file says; it may be empty, or anything at all."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        holder = json.loads(os.read(descriptor, 4096))
    except (ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _write_holder(descriptor: int) -> None:
    start = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "start": start})
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, text.encode() + b"\n")
    os.fsync(descriptor)

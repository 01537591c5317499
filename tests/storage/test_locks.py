"""Fault 9: one process per run folder; the lock of a dead one is taken over."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from latentia.errors import RunLockedError, StorageError
from latentia.storage import RunLock

HOLDER = """
import sys
from latentia.storage import RunLock
with RunLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""

COUNTER = """
import sys, time
from pathlib import Path
from latentia.errors import RunLockedError
from latentia.storage import RunLock
folder, done = Path(sys.argv[1]), 0
while done < 20:
    try:
        with RunLock(folder):
            count = int((folder / "count").read_text())
            time.sleep(0.001)
            (folder / "count").write_text(str(count + 1))
            done += 1
    except RunLockedError:
        pass
"""


def _hold(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_second_process_is_refused_with_pid_and_host(tmp_path: Path) -> None:
    with _hold(tmp_path) as process:
        expected = rf"is in use by process {process.pid} on {socket.gethostname()} \(started 20.*choose another folder"
        with pytest.raises(RunLockedError, match=expected), RunLock(tmp_path):
            pass
        process.communicate("")
    with RunLock(tmp_path) as lock:
        assert lock.recovered is None  # it ended in good order
    assert list(tmp_path.iterdir()) == []


def test_second_lock_of_the_same_process_is_refused(tmp_path: Path) -> None:
    with RunLock(tmp_path) as lock:
        with pytest.raises(RunLockedError, match=f"process {os.getpid()} on"), RunLock(tmp_path):
            pass
        with pytest.raises(RunLockedError, match="already held"), lock:
            pass
        holder = json.loads(lock.path.read_text())
        assert holder["pid"] == os.getpid()  # the refused ones left the file alone
    with lock:
        pass


def test_lock_of_a_killed_process_is_taken_over_and_told(tmp_path: Path) -> None:
    with _hold(tmp_path) as process:
        process.kill()
    assert json.loads((tmp_path / "lock").read_text())["pid"] == process.pid
    with RunLock(tmp_path) as lock:
        assert lock.recovered is not None
        assert f"left by process {process.pid} on {socket.gethostname()}" in lock.recovered
        assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    with RunLock(tmp_path) as lock:
        assert lock.recovered is None


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff\0", "[" * 4000, '{"pid": "\\u001b[2J"}'])
def test_any_content_of_a_stale_lock_is_harmless(tmp_path: Path, text: str) -> None:
    """After a crash of the machine the file may hold anything."""
    (tmp_path / "lock").write_text(text, encoding="latin1")
    with RunLock(tmp_path) as lock:
        assert "\x1b" not in (lock.recovered or "")
        assert json.loads(lock.path.read_text())["pid"] == os.getpid()


def test_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        raise ZeroDivisionError
    with RunLock(tmp_path):
        pass


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError, match="cannot lock"), RunLock(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


def test_only_one_at_a_time(tmp_path: Path) -> None:
    """Three processes count to 20 each under the lock: no count is lost, although each removes the file it held."""
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", COUNTER, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "60"


class TestWithoutFlock:
    """On file systems without locks the file itself is the lock."""

    @pytest.fixture(autouse=True)
    def _no_flock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any) -> None:
            raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr(fcntl, "flock", refuse)

    def _write(self, folder: Path, **holder: Any) -> None:
        (folder / "lock").write_text(json.dumps({"start": "2026-01-01", **holder}))

    def test_second_lock_is_refused(self, tmp_path: Path) -> None:
        with RunLock(tmp_path), pytest.raises(RunLockedError, match=f"process {os.getpid()}"), RunLock(tmp_path):
            pass
        with RunLock(tmp_path) as lock:
            assert lock.recovered is None

    def test_dead_process_of_this_host_is_taken_over(self, tmp_path: Path) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            pass
        self._write(tmp_path, pid=process.pid, host=socket.gethostname())
        with RunLock(tmp_path) as lock:
            assert f"left by process {process.pid}" in (lock.recovered or "")

    def test_process_of_another_host_may_be_alive(self, tmp_path: Path) -> None:
        self._write(tmp_path, pid=1, host="elsewhere")
        with pytest.raises(RunLockedError, match=r"process 1 on elsewhere.*remove .*lock if it is gone"):
            RunLock(tmp_path).__enter__()

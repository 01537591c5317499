"""Faults 1 and 7: a writer killed at any instant leaves the previous content or the new one, whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from latentia.storage import verify_folder
from tests.storage import writer

KINDS = ["files", "folder"]


def _leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.name.startswith(".latentia-")]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_before_each_system_call(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, writer.__file__, "every-instant", kind, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    calls = int(done.stdout)
    assert calls >= 15  # files, manifest, folders: fewer would mean that an fsync or a rename is missing
    seen = []
    for call in range(1, calls + 1):
        folder = tmp_path / str(call)
        seen.append(writer.state(kind, folder))
        writer.write(kind, folder, 3)
        assert writer.state(kind, folder) == 3
        assert _leftovers(folder) == []
    # The change happens at one instant: the old content before it, the new one from then on.
    assert set(seen) == {1, 2}
    assert seen == sorted(seen)


def _kill_at_random(kind: str, folder: Path, chance: random.Random) -> None:
    folder.mkdir()
    command = [sys.executable, writer.__file__, "1000000", kind, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        finished = [int(line) for line in (first + process.stdout.read()).split()]
    # The write that was going on may have been completed without having been reported.
    assert writer.state(kind, folder) in (finished[-1], finished[-1] + 1)
    following = finished[-1] + 2
    writer.write(kind, folder, following)
    assert writer.state(kind, folder) == following
    assert _leftovers(folder) == []


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_instants(tmp_path: Path, kind: str) -> None:
    chance = random.Random(1)
    for instant in range(5):
        _kill_at_random(kind, tmp_path / str(instant), chance)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_fifty_random_instants(tmp_path: Path, kind: str) -> None:
    chance = random.Random(2)
    for instant in range(50):
        _kill_at_random(kind, tmp_path / str(instant), chance)


def test_a_plain_overwrite_would_fail_this_test(tmp_path: Path) -> None:
    """The check itself can fail: a mixture of two generations is found."""
    writer.write("files", tmp_path, 1)
    (tmp_path / "README.md").write_bytes(b"%08d" % 2 * (writer.SIZE // 8))
    with pytest.raises(OSError, match=r"README\.md is damaged"):
        writer.state("files", tmp_path)


def test_a_finished_pending_write_is_read_without_being_moved(tmp_path: Path) -> None:
    """A reader that may not write (a read-only disk) still sees the complete new content."""
    writer.write("files", tmp_path, 1)
    staging = tmp_path / ".latentia-pending"
    staging.mkdir()
    writer.write("files", tmp_path / "other", 2)
    for path in (tmp_path / "other").iterdir():
        os.rename(path, staging / path.name)  # noqa: PTH104 - one by one, as the writer does
    os.rename(staging / "README.md", tmp_path / "README.md")  # noqa: PTH104 - one file has already been moved
    before = sorted(path.name for path in tmp_path.iterdir())
    assert writer.state("files", tmp_path) == 2
    assert set(verify_folder(tmp_path).files) == set(writer.NAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_writers_at_the_same_time_never_mix(tmp_path: Path) -> None:
    command = [sys.executable, writer.__file__, "10", "files", str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert writer.state("files", tmp_path) == 10
    assert _leftovers(tmp_path) == []

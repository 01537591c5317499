"""A process that writes through ``latentia.storage`` and is killed by the tests: see test_crashes.py.

Every write of generation g puts g into three files, so that a mixture of two generations shows.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from latentia.storage import latest_folder, prune, write_files, write_folder

NAMES = ("config.json", "model.safetensors", "README.md")
SIZE = 200_000
CALLS = ("fsync", "rename", "replace", "mkdir", "rmdir", "unlink", "open")


def contents(generation: int) -> dict[str, bytes | Callable[[BinaryIO], object]]:
    """Return three files that say which generation they belong to; one is written piece by piece."""
    data = (b"%08d" % generation) * (SIZE // 8)

    def in_pieces(file: BinaryIO) -> None:
        for start in range(0, SIZE, SIZE // 10):
            file.write(data[start : start + SIZE // 10])

    return {NAMES[0]: data, NAMES[1]: in_pieces, NAMES[2]: data}


def write(kind: str, folder: Path, generation: int) -> None:
    """Write one generation: into the folder itself, or as a new numbered folder inside."""
    if kind == "files":
        write_files(folder, contents(generation))
    else:
        write_folder(folder / f"step-{generation:09d}", contents(generation))
        prune(folder, keep=2)


def write_many(kind: str, folder: Path, count: int) -> None:
    """Write one generation after the other and say on standard output when each is done."""
    for generation in range(1, count + 1):
        write(kind, folder, generation)
        os.write(1, b"%d\n" % generation)


def write_and_die(kind: str, folder: Path, call: int) -> bool:
    """Write generation 2 in a child process that kills itself before its n-th system call; was it killed?"""
    child = os.fork()
    if child == 0:
        _die_at(call)
        write(kind, folder, 2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _die_at(call: int) -> None:
    counter = itertools.count(1)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if next(counter) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapper

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


def every_instant(kind: str, parent: Path) -> int:
    """Kill a writer before each of its system calls, each in a folder of its own; return how many there are."""
    for call in itertools.count(1):
        folder = parent / str(call)
        folder.mkdir(parents=True)
        write(kind, folder, 1)
        if not write_and_die(kind, folder, call):
            return call - 1
    raise AssertionError


def state(kind: str, folder: Path) -> int:
    """Return the generation that a reader sees, after checking that it is one and whole."""
    from latentia.storage import open_folder

    if kind == "folder":
        latest, _ = latest_folder(folder)
        if latest is None:
            return 0
        folder = latest
    opened = open_folder(folder)
    found = {opened.read(name, SIZE) for name in NAMES}
    if len(found) != 1:
        raise AssertionError(f"{folder} holds {len(found)} generations at once")
    return int(found.pop()[:8])


if __name__ == "__main__":
    if sys.argv[1] == "every-instant":
        sys.stdout.write(str(every_instant(sys.argv[2], Path(sys.argv[3]))))
    else:
        write_many(sys.argv[2], Path(sys.argv[3]), int(sys.argv[1]))

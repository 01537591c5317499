"""The command line. Importing it imports neither torch, numpy nor scikit-learn; commands import when they run."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 ok, 1 failure, 2 usage, 75 stopped and resumable, 130 Ctrl-C.

    Parameters
    ----------
    arguments
        What follows the program's name; the process's own arguments by default.
    """
    from latentia.cli.running import run

    return run(arguments)

"""Exit codes, and the error of a command that was typed wrongly."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from latentia.errors import LatentiaError

__all__ = ["FAILURE", "INTERRUPTED", "OK", "TERMINATED", "USAGE", "UsageError", "nearest"]

OK = 0
FAILURE = 1
USAGE = 2
TERMINATED = 75  # stopped by SIGTERM, can be resumed (EX_TEMPFAIL)
INTERRUPTED = 130  # Ctrl-C, as shells count it: 128 + SIGINT


class UsageError(LatentiaError):
    """A command line that cannot be run as typed; exit code 2."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the phrase ``did you mean 'x'? `` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""

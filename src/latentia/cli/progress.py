"""A bar with the time left while rows are scored, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from latentia.cli.console import is_quiet

__all__ = ["row_progress"]


@contextlib.contextmanager
def row_progress(total: int) -> Iterator[Callable[[int], None] | None]:
    """Show how many rows of `total` are done; None where standard error is no terminal or ``--quiet`` was given.

    Yields
    ------
    function
        To be called with the number of finished rows.
    """
    if is_quiet() or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("rows"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)

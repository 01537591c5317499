"""How far a long command is: a bar or a clock on a terminal, lines of text elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from latentia.cli.console import is_quiet, note

__all__ = ["row_progress", "stage_progress"]


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


@contextlib.contextmanager
def stage_progress(total: int) -> Iterator[Callable[[str], None] | None]:
    """Show which of `total` stages is under way and since when; a line a stage where standard error is no terminal.

    Yields
    ------
    function
        To be called with the name of each stage before it begins; None where ``--quiet`` was given.
    """
    if is_quiet():
        yield None
        return
    names: list[str] = []

    def words(name: str) -> str:
        names.append(name)
        return f"{len(names)} of {total}: {name}"

    if not sys.stderr.isatty():
        yield lambda name: note(words(name))
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as clock:
        task = clock.add_task("", total=None)
        yield lambda name: clock.reset(task, description=words(name))

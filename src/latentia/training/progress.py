"""A progress bar with the time left, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ["Progress"]


class Progress:
    """A bar on standard error while in the ``with`` block; nothing where that is no terminal or `wanted` is False.

    Parameters
    ----------
    wanted
        Whether to show it.
    epochs, batches
        Epochs in all, steps per epoch.
    """

    def __init__(self, wanted: bool, epochs: int, batches: int) -> None:
        self.epochs = epochs
        self.batches = batches
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._shown = 0.0
        if wanted and sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[terms]}"),
                console=Console(stderr=True),
            )

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=self.epochs * self.batches, epoch=1, epochs=self.epochs, terms="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def steps(self, epoch: int, batch: int) -> None:
        """Show how far it is, at most ten times a second."""
        if self._bar is None or self._task is None:
            return
        now = time.monotonic()
        if now >= self._shown + 0.1:
            self._shown = now
            self._bar.update(self._task, completed=epoch * self.batches + batch, epoch=epoch + 1)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Show the terms of an epoch that is done: of validation if there is any, else of training."""
        if self._bar is None or self._task is None:
            return
        kind = "valid" if "valid" in row else "train"
        values = {name: sum(value) if isinstance(value, list) else value for name, value in row[kind].items()}
        terms = kind + "  " + "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._bar.update(
            self._task, completed=row["epoch"] * self.batches, epoch=min(row["epoch"] + 1, self.epochs), terms=terms
        )

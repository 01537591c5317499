"""A run's folder: who may write to it, what is in it, and where to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from latentia.errors import ConfigError, CorruptedError, ResumeError, warn
from latentia.storage import (
    CHECKPOINTS,
    METRICS,
    RunLock,
    check_writable,
    holds_model,
    holds_training,
    latest_folder,
    prune,
    remove_run,
    show,
    visible,
    write_files,
)
from latentia.training.checkpoint import State, difference, lines, read_state, write_state

__all__ = ["RunFolder"]


class RunFolder:
    """The folder of a run, locked while in the ``with`` block.

    Parameters
    ----------
    path
        The folder.
    mode
        ``"new"``: it must be empty or not exist; ``"resume"``: go on from its newest intact checkpoint;
        ``"overwrite"``: remove the run (or the saved model) that is in it and start anew.
    force
        Whether to resume although versions of libraries, the kind of device or the number of threads have changed,
        so that the numbers will not be exactly those of an uninterrupted run.

    Raises
    ------
    ConfigError
        If the folder is not what the mode needs.
    RunLockedError
        If another process holds it.
    StorageError
        If it cannot be written to.
    """

    def __init__(
        self, path: str | Path, mode: Literal["new", "resume", "overwrite"] = "new", *, force: bool = False
    ) -> None:
        if mode not in ("new", "resume", "overwrite"):
            raise ConfigError(f"mode is {mode!r}; choose 'new', 'resume' or 'overwrite'.")
        self.path = Path(path)
        self.mode = mode
        self.force = force
        self._lock = RunLock(self.path)
        self._is_open = False

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / CHECKPOINTS

    def __enter__(self) -> RunFolder:
        if self.mode == "resume" and not self.path.is_dir():
            raise ConfigError(f"There is nothing to resume: {show(self.path)} is no folder; start without resume.")
        self._lock.__enter__()
        try:
            self._prepare()
            check_writable(self.checkpoints)
            prune(self.checkpoints, keep=2)  # also of what a killed process left half written or half removed
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        self._lock.__exit__(kind, error, trace)

    def _prepare(self) -> None:
        found = visible(self.path)
        is_run = holds_training(self.path)
        if self.mode == "new" and found:
            some = ", ".join(show(name) for name in sorted(found)[:3])
            raise ConfigError(f"{show(self.path)} is not empty (it has {some}): resume, overwrite, or choose another.")
        if self.mode == "resume" and found and not is_run:
            raise ConfigError(
                f"{show(self.path)} holds no run to resume: it has no {CHECKPOINTS} of ours; choose another."
            )
        if self.mode == "overwrite" and found:
            if not is_run and not holds_model(self.path):
                raise ConfigError(f"{show(self.path)} is not empty and holds no run, so it is not overwritten.")
            remove_run(self.path)
            if METRICS in visible(self.path):
                raise ConfigError(
                    f"{show(self.path / METRICS)} is no file of a run, so it is not overwritten; move it."
                )

    def load(self, weight_bytes: int) -> State | None:
        """Return the state to go on from: None in a new run, and in one that was killed before its first checkpoint.

        Warns
        -----
        UserWarning
            If the newest checkpoint is damaged and an earlier one is used.

        Raises
        ------
        CorruptedError
            If no checkpoint is intact.
        """
        if not self._is_open:
            raise ConfigError(f"The run folder {show(self.path)} is not open: use it as `with RunFolder(…) as run`.")
        if self.mode != "resume":
            return None
        folder, problems = latest_folder(self.checkpoints)
        if folder is None:
            if problems:
                raise CorruptedError(f"No checkpoint in {show(self.checkpoints)} is intact: " + " ".join(problems))
            return None
        for problem in problems:
            warn(f"{problem} Going on from {folder.name}.")
        return read_state(folder, weight_bytes)

    def check(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Refuse to resume what has changed.

        Parameters
        ----------
        before, now
            ``"made_from"``: configuration, settings and data, which must be equal; ``"environment"``: versions, device
            and threads, which must be equal unless `force`.

        Raises
        ------
        ResumeError
            With one line for each difference.
        """
        changes = difference(before.get("made_from"), now["made_from"])
        if changes:
            raise ResumeError(
                f"The run in {show(self.path)} was made with other settings or data:\n  " + "\n  ".join(changes)
                + "\nResume with the former ones, or start a new run."
            )  # fmt: skip
        changes = difference(before.get("environment"), now["environment"])
        if changes and not self.force:
            raise ResumeError(
                f"The run in {show(self.path)} was made with other versions or hardware:\n  " + "\n  ".join(changes)
                + "\nThe numbers would not be exactly those of an uninterrupted run; to go on nevertheless, use force: "
                "run_mode='resume-force' in Python, or --resume --force in the shell."
            )  # fmt: skip

    def save(self, state: State) -> Path:
        """Write a checkpoint; all but the two newest go once it has been verified."""
        folder = self.checkpoints / f"step-{state.numbers['step']:09d}"
        write_state(folder, state)
        prune(self.checkpoints, keep=2)
        return folder

    def start_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Make ``metrics.jsonl`` hold exactly these rows."""
        write_files(self.path, {METRICS: lines(history)}, manifest=False)

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        """Append a row to ``metrics.jsonl``."""
        with (self.path / METRICS).open("ab") as file:
            file.write(lines([row]))

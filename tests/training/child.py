"""A process that trains a `TinyVAE` in a run folder, to be stopped or killed."""

from __future__ import annotations

import time
from pathlib import Path

from latentia.training import RunFolder
from tests.training.cases import sha256, train_tiny


def work(folder: Path, checkpoint_steps: int, pace: float, max_epochs: int) -> None:
    """Train as a command line would; the exit code is that of a stop by a signal.

    Parameters
    ----------
    folder
        Of the run, which is new.
    checkpoint_steps
        Steps between checkpoints.
    pace
        Seconds to wait after each epoch, so that a signal can be sent in time.
    max_epochs
        Epochs, at most.
    """
    with RunFolder(folder) as run:
        model, result = train_tiny(
            run=run,
            checkpoint_steps=checkpoint_steps,
            max_epochs=max_epochs,
            callbacks=[lambda event: time.sleep(pace)],
        )
    if result.interrupted is not None:
        raise SystemExit(result.interrupted.exit_code)
    (folder / "sha256").write_text(sha256(model))

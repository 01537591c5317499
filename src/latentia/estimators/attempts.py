"""What surrounds a training run: smaller steps where memory runs out, and what a resumed run takes over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from latentia.errors import ConfigError, warn
from latentia.storage import latest_folder, open_folder
from latentia.training.checkpoint import read_numbers

__all__ = ["Resumed", "fit_within_memory", "is_out_of_memory", "read_resumed"]

T = TypeVar("T")


@dataclass(frozen=True)
class Resumed:
    """What an earlier run had settled for itself and its continuation must have too."""

    seed: int
    micro_batch_size: int | None


def read_resumed(run_dir: str | Path) -> Resumed | None:
    """Read it from the newest intact checkpoint of a run; None where there is none."""
    folder, _ = latest_folder(Path(run_dir) / "checkpoints")
    if folder is None:
        return None
    numbers = read_numbers(open_folder(folder))
    return Resumed(numbers["seed"], numbers["made_from"]["settings"]["micro_batch_size"])


def fit_within_memory(
    train: Callable[[int | None], T], rows_per_step: int, *, micro_batch_size: int | None = None, retry: bool = True
) -> T:
    """Train; where memory runs out, start again with half the rows per pass, which gives the same steps.

    Parameters
    ----------
    train
        Trains from the start with that many rows per forward and backward pass, None for a whole batch.
    rows_per_step
        Rows in the largest batch.
    micro_batch_size
        What to begin with.
    retry
        Whether to start again at all.

    Raises
    ------
    ConfigError
        If memory does not suffice for a single row, or may not be retried.
    """
    size = micro_batch_size
    while True:
        try:
            return train(size)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            failed = min(size or rows_per_step, rows_per_step)
            if failed <= 1 or not retry:
                raise ConfigError(
                    f"memory ran out in training with {failed} rows at a time: choose a smaller batch_size or network, "
                    "or a machine with more memory"
                ) from error
            size = -(-failed // 2)
        # Outside of the handler, where the traceback no longer holds the failed attempt's tensors.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warn(
            f"memory ran out with {failed} rows at a time: starting again with {size} rows at a time, which gives the "
            "same steps (a smaller batch_size would save the repetition)"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out; torch's allocator for the CPU says it in words only."""
    words = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)

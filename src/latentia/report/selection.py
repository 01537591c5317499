"""Which rows a figure shows: a seeded choice, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose_rows", "say_rows"]


def choose_rows(count: int, wanted: int, seed: int) -> NDArray[np.intp]:
    """Choose `wanted` of `count` rows without replacement, in rising order; all of them when there are no more."""
    if wanted >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size=wanted, replace=False))


def say_rows(rows: Sequence[int] | NDArray[np.intp], count: int, split: str, seed: int | None) -> str:
    """Say which rows of a split were drawn: their numbers where they can be read, how many otherwise."""
    if len(rows) == count:
        return f"All {count:,} {split} rows."
    if len(rows) > 64:
        return f"{len(rows):,} of the {count:,} {split} rows, chosen with seed {seed}."
    listed = ", ".join(str(int(row)) for row in rows)
    how = "" if seed is None else f", chosen with seed {seed}"
    return f"{split[:1].upper()}{split[1:]} rows {listed}{how}."

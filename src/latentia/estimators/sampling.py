"""Samples in blocks of a fixed size, each with noise of its own: any number of items, and always the same ones."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils import check_random_state

from latentia.training import key

__all__ = ["blocks", "seed_of"]

Array = npt.NDArray[Any]
Draw = Callable[[int, torch.Generator], Array]

# How many numbers are drawn at a time, also for a single item. The items of a seed depend on it: it stays.
_NUMBERS_PER_BLOCK = 1 << 18


def blocks(draw: Draw, n: int, seed: int, event_shape: tuple[int, ...]) -> Iterator[Array]:
    """Yield n items in blocks of shape (m, *E).

    Every block is drawn whole, by the key (seed, "sample", index): the items depend neither on n nor on the blocks
    before, and on no other noise of the same seed.

    Parameters
    ----------
    draw
        Draws so many items with a generator on the CPU.
    n, seed
        How many, and the key.
    event_shape
        E, which decides the size of the blocks.
    """
    size = min(1024, max(1, _NUMBERS_PER_BLOCK // math.prod(event_shape)))
    for index, start in enumerate(range(0, n, size)):
        generator = torch.Generator().manual_seed(key(seed, "sample", index))
        yield draw(size, generator).reshape(size, *event_shape)[: n - start]


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """Return a seed below 2³¹; from the system where ``random_state`` is None: NumPy's global state is not touched."""
    if random_state is None:
        return secrets.randbelow(np.iinfo(np.int32).max)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))

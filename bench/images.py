"""Drawn images for the benchmarks: a few thick strokes each, so that nothing needs to be downloaded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIDE = 28
BYTES = npt.NDArray[np.uint8]


def grey(n: int, seed: int = 0) -> BYTES:
    """Return n images of three strokes with soft edges, shape (n, 28, 28), grey values 0…255."""
    generator = np.random.default_rng(seed)
    axis = np.arange(SIDE, dtype=np.float32)
    out = np.empty((n, SIDE, SIDE), np.uint8)
    for start in range(0, n, 1000):
        count = min(1000, n - start)
        nearest = np.full((count, SIDE, SIDE), np.inf, np.float32)
        for _ in range(3):
            a = generator.uniform(5, SIDE - 5, (count, 2, 1, 1)).astype(np.float32)
            b = generator.uniform(5, SIDE - 5, (count, 2, 1, 1)).astype(np.float32)
            along = b - a
            y, x = axis[:, None] - a[:, 0], axis[None, :] - a[:, 1]
            where = (y * along[:, 0] + x * along[:, 1]) / ((along**2).sum(1) + 1e-6)
            where = where.clip(0.0, 1.0)
            distance = np.hypot(y - where * along[:, 0], x - where * along[:, 1])
            nearest = np.minimum(nearest, distance)
        out[start : start + count] = (255.0 * (2.0 - nearest).clip(0.0, 1.0)).astype(np.uint8)
    return out


def binary(n: int, seed: int = 0) -> BYTES:
    """Return the same images in black and white, shape (n, 28, 28), values 0 and 1."""
    return (grey(n, seed) > 127).astype(np.uint8)

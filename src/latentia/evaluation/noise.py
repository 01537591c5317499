"""Noise for evaluation, keyed by (seed, purpose, hash of the row): a row's value depends on no other row.

Drawn on the CPU whatever the device, so that two devices see the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def row_key(row: npt.NDArray[np.generic], seed: int, purpose: str) -> int:
    """Return a 63-bit key from the bytes of one row, the seed and the purpose."""
    digest = hashlib.blake2b(row.tobytes(), digest_size=8, key=f"{purpose}/{seed}".encode())
    return int.from_bytes(digest.digest(), "little") >> 1


class RowNoise:
    """Draws the noise of one row at a time.

    Parameters
    ----------
    rows
        The rows as stored, shape (N, *E); their bytes are hashed, so their dtype must not change between calls.
    seed
        Seed of the estimator.
    purpose
        What the noise is for, so that two uses of one row are independent.
    """

    def __init__(self, rows: npt.NDArray[np.generic], seed: int, purpose: str) -> None:
        self._rows, self._seed, self._purpose = rows, seed, purpose
        self._generator = torch.Generator()

    def normal(self, i: int, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return standard normals for row i."""
        return torch.randn(*shape, generator=self._seeded(i), dtype=dtype)

    def uniform(self, i: int, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return uniforms on [0, 1) for row i."""
        return torch.rand(*shape, generator=self._seeded(i), dtype=dtype)

    def _seeded(self, i: int) -> torch.Generator:
        return self._generator.manual_seed(row_key(self._rows[i], self._seed, self._purpose))

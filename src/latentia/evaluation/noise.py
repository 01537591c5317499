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
from torch.distributions import Distribution


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

    def generator(self, i: int) -> torch.Generator:
        """Return a generator of row i's own, at its start: for samplers that draw as they go."""
        return torch.Generator().manual_seed(self._key(i))

    def _seeded(self, i: int) -> torch.Generator:
        return self._generator.manual_seed(self._key(i))

    def _key(self, i: int) -> int:
        return row_key(self._rows[i], self._seed, self._purpose)


class RowStreams:
    """Draws for a block of rows at once, each row from a generator of its own.

    Parameters
    ----------
    generators
        One a row; they advance with every draw.
    like
        Tensor whose dtype and device the draws take.
    padding
        Rows of zeros behind the last one, in place of draws.
    """

    def __init__(self, generators: Sequence[torch.Generator], like: Tensor, padding: int = 0) -> None:
        self._generators, self._like, self._padding = generators, like, padding

    def normal(self, count: int, size: int) -> Tensor:
        """Return standard normals, shape (count, rows, size)."""
        return self._stack([torch.randn(count, size, generator=g, dtype=self._like.dtype) for g in self._generators])

    def uniform(self, count: int) -> Tensor:
        """Return uniforms on [0, 1), shape (count, rows)."""
        return self._stack([torch.rand(count, generator=g, dtype=self._like.dtype) for g in self._generators])

    def sample(self, distribution: Distribution, count: int) -> Tensor:
        """Draw from one distribution for every row, shape (count, rows, *event)."""
        return self._stack([distribution.sample((count,), generator=g).to(self._like.dtype) for g in self._generators])  # type: ignore[call-arg]  # every density of this library takes a generator

    def _stack(self, drawn: list[Tensor]) -> Tensor:
        drawn += [torch.zeros_like(drawn[0])] * self._padding
        return torch.stack(drawn, 1).to(self._like.device)

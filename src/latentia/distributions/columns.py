"""The density of a row of a table whose columns are of different kinds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from latentia.distributions.base import FactorisedDistribution
from latentia.distributions.discrete import Categorical


class Columns(FactorisedDistribution):
    r"""Independent columns in blocks, each block with a density of its own.

    .. math:: \log p(x) = \sum_b \log p_b(x_{c_b})

    A sum of logarithms of densities and of masses: a density with respect to the product of lengths and counts.

    Parameters
    ----------
    blocks
        Densities of vectors, batch shape B, event shape (D_b,); at least one.
    columns
        For each block, which columns it is about: whole numbers, shape (D_b,). Every column has one block.
    """

    def __init__(self, blocks: Sequence[FactorisedDistribution], columns: Sequence[Tensor]) -> None:
        self.blocks, self.columns = tuple(blocks), tuple(columns)
        width = sum(len(part) for part in columns)
        super().__init__(blocks[0]._like.detach().flatten()[:1].expand(*blocks[0].batch_shape, width), 1)

    @property
    def mean(self) -> Tensor:
        """Means, shape (*B, D); for categories, whose codes have none, the most probable code."""
        return self._join([p.mode if isinstance(p, Categorical) else p.mean for p in self.blocks])

    @property
    def variance(self) -> Tensor:
        """Variances, shape (*B, D); for categories, those of their codes read as numbers."""
        return self._join([p.variance for p in self.blocks])

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p of every column, shape (*S, *B, D), in nats."""
        return self._join([p.log_prob_elements(part) for p, part in self._parts(value)])

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(value), summed over the columns, shape (*S, *B), in nats."""
        return torch.stack([p.log_prob(part) for p, part in self._parts(value)]).sum(0)

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw rows, shape (*S, *B, D)."""
        return self._join([p.sample(sample_shape, generator) for p in self.blocks])

    def _parts(self, value: Tensor) -> list[tuple[FactorisedDistribution, Tensor]]:
        return [(p, value.index_select(-1, at)) for p, at in zip(self.blocks, self.columns, strict=True)]

    def _join(self, parts: Sequence[Tensor]) -> Tensor:
        """Put the blocks' values at their columns."""
        return torch.cat([*parts], -1).index_select(-1, torch.cat(self.columns).argsort())

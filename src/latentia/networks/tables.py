"""What numbers that are no magnitudes are to a network: logarithms of counts, indicators of categories."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["ColumnInput", "Log1p"]


class Log1p(nn.Module):
    """A network behind log(1 + x): counts of any size reach it on one scale.

    Parameters
    ----------
    network
        The network that sees the logarithms.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map x ≥ 0 to network(log(1 + x))."""
        out: Tensor = self.network(torch.log1p(x))
        return out


class ColumnInput(nn.Module):
    """A network behind a table, of which each column is given as what it is.

    Numbers pass, times a factor; counts as log(1 + x); codes of categories as indicators.

    Parameters
    ----------
    network
        The network that sees (..., w): numbers, then counts, then the indicators of each column of categories.
    numbers
        Columns that are numbers.
    factors
        What each of them is multiplied by.
    counts
        Columns that are counts.
    categories
        Columns that are codes.
    levels
        How many codes each of them has.
    """

    numbers: Tensor
    factors: Tensor
    counts: Tensor
    places: Tensor
    codes: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        numbers: Sequence[int],
        factors: Sequence[float],
        counts: Sequence[int],
        categories: Sequence[int],
        levels: Sequence[int],
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("numbers", torch.tensor([*numbers], dtype=torch.long), persistent=False)
        self.register_buffer("factors", torch.tensor([*factors], dtype=torch.float64), persistent=False)
        self.register_buffer("counts", torch.tensor([*counts], dtype=torch.long), persistent=False)
        # Indicator j stands for code codes[j] of column places[j]: one comparison makes them all.
        places = itertools.chain(*([column] * k for column, k in zip(categories, levels, strict=True)))
        codes = itertools.chain(*(range(k) for k in levels))
        self.register_buffer("places", torch.tensor([*places], dtype=torch.long), persistent=False)
        self.register_buffer("codes", torch.tensor([*codes], dtype=torch.float64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map rows (..., D) to network((..., w))."""
        plain = x.index_select(-1, self.numbers) * self.factors.to(x.dtype)
        counts = torch.log1p(x.index_select(-1, self.counts))
        indicators = (x.index_select(-1, self.places) == self.codes.to(x.dtype)).to(x.dtype)
        out: Tensor = self.network(torch.cat([plain, counts, indicators], -1))
        return out

"""Priors p(z): modules that return a distribution when called without a context."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentia.distributions import UnitNormal


class StandardNormal(nn.Module):
    """p(z) = N(0, I).

    Parameters
    ----------
    latent_dim
        Number of latent dimensions L ≥ 1.
    """

    like: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        # Carries dtype and device; not part of the saved state, for it holds no knowledge.
        self.register_buffer("like", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> UnitNormal:
        """Return N(0, I) with event shape (L,)."""
        return UnitNormal(self.like)

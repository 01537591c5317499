"""Approximate posteriors q(z | x): modules that map data to a distribution over the latent space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentia.distributions import DiagonalNormal, full_precision

# Beyond e^±9 neither the KL nor its gradient says anything useful, and float16 and float32 come near their limits.
LOG_SCALE_LIMIT = 9.0
HALF_LIMIT = 5.0


class DiagonalGaussian(nn.Module):
    """q(z | x) = N(μ(x), diag σ(x)²).

    The network's output is read as μ and log σ side by side; log σ is kept within ±9, so that an exploding encoder
    still yields a finite bound.

    Parameters
    ----------
    network
        Maps (..., *event) to (..., 2 L).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> DiagonalNormal:
        """Return q(z | x) with batch shape (...) and event shape (L,)."""
        out = self.network(x)
        loc, log_scale = full_precision(out).chunk(2, -1)
        # float16 ends at 65504, which the gradient σ² has to stay below as well.
        upper = HALF_LIMIT if out.dtype == torch.float16 else LOG_SCALE_LIMIT
        clamped = log_scale.detach().clamp(-LOG_SCALE_LIMIT, upper)
        # Beyond the limits the gradient at the limit is passed on: it points back, where a clamp's own would be zero.
        # The difference is exactly zero however large log σ is; half precision may have made it infinite.
        finite = log_scale.nan_to_num(nan=float("nan"), posinf=upper, neginf=-LOG_SCALE_LIMIT)
        return DiagonalNormal(loc, clamped + (finite - finite.detach()))

"""Gaussian likelihoods whose elements are correlated given z: the lectures' Σθ(z), in full and of low rank.

Letters: E event (D elements), L latent, R rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentia.distributions import LowRankNormal, PrecisionNormal, full_precision
from latentia.errors import ConfigError
from latentia.parts.bounded import bounded
from latentia.parts.likelihoods import MAX_LOG_SCALE, Likelihood, check_min_scale

__all__ = ["FullGaussianLikelihood", "LowRankGaussianLikelihood"]

MAX_FULL_ELEMENTS = 128
LARGEST = 1e3


class FullGaussianLikelihood(Likelihood):
    """p(x | z) = N(μ(z), Σ(z)) with every covariance an output of the network: few, correlated reals.

    Σ is given by its modified Cholesky form (``PrecisionNormal``): the regression of each element on those before it,
    with coefficients kept within ±1000, and the standard deviation of what that leaves over, kept above ``min_scale``
    as in ``GaussianLikelihood``. So Σ is positive definite and log p finite whatever the network says. log p does not
    depend on the order of the elements in what it can express, but where training starts does.

    Parameters
    ----------
    network
        Maps (..., L) to (..., D + D (D + 1)/2): means, log σ, and coefficients row by row.
    event_shape
        Shape of one item, at most 128 elements: there are D²/2 covariances.
    min_scale
        Floor of σ.
    """

    outputs_per_element = 0

    def __init__(self, network: nn.Module, event_shape: Sequence[int], min_scale: float = 1e-3) -> None:
        super().__init__(network, event_shape)
        self.min_scale = check_min_scale(min_scale)
        if (size := math.prod(event_shape)) > MAX_FULL_ELEMENTS:
            msg = (
                f"a Gaussian likelihood of full covariance is for at most {MAX_FULL_ELEMENTS} elements, but items of "
                f"shape {tuple(event_shape)} have {size:,} and would need {size * (size + 1) // 2:,} covariances: "
                "choose one of low rank"
            )
            raise ConfigError(msg)

    @property
    def num_outputs(self) -> int:
        """D + D (D + 1)/2."""
        size = math.prod(self.event_shape)
        return size + size * (size + 1) // 2

    def forward(self, z: Tensor) -> PrecisionNormal:
        """Return p(x | z), batch shape (...), event shape E."""
        out, size = full_precision(self.read(z)), math.prod(self.event_shape)
        loc, log_scale, coefficients = out.split([size, size, size * (size - 1) // 2], -1)
        shape = (*out.shape[:-1], *self.event_shape)
        log_scale = log_scale.clamp(math.log(self.min_scale), MAX_LOG_SCALE)
        coefficients = bounded(coefficients, -LARGEST, LARGEST)
        return PrecisionNormal(loc.reshape(shape), log_scale.reshape(shape), coefficients, self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs of independent elements with these moments, shape (D + D (D + 1)/2,)."""
        mean, log_scale = mean.flatten(), variance.flatten().sqrt().clamp_min(self.min_scale).log()
        return torch.cat([mean, log_scale, mean.new_zeros(len(mean) * (len(mean) - 1) // 2)])


class LowRankGaussianLikelihood(Likelihood):
    """p(x | z) = N(μ(z), diag σ(z)² + W(z)ᵀ W(z)) with R rows in W: many correlated reals, such as images.

    As in stochastic segmentation networks (Monteiro et al. 2020). Every number comes from the network; σ is kept above
    ``min_scale`` as in ``GaussianLikelihood``, and |W| below 1000 σ.

    Parameters
    ----------
    network
        Maps (..., L) to (..., (2 + R) D): means, log σ, and R times as many loadings.
    event_shape
        Shape of one item.
    rank
        Number of directions R, from 1 to D.
    min_scale
        Floor of σ.
    """

    def __init__(self, network: nn.Module, event_shape: Sequence[int], rank: int = 5, min_scale: float = 1e-3) -> None:
        super().__init__(network, event_shape)
        size = math.prod(event_shape)
        if not 1 <= rank <= size:
            msg = f"rank must be from 1 to the number of elements {size}, got {rank}"
            raise ConfigError(msg)
        self.rank, self.min_scale = rank, check_min_scale(min_scale)
        self.outputs_per_element = 2 + rank

    def forward(self, z: Tensor) -> LowRankNormal:
        """Return p(x | z), batch shape (...), event shape E."""
        axis = -1 - self.event_dims
        loc, log_scale, loadings = full_precision(self.raw(z)).split([1, 1, self.rank], axis)
        log_scale = log_scale.clamp(math.log(self.min_scale), MAX_LOG_SCALE)
        loadings = bounded(loadings * (-log_scale).exp(), -LARGEST, LARGEST)
        return LowRankNormal(loc.squeeze(axis), log_scale.squeeze(axis), loadings, self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs of independent elements with these moments, shape ((2 + R) D,)."""
        mean, log_scale = mean.flatten(), variance.flatten().sqrt().clamp_min(self.min_scale).log()
        return torch.cat([mean, log_scale, mean.new_zeros(self.rank * len(mean))])

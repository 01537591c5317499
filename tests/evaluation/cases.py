"""Linear-Gaussian models, of which everything is known, with posteriors that are exact, wrong, or of another family."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from latentia.distributions import DiagonalNormal, FullNormal, Mixture, UnitNormal
from latentia.models import PPCA
from latentia.objectives import Reparameterised


def numbers(*shape: int, seed: int) -> Tensor:
    """Return standard normals in float64."""
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, 1.0, shape))


def generators(seed: int) -> Callable[[int], torch.Generator]:
    """Return what gives every row a generator of its own, by its number."""
    return lambda i: torch.Generator().manual_seed(seed * 1_000_003 + i)


def linear_gaussian(latents: int = 3, seed: int = 0, noise_variance: float = 0.4) -> PPCA:
    """Return a model of five columns with correlated posteriors."""
    return PPCA(numbers(5, seed=seed), numbers(5, latents, seed=seed + 1), noise_variance)


@dataclass(frozen=True)
class Story:
    """A model put together from three functions."""

    decoder: Callable[[Tensor], Distribution]
    encoder: Callable[[Tensor], Reparameterised]
    prior: Callable[[], Distribution]


def shifted(model: PPCA, shift: float = 0.3, log_scale: float = -0.6) -> Story:
    """Return the model with a diagonal posterior around a mean that is off."""

    def encoder(x: Tensor) -> DiagonalNormal:
        mean = model.encoder(x).mean + shift
        return DiagonalNormal(mean, torch.full_like(mean, log_scale))

    return Story(model.decoder, encoder, model.prior)


@dataclass(frozen=True)
class MixturePrior:
    """A linear decoder under a mixture of Gaussians: p(x) is a mixture of Gaussians too."""

    model: PPCA
    log_weights: Tensor = field(default_factory=lambda: torch.tensor([0.2, 0.5, 0.3]).log())

    @property
    def components(self) -> DiagonalNormal:
        """The prior's components, batch (3,)."""
        size = self.model.latent_dim
        return DiagonalNormal(1.5 * numbers(3, size, seed=7), 0.3 * numbers(3, size, seed=8) - 0.3)

    def prior(self) -> Mixture:
        """Return p(z)."""
        return Mixture(self.log_weights, self.components)

    def encoder(self, x: Tensor) -> Mixture:
        """Return a mixture of two Gaussians around the posterior mean under the standard normal prior."""
        mean = self.model.encoder(x).mean.unsqueeze(-2) + torch.tensor([[0.4], [-0.4]])
        return Mixture(mean.new_zeros(*mean.shape[:-1]), DiagonalNormal(mean, torch.full_like(mean, -0.2)))

    def decoder(self, z: Tensor) -> Distribution:
        """Return p(x | z)."""
        return self.model.decoder(z)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), exactly."""
        weight, parts = self.model.weight, self.components
        noise = self.model.noise_variance * torch.eye(len(weight))
        covariance = weight @ torch.diag_embed(parts.variance) @ weight.T + noise
        mixed = Mixture(
            self.log_weights, FullNormal.from_covariance(parts.loc @ weight.T + self.model.mean, covariance)
        )
        return mixed.log_prob(x)


def hard(latents: int = 12, noise_variance: float = 0.01) -> PPCA:
    """Return a model whose posterior is so narrow that no draw from the prior comes near it."""
    return PPCA(torch.zeros(30), numbers(30, latents, seed=3), noise_variance)


def unit(size: int) -> UnitNormal:
    """Return N(0, I)."""
    return UnitNormal(torch.zeros(size))


def simpson(values: Tensor, width: float) -> Tensor:
    """Integrate over the first axis, which has an odd number of points at even distances."""
    weights = torch.ones(len(values))
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    return (values * weights.reshape(-1, *(1,) * (values.dim() - 1))).sum(0) * width / 3.0


LOG_2PI = math.log(2.0 * math.pi)

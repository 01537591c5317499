"""Likelihoods of discrete data: binary, categories, grey levels and counts.

Letters: E event (D elements), L latent, C components of a mixture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentia.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    NegativeBinomial,
    full_precision,
)
from latentia.errors import ConfigError
from latentia.parts.bounded import bounded
from latentia.parts.likelihoods import Likelihood

__all__ = [
    "BernoulliLikelihood",
    "BinomialLikelihood",
    "CategoricalLikelihood",
    "DiscretizedLogisticLikelihood",
    "DiscretizedLogisticMixtureLikelihood",
    "NegativeBinomialLikelihood",
]


class BernoulliLikelihood(Likelihood):
    """p(x | z) = ∏ Bernoulli(xᵢ; sigmoid(ℓᵢ(z))): binary data.

    Parameters
    ----------
    network
        Maps (..., L) to (..., D) log-odds.
    event_shape
        Shape of one item.
    """

    outputs_per_element = 1

    def forward(self, z: Tensor) -> Bernoulli:
        """Return p(x | z), batch shape (...), event shape E."""
        return Bernoulli(self.raw(z), self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs whose distribution has this mean, shape (D,)."""
        return torch.logit(mean.flatten(), eps=1e-6)


class BinomialLikelihood(Likelihood):
    """p(x | z) = ∏ Binomial(xᵢ; levels − 1, sigmoid(ℓᵢ(z))): few grey levels.

    Parameters
    ----------
    network
        Maps (..., L) to (..., D) log-odds.
    event_shape
        Shape of one item.
    levels
        Number of levels; values run from 0 to levels − 1.
    """

    outputs_per_element = 1

    def __init__(self, network: nn.Module, event_shape: Sequence[int], levels: int) -> None:
        super().__init__(network, event_shape)
        self.levels = levels

    def forward(self, z: Tensor) -> Binomial:
        """Return p(x | z), batch shape (...), event shape E."""
        return Binomial(self.raw(z), self.levels - 1, self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs whose distribution has this mean, shape (D,)."""
        return torch.logit(mean.flatten() / (self.levels - 1), eps=1e-6)


class CategoricalLikelihood(Likelihood):
    """p(x | z) = ∏ Categorical(xᵢ; softmax(ℓᵢ(z))): any discrete data, at k outputs per element.

    Parameters
    ----------
    network
        Maps (..., L) to (..., levels · D) unnormalised log-probabilities.
    event_shape
        Shape of one item.
    levels
        Number of values; they run from 0 to levels − 1.
    """

    def __init__(self, network: nn.Module, event_shape: Sequence[int], levels: int) -> None:
        super().__init__(network, event_shape)
        self.levels = self.outputs_per_element = levels

    def forward(self, z: Tensor) -> Categorical:
        """Return p(x | z), batch shape (...), event shape E."""
        return Categorical(self.raw(z).movedim(-1 - self.event_dims, -1), self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return logits of a discretised normal with these moments, shape (levels · D,)."""
        level = torch.arange(self.levels, dtype=mean.dtype, device=mean.device).unsqueeze(-1)
        return (-0.5 * (level - mean.flatten()).square() / (variance.flatten() + 1.0)).flatten()


class DiscretizedLogisticLikelihood(Likelihood):
    """p(x | z) = ∏ discretised logistic: many grey levels; centre and scale of each element come from the network.

    The network's numbers a, b are in units of half the range h = (levels − 1)/2: μ = h (1 + a), log s = b + log h.

    Parameters
    ----------
    network
        Maps (..., L) to (..., 2 D).
    event_shape
        Shape of one item.
    levels
        Number of levels; values run from 0 to levels − 1.
    """

    outputs_per_element = 2

    def __init__(self, network: nn.Module, event_shape: Sequence[int], levels: int) -> None:
        super().__init__(network, event_shape)
        self.levels = levels

    @property
    def log_scale_limits(self) -> tuple[float, float]:
        """Limits of log s in half-ranges: from narrower than a cell to wider than all levels."""
        return log_scale_limits(self.levels)

    @property
    def half_range(self) -> float:
        """Half the distance from the lowest to the highest level."""
        return (self.levels - 1) / 2.0

    def forward(self, z: Tensor) -> DiscretizedLogistic:
        """Return p(x | z), batch shape (...), event shape E."""
        centre, log_scale = full_precision(self.raw(z)).unbind(-1 - self.event_dims)
        half = self.half_range
        scale = log_scale.clamp(*self.log_scale_limits) + math.log(half)
        return DiscretizedLogistic(half * (1.0 + centre), scale, self.levels, self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs whose distribution has these moments, shape (2 D,); a logistic has variance π² s² / 3."""
        centre = mean.flatten() / self.half_range - 1.0
        scale = (3.0 * (variance.flatten() + 1.0 / 12.0)).sqrt() / math.pi / self.half_range
        return torch.cat([centre, scale.log()])


def log_scale_limits(levels: int) -> tuple[float, float]:
    """Return the limits of log s in half-ranges: from narrower than a cell to wider than all levels."""
    return min(-7.0, -math.log((levels - 1) / 2.0) - 2.5), 5.0


class DiscretizedLogisticMixtureLikelihood(Likelihood):
    r"""p(x | z) = ∏ Σ π_c discretised logistic: many grey levels with more than one likely region.

    Centres and scales as for ``DiscretizedLogisticLikelihood``. Source: Salimans et al. 2017, equation 2, element by
    element.

    Parameters
    ----------
    network
        Maps (..., L) to (..., 3 C D): unnormalised log-weights, centres and log-scales, C of each.
    event_shape
        Shape of one item.
    levels
        Number of levels; values run from 0 to levels − 1.
    components
        Number of components C ≥ 1.
    """

    def __init__(self, network: nn.Module, event_shape: Sequence[int], levels: int, components: int = 5) -> None:
        super().__init__(network, event_shape)
        if components < 1:
            msg = f"components must be at least 1, got {components}"
            raise ConfigError(msg)
        self.levels, self.components = levels, components
        self.outputs_per_element = 3 * components

    def forward(self, z: Tensor) -> DiscretizedLogisticMixture:
        """Return p(x | z), batch shape (...), event shape E."""
        weights, centre, log_scale = full_precision(self.raw(z)).chunk(3, -1 - self.event_dims)
        half = (self.levels - 1) / 2.0
        scale = bounded(log_scale, *log_scale_limits(self.levels)) + math.log(half)
        return DiscretizedLogisticMixture(weights, half * (1.0 + centre), scale, self.levels, self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs whose distribution has these moments, shape (3 C D,).

        Half of the variance lies between the centres, which are evenly spaced, and half within the components.
        """
        c, half = self.components, (self.levels - 1) / 2.0
        total = variance.flatten() + 1.0 / 12.0
        place = torch.linspace(-1.0, 1.0, c, dtype=mean.dtype, device=mean.device) if c > 1 else mean.new_zeros(1)
        between = 0.5 * total if c > 1 else torch.zeros_like(total)
        step = (between / place.square().mean().clamp_min(1e-30)).sqrt()
        centre = (mean.flatten() + place.unsqueeze(-1) * step) / half - 1.0
        scale = (3.0 * (total - between)).sqrt() / math.pi / half
        return torch.cat([torch.zeros_like(centre), centre, scale.log().expand_as(centre)]).flatten()


class NegativeBinomialLikelihood(Likelihood):
    """p(x | z) = ∏ NegativeBinomial(xᵢ; mean mᵢ(z), inverse dispersion rᵢ): counts.

    log m is kept between −15 and 22, and r between 10⁻⁴ and 10⁶, where it is all but a Poisson.

    Parameters
    ----------
    network
        Maps (..., L) to (..., D) log-means; to (..., 2 D), log m and log r, where ``dispersion`` is "network".
    event_shape
        Shape of one item.
    dispersion
        "shared" (one learned r), "per_output" (one learned r per element), or "network" (an output of the network).
    """

    DISPERSIONS = ("shared", "per_output", "network")

    def __init__(self, network: nn.Module, event_shape: Sequence[int], dispersion: str = "per_output") -> None:
        super().__init__(network, event_shape)
        if dispersion not in self.DISPERSIONS:
            msg = f"dispersion must be 'shared', 'per_output' or 'network', got {dispersion!r}"
            raise ConfigError(msg)
        self.dispersion = dispersion
        self.outputs_per_element = 2 if dispersion == "network" else 1
        if dispersion != "network":
            shape = () if dispersion == "shared" else self.event_shape
            self.log_inverse_dispersion = nn.Parameter(torch.zeros(shape))

    def forward(self, z: Tensor) -> NegativeBinomial:
        """Return p(x | z), batch shape (...), event shape E."""
        raw = full_precision(self.raw(z))
        if self.dispersion == "network":
            log_mean, log_r = raw.unbind(-1 - self.event_dims)
        else:
            log_mean, log_r = raw, self.log_inverse_dispersion
        limits = math.log(1e-4), math.log(1e6)
        return NegativeBinomial(bounded(log_mean, -15.0, 22.0), bounded(log_r, *limits), self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs whose distribution has these moments, shape (k D,)."""
        m = mean.flatten().clamp_min(1e-6)
        if self.dispersion != "network":
            return m.log()
        return torch.cat([m.log(), _inverse_dispersion(m, variance.flatten()).log()])

    @torch.no_grad()
    def start_at_moments(self, mean: Tensor, variance: Tensor) -> None:
        """Start r where the variance is m + m²/r, between 0.01 and 1000; of a shared r, on average."""
        if self.dispersion == "network":
            return
        m, v = mean.flatten().clamp_min(1e-6), variance.flatten()
        if self.dispersion == "shared":
            m, v = m.square().mean().sqrt(), (v - m).mean() + m.square().mean().sqrt()
        own = self.log_inverse_dispersion
        own.copy_(_inverse_dispersion(m, v).clamp(0.01, 1000.0).log().reshape(own.shape))


def _inverse_dispersion(mean: Tensor, variance: Tensor) -> Tensor:
    """Return r with mean + mean²/r = variance, between 10⁻⁴ and 10⁶."""
    return (mean.square() / (variance - mean).clamp_min(1e-6 * mean)).clamp(1e-4, 1e6)

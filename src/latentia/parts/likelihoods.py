"""Likelihoods p(x | z): modules that turn a network's output into a distribution over data.

Letters: K samples, B batch, E event (D elements), L latent, k outputs of the network per element. Every network maps
(..., L) to (..., k·D), which is read as (..., k, *E).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentia.distributions import Bernoulli, Binomial, Categorical, DiagonalNormal, DiscretizedLogistic
from latentia.distributions.base import full_precision
from latentia.errors import ConfigError


class _Likelihood(nn.Module):
    """A network, an event shape, and the reading of the one in terms of the other."""

    outputs_per_element: int

    def __init__(self, network: nn.Module, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.event_shape = tuple(event_shape)

    def raw(self, z: Tensor) -> Tensor:
        """Return the network's output, shape (..., k, *E), or (..., *E) where k = 1."""
        out: Tensor = self.network(z)
        k = self.outputs_per_element
        if out.shape[-1] != k * math.prod(self.event_shape):
            msg = (
                f"{type(self).__name__} needs a network with {k} × {math.prod(self.event_shape)} outputs for items of "
                f"shape {self.event_shape}, got {out.shape[-1]}"
            )
            raise ConfigError(msg)
        return out.reshape(*out.shape[:-1], *(() if k == 1 else (k,)), *self.event_shape)

    @property
    def event_dims(self) -> int:
        """Number of axes of one item."""
        return len(self.event_shape)


class BernoulliLikelihood(_Likelihood):
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


class BinomialLikelihood(_Likelihood):
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


class CategoricalLikelihood(_Likelihood):
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


class DiscretizedLogisticLikelihood(_Likelihood):
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
        return min(-7.0, -math.log(self.half_range) - 2.5), 5.0

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


class GaussianLikelihood(_Likelihood):
    r"""p(x | z) = N(μ(z), Σ) with a diagonal Σ: real data.

    Squared error with a weight λ is this density with a fixed variance 1/(2λ), up to its constant
    (D/2) log(π/λ), which is not dropped here.

    Parameters
    ----------
    network
        Maps (..., L) to (..., D) means; to (..., 2 D), means and log σ, where ``variance`` is "network".
    event_shape
        Shape of one item.
    variance
        "shared" (one learned variance), "per_output" (one learned variance per element), "network" (an output of the
        network at z: the lectures' Σθ(z)), or a positive number (fixed).
    min_scale
        Floor of the standard deviation where it is learned: a constant column cannot drive the density to infinity.
    """

    VARIANCES = ("shared", "per_output", "network")

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        variance: str | float = "per_output",
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__(network, event_shape)
        if not (variance in self.VARIANCES or (isinstance(variance, (int, float)) and 0.0 < variance < math.inf)):
            msg = f"variance must be 'shared', 'per_output', 'network' or a positive number, got {variance!r}"
            raise ConfigError(msg)
        self.variance, self.min_scale = variance, min_scale
        self.outputs_per_element = 2 if variance == "network" else 1
        if variance in ("shared", "per_output"):
            shape = () if variance == "shared" else self.event_shape
            self.log_scale: Tensor = nn.Parameter(torch.zeros(shape))
        elif variance != "network":
            self.register_buffer("log_scale", torch.tensor(0.5 * math.log(float(variance))))

    def forward(self, z: Tensor) -> DiagonalNormal:
        """Return p(x | z), batch shape (...), event shape E."""
        raw = full_precision(self.raw(z))
        if self.variance == "network":
            loc, log_scale = raw.unbind(-1 - self.event_dims)
        else:
            loc, log_scale = raw, self.log_scale
        if isinstance(self.variance, str):
            log_scale = log_scale.clamp(math.log(self.min_scale), 10.0)
        return DiagonalNormal(loc, log_scale, self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs whose distribution has these moments, shape (k D,)."""
        if self.variance == "network":
            return torch.cat([mean.flatten(), 0.5 * variance.flatten().clamp_min(self.min_scale**2).log()])
        return mean.flatten()


Likelihood = (
    BernoulliLikelihood
    | BinomialLikelihood
    | CategoricalLikelihood
    | DiscretizedLogisticLikelihood
    | GaussianLikelihood
)

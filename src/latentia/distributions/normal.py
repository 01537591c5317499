"""Gaussians with independent elements, and the closed-form Kullback-Leibler divergence between them.

Letters: S sample shape, B batch shape, E event shape, Z latent dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import kl_divergence, register_kl

from latentia.distributions.base import FactorisedDistribution, full_precision, normal

LOG_2PI = math.log(2.0 * math.pi)


class DiagonalNormal(FactorisedDistribution):
    r"""A Gaussian with independent elements.

    .. math:: \log p(x) = -\sum_i \tfrac{(x_i - \mu_i)^2}{2 \sigma_i^2} + \log \sigma_i + \tfrac12 \log 2\pi

    Parameters
    ----------
    loc
        Means μ, shape (*B, *E).
    log_scale
        log σ (the logarithm of the standard deviation, not of the variance), broadcastable to ``loc``.
    event_dims
        How many trailing axes belong to the event.

    Examples
    --------
    >>> import torch
    >>> q = DiagonalNormal(torch.zeros(3), torch.zeros(3))
    >>> round(float(q.log_prob(torch.zeros(3))), 4)
    -2.7568
    """

    has_rsample = True

    def __init__(self, loc: Tensor, log_scale: Tensor, event_dims: int = 1) -> None:
        self.loc = full_precision(loc)
        self.log_scale = full_precision(log_scale)
        super().__init__(self.loc, event_dims)

    @property
    def noise_size(self) -> int:
        """How many standard normals a reparameterised draw takes: one per element."""
        return self._event_shape.numel()

    @property
    def scale(self) -> Tensor:
        """Standard deviations σ."""
        return self.log_scale.exp()

    @property
    def mean(self) -> Tensor:
        """Means μ, shape (*B, *E)."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """Standard deviations σ, shape (*B, *E)."""
        return self.scale.expand_as(self.loc)

    @property
    def variance(self) -> Tensor:
        """Variances σ², shape (*B, *E)."""
        return self.stddev.square()

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p of every element, shape (*S, *B, *E), in nats."""
        standard = (value - self.loc) * (-self.log_scale).exp()
        return -0.5 * standard.square() - self.log_scale - 0.5 * LOG_2PI

    def rsample_from(self, noise: Tensor) -> Tensor:
        """Return μ + σ ε for standard normal ε of shape (*S, *B, *E): the reparameterised draw."""
        return torch.addcmul(self.loc, self.scale, noise)

    def rsample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw with a gradient to the parameters, shape (*S, *B, *E)."""
        return self.rsample_from(normal(self._full_shape(sample_shape), self._like, generator))

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw without gradient, shape (*S, *B, *E)."""
        with torch.no_grad():
            return self.rsample(sample_shape, generator)

    def entropy(self) -> Tensor:
        """Return the differential entropy, summed over the event, shape (*B,), in nats."""
        return (self.log_scale + 0.5 * (1.0 + LOG_2PI)).expand_as(self.loc).sum(self.event_axes)


class UnitNormal(FactorisedDistribution):
    r"""The standard normal N(0, I) on vectors.

    Parameters
    ----------
    like
        Any tensor of shape (Z,) whose dtype and device the distribution takes.
    """

    has_rsample = True

    def __init__(self, like: Tensor) -> None:
        super().__init__(like, 1)

    @property
    def noise_size(self) -> int:
        """How many standard normals a reparameterised draw takes: Z."""
        return self._event_shape.numel()

    @property
    def mean(self) -> Tensor:
        """Zeros, shape (Z,)."""
        return torch.zeros_like(self._like)

    @property
    def stddev(self) -> Tensor:
        """Ones, shape (Z,)."""
        return torch.ones_like(self._like)

    @property
    def variance(self) -> Tensor:
        """Ones, shape (Z,)."""
        return torch.ones_like(self._like)

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p of every element, shape (*S, Z), in nats."""
        return -0.5 * value.square() - 0.5 * LOG_2PI

    def rsample_from(self, noise: Tensor) -> Tensor:
        """Return the noise itself."""
        return noise

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw, shape (*S, Z)."""
        return normal(self._full_shape(sample_shape), self._like, generator)

    def rsample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw, shape (*S, Z); there is no parameter to differentiate."""
        return self.sample(sample_shape, generator)

    def entropy(self) -> Tensor:
        """Return the differential entropy Z/2 · (1 + log 2π), shape (), in nats."""
        return torch.full_like(self._like[0], 0.5 * (1.0 + LOG_2PI) * self.noise_size)


def kl_per_dimension(q: DiagonalNormal, p: DiagonalNormal | UnitNormal) -> Tensor:
    r"""Return KL(q‖p) of every element, shape (*B, *E), in nats.

    .. math::
        \mathrm{KL} = \log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2\sigma_p^2} - \tfrac12

    For p = N(0, 1) this is ½(σ² + μ² − 1 − log σ²): Kingma and Welling 2014, appendix B.
    """
    if isinstance(p, UnitNormal):
        return 0.5 * (q.loc.square() + (2.0 * q.log_scale).exp() - 1.0) - q.log_scale
    inverse = (-p.log_scale).exp()
    ratio = (q.log_scale - p.log_scale).exp()
    shift = (q.loc - p.loc) * inverse
    return 0.5 * (ratio.square() + shift.square() - 1.0) - (q.log_scale - p.log_scale)


def _kl_factorised(q: DiagonalNormal, p: DiagonalNormal | UnitNormal) -> Tensor:
    return kl_per_dimension(q, p).sum(q.event_axes)


register_kl(DiagonalNormal, DiagonalNormal)(_kl_factorised)
register_kl(DiagonalNormal, UnitNormal)(_kl_factorised)

__all__ = ["LOG_2PI", "DiagonalNormal", "UnitNormal", "kl_divergence", "kl_per_dimension"]

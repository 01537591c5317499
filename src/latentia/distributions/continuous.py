"""Densities of real elements beside the Gaussian: continuous Bernoulli, Laplace and Student's t.

Letters: S samples, B batch, E event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from latentia.distributions.base import FactorisedDistribution, full_precision, uniform

LOG_PI = math.log(math.pi)


class ContinuousBernoulli(FactorisedDistribution):
    r"""Independent elements in [0, 1], both ends included: an exponential density between two walls.

    .. math::
        \log p(x) = \sum_i x_i \ell_i - A(\ell_i), \qquad
        A(\ell) = \log \int_0^1 e^{x \ell}\,dx = \log \frac{e^\ell - 1}{\ell}

    It is the Bernoulli's cross-entropy with the constant that makes it a density. Source: Loaiza-Ganem and Cunningham
    2019: their λ = sigmoid(ℓ), and log C(λ) = log(1 + e^ℓ) − A(ℓ).

    Parameters
    ----------
    logits
        ℓ, shape (*B, *E); positive ones favour values near 1.
    event_dims
        How many trailing axes belong to the event.

    Examples
    --------
    >>> import torch
    >>> uniform = ContinuousBernoulli(torch.zeros(4))
    >>> float(uniform.log_prob(torch.tensor([0.0, 0.2, 0.7, 1.0])))
    0.0
    """

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = full_precision(logits)
        super().__init__(self.logits, event_dims)

    @property
    def mean(self) -> Tensor:
        """Means A′(ℓ) = ½ + ½ (coth ℓ/2 − 2/ℓ), shape (*B, *E)."""
        return _mean(self.logits)

    @property
    def variance(self) -> Tensor:
        """Variances A″(ℓ) = ¼ (1/h² − 1/sinh² h) with h = ℓ/2, at most 1/12, shape (*B, *E)."""
        h = 0.5 * self.logits
        small = h.abs() < 0.3
        t, far = torch.where(small, h, torch.zeros_like(h)).square(), torch.where(small, torch.ones_like(h), h)
        series = 1 / 3 + t * (-1 / 15 + t * (2 / 189 + t * (-1 / 675 + t * (2 / 10395 - t * 1382 / 58046625))))
        # 1/sinh² h = 4 e^{−2|h|} / (1 − e^{−2|h|})², which does not overflow.
        decay = (-2.0 * far.abs()).exp()
        return 0.25 * torch.where(small, series, far.square().reciprocal() - 4.0 * decay / (1.0 - decay).square())

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p of every element, shape (*S, *B, *E), in nats."""
        # A(ℓ) = max(ℓ, 0) + log((1 − e^{−|ℓ|})/|ℓ|): taken apart, nothing cancels at the walls.
        return (value - _above(self.logits)) * self.logits - _log_rest(self.logits)

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw values in [0, 1], shape (*S, *B, *E), by inverting the distribution function."""
        noise = uniform(self._full_shape(sample_shape), self.logits, generator)
        # For ℓ < 0, x = log(1 − u (1 − e^ℓ)) / ℓ; a positive ℓ is the mirror image. Near 0 the limit is u itself.
        rate = self.logits.abs().clamp_min(torch.finfo(self.logits.dtype).eps)
        near_zero = (-torch.log1p(noise * torch.expm1(-rate)) / rate).clamp(0.0, 1.0)
        return torch.where(self.logits > 0, 1.0 - near_zero, near_zero)


def _above(logits: Tensor) -> Tensor:
    """Return 1 where ℓ > 0 and 0 elsewhere."""
    return (logits > 0).to(logits.dtype)


def _mean(logits: Tensor) -> Tensor:
    """Return A′(ℓ), to the digits of its type near ℓ = 0 as well."""
    small = logits.abs() < 0.1
    near = torch.where(small, logits, torch.zeros_like(logits))
    t = near.square()
    series = 0.5 + near * (1 / 12 + t * (-1 / 720 + t * (1 / 30240 - t / 1209600)))
    far = torch.where(small, torch.ones_like(logits), logits).abs()
    wall = far.reciprocal() + torch.expm1(-far).reciprocal() + 1.0  # of a density that falls from the wall at 0
    return torch.where(small, series, torch.where(logits > 0, 1.0 - wall, wall))


class _LogRest(torch.autograd.Function):
    """log((1 − e^{−|ℓ|})/|ℓ|), whose own derivative is A′(ℓ) − [ℓ > 0]: that of the formula would lose its digits."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        ctx.save_for_backward(logits)
        rate = logits.abs().clamp_min(torch.finfo(logits.dtype).tiny)
        return (torch.expm1(-rate) / -rate).log()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (logits,) = ctx.saved_tensors
        return gradients[0] * (_mean(logits) - _above(logits))


_log_rest: Callable[[Tensor], Tensor] = _LogRest.apply


class Laplace(FactorisedDistribution):
    r"""Independent elements with exponential tails: absolute instead of squared error.

    .. math:: \log p(x) = -\sum_i \tfrac{|x_i - \mu_i|}{b_i} + \log 2 b_i

    Parameters
    ----------
    loc
        Centres μ, shape (*B, *E).
    log_scale
        log b, broadcastable to ``loc``; the standard deviation is √2 b.
    event_dims
        How many trailing axes belong to the event.
    """

    def __init__(self, loc: Tensor, log_scale: Tensor, event_dims: int = 1) -> None:
        self.loc = full_precision(loc)
        self.log_scale = full_precision(log_scale)
        super().__init__(self.loc, event_dims)

    @property
    def mean(self) -> Tensor:
        """Centres μ, shape (*B, *E)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Variances 2 b², shape (*B, *E)."""
        return (2.0 * (2.0 * self.log_scale).exp()).expand_as(self.loc)

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p of every element, shape (*S, *B, *E), in nats."""
        return -(value - self.loc).abs() * (-self.log_scale).exp() - self.log_scale - math.log(2.0)

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw, shape (*S, *B, *E), by inverting the distribution function."""
        centred = uniform(self._full_shape(sample_shape), self.loc, generator) - 0.5
        tail = (1.0 - 2.0 * centred.abs()).clamp_min(torch.finfo(centred.dtype).tiny)
        return self.loc - self.log_scale.exp() * centred.sign() * tail.log()


class StudentT(FactorisedDistribution):
    r"""Independent elements with polynomial tails: data with outliers.

    .. math::
        \log p(x) = \sum_i \log\Gamma\tfrac{\nu_i + 1}{2} - \log\Gamma\tfrac{\nu_i}{2} - \tfrac12 \log \pi\nu_i
        - \log \sigma_i - \tfrac{\nu_i + 1}{2} \log\!\left(1 + \tfrac{(x_i - \mu_i)^2}{\nu_i \sigma_i^2}\right)

    Parameters
    ----------
    loc
        Centres μ, shape (*B, *E).
    log_scale
        log σ, broadcastable to ``loc``; the variance is σ² ν/(ν − 2).
    degrees
        Degrees of freedom ν > 0, broadcastable to ``loc``; the Gaussian is the limit of many.
    event_dims
        How many trailing axes belong to the event.
    """

    def __init__(self, loc: Tensor, log_scale: Tensor, degrees: Tensor, event_dims: int = 1) -> None:
        self.loc = full_precision(loc)
        self.log_scale = full_precision(log_scale)
        self.degrees = full_precision(degrees)
        super().__init__(self.loc, event_dims)

    @property
    def mean(self) -> Tensor:
        """Centres μ, shape (*B, *E); NaN where ν ≤ 1, for there is no mean."""
        return torch.where(self.degrees > 1, self.loc, torch.full_like(self.loc, math.nan))

    @property
    def variance(self) -> Tensor:
        """Variances σ² ν/(ν − 2), shape (*B, *E); infinite where ν ≤ 2."""
        nu = self.degrees
        finite = (2.0 * self.log_scale).exp() * nu / (nu - 2.0)
        return torch.where(nu > 2, finite, torch.full_like(self.loc, math.inf))

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p of every element, shape (*S, *B, *E), in nats."""
        nu = self.degrees
        # s = |x − μ| / (σ √ν), and log(1 + s²) without squaring a large s.
        s = (value - self.loc).abs() * (-self.log_scale - 0.5 * nu.log()).exp()
        far = s > 1.0
        inside = torch.log1p(torch.where(far, torch.ones_like(s), s).square())
        outer = torch.where(far, s, torch.ones_like(s))
        tail = torch.where(far, 2.0 * outer.log() + torch.log1p(outer.reciprocal().square()), inside)
        # In double precision: log Γ is large where its differences are small.
        half = 0.5 * nu.double()
        constant = (torch.lgamma(half + 0.5) - torch.lgamma(half)).to(s.dtype) - 0.5 * (nu.log() + LOG_PI)
        return constant - self.log_scale - 0.5 * (nu + 1.0) * tail

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw, shape (*S, *B, *E): Bailey 1994, a polar form like that of Box and Muller."""
        shape = self._full_shape(sample_shape)
        u, angle = uniform(shape, self.loc, generator), uniform(shape, self.loc, generator)
        log_u = u.clamp_min(torch.finfo(u.dtype).tiny).log()
        radius = (self.degrees * torch.expm1(-2.0 / self.degrees * log_u)).sqrt()
        return self.loc + self.log_scale.exp() * radius * torch.cos(2.0 * math.pi * angle)

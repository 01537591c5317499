"""Densities of counts 0, 1, 2, … without a largest one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from latentia.distributions.base import FactorisedDistribution, full_precision
from latentia.distributions.gamma import deviance, stirling_error

_LARGEST_RATE = 2e9


class NegativeBinomial(FactorisedDistribution):
    r"""Independent counts, more spread than a Poisson's: a Poisson whose rate is drawn from a gamma distribution.

    .. math::
        P(x) = \frac{\Gamma(x + r)}{\Gamma(r)\, x!}\,
        \Big(\frac{r}{r + m}\Big)^{r} \Big(\frac{m}{r + m}\Big)^{x},
        \qquad E[x] = m, \quad \operatorname{Var}[x] = m + m^2 / r

    A large inverse dispersion r makes it the Poisson. Computed by deviances and Stirling's errors instead of log Γ
    itself, so that counts of millions and r of millions keep their digits in single precision. Source: Loader 2000,
    "Fast and accurate computation of binomial probabilities".

    Parameters
    ----------
    log_mean
        log m, shape (*B, *E).
    log_inverse_dispersion
        log r, broadcastable to ``log_mean``.
    event_dims
        How many trailing axes belong to the event.

    Examples
    --------
    >>> import torch
    >>> p = NegativeBinomial(torch.tensor([0.0]), torch.tensor([0.0]))  # m = r = 1: P(x) = 2^(−x−1)
    >>> round(float(p.log_prob(torch.tensor([3.0])).exp()), 6)
    0.0625
    """

    def __init__(self, log_mean: Tensor, log_inverse_dispersion: Tensor, event_dims: int = 1) -> None:
        self.log_mean = full_precision(log_mean)
        self.log_inverse_dispersion = full_precision(log_inverse_dispersion)
        super().__init__(self.log_mean, event_dims)

    @property
    def mean(self) -> Tensor:
        """Means m, shape (*B, *E)."""
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        """Variances m + m²/r, shape (*B, *E)."""
        return self.mean + (2.0 * self.log_mean - self.log_inverse_dispersion).exp()

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p of every element, shape (*S, *B, *E), in nats."""
        count, log_m, log_r = torch.broadcast_tensors(
            value.to(self.log_mean.dtype), self.log_mean, self.log_inverse_dispersion
        )
        m, r = log_m.exp(), log_r.exp()
        at_zero = -r * F.softplus(log_m - log_r)
        zero = count < 0.5
        x = torch.where(zero, torch.ones_like(count), count)
        # With ρ = (x + r)/(m + r), the two kinds of trials have the expected numbers m ρ and r ρ.
        ratio, shift = (x + r) / (m + r), r * (x - m) / (m + r)
        log_ratio = (x + r).log() - (m + r).log()
        successes = deviance(x, m * ratio, shift, x.log() - log_m - log_ratio)
        failures = deviance(r, r * ratio, -shift, -log_ratio)
        errors = stirling_error(x + r) - stirling_error(r) - stirling_error(x)
        scale = 0.5 * (log_r - (x + r).log() - x.log() - math.log(2.0 * math.pi))
        return torch.where(zero, at_zero, scale + errors - successes - failures)

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw counts, shape (*S, *B, *E); rates above 2·10⁹ are held there, so that counts fit 32 bits."""
        device = self.log_mean.device if generator is None else generator.device
        shape = self._full_shape(sample_shape)
        log_m, log_r = (t.detach().expand(shape).to(device) for t in (self.log_mean, self.log_inverse_dispersion))
        rate = torch._standard_gamma(log_r.exp(), generator=generator) * (log_m - log_r).exp()
        return torch.poisson(rate.clamp_max(_LARGEST_RATE), generator=generator).to(self.log_mean.device)

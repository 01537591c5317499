"""Densities of counts 0, 1, 2, … without a largest one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from latentia.distributions.base import FactorisedDistribution, full_precision

_LARGEST_RATE = 2e9


class NegativeBinomial(FactorisedDistribution):
    r"""Independent counts, more spread than a Poisson's: a Poisson whose rate is drawn from a gamma distribution.

    .. math::
        P(x) = \frac{\Gamma(x + r)}{\Gamma(r)\, x!}\,
        \Big(\frac{r}{r + m}\Big)^{r} \Big(\frac{m}{r + m}\Big)^{x},
        \qquad E[x] = m, \quad \operatorname{Var}[x] = m + m^2 / r

    A large inverse dispersion r makes it the Poisson.

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
        # In double precision: log Γ of millions has seven digits before the point.
        x, log_m, log_r = value.double(), self.log_mean.double(), self.log_inverse_dispersion.double()
        r, ratio = log_r.exp(), log_m - log_r
        ways = torch.lgamma(x + r) - torch.lgamma(r) - torch.lgamma(x + 1.0)
        # log(r/(r + m)) = −softplus(log m − log r), and log(m/(r + m)) its mirror image.
        return (ways - r * F.softplus(ratio) - x * F.softplus(-ratio)).to(self.log_mean.dtype)

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw counts, shape (*S, *B, *E); rates above 2·10⁹ are held there, so that counts fit 32 bits."""
        device = self.log_mean.device if generator is None else generator.device
        shape = self._full_shape(sample_shape)
        log_m, log_r = (t.detach().expand(shape).to(device) for t in (self.log_mean, self.log_inverse_dispersion))
        rate = torch._standard_gamma(log_r.exp(), generator=generator) * (log_m - log_r).exp()
        return torch.poisson(rate.clamp_max(_LARGEST_RATE), generator=generator).to(self.log_mean.device)

r"""The baseline without a latent variable: a product over elements.

.. math:: p(x) = \prod_{i=1}^{D} p(x_i)

Whatever structure a latent-variable model finds must show as an advantage over this one, under the same likelihood.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from latentia.distributions import Bernoulli, Binomial, Categorical, DiagonalNormal, DiscretizedLogistic
from latentia.errors import ConfigError
from latentia.networks import Constant
from latentia.parts import (
    BernoulliLikelihood,
    BinomialLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    Likelihood,
)

_Density = Bernoulli | Binomial | Categorical | DiagonalNormal | DiscretizedLogistic


class IndependentPixels(nn.Module):
    """One distribution per element, fitted by maximum likelihood with counts smoothed by one.

    Parameters
    ----------
    likelihood
        A likelihood part whose network is a ``Constant``.
    """

    def __init__(self, likelihood: Likelihood) -> None:
        super().__init__()
        self.likelihood = likelihood

    def forward(self) -> _Density:
        """Return p(x), batch shape (), event shape E."""
        # The constant network reads nothing of its context but the leading axes, here none.
        density: _Density = self.likelihood(self._values()[:1])
        return density

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), shape (B,), in nats: exact."""
        return self.forward().log_prob(x)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n items, shape (n, *E)."""
        return self.forward().sample((n,), generator=generator)

    def _values(self) -> Tensor:
        if not isinstance(self.likelihood.network, Constant):
            msg = "IndependentPixels needs a likelihood whose network is latentia.networks.Constant"
            raise ConfigError(msg)
        return self.likelihood.network.values

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the parameters to their maximum-likelihood values for the rows of x, shape (N, *E), in float64.

        Discrete counts are smoothed by one: (ones + 1)/(N + 2) for a Bernoulli, one trial of each kind for a binomial,
        one observation of every level for a categorical, one observation spread evenly over the levels for a
        discretised logistic, whose optimum has no closed form and is found by L-BFGS.
        """
        part, rows = self.likelihood, x.flatten(1).double()
        mean, variance = rows.mean(0), rows.var(0, correction=0)
        match part:
            case BernoulliLikelihood():
                values = torch.logit((rows.sum(0) + 1.0) / (len(rows) + 2.0))
            case BinomialLikelihood():
                trials = len(rows) * (part.levels - 1)
                values = torch.logit((rows.sum(0) + 1.0) / (trials + 2.0))
            case CategoricalLikelihood():
                values = (_histogram(rows, part.levels) + 1.0).log().log_softmax(0).flatten()
            case DiscretizedLogisticLikelihood():
                values = _fit_logistic(part, rows, part.raw_from_moments(mean, variance))
            case GaussianLikelihood():
                values = part.raw_from_moments(mean, variance)
                if part.variance in ("shared", "per_output"):
                    pooled = variance.mean() if part.variance == "shared" else variance
                    scale = pooled.sqrt().clamp_min(part.min_scale)
                    part.log_scale.copy_(scale.log().reshape(part.log_scale.shape))
        self._values().copy_(values)


def _histogram(rows: Tensor, levels: int) -> Tensor:
    """Count level in every column, shape (levels, D)."""
    cell = rows.long() * rows.shape[1] + torch.arange(rows.shape[1], device=rows.device)
    return torch.bincount(cell.flatten(), minlength=levels * rows.shape[1]).reshape(levels, -1).double()


def _fit_logistic(part: DiscretizedLogisticLikelihood, rows: Tensor, start: Tensor) -> Tensor:
    weights = _histogram(rows, part.levels) + 1.0 / part.levels
    level = torch.arange(part.levels, dtype=torch.float64, device=rows.device).unsqueeze(-1)
    values = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([values], max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def closure() -> float:
        optimiser.zero_grad()
        centre, log_scale = values.reshape(2, -1)
        half = part.half_range
        clamped = log_scale.clamp(*part.log_scale_limits) + math.log(half)
        density = DiscretizedLogistic(half * (1.0 + centre), clamped, part.levels)
        loss = -(weights * density.log_prob_elements(level)).sum() / len(rows)
        loss.backward()
        return float(loss.detach())

    with torch.enable_grad():
        optimiser.step(closure)
    return values.detach()

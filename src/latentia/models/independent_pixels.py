r"""The baseline without a latent variable: a product over elements.

.. math:: p(x) = \prod_{i=1}^{D} p(x_i)

Whatever structure a latent-variable model finds must show as an advantage over this one, under the same likelihood.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from latentia.errors import ConfigError
from latentia.models.independent_fits import fitted_outputs
from latentia.networks import Constant
from latentia.parts import Likelihood


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

    def forward(self) -> Distribution:
        """Return p(x), batch shape (), event shape E."""
        # The constant network reads nothing of its context but the leading axes, here none.
        density: Distribution = self.likelihood(self._values()[:1])
        return density

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), shape (B,), in nats: exact."""
        log_p: Tensor = self.forward().log_prob(x)
        return log_p

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n items, shape (n, *E)."""
        drawn: Tensor = self.forward().sample((n,), generator=generator)  # type: ignore[call-arg]  # ours take one
        return drawn

    def _values(self) -> Tensor:
        if not isinstance(self.likelihood.network, Constant):
            msg = "IndependentPixels needs a likelihood whose network is latentia.networks.Constant"
            raise ConfigError(msg)
        return self.likelihood.network.values

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the parameters to their maximum-likelihood values for the rows of x, shape (N, *E), in float64.

        Discrete counts are smoothed by one: (ones + 1)/(N + 2) for a Bernoulli, one trial of each kind for a binomial,
        one observation of every level for a categorical, one observation spread evenly over the levels for discretised
        logistics, one observation of 1 for counts. Where the optimum has no closed form it is found by L-BFGS.
        """
        self._values().copy_(fitted_outputs(self.likelihood, x.flatten(1).double()))

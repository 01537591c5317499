"""A prior whose divergence from q is not registered: bounds and estimates fall back to samples."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from latentia.evaluation import estimate_log_prob
from latentia.models import VariationalAutoencoder
from latentia.networks import MLP
from latentia.objectives import elbo, iwae
from latentia.parts import DiagonalGaussian, GaussianLikelihood
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")


class OneMode(nn.Module):
    """A mixture whose two components are both N(0, I): its divergence is known, but not to torch."""

    def forward(self) -> Distribution:
        components = Independent(Normal(torch.zeros(2, 2), torch.ones(2, 2)), 1)
        return MixtureSameFamily(Categorical(torch.ones(2)), components)


def _model() -> VariationalAutoencoder:
    torch.manual_seed(0)
    encoder, decoder = DiagonalGaussian(MLP(3, [], 4)), GaussianLikelihood(MLP(2, [], 3), (3,), 0.5)
    return VariationalAutoencoder(prior=OneMode(), encoder=encoder, decoder=decoder).double()


def test_the_sampled_divergence_has_the_exact_mean() -> None:
    """Five standard errors over 2,000 samples; a new seed fails with probability 6e-7."""
    model, x = _model(), torch.tensor([[0.3, -1.0, 2.0]])
    q = model.encoder(x)
    exact = 0.5 * (q.loc.square() + q.variance - 1.0 - q.variance.log()).sum().item()
    noise = torch.randn(2000, 1, 2, generator=torch.Generator().manual_seed(1))
    draws = torch.stack([elbo(model, x, noise=e[None]).terms["kl"][0, 0] for e in noise]).detach()
    assert_mean(draws.numpy(), exact)
    together = elbo(model, x, num_samples=2000, noise=noise).terms["kl"].detach()
    torch.testing.assert_close(together, draws.mean().reshape(1, 1))


def test_estimates_agree_with_the_importance_weighted_bound_on_the_same_noise() -> None:
    model, x = _model(), torch.tensor([[0.3, -1.0, 2.0]])
    noise = torch.randn(50, 1, 2, generator=torch.Generator().manual_seed(1))
    estimates = estimate_log_prob(model, x, num_samples=50, noise=lambda _: noise[:, 0])
    torch.testing.assert_close(
        torch.from_numpy(estimates.log_prob), iwae(model, x, num_samples=50, noise=noise).value.detach()
    )
    assert estimates.kl.shape == (1, 1)

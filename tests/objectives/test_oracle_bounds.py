"""The bounds on a linear-Gaussian model, where log p(x), the posterior and every divergence are known exactly.

Letters: K samples, B batch, Z latent dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, kl_divergence

from latentia.distributions import DiagonalNormal, UnitNormal
from latentia.models import PPCA
from latentia.objectives import elbo, importance_log_weights, iwae
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")


def _numbers(*shape: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, 1.0, shape))


EXACT = PPCA(_numbers(5, seed=0), _numbers(5, 3, seed=1), 0.4)
X = EXACT.mean + _numbers(2, 5, seed=2)
LOG_P = EXACT.log_prob(X)


@dataclass(frozen=True)
class Wrong:
    """The same p(x, z) with an approximate posterior that is off: diagonal, shifted, and with a prior of choice."""

    log_scale: float = -0.6
    shift: float = 0.3

    def prior(self) -> UnitNormal:
        """Return p(z)."""
        return EXACT.prior()

    def encoder(self, x: Tensor) -> DiagonalNormal:
        """Return a diagonal Gaussian around a shifted posterior mean."""
        mean = EXACT.encoder(x).mean + self.shift
        return DiagonalNormal(mean, torch.full_like(mean, self.log_scale))

    def decoder(self, z: Tensor) -> Distribution:
        """Return p(x | z)."""
        return EXACT.decoder(z)

    def gap(self) -> Tensor:
        """KL(q(z | x)‖p(z | x)), shape (B,): what the ELBO falls short of log p(x)."""
        q = self.encoder(X)
        posterior = MultivariateNormal(EXACT.encoder(X).mean, EXACT.encoder(X).covariance_matrix)
        return kl_divergence(MultivariateNormal(q.mean, torch.diag_embed(q.variance)), posterior)


def test_with_the_exact_posterior_every_log_weight_is_log_p() -> None:
    weights = importance_log_weights(EXACT, X, num_samples=50)
    assert weights.shape == (50, 2)
    torch.testing.assert_close(weights, LOG_P.expand(50, 2), rtol=0.0, atol=1e-9)
    result = iwae(EXACT, X, num_samples=50)
    torch.testing.assert_close(result.value, LOG_P, rtol=0.0, atol=1e-9)
    torch.testing.assert_close(result.terms["effective_sample_size"], torch.full((2,), 50.0), rtol=1e-8, atol=0.0)


def test_elbo_falls_short_of_log_p_by_the_divergence_to_the_posterior() -> None:
    """Mean of 4000 one-sample bounds per row, five standard errors; a new seed fails with probability 1.1e-6."""
    torch.manual_seed(0)
    rows = X.repeat_interleave(4000, 0)
    values = elbo(Wrong(), rows).value.reshape(2, 4000)
    assert_mean(values.numpy().T, (LOG_P - Wrong().gap()).numpy())
    assert float(Wrong().gap().min()) > 0.1


def test_elbo_with_the_exact_posterior_is_log_p_in_the_mean() -> None:
    torch.manual_seed(0)
    values = elbo(EXACT, X.repeat_interleave(4000, 0)).value.reshape(2, 4000)
    assert_mean(values.numpy().T, LOG_P.numpy())


def test_terms_add_up_and_are_what_their_names_say() -> None:
    noise = _numbers(6, 2, 3, seed=3)
    result = elbo(Wrong(), X, num_samples=6, noise=noise)
    q = Wrong().encoder(X)
    z = q.mean + q.stddev * noise
    log_likelihood = MultivariateNormal(z @ EXACT.weight.T + EXACT.mean, 0.4 * torch.eye(5)).log_prob(X)
    torch.testing.assert_close(result.terms["reconstruction"], log_likelihood.mean(0))
    per_dimension = 0.5 * (q.mean.square() + q.variance - 1 - q.variance.log())
    torch.testing.assert_close(result.terms["kl"], per_dimension)
    torch.testing.assert_close(result.value, log_likelihood.mean(0) - per_dimension.sum(-1))
    assert result.surrogate is None
    assert result.maximand is result.value


def test_beta_weighs_the_surrogate_and_never_the_value() -> None:
    noise = _numbers(1, 2, 3, seed=4)
    plain, weighted = elbo(Wrong(), X, noise=noise), elbo(Wrong(), X, noise=noise, beta=4.0)
    torch.testing.assert_close(weighted.value, plain.value, rtol=0.0, atol=0.0)
    assert weighted.surrogate is not None
    expected = plain.terms["reconstruction"] - 4 * plain.terms["kl"].sum(-1)
    torch.testing.assert_close(weighted.surrogate, expected)
    assert weighted.maximand is weighted.surrogate


def test_one_sample_iwae_is_the_monte_carlo_elbo_and_many_are_the_log_of_the_mean_weight() -> None:
    noise = _numbers(7, 2, 3, seed=5)
    weights = importance_log_weights(Wrong(), X, num_samples=7, noise=noise)
    result = iwae(Wrong(), X, num_samples=7, noise=noise)
    torch.testing.assert_close(result.value, weights.exp().mean(0).log())
    torch.testing.assert_close(result.terms["elbo"], weights.mean(0))
    size = weights.exp().sum(0).square() / (2 * weights).exp().sum(0)
    torch.testing.assert_close(result.terms["effective_sample_size"], size)
    one = iwae(Wrong(), X, num_samples=1, noise=noise[:1])
    torch.testing.assert_close(one.value, weights[0])


def test_log_weights_are_joint_minus_posterior() -> None:
    noise = _numbers(7, 2, 3, seed=6)
    q = Wrong().encoder(X)
    z = q.mean + q.stddev * noise
    joint = MultivariateNormal(z @ EXACT.weight.T + EXACT.mean, 0.4 * torch.eye(5)).log_prob(X)
    joint = joint - 0.5 * z.square().sum(-1) - 1.5 * math.log(2 * math.pi)
    log_q = MultivariateNormal(q.mean, torch.diag_embed(q.variance)).log_prob(z)
    weights = importance_log_weights(Wrong(), X, num_samples=7, noise=noise)
    torch.testing.assert_close(weights, joint - log_q)


def test_bounds_are_ordered_in_expectation() -> None:
    """ELBO ≤ L₅ ≤ L₅₀ ≤ log p(x), each gap several standard errors wide; log-weights are shared, seed fixed."""
    torch.manual_seed(1)
    rows = X[:1].expand(2000, 5)
    weights = importance_log_weights(Wrong(), rows, num_samples=50)
    value = {k: weights[:k].logsumexp(0) - math.log(k) for k in (1, 5, 50)}
    for low, high in ((1, 5), (5, 50)):
        gain = (value[high] - value[low]).numpy()
        assert gain.mean() > 5 * gain.std(ddof=1) / math.sqrt(2000)
    shortfall = LOG_P[0].numpy() - value[50].numpy()
    assert shortfall.mean() > 5 * shortfall.std(ddof=1) / math.sqrt(2000)


class Unregistered(MultivariateNormal):
    """A posterior for which no divergence is registered with a diagonal prior."""

    def __init__(self, loc: Tensor, scale_tril: Tensor) -> None:
        super().__init__(loc, scale_tril=scale_tril)
        self.noise_size = loc.shape[-1]

    def rsample_from(self, noise: Tensor) -> Tensor:
        """Return μ + C ε."""
        return self.loc + noise @ self.scale_tril[0].mT


def test_divergence_without_a_closed_form_is_the_mean_log_ratio() -> None:
    @dataclass(frozen=True)
    class Model(Wrong):
        def prior(self) -> DiagonalNormal:  # type: ignore[override]  # a wider prior than the base class has
            return DiagonalNormal(torch.zeros(3), torch.full((3,), 0.2))

        def encoder(self, x: Tensor) -> Unregistered:  # type: ignore[override]  # another family, on purpose
            return Unregistered(EXACT.encoder(x).mean, 0.8 * torch.eye(3))

    noise = _numbers(6, 2, 3, seed=7)
    result = elbo(Model(), X, num_samples=6, noise=noise)
    z = EXACT.encoder(X).mean + 0.8 * noise
    log_q = MultivariateNormal(EXACT.encoder(X).mean, 0.64 * torch.eye(3)).log_prob(z)
    log_p = MultivariateNormal(torch.zeros(3), math.exp(0.4) * torch.eye(3)).log_prob(z)
    torch.testing.assert_close(result.terms["kl"], (log_q - log_p).mean(0).unsqueeze(-1))

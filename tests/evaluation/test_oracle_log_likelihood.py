"""The estimator of log p(x) on a linear-Gaussian model, where the answer is known, and on weights written by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from latentia.distributions import DiagonalNormal, UnitNormal
from latentia.errors import ConfigError
from latentia.evaluation import LogMeanExp, estimate_log_prob, standard_error
from latentia.models import PPCA
from latentia.objectives import elbo, importance_log_weights

pytestmark = pytest.mark.usefixtures("float64")


def _numbers(*shape: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, 1.0, shape))


EXACT = PPCA(_numbers(5, seed=0), _numbers(5, 3, seed=1), 0.4)
X = EXACT.mean + _numbers(4, 5, seed=2)
NOISE = _numbers(30, 4, 3, seed=3)  # (K, B, Z)


@dataclass(frozen=True)
class Wrong:
    """The same p(x, z) with a posterior that is off."""

    def prior(self) -> UnitNormal:
        """Return p(z)."""
        return EXACT.prior()

    def encoder(self, x: Tensor) -> DiagonalNormal:
        """Return a diagonal Gaussian around a shifted posterior mean."""
        mean = EXACT.encoder(x).mean + 0.3
        return DiagonalNormal(mean, torch.full_like(mean, -0.6))

    def decoder(self, z: Tensor) -> Distribution:
        """Return p(x | z)."""
        return EXACT.decoder(z)


def test_exact_posterior_gives_exact_log_p_and_all_samples_count() -> None:
    found = estimate_log_prob(EXACT, X, num_samples=30, noise=lambda i: NOISE[:, i])
    np.testing.assert_allclose(found.log_prob, EXACT.log_prob(X).numpy(), rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(found.effective_sample_size, np.full(4, 30.0), rtol=1e-8)
    np.testing.assert_allclose(found.posterior_mean, EXACT.encoder(X).mean.numpy(), rtol=1e-12)


def test_wrong_posterior_gives_the_log_of_the_mean_weight() -> None:
    found = estimate_log_prob(Wrong(), X, num_samples=30, noise=lambda i: NOISE[:, i])
    weights = importance_log_weights(Wrong(), X, num_samples=30, noise=NOISE)
    np.testing.assert_allclose(found.log_prob, weights.exp().mean(0).log().numpy(), rtol=1e-11)
    size = weights.exp().sum(0).square() / (2 * weights).exp().sum(0)
    np.testing.assert_allclose(found.effective_sample_size, size.numpy(), rtol=1e-9)
    bound = elbo(Wrong(), X, num_samples=30, noise=NOISE)
    np.testing.assert_allclose(found.reconstruction, bound.terms["reconstruction"].numpy(), rtol=1e-11)
    np.testing.assert_allclose(found.kl, bound.terms["kl"].numpy(), rtol=1e-12)
    np.testing.assert_allclose(found.elbo, bound.value.numpy(), rtol=1e-11)
    assert (found.elbo < found.log_prob).all()


@pytest.mark.parametrize("samples_per_call", [1, 7, 29, 30, 1000])
def test_chunks_draw_exactly_k_samples_and_do_not_change_the_value(samples_per_call: int) -> None:
    whole = estimate_log_prob(Wrong(), X, num_samples=30, noise=lambda i: NOISE[:, i])
    pieces = estimate_log_prob(
        Wrong(), X, num_samples=30, noise=lambda i: NOISE[:, i], samples_per_call=samples_per_call
    )
    np.testing.assert_allclose(pieces.log_prob, whole.log_prob, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(pieces.reconstruction, whole.reconstruction, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(pieces.effective_sample_size, whole.effective_sample_size, rtol=1e-10)


def test_a_row_does_not_depend_on_the_others() -> None:
    whole = estimate_log_prob(Wrong(), X, num_samples=30, noise=lambda i: NOISE[:, i])
    for i in range(4):
        alone = estimate_log_prob(Wrong(), X[i : i + 1], num_samples=30, noise=lambda _, i=i: NOISE[:, i])  # type: ignore[misc]  # mypy knows no defaults in lambdas
        assert alone.log_prob[0] == whole.log_prob[i]


def test_no_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        estimate_log_prob(EXACT, X, num_samples=0, noise=lambda i: NOISE[:, i])


def test_log_mean_exp_by_hand() -> None:
    """Weights 1, 2 and 5: mean 8/3, effective size 64/30, also far outside the range of exp, in any pieces."""
    logs = torch.tensor([1.0, 2.0, 5.0]).log()
    for shift in (0.0, 5000.0, -5000.0):
        for pieces in ([3], [1, 2], [2, 1], [1, 1, 1]):
            for order in (logs, logs.flip(0)):
                running = LogMeanExp()
                for piece in (order + shift).split(pieces):
                    running.add(piece)
                assert running.value == pytest.approx(math.log(8 / 3) + shift, abs=1e-11)
                assert running.effective_sample_size == pytest.approx(64 / 30)
                assert running.count == 3


def test_weights_of_zero_count_as_samples() -> None:
    running = LogMeanExp()
    running.add(torch.tensor([-math.inf, -math.inf]))
    assert running.value == -math.inf
    assert running.effective_sample_size == 0.0
    running.add(torch.tensor([0.0, -math.inf]))
    assert running.value == pytest.approx(math.log(1 / 4))
    assert running.effective_sample_size == pytest.approx(1.0)


def test_standard_error_by_hand() -> None:
    """Of 1, 2, 3, 6: the variance with n − 1 is 14/3, so the standard error is √(14/12)."""
    assert standard_error(np.array([1.0, 2.0, 3.0, 6.0])) == pytest.approx(math.sqrt(14 / 12))
    assert math.isnan(standard_error(np.array([1.0])))


def test_a_weight_that_is_no_number_makes_the_estimate_none() -> None:
    for first, second in (([math.nan, 1.0], [2.0]), ([1.0], [2.0, math.nan]), ([math.nan], [math.inf])):
        mean = LogMeanExp()
        mean.add(torch.tensor(first))
        mean.add(torch.tensor(second))
        assert math.isnan(mean.value)
        assert math.isnan(mean.effective_sample_size)


def test_an_infinite_weight_is_infinite() -> None:
    mean = LogMeanExp()
    mean.add(torch.tensor([1.0, math.inf]))
    mean.add(torch.tensor([-math.inf, 3.0]))
    assert mean.value == math.inf

"""The negative binomial and the mixture of discretised logistics: SciPy, a total of one, limits, their own samples.

Letters: S samples, B batch, C components, E event.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from latentia.distributions import DiscretizedLogistic, DiscretizedLogisticMixture, NegativeBinomial
from tests.tolerance import FAILURE_PROBABILITY, assert_mean

pytestmark = pytest.mark.usefixtures("float64")

BATCH, EVENT = (2,), (3, 4)


def _numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, scale, shape))


LOG_MEAN, LOG_R = _numbers(*BATCH, *EVENT, seed=1), _numbers(*BATCH, *EVENT, seed=2)
MEAN, R = np.exp(LOG_MEAN.numpy()), np.exp(LOG_R.numpy())
COUNTS = NegativeBinomial(LOG_MEAN, LOG_R, 2)
LAW = scipy.stats.nbinom(R, R / (R + MEAN))


def test_negative_binomial_is_scipys_summed_over_the_event() -> None:
    x = np.random.default_rng(3).integers(0, 40, (7, *BATCH, *EVENT))
    elements = COUNTS.log_prob_elements(torch.from_numpy(x))
    np.testing.assert_allclose(elements.numpy(), LAW.logpmf(x), rtol=1e-11, atol=1e-11)
    log_p = COUNTS.log_prob(torch.from_numpy(x))
    assert log_p.shape == (7, *BATCH)
    np.testing.assert_allclose(log_p.numpy(), LAW.logpmf(x).sum((-1, -2)), rtol=1e-12)
    np.testing.assert_allclose(COUNTS.mean.numpy(), LAW.mean(), rtol=1e-12)
    np.testing.assert_allclose(COUNTS.variance.numpy(), LAW.var(), rtol=1e-12)


def test_negative_binomial_sums_to_one() -> None:
    log_mean, log_r = torch.tensor([-3.0, 0.0, 2.0, 3.0]), torch.tensor([-1.0, 2.0, 0.0, 9.0])
    x = torch.arange(4000.0).unsqueeze(-1).expand(-1, 4)
    total = NegativeBinomial(log_mean, log_r).log_prob_elements(x).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(4), rtol=0.0, atol=1e-11)


def test_negative_binomial_samples_follow_the_distribution_function() -> None:
    """A draw moved down by u of its own mass is uniform."""
    draws = COUNTS.sample((2000,), generator=torch.Generator().manual_seed(0)).numpy()
    assert draws.shape == (2000, *BATCH, *EVENT)
    noise = np.random.default_rng(4).uniform(size=draws.shape)
    uniforms = LAW.cdf(draws - 1) + noise * LAW.pmf(draws)
    assert scipy.stats.kstest(uniforms.ravel(), "uniform").pvalue > FAILURE_PROBABILITY
    assert_mean(draws, MEAN)
    assert_mean((draws - MEAN) ** 2, LAW.var())


@pytest.mark.parametrize(
    ("count", "mean", "r"),
    [
        (0, 3.0, 2),
        (1, 3.0, 2),
        (15, 3.0, 7),
        (17, 16.9, 4),
        (1000, 1003.5, 12),
        (100_000, 99_000.0, 50_000),
        (3, 1e6, 5),
    ],
)
def test_large_counts_keep_their_digits(count: int, mean: float, r: int) -> None:
    """(x + r − 1 choose x) is a whole number for whole r; log Γ in single precision would be off by up to 0.1 nats."""
    exact = (
        math.log(math.comb(count + r - 1, count)) + r * math.log(r / (r + mean)) + count * math.log(mean / (r + mean))
    )
    for dtype, tolerance in [(torch.float64, 1e-9), (torch.float32, 2e-4)]:
        log_mean, log_r = (torch.tensor([math.log(v)], dtype=dtype, requires_grad=True) for v in (mean, r))
        x = torch.tensor([float(count)], dtype=dtype)
        log_p = NegativeBinomial(log_mean, log_r).log_prob(x)
        assert log_p.item() == pytest.approx(exact, rel=1e-6, abs=tolerance)
        (gradient,) = torch.autograd.grad(log_p.sum(), log_mean)
        assert gradient.item() == pytest.approx(r * (count - mean) / (r + mean), rel=1e-3, abs=1e-3)


def test_draws_fit_32_bits() -> None:
    law = NegativeBinomial(torch.full((500,), 40.0), torch.full((500,), -5.0))
    draws = law.sample(generator=torch.Generator().manual_seed(0))
    assert 1e9 < draws.max() < 2**31
    assert draws.min() >= 0


def test_without_dispersion_it_is_a_poisson() -> None:
    x = torch.arange(30.0).unsqueeze(-1)
    expected = scipy.stats.poisson(5.0).logpmf(x.numpy())
    log_p = NegativeBinomial(torch.tensor([math.log(5.0)]), torch.tensor([25.0])).log_prob_elements(x)
    np.testing.assert_allclose(log_p.numpy(), expected, rtol=1e-8)
    single = NegativeBinomial(torch.tensor([math.log(5.0)]).float(), torch.tensor([16.0]).float())
    np.testing.assert_allclose(single.log_prob_elements(x.float()).numpy(), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("count", [0.0, 1.0, 255.0, 1e6])
def test_negative_binomial_far_out_is_finite(count: float) -> None:
    found = []
    for dtype in (torch.float32, torch.float64):
        log_mean = torch.tensor([-30.0, -5.0, 0.0, 5.0, 20.0], dtype=dtype).repeat(4).requires_grad_()
        log_r = torch.tensor([-9.0, 0.0, 5.0, 14.0], dtype=dtype).repeat_interleave(5).requires_grad_()
        log_p = NegativeBinomial(log_mean, log_r).log_prob_elements(torch.full_like(log_mean, count))
        assert all(g.isfinite().all() for g in torch.autograd.grad(log_p.sum(), [log_mean, log_r]))
        found.append(log_p.detach().double())
    torch.testing.assert_close(found[0], found[1], rtol=3e-5, atol=1e-4)


C = 3
WEIGHTS, LOC = _numbers(*BATCH, C, *EVENT, seed=5), 4.0 + 3.0 * _numbers(*BATCH, C, *EVENT, seed=6)
LOG_SCALE = 0.5 * _numbers(*BATCH, C, *EVENT, seed=7)
LEVELS = 9
MIXTURE = DiscretizedLogisticMixture(WEIGHTS, LOC, LOG_SCALE, LEVELS, 2)


def _masses() -> np.ndarray:
    """P of every level by the weighted sum itself, shape (k, *B, *E)."""
    law = scipy.stats.logistic(LOC.numpy(), np.exp(LOG_SCALE.numpy()))
    share = np.exp(WEIGHTS.numpy())
    share /= share.sum(1, keepdims=True)
    edges = [law.cdf(level + 0.5) for level in range(LEVELS - 1)]
    cells = np.diff(np.stack([np.zeros_like(edges[0]), *edges, np.ones_like(edges[0])]), axis=0)
    return np.asarray((share * cells).sum(2))


def test_mixture_is_the_weighted_sum_of_its_components() -> None:
    x = torch.arange(float(LEVELS)).reshape(-1, 1, 1, 1).expand(-1, *BATCH, *EVENT)
    masses = _masses()
    np.testing.assert_allclose(MIXTURE.log_prob_elements(x).exp().numpy(), masses, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(MIXTURE.log_prob_elements(x).exp().sum(0).numpy(), 1.0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(MIXTURE.log_prob(x).numpy(), np.log(masses).sum((-1, -2)), rtol=1e-10)
    assert MIXTURE.log_prob(x).shape == (LEVELS, *BATCH)
    levels = np.arange(LEVELS).reshape(-1, 1, 1, 1)
    mean = (levels * masses).sum(0)
    np.testing.assert_allclose(MIXTURE.mean.numpy(), mean, rtol=0, atol=0.05)
    np.testing.assert_allclose(MIXTURE.variance.numpy(), (levels**2 * masses).sum(0) - mean**2, rtol=1e-9)


def test_mixture_samples_have_the_frequencies_of_the_density() -> None:
    """Counts against their exact binomial law, 216 of them: a new seed fails with probability below 2e-4."""
    draws = MIXTURE.sample((4000,), generator=torch.Generator().manual_seed(0))
    assert draws.shape == (4000, *BATCH, *EVENT)
    for level, mass in enumerate(_masses()):
        count = (draws == level).sum(0).numpy()
        law = scipy.stats.binom(4000, mass)
        tail = 2 * np.minimum(law.cdf(count), law.sf(count - 1))
        assert tail.min() > FAILURE_PROBABILITY, f"level {level} is too frequent or too rare in the samples"


def test_mixture_of_one_is_the_discretised_logistic() -> None:
    one = DiscretizedLogisticMixture(WEIGHTS[:, :1], LOC[:, :1], LOG_SCALE[:, :1], LEVELS, 2)
    x = torch.full((*BATCH, *EVENT), 3.0)
    torch.testing.assert_close(one.log_prob(x), DiscretizedLogistic(LOC[:, 0], LOG_SCALE[:, 0], LEVELS, 2).log_prob(x))


def test_mixture_far_out_has_digits_and_gradients() -> None:
    """A level a hundred scales away from every component, and weights that are all but zero."""
    weights = torch.tensor([[-200.0], [0.0], [300.0]], requires_grad=True)
    density = DiscretizedLogisticMixture(weights, torch.zeros(3, 1), torch.zeros(3, 1), 256)
    log_p = density.log_prob(torch.tensor([100.0]))
    assert log_p.item() == pytest.approx(math.log(1 - math.exp(-1)) - 99.5, abs=1e-9)
    (gradient,) = torch.autograd.grad(log_p.sum(), weights)
    assert gradient.isfinite().all()

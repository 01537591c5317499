"""Densities against known answers: SciPy's, a total of one, and the frequencies of their own samples.

Letters: S samples, B batch, E event. Shapes have three different lengths everywhere, so that a wrong axis shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor

from latentia.distributions import Bernoulli, Binomial, Categorical, DiagonalNormal, DiscretizedLogistic, UnitNormal
from latentia.distributions.base import FactorisedDistribution
from tests.tolerance import FAILURE_PROBABILITY, assert_mean

pytestmark = pytest.mark.usefixtures("float64")

BATCH, EVENT = (2,), (3, 4)


def _numbers(*shape: int, seed: int = 0, scale: float = 1.5) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, scale, shape))


LOGITS = _numbers(*BATCH, *EVENT)
MANY_LOGITS = _numbers(*BATCH, *EVENT, 5, seed=1)
LOC = _numbers(*BATCH, *EVENT, seed=2)
LOG_SCALE = _numbers(*BATCH, *EVENT, seed=3, scale=0.4)
PROBABILITY = 1 / (1 + np.exp(-LOGITS.numpy()))
WEIGHTS = np.exp(MANY_LOGITS.numpy())
WEIGHTS /= WEIGHTS.sum(-1, keepdims=True)


def _cells(x: np.ndarray) -> np.ndarray:
    """Probability of each level of a logistic with centre 2 + LOC, cut into unit cells, on 6 levels."""
    law = scipy.stats.logistic(2.0 + LOC.numpy(), np.exp(LOG_SCALE.numpy()))
    upper = np.where(x == 5, 1.0, law.cdf(x + 0.5))
    lower = np.where(x == 0, 0.0, law.cdf(x - 0.5))
    return np.asarray(np.log(upper - lower))


def _categorical(x: np.ndarray) -> np.ndarray:
    weights = np.broadcast_to(WEIGHTS, (*x.shape, 5))
    return np.asarray(np.log(np.take_along_axis(weights, x[..., None].astype(int), -1)[..., 0]))


@dataclass(frozen=True)
class Case:
    """A density, how many levels it has, and log p of every element by other means."""

    density: FactorisedDistribution
    levels: int
    expected: Callable[[np.ndarray], np.ndarray]


DISCRETE = {
    "bernoulli": Case(Bernoulli(LOGITS, 2), 2, lambda x: scipy.stats.bernoulli.logpmf(x, PROBABILITY)),
    "binomial": Case(Binomial(LOGITS, 4, 2), 5, lambda x: scipy.stats.binom.logpmf(x, 4, PROBABILITY)),
    "categorical": Case(Categorical(MANY_LOGITS, 2), 5, _categorical),
    "discretised logistic": Case(DiscretizedLogistic(2.0 + LOC, LOG_SCALE, 6, 2), 6, _cells),
}
each_discrete = pytest.mark.parametrize("case", DISCRETE.values(), ids=DISCRETE)


@each_discrete
def test_log_prob_is_scipys_summed_over_the_event(case: Case) -> None:
    x = np.random.default_rng(4).integers(0, case.levels, (7, *BATCH, *EVENT)).astype(np.float64)
    elements = case.density.log_prob_elements(torch.from_numpy(x))
    np.testing.assert_allclose(elements.numpy(), case.expected(x), rtol=1e-10, atol=1e-10)
    log_p = case.density.log_prob(torch.from_numpy(x))
    assert log_p.shape == (7, *BATCH)
    np.testing.assert_allclose(log_p.numpy(), case.expected(x).sum((-1, -2)), rtol=1e-10)


@each_discrete
def test_probabilities_of_all_levels_sum_to_one(case: Case) -> None:
    x = torch.arange(case.levels).reshape(-1, 1, 1, 1).expand(-1, *BATCH, *EVENT)
    total = case.density.log_prob_elements(x).exp().sum(0)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0.0, atol=1e-12)


@each_discrete
def test_samples_have_the_frequencies_of_the_density(case: Case) -> None:
    """Counts against their exact binomial law, at most 144 of them: a new seed fails with probability below 1e-4."""
    draws = case.density.sample((4000,), generator=torch.Generator().manual_seed(0))
    assert draws.shape == (4000, *BATCH, *EVENT)
    for level in range(case.levels):
        count = (draws == level).sum(0).numpy()
        law = scipy.stats.binom(4000, np.exp(case.expected(np.full((*BATCH, *EVENT), float(level)))))
        tail = 2 * np.minimum(law.cdf(count), law.sf(count - 1))
        assert tail.min() > FAILURE_PROBABILITY, f"level {level} is too frequent or too rare in the samples"


@each_discrete
def test_moments_are_those_of_the_probabilities(case: Case) -> None:
    levels = np.arange(case.levels, dtype=np.float64).reshape(-1, 1, 1, 1)
    mass = np.exp(case.expected(np.broadcast_to(levels, (case.levels, *BATCH, *EVENT))))
    mean = (levels * mass).sum(0)
    # The discretised logistic's mean is an integral in place of a sum, and says how good it is.
    tolerance = 0.05 if isinstance(case.density, DiscretizedLogistic) else 1e-12
    np.testing.assert_allclose(case.density.mean.numpy(), mean, rtol=0.0, atol=tolerance)
    variance = (levels**2 * mass).sum(0) - mean**2
    np.testing.assert_allclose(case.density.variance.numpy(), variance, rtol=0.0, atol=1e-12)


def test_two_pixels_sum_to_one_over_all_images() -> None:
    """log p of an image is a sum over its pixels, so the probabilities of all images add up to one."""
    density = Categorical(MANY_LOGITS[0, 0, :2], 1)
    images = torch.tensor(list(itertools.product(range(5), repeat=2)))
    assert float(density.log_prob(images).exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_discretised_logistic_far_out_neither_underflows_nor_needs_a_floor() -> None:
    """At 100 scales from its centre a cell has log-mass log(1 − e^{−1/s}) − (distance − ½)/s to all digits."""
    density = DiscretizedLogistic(torch.zeros(1), torch.zeros(1), 256, 1)
    assert float(density.log_prob(torch.tensor([100.0]))) == pytest.approx(np.log(1 - np.exp(-1.0)) - 99.5, abs=1e-9)


NORMAL = DiagonalNormal(LOC, LOG_SCALE, 2)


def test_normal_is_scipys_and_integrates_to_one() -> None:
    x = _numbers(7, *BATCH, *EVENT, seed=5)
    expected = scipy.stats.norm.logpdf(x.numpy(), LOC.numpy(), np.exp(LOG_SCALE.numpy()))
    np.testing.assert_allclose(NORMAL.log_prob_elements(x).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(NORMAL.log_prob(x).numpy(), expected.sum((-1, -2)), rtol=1e-12)
    one = DiagonalNormal(torch.tensor([0.3]), torch.tensor([-0.7]), 1)
    total, _ = scipy.integrate.quad(lambda v: float(one.log_prob(torch.tensor([v])).exp()), -6.0, 6.0)
    assert total == pytest.approx(1.0, abs=1e-9)


def test_normal_samples_moments_and_entropy() -> None:
    """Five standard errors for 24 means and 24 variances; chance of a false alarm below 3e-5, seed fixed."""
    draws = NORMAL.sample((4000,), generator=torch.Generator().manual_seed(1)).numpy()
    assert_mean(draws, LOC.numpy())
    assert_mean((draws - LOC.numpy()) ** 2, np.exp(2 * LOG_SCALE.numpy()))
    np.testing.assert_allclose(NORMAL.stddev.numpy(), np.exp(LOG_SCALE.numpy()))
    np.testing.assert_allclose(NORMAL.variance.numpy(), np.exp(2 * LOG_SCALE.numpy()))
    expected = scipy.stats.norm.entropy(LOC.numpy(), np.exp(LOG_SCALE.numpy())).sum((-1, -2))
    np.testing.assert_allclose(NORMAL.entropy().numpy(), expected, rtol=1e-12)


def test_reparameterised_draw_is_mean_plus_scale_times_noise() -> None:
    noise = _numbers(5, *BATCH, *EVENT, seed=6)
    torch.testing.assert_close(NORMAL.rsample_from(noise), LOC + LOG_SCALE.exp() * noise)


def test_unit_normal_is_the_standard_normal() -> None:
    x = _numbers(5, 2, 3, seed=7)
    expected = scipy.stats.norm.logpdf(x.numpy()).sum(-1)
    prior = UnitNormal(torch.zeros(3))
    np.testing.assert_allclose(prior.log_prob(x).numpy(), expected, rtol=1e-12)
    draws = prior.sample((4000,), generator=torch.Generator().manual_seed(2)).numpy()
    assert_mean(draws, np.zeros(3))
    assert_mean(draws**2, np.ones(3))

"""The baseline against counting: each likelihood's maximum, smoothed as documented."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from latentia.distributions import DiscretizedLogistic
from latentia.models import IndependentPixels
from latentia.networks import Constant
from latentia.parts import (
    BernoulliLikelihood,
    BinomialLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
)
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

EVENT = (2, 3)
RANDOM = np.random.default_rng(0)


def test_bernoulli_counts_smoothed_by_one() -> None:
    x = torch.from_numpy(RANDOM.integers(0, 2, (10, *EVENT)))
    x[:, 0, 0] = 1  # a pixel that never changes: no log p may be infinite
    model = IndependentPixels(BernoulliLikelihood(Constant(6), EVENT))
    model.fit(x)
    p = (x.sum(0) + 1) / 12
    torch.testing.assert_close(model().mean, p)
    expected = (x * p.log() + (1 - x) * (1 - p).log()).sum((-1, -2))
    torch.testing.assert_close(model.log_prob(x), expected)


def test_binomial_counts_smoothed_by_one() -> None:
    x = torch.from_numpy(RANDOM.integers(0, 5, (10, *EVENT)))
    model = IndependentPixels(BinomialLikelihood(Constant(6), EVENT, levels=5))
    model.fit(x)
    p = ((x.sum(0) + 1) / 42).numpy()
    expected = scipy.stats.binom.logpmf(x.numpy(), 4, p).sum((-1, -2))
    np.testing.assert_allclose(model.log_prob(x).detach().numpy(), expected, rtol=1e-10)


def test_categorical_counts_smoothed_by_one() -> None:
    x = torch.from_numpy(RANDOM.integers(0, 4, (10, *EVENT)))
    x[:, 1, 2] = 3
    model = IndependentPixels(CategoricalLikelihood(Constant(24), EVENT, levels=4))
    model.fit(x)
    counts = torch.stack([(x == level).sum(0) for level in range(4)])
    p = (counts + 1) / 14
    expected = torch.gather(p.log(), 0, x).sum((-1, -2))
    torch.testing.assert_close(model.log_prob(x), expected)


@pytest.mark.parametrize("variance", ["shared", "per_output", "network"])
def test_gaussian_moments(variance: str) -> None:
    x = torch.from_numpy(RANDOM.normal(2.0, [[1.0, 2.0, 3.0], [0.5, 1.0, 2.0]], (50, *EVENT)))
    model = IndependentPixels(
        GaussianLikelihood(Constant(12 if variance == "network" else 6), EVENT, variance=variance)
    )
    model.fit(x)
    spread = x.var(0, correction=0)
    pooled = spread.mean().expand(EVENT) if variance == "shared" else spread
    expected = scipy.stats.norm.logpdf(x.numpy(), x.mean(0).numpy(), pooled.sqrt().numpy()).sum((-1, -2))
    np.testing.assert_allclose(model.log_prob(x).detach().numpy(), expected, rtol=1e-10)


def test_discretised_logistic_is_at_its_optimum() -> None:
    """No closed form: the gradient of the smoothed likelihood is zero there, and steps to either side are worse."""
    x = torch.from_numpy(RANDOM.binomial(15, 0.4, (60, *EVENT)))
    part = DiscretizedLogisticLikelihood(Constant(12), EVENT, levels=16)
    model = IndependentPixels(part)
    model.fit(x)
    weights = torch.stack([(x == level).sum(0) for level in range(16)]) + 1 / 16
    levels = torch.arange(16.0).reshape(-1, 1, 1)
    density = model()
    assert isinstance(density, DiscretizedLogistic)
    loc = density.loc.detach().clone().requires_grad_()
    log_scale = density.log_scale.detach().clone().requires_grad_()
    fitted = DiscretizedLogistic(loc, log_scale, 16, 2)
    value = (weights * fitted.log_prob_elements(levels)).sum()
    for gradient in torch.autograd.grad(value, [loc, log_scale]):
        assert float(gradient.abs().max()) < 1e-3 * float(weights.sum())
    for change in (-0.1, 0.1):
        moved = DiscretizedLogistic(density.loc.detach() + change, density.log_scale.detach(), 16, 2)
        assert float((weights * moved.log_prob_elements(levels)).sum()) < float(value.detach())


def test_samples_follow_it() -> None:
    model = IndependentPixels(BernoulliLikelihood(Constant(6), EVENT))
    model.fit(torch.from_numpy(RANDOM.integers(0, 2, (10, *EVENT))))
    draws = model.sample(4000, generator=torch.Generator().manual_seed(0))
    assert draws.shape == (4000, *EVENT)
    assert_mean(draws.numpy(), model().mean.detach().numpy())

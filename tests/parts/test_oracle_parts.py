"""Parts against known answers: which output of the network is read as which parameter, in which unit.

The network is the identity, so that the context *is* the network's output.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from latentia.distributions import UnitNormal, kl_per_dimension
from latentia.errors import ConfigError
from latentia.networks import Constant
from latentia.parts import (
    BernoulliLikelihood,
    BinomialLikelihood,
    CategoricalLikelihood,
    DiagonalGaussian,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    StandardNormal,
)

pytestmark = pytest.mark.usefixtures("float64")

EVENT = (2, 3)


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, 1.0, shape))


FIRST, SECOND = _numbers(4, *EVENT), 0.3 * _numbers(4, *EVENT, seed=1)
BOTH = torch.cat([FIRST.flatten(1), SECOND.flatten(1)], -1)


def test_bernoulli_reads_log_odds() -> None:
    p = BernoulliLikelihood(nn.Identity(), EVENT)(FIRST.flatten(1))
    assert (p.batch_shape, p.event_shape) == ((4,), EVENT)
    torch.testing.assert_close(p.mean, 1 / (1 + (-FIRST).exp()))


def test_binomial_reads_log_odds_of_levels_minus_one_trials() -> None:
    p = BinomialLikelihood(nn.Identity(), EVENT, levels=17)(FIRST.flatten(1))
    torch.testing.assert_close(p.mean, 16 / (1 + (-FIRST).exp()))
    assert p.log_prob(torch.full((4, *EVENT), 16.0)).isfinite().all()


def test_categorical_reads_levels_before_the_event() -> None:
    raw = _numbers(4, 5, *EVENT, seed=2)
    p = CategoricalLikelihood(nn.Identity(), EVENT, levels=5)(raw.flatten(1))
    assert (p.batch_shape, p.event_shape) == ((4,), EVENT)
    x = torch.tensor([[0, 1, 2], [3, 4, 0]])
    expected = sum(raw[:, int(x[i, j]), i, j] - raw[:, :, i, j].exp().sum(-1).log() for i in range(2) for j in range(3))
    torch.testing.assert_close(p.log_prob(x), expected)


def test_discretised_logistic_reads_centre_and_log_scale_in_half_ranges() -> None:
    part = DiscretizedLogisticLikelihood(nn.Identity(), EVENT, levels=256)
    p = part(BOTH)
    law = scipy.stats.logistic(127.5 * (1 + FIRST.numpy()), 127.5 * np.exp(SECOND.numpy()))
    x = torch.full((4, *EVENT), 100.0)
    expected = np.log(law.cdf(100.5) - law.cdf(99.5)).sum((-1, -2))
    np.testing.assert_allclose(p.log_prob(x).numpy(), expected, rtol=1e-9)


def test_gaussian_reads_mean_and_log_standard_deviation() -> None:
    """The lectures' Σθ(z): the variance is an output of the network at z."""
    p = GaussianLikelihood(nn.Identity(), EVENT, variance="network")(BOTH)
    x = _numbers(4, *EVENT, seed=3)
    expected = scipy.stats.norm.logpdf(x.numpy(), FIRST.numpy(), np.exp(SECOND.numpy())).sum((-1, -2))
    np.testing.assert_allclose(p.log_prob(x).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("variance", ["shared", "per_output"])
def test_gaussian_learns_a_log_standard_deviation(variance: str) -> None:
    part = GaussianLikelihood(nn.Identity(), EVENT, variance=variance)
    assert part.log_scale.shape == (() if variance == "shared" else EVENT)
    with torch.no_grad():
        part.log_scale.fill_(math.log(2.0))
    torch.testing.assert_close(part(FIRST.flatten(1)).variance, torch.full((4, *EVENT), 4.0))


def test_squared_error_with_a_weight_is_a_gaussian_with_its_constant() -> None:
    """Log p(x | z) = −λ‖x − μ‖² − (D/2) log(π/λ) for σ² = 1/(2λ)."""
    weight, x = 3.0, _numbers(4, *EVENT, seed=4)
    p = GaussianLikelihood(nn.Identity(), EVENT, variance=1 / (2 * weight))(FIRST.flatten(1))
    expected = -weight * (x - FIRST).square().sum((-1, -2)) - 6 / 2 * math.log(math.pi / weight)
    torch.testing.assert_close(p.log_prob(x), expected)


def test_gaussian_floor_holds_the_scale_where_it_is_learned() -> None:
    raw = torch.cat([FIRST.flatten(1), torch.full((4, 6), -50.0)], -1)
    learned = GaussianLikelihood(nn.Identity(), EVENT, variance="network", min_scale=0.01)(raw)
    torch.testing.assert_close(learned.stddev, torch.full((4, *EVENT), 0.01))
    fixed = GaussianLikelihood(nn.Identity(), EVENT, variance=1e-10, min_scale=0.01)(FIRST.flatten(1))
    torch.testing.assert_close(fixed.stddev, torch.full((4, *EVENT), 1e-5))


@pytest.mark.parametrize("variance", ["none", 0.0, -1.0, math.inf, math.nan])
def test_gaussian_refuses_other_variances(variance: str | float) -> None:
    with pytest.raises(ConfigError, match="variance must be"):
        GaussianLikelihood(nn.Identity(), EVENT, variance=variance)


MEAN = torch.tensor([[0.2, 0.7, 0.4], [0.5, 0.1, 0.9]], dtype=torch.float64)
VARIANCE = torch.tensor([[0.3, 2.0, 0.8], [1.0, 0.5, 0.05]], dtype=torch.float64)


def test_moments_come_back() -> None:
    """The outputs chosen for given moments yield a distribution with these moments (that is how decoders start)."""
    network = nn.Identity()
    bernoulli = BernoulliLikelihood(network, EVENT)
    torch.testing.assert_close(bernoulli(bernoulli.raw_from_moments(MEAN, VARIANCE)).mean, MEAN)
    binomial = BinomialLikelihood(network, EVENT, levels=17)
    torch.testing.assert_close(binomial(binomial.raw_from_moments(16 * MEAN, VARIANCE)).mean, 16 * MEAN)
    gaussian = GaussianLikelihood(network, EVENT, variance="network")
    fitted = gaussian(gaussian.raw_from_moments(MEAN, VARIANCE))
    torch.testing.assert_close(fitted.mean, MEAN)
    torch.testing.assert_close(fitted.variance, VARIANCE)
    shared = GaussianLikelihood(network, EVENT, variance="shared")
    torch.testing.assert_close(shared(shared.raw_from_moments(MEAN, VARIANCE)).mean, MEAN)


def test_moments_of_the_discretised_logistic_come_back() -> None:
    """A logistic has variance π² s² / 3, and rounding adds 1/12: to about a percent far from the ends."""
    part = DiscretizedLogisticLikelihood(nn.Identity(), EVENT, levels=256)
    mean, variance = 100 + 50 * MEAN, 40 * VARIANCE
    p = part(part.raw_from_moments(mean, variance))
    levels = torch.arange(256.0).reshape(-1, 1, 1)
    mass = p.log_prob_elements(levels).exp()
    found = (levels * mass).sum(0)
    torch.testing.assert_close(found, mean, rtol=0.0, atol=1e-3)
    continuous = variance + 1 / 12  # what the scale was chosen for
    torch.testing.assert_close(
        (levels.square() * mass).sum(0) - found.square() - 1 / 12, continuous, rtol=0.02, atol=0.0
    )


def test_moments_of_the_categorical_are_those_of_a_normal_cut_into_levels() -> None:
    part = CategoricalLikelihood(nn.Identity(), EVENT, levels=9)
    mean, variance = 2 + 4 * MEAN, VARIANCE
    p = part(part.raw_from_moments(mean, variance))
    levels = torch.arange(9.0).reshape(-1, 1, 1)
    density = (-(levels - mean).square() / (2 * (variance + 1))).exp()
    expected = density / density.sum(0)
    torch.testing.assert_close(p.log_prob_elements(levels).exp(), expected)


def test_posterior_reads_mean_and_log_standard_deviation_and_stays_finite() -> None:
    part = DiagonalGaussian(nn.Identity())
    q = part(torch.tensor([[1.0, 2.0, 3.0, 0.0, math.log(2.0), -1e6], [0.0, 0.0, 0.0, 1e6, 0.0, 0.0]]))
    assert (q.batch_shape, q.event_shape) == ((2,), (3,))
    torch.testing.assert_close(q.mean[0], torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(q.stddev[0, :2], torch.tensor([1.0, 2.0]))
    assert q.log_scale.abs().max() <= 9.0
    assert q.stddev[0, 2] < 1e-3
    assert q.stddev[1, 0] > 1e3


def test_prior_is_standard_normal_and_follows_the_modules_dtype() -> None:
    prior = StandardNormal(3).float()
    assert prior().sample((2,)).dtype == torch.float32
    prior = prior.double()
    value = prior().log_prob(torch.zeros(3, dtype=torch.float64))
    assert float(value) == pytest.approx(-1.5 * math.log(2 * math.pi), abs=1e-12)
    assert list(prior.state_dict()) == []


def test_a_network_of_the_wrong_width_is_named() -> None:
    with pytest.raises(ConfigError, match="BinomialLikelihood needs a network with 1 × 6 outputs"):
        BinomialLikelihood(nn.Identity(), EVENT, levels=3)(torch.zeros(4, 7))


@pytest.mark.parametrize(("output", "sign"), [(20.0, 1.0), (-20.0, -1.0)])
def test_the_gradient_of_an_exploding_posterior_points_back(output: float, sign: float) -> None:
    """d KL / d log σ = σ² − 1 at the limit: a step downhill leads back inside."""
    network = Constant(2)
    with torch.no_grad():
        network.values.copy_(torch.tensor([0.0, output]))
    q = DiagonalGaussian(network)(torch.zeros(1, 1))
    kl_per_dimension(q, UnitNormal(torch.zeros(1))).sum().backward()
    assert network.values.grad is not None
    assert network.values.grad[1].item() == pytest.approx(math.expm1(2.0 * sign * 9.0))


def test_the_narrowest_scale_is_narrower_than_a_cell_for_any_number_of_levels() -> None:
    for levels in (2, 17, 256, 65_536):
        network = Constant(2)
        with torch.no_grad():
            network.values.copy_(torch.tensor([0.0, -100.0]))
            scale = DiscretizedLogisticLikelihood(network, (1,), levels)(torch.zeros(1)).log_scale.exp()
        assert 0.0 < scale.item() < 0.1

"""Continuous Bernoulli, Laplace and Student's t against SciPy, an integral of one and their own samples.

Letters: S samples, B batch, E event. Shapes have three different lengths everywhere, so that a wrong axis shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor

from latentia.distributions import ContinuousBernoulli, FactorisedDistribution, Laplace, StudentT
from tests.tolerance import FAILURE_PROBABILITY, assert_mean

pytestmark = pytest.mark.usefixtures("float64")

BATCH, EVENT = (2,), (3, 4)


def _numbers(*shape: int, seed: int = 0, scale: float = 1.5) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, scale, shape))


LOC, LOG_SCALE = _numbers(*BATCH, *EVENT, seed=2), _numbers(*BATCH, *EVENT, seed=3, scale=0.4)
LOGITS = _numbers(*BATCH, *EVENT, seed=4, scale=3.0)
DEGREES = 2.0 + _numbers(*BATCH, *EVENT, seed=5).exp()
SCALE = np.exp(LOG_SCALE.numpy())


class _Mirrored:
    """An exponential density cut off at 1, for either sign of its slope."""

    def __init__(self, slope: np.ndarray) -> None:
        self.up, self.rate = slope > 0, np.abs(slope)
        self.law = scipy.stats.truncexpon(self.rate, scale=1 / self.rate)

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.law.logpdf(np.where(self.up, 1 - x, x)))

    def cdf(self, x: np.ndarray) -> np.ndarray:
        mirrored = self.law.cdf(np.where(self.up, 1 - x, x))
        return np.asarray(np.where(self.up, 1 - mirrored, mirrored))

    def mean(self) -> np.ndarray:
        return np.asarray(np.where(self.up, 1 - self.law.mean(), self.law.mean()))

    def var(self) -> np.ndarray:
        return np.asarray(self.law.var())


@dataclass(frozen=True)
class Case:
    """A density, SciPy's law for it, where its values lie and a density of one element at (0.3, −0.7)."""

    density: FactorisedDistribution
    law: Any
    draw: Callable[[np.random.Generator], np.ndarray]
    one: FactorisedDistribution
    ends: tuple[float, float]


def _reals(rng: np.random.Generator) -> np.ndarray:
    return np.asarray(4.0 * rng.normal(size=(7, *BATCH, *EVENT)))


A, B = torch.tensor([0.3]), torch.tensor([-0.7])
INFINITE = (-np.inf, np.inf)
CASES = {
    "continuous Bernoulli": Case(
        ContinuousBernoulli(LOGITS, 2),
        _Mirrored(LOGITS.numpy()),
        lambda rng: np.asarray(rng.uniform(size=(7, *BATCH, *EVENT))),
        ContinuousBernoulli(10 * A),
        (0.0, 1.0),
    ),
    "Laplace": Case(
        Laplace(LOC, LOG_SCALE, 2), scipy.stats.laplace(LOC.numpy(), SCALE), _reals, Laplace(A, B), INFINITE
    ),
    "Student's t": Case(
        StudentT(LOC, LOG_SCALE, DEGREES, 2),
        scipy.stats.t(DEGREES.numpy(), LOC.numpy(), SCALE),
        _reals,
        StudentT(A, B, torch.tensor([3.0])),
        INFINITE,
    ),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@each
def test_log_prob_is_scipys_summed_over_the_event(case: Case) -> None:
    x = case.draw(np.random.default_rng(6))
    expected = case.law.logpdf(x)
    np.testing.assert_allclose(case.density.log_prob_elements(torch.from_numpy(x)).numpy(), expected, atol=1e-12)
    log_p = case.density.log_prob(torch.from_numpy(x))
    assert log_p.shape == (7, *BATCH)
    np.testing.assert_allclose(log_p.numpy(), expected.sum((-1, -2)), rtol=1e-12)


@each
def test_moments_are_scipys(case: Case) -> None:
    np.testing.assert_allclose(case.density.mean.numpy(), case.law.mean(), rtol=1e-10)
    np.testing.assert_allclose(case.density.variance.numpy(), case.law.var(), rtol=1e-9)
    assert case.density.variance.shape == (*BATCH, *EVENT)


@each
def test_density_integrates_to_one(case: Case) -> None:
    total, _ = scipy.integrate.quad(lambda v: float(case.one.log_prob(torch.tensor([v])).exp()), *case.ends)
    assert total == pytest.approx(1.0, abs=1e-7)


@each
def test_samples_follow_the_distribution_function(case: Case) -> None:
    """F(x) of a draw is uniform: Kolmogorov and Smirnov's test on all elements at once, and on each one's mean."""
    draws = case.density.sample((2000,), generator=torch.Generator().manual_seed(0))
    assert draws.shape == (2000, *BATCH, *EVENT)
    uniforms = case.law.cdf(draws.numpy())
    assert scipy.stats.kstest(uniforms.ravel(), "uniform").pvalue > FAILURE_PROBABILITY
    assert_mean(uniforms, np.full((*BATCH, *EVENT), 0.5))
    again = case.density.sample((2000,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(again, draws)


SLOPES = [0.0, 1e-12, 1e-5, -1e-3, 0.1, 0.59, -0.61, 1.0, -20.0, 300.0]


@pytest.mark.parametrize("slope", SLOPES)
def test_continuous_bernoulli_is_smooth_where_its_slope_vanishes(slope: float) -> None:
    """Where λ = ½ the closed form is 0/0; the integral is not."""
    shift = max(slope, 0.0)  # e^{xℓ − shift} does not overflow
    powers = [
        scipy.integrate.quad(lambda x, n=n: x**n * np.exp(slope * x - shift), 0, 1, epsabs=0, points=[0.01, 0.99])[0]
        for n in range(3)
    ]
    mean, square = powers[1] / powers[0], powers[2] / powers[0]
    logits = torch.tensor([slope], requires_grad=True)
    density, x = ContinuousBernoulli(logits), torch.tensor([0.3])
    log_p = density.log_prob(x)
    assert log_p.item() == pytest.approx(0.3 * slope - np.log(powers[0]) - shift, abs=1e-11)
    assert density.mean.item() == pytest.approx(mean, abs=1e-11)
    assert density.variance.item() == pytest.approx(square - mean**2, abs=1e-11)
    (gradient,) = torch.autograd.grad(log_p.sum(), logits)  # of an exponential family: x − E[x]
    assert gradient.item() == pytest.approx(0.3 - mean, abs=1e-10)


def test_continuous_bernoulli_at_its_walls() -> None:
    """At slopes of 10⁶ the density at the wall is 10⁶, and one unit further log p has fallen by 10⁶."""
    density = ContinuousBernoulli(torch.tensor([1e6, -1e6, 1e6]))
    log_p = density.log_prob_elements(torch.tensor([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(log_p.numpy(), [np.log(1e6), np.log(1e6), np.log(1e6) - 1e6], rtol=1e-12)
    draws = ContinuousBernoulli(torch.tensor([1e6, -1e6, 0.0, -1e-9])).sample((1000,), torch.Generator().manual_seed(1))
    assert draws.min() >= 0
    assert draws.max() <= 1
    assert_mean(draws[:, 2:].numpy(), [0.5, 0.5])


def test_many_degrees_of_freedom_are_a_gaussian_and_two_have_no_variance() -> None:
    x = _numbers(50, 1, seed=7)
    nearly = StudentT(torch.zeros(1), torch.zeros(1), torch.tensor([1e7])).log_prob(x)
    np.testing.assert_allclose(nearly.numpy(), scipy.stats.norm.logpdf(x.numpy())[:, 0], atol=1e-5)
    heavy = StudentT(torch.zeros(2), torch.zeros(2), torch.tensor([2.0, 0.9]))
    assert heavy.variance.isinf().all()
    assert heavy.mean[0] == 0.0
    assert heavy.mean[1].isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_heavy_tails_do_not_overflow(dtype: torch.dtype) -> None:
    """log p at 10³⁰ is a number, whose square is none in single precision, and so is its gradient."""
    loc = torch.zeros(1, dtype=dtype, requires_grad=True)
    log_scale = torch.zeros(1, dtype=dtype, requires_grad=True)
    degrees = torch.full((1,), 4.0, dtype=dtype, requires_grad=True)
    log_p = StudentT(loc, log_scale, degrees).log_prob(torch.tensor([1e30], dtype=dtype))
    assert log_p.item() == pytest.approx(float(scipy.stats.t(4).logpdf(1e30)), rel=1e-6)
    for gradient in torch.autograd.grad(log_p, [loc, log_scale, degrees]):
        assert gradient.isfinite().all()


EXTREMES: dict[str, Callable[[Tensor, Tensor], FactorisedDistribution]] = {
    "continuous Bernoulli": lambda a, b: ContinuousBernoulli(a * b.exp()),
    "Laplace": Laplace,
    "Student's t": lambda a, b: StudentT(a, b, 2.0 + (-b).exp()),
}


@pytest.mark.parametrize("make", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("value", [0.0, 1e-30, 0.5, 1.0])
def test_single_precision_agrees_with_double_and_gradients_are_finite(make: Any, value: float) -> None:
    a = torch.tensor([-50.0, -3.0, -1e-4, 0.0, 1e-4, 0.5, 3.0, 50.0]).repeat_interleave(5)
    b = torch.tensor([-6.9, -2.0, 0.0, 2.0, 9.0]).repeat(8)
    found = []
    for dtype in (torch.float32, torch.float64):
        one, two = (t.to(dtype, copy=True).requires_grad_() for t in (a, b))
        elements = make(one, two).log_prob_elements(torch.full_like(one, value))
        gradients = torch.autograd.grad(elements.sum(), [one, two])
        assert all(gradient.isfinite().all() for gradient in gradients)
        found.append(elements.detach().double())
    torch.testing.assert_close(found[0], found[1], rtol=3e-6, atol=3e-6)


def test_second_derivatives_of_the_continuous_bernoulli_are_minus_its_variances() -> None:
    """Its own first derivative is differentiated like any other: −A″(ℓ), also where ℓ is 0."""
    logits = torch.tensor([-30.0, -0.2, -0.05, 0.0, 1e-6, 0.05, 0.3, 8.0], requires_grad=True)
    density = ContinuousBernoulli(logits)
    (first,) = torch.autograd.grad(density.log_prob(torch.full((8,), 0.3)), logits, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), logits)
    torch.testing.assert_close(second, -density.variance.detach(), rtol=1e-9, atol=1e-12)

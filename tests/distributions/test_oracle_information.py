"""Entropies and divergences against SciPy, exact sums and integrals, and the identity H(p, q) = H(p) + KL(p‖q)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from latentia.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    DiagonalNormal,
    DiscretizedLogistic,
    FullNormal,
    Laplace,
    Mixture,
    UnitNormal,
    cross_entropy,
    entropy,
    jensen_shannon,
    kl,
)
from latentia.errors import ConfigError
from tests.tolerance import SIGMAS

pytestmark = pytest.mark.usefixtures("float64")


def _numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, scale, shape))


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


FACTOR = torch.tril(_numbers(4, 3, 3, seed=1, scale=0.4), -1) + torch.diag_embed(_numbers(4, 3, seed=2).exp())
# Four values each, so that all pairs have a common measure; the last of a batch of one.
DISCRETE: dict[str, Any] = {
    "binomial": Binomial(_numbers(4, 3), 3),
    "categorical": Categorical(_numbers(4, 3, 4, seed=3)),
    "discretised logistic": DiscretizedLogistic(1.5 + _numbers(4, 3, seed=4), _numbers(4, 3, seed=5, scale=0.3), 4),
    "one categorical": Categorical(_numbers(3, 4, seed=6)),
}
GAUSSIAN: dict[str, Any] = {
    "unit": UnitNormal(torch.zeros(3).double()),
    "diagonal": DiagonalNormal(_numbers(4, 3, seed=7), _numbers(4, 3, seed=8, scale=0.5)),
    "one diagonal": DiagonalNormal(_numbers(3, seed=9), _numbers(3, seed=10, scale=0.5)),
    "full": FullNormal(_numbers(4, 3, seed=11), FACTOR),
    "mixture of one": Mixture(
        torch.zeros(1).double(), DiagonalNormal(_numbers(1, 3, seed=12), _numbers(1, 3, seed=13))
    ),
}
PAIRS = [pair for family in (DISCRETE, GAUSSIAN) for pair in itertools.product(family.values(), repeat=2)]
NAMES = [" – ".join(pair) for family in (DISCRETE, GAUSSIAN) for pair in itertools.product(family, repeat=2)]
each_pair = pytest.mark.parametrize(("p", "q"), PAIRS, ids=NAMES)
SAMPLED: dict[str, Any] = {
    "mixture": Mixture(torch.zeros(2).double(), DiagonalNormal(_numbers(2, 3, seed=14), _numbers(2, 3, seed=15) - 1)),
    **{name: GAUSSIAN[name] for name in ("unit", "full")},
}


@each_pair
def test_cross_entropy_is_entropy_plus_divergence(p: Any, q: Any) -> None:
    """Three formulas of their own, for every pair; and each against a mean over draws."""
    h, cost, divergence = entropy(p), cross_entropy(p, q), kl(p, q)
    torch.testing.assert_close(cost.value, h.value + divergence.value, atol=1e-10, rtol=1e-10)
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    assert cost.value.shape == divergence.value.shape == batch
    for measure in (h, cost, divergence):
        assert torch.equal(measure.standard_error, torch.zeros_like(measure.value))
    assert (divergence.value >= -1e-12).all()
    x = p.sample((2000, *batch[: len(batch) - len(p.batch_shape)]), generator=_seeded())
    surprise = -q.log_prob(x)
    error = surprise.std(0) / math.sqrt(2000)
    assert ((surprise.mean(0) - cost.value).abs() <= SIGMAS * error).all()


@pytest.mark.parametrize("p", DISCRETE.values(), ids=DISCRETE)
def test_discrete_entropy_is_the_sum_over_all_events(p: Any) -> None:
    """All 4³ events one by one: it is not negative, and at most three times log 4."""
    events = torch.cartesian_prod(*[torch.arange(4)] * 3)
    log_p = p.log_prob(events.reshape(64, *(1,) * len(p.batch_shape), 3).expand(64, *p.batch_shape, 3))
    torch.testing.assert_close(entropy(p).value, -(log_p.exp() * log_p).sum(0))
    assert (entropy(p).value >= 0).all()
    assert (entropy(p).value <= 3 * math.log(4)).all()


def test_known_entropies() -> None:
    """A fair coin is one bit, a fair four-sided die two; a certain outcome none; the binomial's is SciPy's."""
    assert float(entropy(Bernoulli(torch.zeros(1)), unit="bits").value) == pytest.approx(1.0)
    assert float(entropy(Categorical(torch.zeros(1, 4)), unit="bits").value) == pytest.approx(2.0)
    assert float(entropy(Bernoulli(torch.zeros(1))).value) == pytest.approx(math.log(2))
    certain = Categorical(torch.tensor([[0.0, -math.inf, -math.inf]]))
    assert float(entropy(certain).value) == 0.0
    half = Binomial(torch.tensor([0.4]), 6)
    assert float(entropy(half).value) == pytest.approx(scipy.stats.binom(6, 1 / (1 + math.exp(-0.4))).entropy())


def test_differential_entropy_can_be_negative() -> None:
    narrow = DiagonalNormal(torch.zeros(1), torch.tensor([-3.0]))
    expected = scipy.stats.norm(0.0, math.exp(-3.0)).entropy()
    assert expected < 0
    assert float(entropy(narrow).value) == pytest.approx(expected)
    assert float(entropy(narrow, unit="bits").value) == pytest.approx(expected / math.log(2))
    q = GAUSSIAN["full"]
    torch.testing.assert_close(entropy(q).value, MultivariateNormal(q.loc, scale_tril=FACTOR).entropy())
    assert float(cross_entropy(narrow, narrow).value) == pytest.approx(expected)


def test_the_printed_misprint_is_not_what_is_computed() -> None:
    """KL(N(μ, σ²)‖N(0, 1)) = ½(σ² + μ² − 1 − log σ²), against the integral, at σ ≠ 1 and μ ≠ 0."""
    mu, sigma = 0.7, 1.6
    p, q = DiagonalNormal(torch.tensor([mu]), torch.tensor([math.log(sigma)])), UnitNormal(torch.zeros(1))

    def integrand(x: float, forward: bool) -> float:
        one, other = scipy.stats.norm(mu, sigma), scipy.stats.norm()
        first, second = (one, other) if forward else (other, one)
        return float(first.pdf(x) * (first.logpdf(x) - second.logpdf(x)))

    forward, _ = scipy.integrate.quad(integrand, -15, 15, args=(True,))
    backward, _ = scipy.integrate.quad(integrand, -15, 15, args=(False,))
    printed = 0.5 * (math.log(sigma**2) + 1 / sigma**2 + mu**2 - 1)
    assert float(kl(p, q).value) == pytest.approx(forward, abs=1e-9)
    assert float(kl(q, p).value) == pytest.approx(backward, abs=1e-9)
    assert min(abs(printed - forward), abs(printed - backward)) > 0.1
    assert abs(forward - backward) > 0.1  # no distance: not symmetric


def test_cross_entropies_differ_in_general_and_agree_for_equal_variances() -> None:
    p, q = GAUSSIAN["diagonal"], GAUSSIAN["one diagonal"]
    assert ((cross_entropy(p, q).value - cross_entropy(q, p).value).abs() > 0.01).all()
    one, other = (DiagonalNormal(torch.tensor([mean]), torch.tensor([0.4])) for mean in (0.0, 3.0))
    torch.testing.assert_close(cross_entropy(one, other).value, cross_entropy(other, one).value)


def test_a_value_that_q_lacks_costs_infinitely_much() -> None:
    p, q = Binomial(torch.zeros(2, 1), 3), Bernoulli(torch.zeros(2, 1))
    assert torch.equal(kl(p, q).value, torch.full((2,), math.inf))
    assert torch.equal(cross_entropy(p, q).value, torch.full((2,), math.inf))
    assert kl(q, p).value.isfinite().all()
    sure = Categorical(torch.tensor([[[0.0, -math.inf]], [[0.0, -math.inf]]]))
    torch.testing.assert_close(kl(sure, q).value, torch.full((2,), math.log(2)))  # 0 log 0 is 0
    torch.testing.assert_close(jensen_shannon(sure, q).value, jensen_shannon(q, sure).value)


@pytest.mark.parametrize(("p", "q"), list(itertools.product(DISCRETE.values(), repeat=2)))
def test_discrete_jensen_shannon_is_symmetric_bounded_and_of_the_whole_event(p: Any, q: Any) -> None:
    js = jensen_shannon(p, q).value
    torch.testing.assert_close(js, jensen_shannon(q, p).value)
    assert (js >= -1e-15).all()
    assert (js <= math.log(2)).all()
    assert torch.equal(jensen_shannon(p, q).standard_error, torch.zeros_like(js))
    events = torch.cartesian_prod(*[torch.arange(4)] * 3).unsqueeze(1).expand(64, 4, 3)
    one, two = p.log_prob(events).exp(), q.log_prob(events).exp()
    middle = (one + two) / 2
    expected = 0.5 * (one * (one / middle).log() + two * (two / middle).log()).sum(0)
    torch.testing.assert_close(js, expected[: js.numel()].reshape(js.shape), atol=1e-12, rtol=1e-9)


def test_jensen_shannon_does_not_split_over_elements() -> None:
    """For fourteen coins, nearly disjoint, it is one bit, where a sum over elements would be more than ten."""
    p, q = Bernoulli(torch.full((14,), 4.0)), Bernoulli(torch.full((14,), -4.0))
    exact = float(jensen_shannon(p, q, unit="bits").value)
    assert exact == pytest.approx(1.0, abs=1e-6)
    alone = float(jensen_shannon(Bernoulli(torch.tensor([4.0])), Bernoulli(torch.tensor([-4.0])), unit="bits").value)
    assert 14 * alone > 10
    many = jensen_shannon(
        Bernoulli(torch.full((50,), 0.3)), Bernoulli(torch.full((50,), -0.3)), unit="bits", generator=_seeded()
    )
    assert 0.0 < float(many.standard_error) < 0.02
    assert float(many.value) <= 1.0


@pytest.mark.parametrize(("p", "q"), list(itertools.product(SAMPLED.values(), repeat=2)))
def test_sampled_jensen_shannon_is_symmetric_within_its_error(p: Any, q: Any) -> None:
    one, two = (
        jensen_shannon(a, b, num_samples=4000, generator=_seeded(seed)) for a, b, seed in ((p, q, 1), (q, p, 2))
    )
    error = (one.standard_error.square() + two.standard_error.square()).sqrt()
    assert ((one.value - two.value).abs() <= SIGMAS * error).all()
    assert (one.value <= math.log(2)).all()
    if p is q:
        torch.testing.assert_close(one.value, torch.zeros_like(one.value), atol=1e-14, rtol=0.0)


def test_sampled_measures_are_the_integrals_within_their_error() -> None:
    """Two mixtures on a line; sampled with 10,000 draws, integrated by quadrature."""
    p = Mixture(torch.tensor([0.3, -0.2]), DiagonalNormal(torch.tensor([[-1.0], [1.5]]), torch.tensor([[-0.4], [0.1]])))
    q = Mixture(torch.zeros(2), DiagonalNormal(torch.tensor([[-2.0], [1.0]]), torch.tensor([[0.3], [0.0]])))

    def density(d: Mixture, x: float) -> float:
        return float(d.log_prob(torch.tensor([x])).exp())

    def integral(f: Any) -> float:
        return float(scipy.integrate.quad(lambda x: f(density(p, x), density(q, x)), -9.0, 9.0, limit=100)[0])

    exact = {
        "entropy": integral(lambda a, _: -a * math.log(a)),
        "cross": integral(lambda a, b: -a * math.log(b)),
        "kl": integral(lambda a, b: a * math.log(a / b)),
        "js": integral(lambda a, b: 0.5 * a * math.log(2 * a / (a + b)) + 0.5 * b * math.log(2 * b / (a + b))),
    }
    for unit, scale in (("nats", 1.0), ("bits", math.log(2))):
        found = {
            "entropy": entropy(p, unit=unit, generator=_seeded(1)),
            "cross": cross_entropy(p, q, unit=unit, generator=_seeded(2)),
            "kl": kl(p, q, unit=unit, generator=_seeded(3)),
            "js": jensen_shannon(p, q, unit=unit, generator=_seeded(4)),
        }
        for name, measure in found.items():
            off, error = abs(float(measure.value) - exact[name] / scale), float(measure.standard_error)
            assert off <= SIGMAS * error, name
            assert 0.0 < error < 0.02 / scale


def test_the_standard_error_is_that_of_repeated_estimates() -> None:
    p = SAMPLED["mixture"]
    repeats = [entropy(p, num_samples=200, generator=_seeded(seed)) for seed in range(300)]
    spread = float(torch.stack([one.value for one in repeats]).std())
    claimed = float(torch.stack([one.standard_error for one in repeats]).mean())
    assert claimed == pytest.approx(spread, rel=5 / math.sqrt(2 * 300))  # five standard errors of a standard deviation


def test_a_sampled_divergence_between_kinds_is_unbiased() -> None:
    """KL(Laplace‖normal) by quadrature: neither is a Gaussian of this room."""
    p, q = Laplace(torch.tensor([0.4]), torch.tensor([-0.2])), UnitNormal(torch.zeros(1))
    law = scipy.stats.laplace(0.4, math.exp(-0.2))
    exact, _ = scipy.integrate.quad(
        lambda x: law.pdf(x) * (law.logpdf(x) - scipy.stats.norm.logpdf(x)), -20, 20, points=[0.4], limit=200
    )
    found = kl(p, q, generator=_seeded())
    assert abs(float(found.value) - exact) <= SIGMAS * float(found.standard_error)


def test_what_cannot_be_asked_is_refused_in_a_sentence() -> None:
    p, q, m = Bernoulli(torch.zeros(3)), GAUSSIAN["one diagonal"], SAMPLED["mixture"]
    with pytest.raises(ConfigError, match="unit must be 'nats' or 'bits', got 'hartleys'"):
        entropy(p, unit="hartleys")
    with pytest.raises(ConfigError, match="Bernoulli gives probabilities and DiagonalNormal a density"):
        kl(p, q)
    with pytest.raises(ConfigError, match="Bernoulli gives probabilities and Mixture a density"):
        jensen_shannon(m, p)
    with pytest.raises(ConfigError, match=r"over the same events, got shapes \(3,\) and \(2,\)"):
        cross_entropy(p, Bernoulli(torch.zeros(2)))
    for missing in ({"generator": None}, {"generator": _seeded(), "num_samples": 1}):
        with pytest.raises(ConfigError, match="entropy of Mixture and Mixture has no closed form: pass generator="):
            entropy(m, **missing)

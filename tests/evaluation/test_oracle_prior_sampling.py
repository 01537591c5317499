"""Monte Carlo over the prior: right on average, and seen to collapse where the prior's draws miss the posterior."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from latentia.errors import ConfigError
from latentia.evaluation import PriorEstimates, estimate_log_prob, prior_monte_carlo, prior_sampling
from tests.evaluation.cases import MixturePrior, Story, generators, hard, linear_gaussian, numbers
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")


def test_the_mean_likelihood_is_unbiased() -> None:
    """2,000 estimates of one row with ten draws each: the mean of p̂(x)/p(x) is 1 within five standard errors."""
    model = linear_gaussian(noise_variance=2.0)
    x = (model.mean + numbers(1, 5, seed=2)).expand(2000, -1)
    with pytest.warns(UserWarning, match="effective samples"):
        found = prior_monte_carlo(model, x, num_samples=10, noise=generators(0))
    assert_mean(np.exp(found.log_prob - model.log_prob(x).numpy()), 1.0)
    assert (found.log_prob.mean() - float(model.log_prob(x[0]))) < 0.0  # its logarithm is a lower bound


def test_any_prior_that_can_be_drawn_from() -> None:
    model = MixturePrior(linear_gaussian(noise_variance=2.0))
    x = model.model.mean + numbers(4, 5, seed=2)
    found = prior_monte_carlo(model, x, num_samples=40_000, noise=generators(0))
    errors = 5.0 / np.sqrt(found.effective_sample_size)
    assert errors.max() < 0.1
    assert (np.abs(found.log_prob - model.log_prob(x).numpy()) < errors).all()


def test_its_collapse_is_seen_beside_importance_sampling() -> None:
    model = hard()
    x = model.sample(5, generator=torch.Generator().manual_seed(0))
    exact = model.log_prob(x).numpy()
    good = estimate_log_prob(model, x, num_samples=200, noise=lambda i: numbers(200, 12, seed=i))
    np.testing.assert_allclose(good.log_prob, exact, atol=1e-8)
    with pytest.warns(
        UserWarning, match="fewer than 10 effective samples for 5 of 5 rows, where its log p.x. is too low"
    ):
        found = prior_monte_carlo(model, x, num_samples=200, noise=generators(9))
    assert (exact - found.log_prob > 100.0).all()
    assert found.effective_sample_size == pytest.approx(np.ones(5), abs=0.1)
    assert found.untrusted.all()
    assert "not to be trusted for 5 of 5 rows" in str(found)


@pytest.mark.parametrize(("bad", "warned"), [(1, False), (2, True)])
def test_one_untrusted_row_in_a_hundred_is_tolerated(bad: int, warned: bool) -> None:
    model = linear_gaussian(noise_variance=2.0)
    x = model.mean.repeat(100, 1)
    x[:bad] += 100.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = prior_monte_carlo(model, x, num_samples=300, noise=generators(0))
    assert int(found.untrusted.sum()) == bad
    assert len(caught) == warned
    assert all(item.filename == __file__ for item in caught)


def test_exactly_k_draws_are_made_in_whatever_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = linear_gaussian(noise_variance=2.0), []

    def decoder(z: Tensor) -> Distribution:
        calls.append(len(z))
        return model.decoder(z)

    x = model.mean + numbers(2, 5, seed=2)
    whole = prior_monte_carlo(model, x, num_samples=1000, noise=generators(0))
    pieces = prior_monte_carlo(
        Story(decoder, model.encoder, model.prior), x, num_samples=1000, noise=generators(0), samples_per_call=64
    )
    np.testing.assert_allclose(pieces.log_prob, whole.log_prob, rtol=0.0, atol=1e-10)
    assert sum(calls) == 2000
    assert max(calls) == 64
    monkeypatch.setattr(prior_sampling, "SAMPLES_PER_DRAW", 400)
    calls.clear()
    prior_monte_carlo(Story(decoder, model.encoder, model.prior), x, num_samples=1000, noise=generators(0))
    assert sum(calls) == 2000


def test_a_row_does_not_depend_on_the_others() -> None:
    model = linear_gaussian(noise_variance=2.0)
    done: list[int] = []
    x = model.mean + numbers(3, 5, seed=2)
    whole = prior_monte_carlo(model, x, num_samples=400, noise=generators(0), progress=done.append)
    assert done == [1, 2, 3]
    for i in range(3):
        alone = prior_monte_carlo(model, x[i : i + 1], num_samples=400, noise=lambda _, i=i: generators(0)(i))  # type: ignore[misc]  # mypy knows no defaults in lambdas
        assert alone.log_prob[0] == whole.log_prob[i]


def test_numbers_as_text_and_as_json() -> None:
    found = PriorEstimates(np.array([-10.0, -14.0]), np.array([4.0, 20.0]), num_samples=1000)
    assert str(found).splitlines() == [
        "Monte Carlo over the prior, 2 rows",
        "  log p(x)     -12.00 ± 2.00 nats: lower bound in expectation, K = 1,000",
        "  sample size  12.0 (effective); not to be trusted for 1 of 2 rows",
    ]
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == {
        "num_samples": 1000,
        "log_prob": -12.0,
        "log_prob_standard_error": pytest.approx(2.0),
        "effective_sample_size": 12.0,
        "effective_sample_size_standard_error": pytest.approx(8.0),
    }
    single = PriorEstimates(np.array([-math.inf]), np.array([math.nan]), num_samples=1)
    assert single.to_json()["log_prob"] is None
    assert single.untrusted.tolist() == [True]


def test_no_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be at least 1, got 0"):
        prior_monte_carlo(linear_gaussian(), torch.zeros(1, 5), num_samples=0, noise=generators(0))


def test_importance_sampling_refuses_noise_of_another_width() -> None:
    """A mixture takes one standard normal more than there are dimensions."""
    model = MixturePrior(linear_gaussian())
    with pytest.raises(ConfigError, match=r"must have shape \(20, 4\) \(samples, noise_size of q\), got \(20, 3\)"):
        estimate_log_prob(model, torch.zeros(1, 5), num_samples=20, noise=lambda i: numbers(20, 3, seed=i))


def test_importance_sampling_from_a_mixture_is_unbiased() -> None:
    model = MixturePrior(linear_gaussian(noise_variance=1.0))
    x = (model.model.mean + numbers(1, 5, seed=2)).expand(1000, -1)
    found = estimate_log_prob(model, x, num_samples=5, noise=lambda i: numbers(5, 4, seed=i))
    assert_mean(np.exp(found.log_prob - model.log_prob(x).numpy()), 1.0)

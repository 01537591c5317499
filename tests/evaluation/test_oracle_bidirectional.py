"""Bidirectional Monte Carlo: the exact log p(x) lies between the bounds, and both come closer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from latentia.errors import ConfigError
from latentia.evaluation import BidirectionalBounds, Mean, annealing, bidirectional_monte_carlo
from latentia.evaluation.annealing import Annealing
from latentia.evaluation.bidirectional import simulated
from latentia.models import VariationalAutoencoder
from latentia.networks import MLP
from latentia.parts import BernoulliLikelihood, DiagonalGaussian, StandardNormal
from tests.evaluation.cases import MixturePrior, hard, linear_gaussian, shifted
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")


def test_the_exact_value_lies_between_and_both_bounds_come_closer() -> None:
    """Rows whose bounds are nats apart with 15 temperatures; five standard errors of the paired differences."""
    model, lower, upper = hard(4, noise_variance=1.0), [], []
    for count in (15, 60, 240):
        found = bidirectional_monte_carlo(model, 32, num_chains=8, num_temperatures=count, num_steps=4)
        exact = model.log_prob(torch.from_numpy(found.rows)).numpy()
        below, above = Mean.of(exact - found.lower), Mean.of(found.upper - exact)
        assert below.value > -5.0 * below.standard_error
        assert above.value > -5.0 * above.standard_error
        assert found.means()["gap"].value == pytest.approx(below.value + above.value)
        lower.append(below.value)
        upper.append(above.value)
        assert 0.5 < found.acceptance.mean() < 0.8
    for errors in (lower, upper):
        assert errors[0] > 1.5 * errors[1] > 3.0 * abs(errors[2])
    assert abs(found.gap.mean()) < 0.3


@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_backward_weights_are_unbiased_for_one_over_p(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,500 simulated rows, one chain, four temperatures: p(x) e^(−upper) has the mean 1, and e^lower/p(x) too."""
    monkeypatch.setattr(annealing, "PILOT_MOVES", 20)
    model = linear_gaussian(2, noise_variance=3.0)
    found = bidirectional_monte_carlo(
        shifted(model, 0.3, -0.1),
        1500,
        num_chains=1,
        num_temperatures=4,
        num_steps=3,
        start=start,
        rows_per_block=1500,
    )
    exact = model.log_prob(torch.from_numpy(found.rows)).numpy()
    assert_mean(np.exp(exact - found.upper), 1.0)
    assert_mean(np.exp(found.lower - exact), 1.0)
    assert np.std(exact - found.upper) > 0.05


def test_one_temperature_is_the_likelihood_of_the_latents_that_made_the_row() -> None:
    model = linear_gaussian()
    found = bidirectional_monte_carlo(model, 5, num_chains=3, num_temperatures=1)
    latents, rows = torch.from_numpy(found.latents), torch.from_numpy(found.rows)
    np.testing.assert_allclose(found.upper, model.decoder(latents).log_prob(rows).numpy(), rtol=1e-12)


def test_simulated_latents_are_exact_posterior_samples() -> None:
    """Whitened by the exact posterior of their rows they are standard normal."""
    model = linear_gaussian()
    rows, latents = simulated(model, 4000, seed=0)
    white = model.encoder(rows).whiten(latents).numpy()
    assert_mean(white, np.zeros(3))
    assert_mean(white[:, :, None] * white[:, None, :], np.eye(3))


def test_the_seed_decides_and_the_block_does_not() -> None:
    model = MixturePrior(linear_gaussian())
    settings: dict[str, Any] = {"num_chains": 4, "num_temperatures": 80, "num_steps": 1}
    done: list[int] = []
    a = bidirectional_monte_carlo(model, 5, rows_per_block=2, progress=done.append, **settings)
    b = bidirectional_monte_carlo(model, 5, rows_per_block=5, **settings)
    c = bidirectional_monte_carlo(model, 5, seed=1, rows_per_block=5, **settings)
    assert done == [2, 4, 5]
    np.testing.assert_allclose(a.lower, b.lower, rtol=1e-8)
    np.testing.assert_allclose(a.upper, b.upper, rtol=1e-8)
    assert (b.upper != c.upper).all()
    assert (b.rows != c.rows).all()


def test_a_bernoulli_decoder_in_single_precision() -> None:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    decoder = BernoulliLikelihood(MLP(3, [16], 20, activation="tanh"), (4, 5))
    model = VariationalAutoencoder(
        prior=StandardNormal(3), encoder=DiagonalGaussian(MLP((4, 5), [], 6)), decoder=decoder
    )
    found = bidirectional_monte_carlo(model, 16, num_chains=8, num_temperatures=40, num_steps=4)
    assert set(np.unique(found.rows)) == {0.0, 1.0}
    assert found.rows.shape == (16, 4, 5)
    gap = found.means()["gap"]
    assert abs(gap.value) < 5.0 * gap.standard_error + 0.1


def test_numbers_as_text_and_as_json() -> None:
    low, high, rows = np.array([-10.0, -14.0]), np.array([-9.0, -11.0]), np.zeros((2, 3))
    found = BidirectionalBounds(low, high, np.ones(2), np.array([0.5, 0.7]), Annealing(8, 200), rows, rows)
    assert str(found).splitlines() == [
        "bidirectional Monte Carlo of 2 simulated rows: 8 chains, 200 temperatures, 10 leapfrog steps, from the prior",
        "  lower bound  -12.00 ± 2.00 nats",
        "  upper bound  -10.00 ± 1.00 nats",
        "  gap          2.00 ± 1.00 nats, acceptance 0.60",
    ]
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (content["lower"], content["upper"], content["gap"]) == (-12.0, -10.0, 2.0)
    assert "rows" not in content


def test_no_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_rows must be at least 1, got 0"):
        bidirectional_monte_carlo(linear_gaussian(), 0)

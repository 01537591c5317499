"""``VAE.diagnose`` on a linear model, whose log p(x) is known, and in the units passed in."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

import latentia as lt
from latentia.errors import ConfigError
from tests.estimators.cases import raised, table, vae

FEW: dict[str, Any] = {"num_samples": 200, "num_chains": 8, "num_temperatures": 40, "num_leapfrog_steps": 5}


@pytest.fixture(scope="module")
def linear() -> tuple[lt.VAE, Any]:
    """Return a linear VAE with a fixed variance, fitted for a moment, and its data."""
    x = table(80, 4)
    likelihood = lt.likelihood("gaussian_fixed", variance=0.25)
    model = vae(latent_dim=2, network="linear", likelihood=likelihood, precision="float64", max_epochs=150)
    return model.set_params(learning_rate=0.02).fit(x), x


def _exact(model: lt.VAE, x: Any) -> Any:
    """log N(x; b, W Wᵀ + σ² I) of standardised rows, and the change of units."""
    decoder: Any = model.module_.decoder
    weight, bias = decoder.network.last_weight.detach(), decoder.network.last_bias.detach()
    density = MultivariateNormal(bias, weight @ weight.T + 0.25 * torch.eye(4, dtype=torch.float64))
    pre = model.preprocessing_
    return density.log_prob(torch.from_numpy(pre.store(x))).numpy() + pre.log_jacobian(x)


def test_every_ruler_finds_the_exact_value(linear: tuple[lt.VAE, Any]) -> None:
    """Lower bounds in expectation within 0.05 nats below; the full Gaussian family holds the exact posterior."""
    model, x = linear
    found, exact = model.diagnose(x[:24], **FEW), _exact(model, x[:24])
    assert found.importance.value == pytest.approx(exact.mean(), abs=0.05)
    assert found.annealed.log_prob.mean() == pytest.approx(exact.mean(), abs=0.05)
    np.testing.assert_allclose(found.gaps.log_prob, exact, atol=0.02)
    np.testing.assert_allclose(found.gaps.full, exact, atol=0.02)
    assert found.prior.log_prob.mean() < exact.mean() + 0.05
    gaps = found.gaps.means()
    assert gaps["amortised"].value < gaps["diagonal"].value + 0.02 < gaps["full"].value + 0.04
    assert found.bidirectional.lower.mean() < found.bidirectional.upper.mean() + 0.02
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["n"] == 24
    for words in ("importance sampling", "annealed", "inference gaps", "parts of the ELBO"):
        assert words in str(found)


def test_a_change_of_units_shifts_every_value(linear: tuple[lt.VAE, Any]) -> None:
    """Columns four times as large: standardised rows are the same bytes, and log p is lower by 4 log 4."""
    model, x = linear
    again = vae(**{**model.get_params(), "random_state": 0}).fit(4.0 * x)
    one, other = model.diagnose(x[:6], **FEW), again.diagnose(4.0 * x[:6], **FEW)
    shift = 4 * np.log(4.0)
    assert other.importance.value == pytest.approx(one.importance.value - shift, abs=1e-9)
    for name in ("prior", "annealed", "gaps"):
        ours, theirs = getattr(one, name).log_prob, getattr(other, name).log_prob
        np.testing.assert_allclose(theirs, ours - shift, atol=1e-9)
    np.testing.assert_allclose(other.bidirectional.upper, one.bidirectional.upper - shift, atol=1e-6)
    np.testing.assert_allclose(other.decomposition.elbo, one.decomposition.elbo - shift, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_samples": 1}, "num_samples of diagnose must be a whole number from 2"),
        ({"num_chains": 0}, "num_chains of diagnose must be a whole number from 1"),
        ({"num_temperatures": 0}, "num_temperatures of diagnose must be"),
        ({"num_leapfrog_steps": 0.5}, "num_leapfrog_steps of diagnose must be"),
    ],
)
def test_numbers_out_of_range_are_refused(linear: tuple[lt.VAE, Any], changes: dict[str, Any], words: str) -> None:
    model, x = linear
    assert words in raised(lambda: model.diagnose(x[:4], **changes), ConfigError)


def test_a_single_row_has_no_aggregated_posterior(linear: tuple[lt.VAE, Any]) -> None:
    model, x = linear
    assert "at least 2 rows" in raised(lambda: model.diagnose(x[:1]), ConfigError)

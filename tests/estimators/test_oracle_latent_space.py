"""A latent space as the report shows it: closed forms of the divergence, parts that add up, the units of the data."""

from __future__ import annotations

import math

import numpy as np
import pytest

import latentia as lt
from latentia.estimators import latent_space as room
from latentia.estimators.latent_space import latent_space
from tests.estimators.cases import QUICK, levels, table, vae
from tests.tolerance import assert_mean


@pytest.fixture(scope="module")
def fitted() -> lt.VAE:
    return lt.VAE(**{**QUICK, "learning_rate": 1e-2, "max_epochs": 5, "precision": "float64"}).fit(levels((300, 4, 4)))


def test_the_divergence_is_that_of_two_gaussians(fitted: lt.VAE) -> None:
    x = levels((300, 4, 4))
    mean, sd = fitted.posterior(x.astype(np.float64))
    exact = 0.5 * (mean**2 + sd**2 - 1.0) - np.log(sd)
    found = latent_space(fitted, x).health
    assert found.n == 300
    assert found.latent_dim == 2
    assert found.kl_per_dimension == pytest.approx(list(exact.mean(0)), rel=1e-9)
    assert found.rate.value == pytest.approx(exact.sum(1).mean(), rel=1e-9)
    assert found.rate.standard_error == pytest.approx(exact.sum(1).std(ddof=1) / math.sqrt(300), rel=1e-9)


def test_the_parts_are_those_of_the_bound(fitted: lt.VAE) -> None:
    x = levels((300, 4, 4))
    parts = latent_space(fitted, x).parts
    evaluation = fitted.evaluate(x, num_samples=500)
    assert evaluation.elbo is not None
    assert evaluation.distortion is not None
    # 500 samples a row against one: the noise of the latter is that of the difference.
    assert_mean(parts.elbo - evaluation.elbo, 0.0)
    assert_mean(parts.reconstruction + evaluation.distortion, 0.0)
    total = parts.mutual_information.mean() + parts.marginal_kl.mean()
    assert_mean(parts.mutual_information + parts.marginal_kl - (evaluation.rate or math.nan), 0.0)
    assert parts.mutual_information.mean() <= math.log(300)
    assert total > 0.05  # there is something to take apart
    health = latent_space(fitted, x).health
    assert health.aggregated_gap is not None
    assert health.aggregated_gap.value == parts.marginal_kl.mean()


def test_the_reconstruction_is_in_the_units_of_the_data() -> None:
    """Columns eight times as large are the same model, to the bit, and a density an eighth as large in each of them."""
    x = table()
    plain, larger = (latent_space(vae(precision="float64").fit(scale * x), scale * x) for scale in (1.0, 8.0))
    np.testing.assert_allclose(
        larger.parts.reconstruction, plain.parts.reconstruction - x.shape[1] * math.log(8.0), rtol=1e-9
    )
    np.testing.assert_allclose(larger.parts.marginal_kl, plain.parts.marginal_kl, atol=1e-9)


def test_a_large_set_is_judged_by_its_first_rows(fitted: lt.VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    x = levels((300, 4, 4))
    monkeypatch.setattr(room, "MOST_ROWS", 40)
    few = latent_space(fitted, x)
    assert (few.n, few.health.n, len(few.parts.reconstruction)) == (40, 40, 40)
    again = latent_space(fitted, x[:40])
    np.testing.assert_array_equal(few.parts.elbo, again.parts.elbo)


def test_chunks_change_nothing(fitted: lt.VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    x = levels((300, 4, 4))
    whole = latent_space(fitted, x).health
    monkeypatch.setattr(room, "ROWS_PER_CALL", 7)
    assert latent_space(fitted, x).health.rate.value == pytest.approx(whole.rate.value, rel=1e-12)


@pytest.mark.parametrize("parts", [{"prior": "mixture:components=2"}, {"variational_family": "mixture:components=2"}])
def test_a_divergence_that_does_not_split_is_one_number(parts: dict[str, str]) -> None:
    x = levels((60, 4, 4))
    found = latent_space(vae(**parts).fit(x), x).health
    assert found.latent_dim == 2
    assert found.kl_per_dimension is None
    assert found.unused is None

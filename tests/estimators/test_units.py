"""log p(x) is a density in the units passed in, or a mass that no unit can change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import latentia as lt
from latentia.estimators.preprocessing import column_moments
from tests.estimators.cases import levels, table, unit, vae
from tests.tolerance import assert_mean

POWERS = np.array([0.25, 1.0, 8.0, 2.0**-20, 2.0**30])  # exact in binary: nothing is rounded on the way


@pytest.mark.parametrize(
    "make",
    [
        lambda: vae(),
        lambda: vae(likelihood="gaussian_network", precision="float64"),
        lambda: vae(likelihood="gaussian_fixed", network="linear"),
        lambda: lt.IndependentPixels(),
        lambda: lt.IndependentPixels(likelihood="gaussian_shared"),
    ],
)
def test_scaling_a_column_shifts_log_p_by_minus_the_logarithm(make: Any) -> None:
    x = table(80, 5)
    before, after = make().fit(x), make().fit(x * POWERS)
    shift = -math.log(math.prod(POWERS))
    assert abs(shift) > 1.0
    np.testing.assert_allclose(after.score_samples(x * POWERS), before.score_samples(x) + shift, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(after.sample(4, random_state=1), before.sample(4, random_state=1) * POWERS)
    if isinstance(before, lt.VAE):
        np.testing.assert_array_equal(after.transform(x * POWERS), before.transform(x))
        np.testing.assert_allclose(after.reconstruct(x * POWERS), before.reconstruct(x) * POWERS, rtol=1e-14)
        one, other = before.evaluate(x), after.evaluate(x * POWERS)
        assert one.elbo is not None
        assert one.distortion is not None
        assert other.elbo == pytest.approx(one.elbo + shift, abs=1e-9)
        assert other.distortion == pytest.approx(one.distortion - shift, abs=1e-9)
        assert other.rate == one.rate


@pytest.mark.parametrize("make", [lt.PPCA, lt.IndependentPixels])
def test_moving_and_mirroring_columns_changes_no_density(make: Any) -> None:
    x = table(80, 3)
    signs, move = np.array([1.0, -1.0, 1.0]), np.array([100.0, -3.0, 0.0])
    expected = make().fit(x).score_samples(x)
    np.testing.assert_allclose(make().fit(x * signs + move).score_samples(x * signs + move), expected, atol=1e-9)


def test_an_image_has_one_scale_for_all_its_pixels() -> None:
    x = unit((40, 4, 5))
    before, after = vae().fit(x), vae().fit(x * 4.0)
    assert before.preprocessing_.scale is not None
    assert before.preprocessing_.scale.shape == ()
    expected = before.score_samples(x) - 20 * math.log(4.0)
    np.testing.assert_allclose(after.score_samples(x * 4.0), expected, rtol=0, atol=1e-9)
    assert before.evaluate(x).bits_per_dim is None  # a density has no bits


def test_the_density_of_a_vae_integrates_to_one_in_the_units_passed_in() -> None:
    """Σ p(x) Δ over a fine grid of the one column; log p(x) with many samples is close to exact here."""
    x = 7.0 + 3.0 * np.random.default_rng(0).normal(size=(100, 1))
    model = vae(latent_dim=1, max_epochs=20, learning_rate=1e-2).fit(x)
    grid = np.linspace(-40.0, 55.0, 400)[:, None]
    density = np.exp(model.evaluate(grid, num_samples=400).per_row)
    assert float(density.sum() * (grid[1, 0] - grid[0, 0])) == pytest.approx(1.0, abs=0.01)


def test_ppca_is_the_multivariate_normal_of_its_parameters() -> None:
    x = table(90, 5)
    model = lt.PPCA(latent_dim=2).fit(x)
    weight, noise = model.module_.weight.numpy(), model.noise_variance_
    exact = multivariate_normal(x.mean(0), weight @ weight.T + noise * np.eye(5))
    np.testing.assert_allclose(model.score_samples(x), exact.logpdf(x), rtol=1e-10)
    evaluation = model.evaluate(x)
    assert (evaluation.kind, evaluation.elbo, evaluation.num_samples) == ("exact", None, None)
    assert evaluation.log_prob == pytest.approx(exact.logpdf(x).mean(), rel=1e-10)
    # Its maximum: with all dimensions it is the Gaussian of the maximum-likelihood covariance.
    full = lt.PPCA(latent_dim=5).fit(x)
    best = multivariate_normal(x.mean(0), np.cov(x.T, bias=True)).logpdf(x)
    np.testing.assert_allclose(full.score_samples(x), best, rtol=1e-9)
    assert model.score(x) < full.score(x)


def test_ppca_posterior_and_samples_have_their_exact_moments() -> None:
    x = table(90, 4)
    model = lt.PPCA(latent_dim=2, random_state=3).fit(x)
    weight, noise = model.module_.weight.numpy(), model.noise_variance_
    inverse = np.linalg.inv(weight.T @ weight + noise * np.eye(2))
    posterior = model.posterior(x)
    np.testing.assert_allclose(posterior.mean, (x - x.mean(0)) @ weight @ inverse, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(posterior.sd[0], np.sqrt(noise * np.diag(inverse)), rtol=1e-12)
    draws = model.sample(20_000)
    assert_mean(draws, x.mean(0))
    products = np.einsum("ni,nj->nij", draws - x.mean(0), draws - x.mean(0))
    assert_mean(products, weight @ weight.T + noise * np.eye(4))


def test_ppca_of_discrete_data_is_a_bound_on_the_mass() -> None:
    """E log p(x + u) ≤ log ∫ p(x + u) du, the mass that the Gaussian gives to the cell; one column: scipy knows it."""
    x = levels((200, 1), count=17)
    model = lt.PPCA(latent_dim=1, support="levels:17").fit(x)
    evaluation = model.evaluate(x)
    assert evaluation.kind == "lower bound on the log-mass (uniform dequantisation)"
    mean, variance = model.module_.mean.numpy(), model.noise_variance_ + float(model.module_.weight.square().sum())
    from scipy.stats import norm

    cell = norm(mean, math.sqrt(variance))
    mass = np.log(cell.cdf(x + 1.0) - cell.cdf(x.astype(float)))[:, 0]
    assert (evaluation.per_row < mass).all()
    assert (mass - evaluation.per_row).max() < 0.1
    # The fit is that to x + u: its mean is half a level above, its variance 1/12 larger.
    assert mean[0] == pytest.approx(x.mean() + 0.5)
    assert variance == pytest.approx(x.var() + 1 / 12)
    assert evaluation.bits_per_dim == pytest.approx(-evaluation.log_prob / math.log(2.0))
    drawn = model.sample(50, random_state=0)
    assert drawn.dtype == np.uint8
    assert drawn.max() <= 16


def test_ppca_of_discrete_data_speaks_of_the_levels_and_not_of_their_cells() -> None:
    """Inside it lies half a level above; what goes in and comes out are the levels themselves."""
    x = 100 + levels((300, 3), count=40)  # far from both ends, where a sample would be cut
    model = lt.PPCA(latent_dim=1, support="levels:256", random_state=0).fit(x)
    np.testing.assert_allclose(model.inverse_transform(np.zeros((1, 1)))[0], x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(model.transform(x).mean(0, dtype=np.float64), 0.0, atol=1e-6)  # float32
    drawn = model.sample(20_000)
    assert drawn.dtype == np.uint8
    assert_mean(drawn, x.mean(0))


@pytest.mark.parametrize("likelihood", ["binomial", "categorical", "discretized_logistic"])
def test_masses_over_all_values_sum_to_one(likelihood: str) -> None:
    """Two elements with five levels: all 25 items are scored, with samples enough to be close to exact."""
    x = levels((200, 2), count=5)
    model = vae(latent_dim=1, likelihood=likelihood, support="levels:5", max_epochs=10, learning_rate=1e-2).fit(x)
    everything = np.stack(np.meshgrid(range(5), range(5)), -1).reshape(-1, 2)
    evaluation = model.evaluate(everything, num_samples=4000)
    assert float(np.exp(evaluation.per_row).sum()) == pytest.approx(1.0, abs=0.02)
    assert evaluation.bits_per_dim == pytest.approx(-evaluation.log_prob / (2 * math.log(2.0)))
    baseline = lt.IndependentPixels(likelihood=likelihood, support="levels:5").fit(x)
    assert float(np.exp(baseline.score_samples(everything)).sum()) == pytest.approx(1.0, abs=1e-9)


def test_bernoulli_baseline_is_the_smoothed_frequency() -> None:
    x = np.array([[0, 1, 1], [0, 1, 0], [0, 1, 0]], np.uint8)
    model = lt.IndependentPixels().fit(x)
    p = np.array([1 / 5, 4 / 5, 2 / 5])  # (ones + 1) / (n + 2)
    expected = np.where(x, np.log(p), np.log1p(-p)).sum(1)
    np.testing.assert_allclose(model.score_samples(x), expected, rtol=1e-12)


def test_torch_default_dtype_changes_nothing() -> None:
    x = table(40, 3)
    expected = vae().fit(x).score_samples(x)
    torch.set_default_dtype(torch.float64)  # the fixture of every test puts it back
    np.testing.assert_array_equal(vae().fit(x).score_samples(x), expected)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_column_moments_by_blocks_are_numpys(dtype: str) -> None:
    rows = (np.random.default_rng(0).normal(100.0, 20.0, (3000, 700))).clip(0, 255).astype(dtype)
    mean, variance = column_moments(rows)
    np.testing.assert_allclose(mean, rows.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(variance, rows.var(0, dtype=np.float64), rtol=1e-10)

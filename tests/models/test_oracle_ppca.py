"""PPCA against the multivariate normal that it is, and its closed-form fit against the gradient of the likelihood."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from latentia.models import PPCA
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, 1.0, shape))


MEAN, WEIGHT, NOISE = _numbers(5), _numbers(5, 2, seed=1), 0.3
MODEL = PPCA(MEAN, WEIGHT, NOISE)
COVARIANCE = WEIGHT @ WEIGHT.T + NOISE * torch.eye(5, dtype=torch.float64)
X = MEAN + _numbers(6, 5, seed=2)


def test_log_prob_is_the_multivariate_normals() -> None:
    expected = scipy.stats.multivariate_normal(MEAN.numpy(), COVARIANCE.numpy()).logpdf(X.numpy())
    np.testing.assert_allclose(MODEL.log_prob(X).numpy(), expected, rtol=1e-11)


def test_posterior_is_the_conditional_of_the_joint_gaussian() -> None:
    """For jointly Gaussian z and x: E[z|x] = WᵀC⁻¹(x − μ), Cov[z|x] = I − WᵀC⁻¹W."""
    gain = WEIGHT.T @ torch.linalg.inv(COVARIANCE)
    posterior = MODEL.encoder(X)
    torch.testing.assert_close(posterior.mean, (X - MEAN) @ gain.T)
    torch.testing.assert_close(posterior.covariance_matrix, (torch.eye(2) - gain @ WEIGHT).expand(6, 2, 2))


def test_every_log_weight_of_the_exact_posterior_is_log_p() -> None:
    z = MODEL.encoder(X).rsample_from(_numbers(7, 6, 2, seed=3))
    joint = MODEL.decoder(z).log_prob(X) + MODEL.prior().log_prob(z)
    expected = MODEL.log_prob(X).expand(7, 6)
    torch.testing.assert_close(joint - MODEL.encoder(X).log_prob(z), expected, rtol=0.0, atol=1e-9)


def test_samples_have_its_mean_and_covariance() -> None:
    """Five standard errors for 5 means and 25 second moments; a new seed fails with probability below 2e-5."""
    draws = MODEL.sample(4000, generator=torch.Generator().manual_seed(0)).numpy()
    centred = draws - MEAN.numpy()
    assert_mean(centred, np.zeros(5))
    assert_mean(centred[:, :, None] * centred[:, None, :], COVARIANCE.numpy())


DATA = _numbers(40, 5, seed=4) @ _numbers(5, 5, seed=5)


def test_fit_is_tipping_and_bishops_closed_form() -> None:
    fitted = PPCA.fit(DATA, 2)
    values = np.linalg.eigvalsh(np.cov(DATA.numpy().T, bias=True))[::-1]
    assert float(fitted.noise_variance) == pytest.approx(values[2:].mean(), rel=1e-10)
    torch.testing.assert_close(fitted.mean, DATA.mean(0))
    found = np.linalg.eigvalsh((fitted.weight @ fitted.weight.T).numpy())[::-1]
    np.testing.assert_allclose(found[:2], values[:2] - values[2:].mean(), rtol=1e-10)


def test_gradient_is_zero_at_the_fit_and_the_value_cannot_be_bettered_nearby() -> None:
    fitted = PPCA.fit(DATA, 2)
    parameters = [value.clone().requires_grad_() for value in (fitted.mean, fitted.weight, fitted.noise_variance)]
    mean, weight, noise = parameters
    value = MultivariateNormal(mean, weight @ weight.T + noise * torch.eye(5)).log_prob(DATA).mean()
    for gradient in torch.autograd.grad(value, parameters):
        assert float(gradient.abs().max()) < 1e-9
    for factor in (0.99, 1.01):
        nearby = PPCA(fitted.mean, fitted.weight, fitted.noise_variance * factor)
        assert float(nearby.log_prob(DATA).mean()) < float(fitted.log_prob(DATA).mean())


@pytest.mark.parametrize("latent_dim", [5, 7])
def test_as_many_latents_as_columns_is_the_full_gaussian(latent_dim: int) -> None:
    fitted = PPCA.fit(DATA, latent_dim)
    law = scipy.stats.multivariate_normal(DATA.mean(0).numpy(), np.cov(DATA.numpy().T, bias=True))
    assert fitted.weight.shape == (5, latent_dim)
    np.testing.assert_allclose(fitted.log_prob(DATA).numpy(), law.logpdf(DATA.numpy()), rtol=1e-9)


def test_fewer_rows_than_columns() -> None:
    """The rows then span N − 1 dimensions; σ² is the mean of all D − L discarded eigenvalues, zeros among them."""
    rows = DATA[:4]
    fitted = PPCA.fit(rows, 2)
    values = np.linalg.eigvalsh(np.cov(rows.numpy().T, bias=True))[::-1]
    assert float(fitted.noise_variance) == pytest.approx(values[2:].sum() / 3, rel=1e-8)
    found = np.linalg.eigvalsh((fitted.weight @ fitted.weight.T).numpy())[::-1]
    np.testing.assert_allclose(found[:2], values[:2] - values[2:].sum() / 3, rtol=1e-8)


def test_a_cell_variance_is_the_fit_to_rows_with_uniform_noise() -> None:
    """Adding c to every eigenvalue raises σ² by c and leaves the loadings."""
    plain, cell = PPCA.fit(DATA, 2), PPCA.fit(DATA, 2, cell_variance=1 / 12)
    assert float(cell.noise_variance - plain.noise_variance) == pytest.approx(1 / 12)
    torch.testing.assert_close(cell.weight @ cell.weight.T, plain.weight @ plain.weight.T)


def test_min_variance_is_the_floor() -> None:
    flat = torch.cat([_numbers(20, 1, seed=6), torch.zeros(20, 2)], 1)
    assert float(PPCA.fit(flat, 1, min_variance=0.25).noise_variance) == 0.25


def test_dequantised_bound_is_the_mean_over_the_cell_and_below_its_log_mass() -> None:
    model = PPCA(torch.tensor([0.3, -0.2]), torch.tensor([[0.7], [0.4]]), 0.5)
    covariance = (model.weight @ model.weight.T + 0.5 * torch.eye(2)).numpy()
    law = scipy.stats.multivariate_normal(model.mean.numpy(), covariance)
    x = torch.tensor([[1.0, 0.0]])
    mean, _ = scipy.integrate.dblquad(lambda b, a: float(law.logpdf([a, b])), 1, 2, 0, 1)
    mass, _ = scipy.integrate.dblquad(lambda b, a: float(law.pdf([a, b])), 1, 2, 0, 1)
    assert float(model.dequantised_bound(x)) == pytest.approx(mean, abs=1e-9)
    assert float(model.dequantised_bound(x)) < np.log(mass)

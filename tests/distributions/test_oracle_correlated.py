"""Gaussians of full and of low-rank covariance, against SciPy's multivariate normal and their own samples.

Letters: S samples, B batch, E event (D elements), R rank.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor

from latentia.distributions import LowRankNormal, PrecisionNormal
from latentia.distributions.covariance import CorrelatedNormal
from latentia.errors import DivergedError
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

BATCH, EVENT, D, R = (3,), (2, 2), 4, 2


def _numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, scale, shape))


LOC, LOG_SCALE = _numbers(*BATCH, *EVENT, seed=1), 0.5 * _numbers(*BATCH, *EVENT, seed=2)
COEFFICIENTS, LOADINGS = _numbers(*BATCH, 6, seed=3), _numbers(*BATCH, R, *EVENT, seed=4)
FULL = PrecisionNormal(LOC, LOG_SCALE, COEFFICIENTS, 2)
LOW = LowRankNormal(LOC, LOG_SCALE, LOADINGS, 2)


def _full_covariance(b: int) -> np.ndarray:
    """x_i − μ_i = −Σ_{j<i} t_ij (x_j − μ_j) + σ_i ε_i, solved one element after another."""
    scale, t = np.exp(LOG_SCALE[b].flatten().numpy()), COEFFICIENTS[b].numpy()
    root = np.zeros((D, D))
    position = 0
    for i in range(D):
        root[i, i] = scale[i]
        for j in range(i):
            root[i] -= t[position] * root[j]
            position += 1
    return np.asarray(root @ root.T)


def _low_covariance(b: int) -> np.ndarray:
    scale, v = np.exp(LOG_SCALE[b].flatten().numpy()), LOADINGS[b].flatten(1).numpy()
    return np.asarray(np.diag(scale**2) + np.diag(scale) @ v.T @ v @ np.diag(scale))


CASES = {"full": (FULL, _full_covariance), "low rank": (LOW, _low_covariance)}
each = pytest.mark.parametrize(("density", "covariance"), CASES.values(), ids=CASES)


@each
def test_it_is_scipys_multivariate_normal(density: CorrelatedNormal, covariance: object) -> None:
    assert callable(covariance)
    x = _numbers(7, *BATCH, *EVENT, seed=5, scale=2.0)
    log_p = density.log_prob(x)
    assert log_p.shape == (7, *BATCH)
    for b in range(3):
        law = scipy.stats.multivariate_normal(LOC[b].flatten().numpy(), covariance(b))
        np.testing.assert_allclose(log_p[:, b].numpy(), law.logpdf(x[:, b].flatten(1).numpy()), rtol=1e-11)
        np.testing.assert_allclose(density.covariance_matrix[b].numpy(), covariance(b), rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(density.variance[b].flatten().numpy(), np.diag(covariance(b)), rtol=1e-11)
    torch.testing.assert_close(density.mean, LOC)


@each
def test_samples_have_the_moments(density: CorrelatedNormal, covariance: object) -> None:
    assert callable(covariance)
    draws = density.sample((4000,), generator=torch.Generator().manual_seed(0))
    assert draws.shape == (4000, *BATCH, *EVENT)
    assert_mean(draws.numpy(), LOC.numpy())
    centred = (draws - LOC).flatten(2).numpy()
    products = np.einsum("sbi,sbj->sbij", centred, centred)
    assert_mean(products, np.stack([covariance(b) for b in range(3)]))


def test_one_loading_in_two_dimensions_integrates_to_one() -> None:
    density = LowRankNormal(torch.zeros(2), torch.tensor([-0.5, 0.2]), torch.tensor([[1.0, -2.0]]))
    grid = torch.linspace(-24.0, 24.0, 801)
    points = torch.cartesian_prod(grid, grid)
    total = density.log_prob(points).exp().sum() * (grid[1] - grid[0]) ** 2
    assert float(total) == pytest.approx(1.0, abs=1e-9)


@each
def test_single_precision_and_autocast_keep_the_digits(density: CorrelatedNormal, covariance: object) -> None:
    x = _numbers(*BATCH, *EVENT, seed=6)
    exact = density.log_prob(x)
    parts = (LOC.float(), LOG_SCALE.float())
    single = (
        PrecisionNormal(*parts, COEFFICIENTS.float(), 2)
        if isinstance(density, PrecisionNormal)
        else LowRankNormal(*parts, LOADINGS.float(), 2)
    )
    with torch.autocast("cpu", torch.bfloat16):
        log_p = single.log_prob(x.float())
    assert log_p.dtype == torch.float32
    torch.testing.assert_close(log_p.double(), exact, rtol=1e-5, atol=1e-5)


def test_nearly_singular_low_rank_covariance_keeps_its_digits_in_single_precision() -> None:
    """D = 50, loadings a thousand times the independent part and all but parallel: 10⁻¹⁴ times as thin as long."""
    v = 1000.0 * (torch.ones(3, 50) + 1e-4 * _numbers(3, 50, seed=7))
    x = _numbers(50, seed=8) + v[0]
    exact = LowRankNormal(torch.zeros(50), torch.zeros(50), v).log_prob(x)
    law = scipy.stats.multivariate_normal(np.zeros(50), np.eye(50) + (v.T @ v).numpy())
    assert float(exact) == pytest.approx(
        float(law.logpdf(x.numpy())), abs=1e-4
    )  # SciPy's eigenvalues have fewer digits
    single = LowRankNormal(torch.zeros(50).float(), torch.zeros(50).float(), v.float())
    leaf = v.float().requires_grad_()
    value = LowRankNormal(torch.zeros(50).float(), torch.zeros(50).float(), leaf).log_prob(x.float())
    assert float(single.log_prob(x.float())) == pytest.approx(float(exact), abs=0.01)
    (gradient,) = torch.autograd.grad(value, leaf)
    assert gradient.isfinite().all()


def test_exploding_covariances_have_finite_densities_and_say_so_when_drawn() -> None:
    """Coefficients of 10⁶ over 30 elements make a covariance of up to 10³⁶⁰; its inverse is a plain product."""
    d = 30
    coefficients = torch.full((d * (d - 1) // 2,), -1e6).float().requires_grad_()
    density = PrecisionNormal(torch.zeros(d).float(), torch.zeros(d).float(), coefficients)
    log_p = density.log_prob(1e3 * torch.ones(d).float())
    expected = scipy.stats.norm.logpdf(1e3 * (1 - 1e6 * np.arange(d))).sum()
    assert log_p.item() == pytest.approx(expected, rel=1e-5)
    (gradient,) = torch.autograd.grad(log_p, coefficients)
    assert gradient.isfinite().all()
    with pytest.raises(DivergedError, match=r"coefficients up to 1e\+06; train with a lower learning rate"):
        density.sample()


def test_gradients_are_those_of_the_definition() -> None:
    """Against finite differences, through the packed coefficients and through Woodbury's identity."""
    x = _numbers(*BATCH, *EVENT, seed=9)
    for make, third in [(PrecisionNormal, COEFFICIENTS), (LowRankNormal, LOADINGS)]:
        inputs = tuple(t.clone().requires_grad_() for t in (LOC, LOG_SCALE, third))
        assert torch.autograd.gradcheck(lambda a, b, c, make=make: make(a, b, c, 2).log_prob(x), inputs)


def test_entropy_of_one_dimension_is_the_gaussians() -> None:
    """With one element neither has anything to correlate: −E log p = ½ log 2πe σ² (1 + V²)."""
    low = LowRankNormal(torch.zeros(1), torch.zeros(1), torch.tensor([[2.0]]))
    value, _ = scipy.integrate.quad(
        lambda v: -float(low.log_prob(torch.tensor([v])) * low.log_prob(torch.tensor([v])).exp()), -40, 40
    )
    assert value == pytest.approx(0.5 * math.log(2 * math.pi * math.e * 5.0), abs=1e-9)

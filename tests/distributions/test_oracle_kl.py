"""Divergences between Gaussians against torch's, against an integral, and against the mean of log q − log p."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from latentia.distributions import DiagonalNormal, FullNormal, UnitNormal, kl_divergence, kl_per_dimension
from latentia.errors import ConfigError
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")


def _numbers(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, scale, shape))


Q_LOC, Q_LOG_SCALE = _numbers(4, 3, seed=0), _numbers(4, 3, seed=1, scale=0.5)
P_LOC, P_LOG_SCALE = _numbers(4, 3, seed=2), _numbers(4, 3, seed=3, scale=0.5)
Q = DiagonalNormal(Q_LOC, Q_LOG_SCALE)
TORCH_Q = Independent(Normal(Q_LOC, Q_LOG_SCALE.exp()), 1)


def test_diagonal_from_diagonal_is_torchs() -> None:
    expected = kl_divergence(TORCH_Q, Independent(Normal(P_LOC, P_LOG_SCALE.exp()), 1))
    p = DiagonalNormal(P_LOC, P_LOG_SCALE)
    torch.testing.assert_close(kl_divergence(Q, p), expected)
    assert kl_per_dimension(Q, p).shape == (4, 3)
    torch.testing.assert_close(kl_per_dimension(Q, p).sum(-1), expected)


def test_diagonal_from_standard_is_torchs() -> None:
    p = UnitNormal(torch.zeros(3))
    expected = kl_divergence(TORCH_Q, Independent(Normal(torch.zeros(3), torch.ones(3)), 1))
    torch.testing.assert_close(kl_divergence(Q, p), expected)
    torch.testing.assert_close(kl_per_dimension(Q, p).sum(-1), expected)


@pytest.mark.parametrize("standard", [True, False])
def test_one_dimension_is_the_integral(standard: bool) -> None:
    q_loc, q_scale, p_loc, p_scale = 0.8, 0.6, (0.0 if standard else -0.3), (1.0 if standard else 1.7)
    q, p = scipy.stats.norm(q_loc, q_scale), scipy.stats.norm(p_loc, p_scale)
    expected, _ = scipy.integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), -8.0, 8.0)
    ours_q = DiagonalNormal(torch.tensor([q_loc]), torch.tensor([math.log(q_scale)]))
    ours_p = (
        UnitNormal(torch.zeros(1)) if standard else DiagonalNormal(torch.tensor([p_loc]), torch.tensor([p_scale]).log())
    )
    assert float(kl_per_dimension(ours_q, ours_p)) == pytest.approx(expected, abs=1e-9)


def test_known_values() -> None:
    """KL(N(1, 1)‖N(0, 1)) = ½; KL(N(0, e²)‖N(0, 1)) = ½(e² − 1) − 1; KL(p‖p) = 0."""
    p = UnitNormal(torch.zeros(1))
    assert float(kl_divergence(DiagonalNormal(torch.ones(1), torch.zeros(1)), p)) == pytest.approx(0.5)
    assert float(kl_divergence(DiagonalNormal(torch.zeros(1), torch.ones(1)), p)) == pytest.approx(
        0.5 * (math.e**2 - 1) - 1
    )
    assert float(kl_divergence(DiagonalNormal(torch.zeros(1), torch.zeros(1)), p)) == 0.0


FACTOR = torch.tril(_numbers(4, 3, 3, seed=4, scale=0.4), -1)
FACTOR += torch.diag_embed(_numbers(4, 3, seed=7, scale=0.3).exp())
OTHER = torch.tril(_numbers(3, 3, seed=8, scale=0.4), -1) + torch.diag(torch.tensor([0.7, 1.3, 2.0]).double())
ZEROS, IDENTITY = torch.zeros(3).double(), torch.eye(3).double()
# Every kind of Gaussian twice, with torch's own beside it; the last has one covariance for a batch of means.
PAIRS: dict[str, tuple[Any, MultivariateNormal]] = {
    "unit": (UnitNormal(ZEROS), MultivariateNormal(ZEROS, IDENTITY)),
    "diagonal": (Q, MultivariateNormal(Q_LOC, scale_tril=torch.diag_embed(Q_LOG_SCALE.exp()))),
    "one diagonal": (
        DiagonalNormal(P_LOC[0], P_LOG_SCALE[0]),
        MultivariateNormal(P_LOC[0], scale_tril=torch.diag(P_LOG_SCALE[0].exp())),
    ),
    "full": (FullNormal(P_LOC, FACTOR), MultivariateNormal(P_LOC, scale_tril=FACTOR)),
    "shared full": (FullNormal(Q_LOC, OTHER), MultivariateNormal(Q_LOC, scale_tril=OTHER.expand(4, 3, 3))),
}


@pytest.mark.parametrize("second", PAIRS)
@pytest.mark.parametrize("first", PAIRS)
def test_every_pair_of_gaussians_is_torchs(first: str, second: str) -> None:
    (p, torch_p), (q, torch_q) = PAIRS[first], PAIRS[second]
    found = kl_divergence(p, q)
    torch.testing.assert_close(found, kl_divergence(torch_p, torch_q))
    assert found.shape == torch.broadcast_shapes(torch_p.batch_shape, torch_q.batch_shape)
    if first == second:
        torch.testing.assert_close(found, torch.zeros_like(found))
    else:
        assert (found > 0.0).all()


@pytest.mark.parametrize("name", ["full", "shared full"])
def test_full_covariance_is_torchs(name: str) -> None:
    ours, reference = PAIRS[name]
    x, noise = _numbers(5, 4, 3, seed=5), _numbers(6, 4, 3, seed=6)
    torch.testing.assert_close(ours.log_prob(x), reference.log_prob(x))
    torch.testing.assert_close(ours.log_prob(x[0]), reference.log_prob(x[0]))
    torch.testing.assert_close(ours.log_prob(x[:, :1]), reference.log_prob(x[:, :1].expand(5, 4, 3)))
    torch.testing.assert_close(ours.entropy(), reference.entropy())
    torch.testing.assert_close(ours.variance, reference.variance)
    torch.testing.assert_close(ours.stddev, reference.variance.sqrt())
    torch.testing.assert_close(ours.covariance_matrix, reference.covariance_matrix)
    assert torch.equal(ours.mean, reference.mean)
    expected_draws = ours.loc + torch.einsum("bij,kbj->kbi", reference.scale_tril, noise)
    torch.testing.assert_close(ours.rsample_from(noise), expected_draws)
    torch.testing.assert_close(ours.rsample_from(noise[0]), expected_draws[0])
    torch.testing.assert_close(ours.whiten(expected_draws), noise)


def test_full_samples_have_the_covariance() -> None:
    """Five standard errors for 4 × (3 + 6) moments; chance of a false alarm below 3e-5, seed fixed."""
    full = PAIRS["full"][0]
    draws = full.sample((4000,), generator=torch.Generator().manual_seed(0)) - P_LOC
    assert_mean(draws.numpy(), np.zeros(3))
    products = draws.unsqueeze(-1) * draws.unsqueeze(-2)
    assert_mean(products.numpy(), (FACTOR @ FACTOR.mT).numpy())


def test_entropy_of_the_standard_normal() -> None:
    assert float(UnitNormal(torch.zeros(3)).entropy()) == pytest.approx(1.5 * (1 + math.log(2 * math.pi)))


def test_a_covariance_must_be_positive_definite_and_symmetric() -> None:
    covariance = FACTOR @ FACTOR.mT
    torch.testing.assert_close(FullNormal.from_covariance(P_LOC, covariance).scale_tril, FACTOR)
    skewed = covariance.clone()
    skewed[0, 0, 1] += 0.1
    for wrong in (-torch.eye(3), torch.ones(3, 3), skewed):
        with pytest.raises(ConfigError, match="covariance must be symmetric and positive definite"):
            FullNormal.from_covariance(P_LOC, wrong)


def test_a_full_covariance_is_one_of_vectors() -> None:
    images = DiagonalNormal(torch.zeros(3, 3), torch.zeros(3, 3), event_dims=2)
    with pytest.raises(ConfigError, match=r"needs vectors on the other side, got events of shape \(3, 3\)"):
        kl_divergence(images, PAIRS["full"][0])

"""Divergences between Gaussians against torch's, against an integral, and against the mean of log q − log p."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from latentia.distributions import DiagonalNormal, FullNormal, UnitNormal, kl_divergence, kl_per_dimension

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


def test_full_covariance() -> None:
    factor = torch.tril(_numbers(4, 3, 3, seed=4, scale=0.4)) + 1.2 * torch.eye(3)
    full = FullNormal(Q_LOC, factor)
    reference = MultivariateNormal(Q_LOC, factor @ factor.mT)
    expected = kl_divergence(reference, MultivariateNormal(torch.zeros(3), torch.eye(3)))
    torch.testing.assert_close(kl_divergence(full, UnitNormal(torch.zeros(3))), expected)
    x = _numbers(5, 4, 3, seed=5)
    torch.testing.assert_close(full.log_prob(x), reference.log_prob(x))
    noise = _numbers(6, 4, 3, seed=6)
    expected_draws = Q_LOC + torch.einsum("bij,kbj->kbi", factor, noise)
    torch.testing.assert_close(full.rsample_from(noise), expected_draws)

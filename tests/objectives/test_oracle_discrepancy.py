"""The maximum mean discrepancy: by hand on few points, against closed forms in the mean, whatever the batch size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from latentia.distributions import DiagonalNormal
from latentia.errors import ConfigError
from latentia.objectives import elbo, maximum_mean_discrepancy, mmd_elbo
from latentia.objectives.discrepancy import Kernel
from tests.objectives.cases import LinearGaussian, copies, numbers, parameters
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

KERNELS: dict[Kernel, Callable[[float], float]] = {"imq": lambda t: 1.0 / (1.0 + t), "rbf": lambda t: math.exp(-t)}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_few_points_by_hand(kernel: Kernel, scale: float) -> None:
    a, b = numbers(3, 2, seed=1), numbers(4, 2, seed=2) + 0.5

    def k(x: Tensor, y: Tensor) -> float:
        return KERNELS[kernel](float((x - y).square().sum()) / (2 * 2 * scale**2))

    within_a = sum(k(a[i], a[j]) for i in range(3) for j in range(3) if i != j) / 6
    within_b = sum(k(b[i], b[j]) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(k(a[i], b[j]) for i in range(3) for j in range(4)) / 12
    found = maximum_mean_discrepancy(a, b, kernel, scale)
    torch.testing.assert_close(found, torch.tensor(within_a + within_b - 2 * across))
    stacked = maximum_mean_discrepancy(torch.stack([a, a + 9]), torch.stack([b, b]), kernel, scale)
    assert stacked.shape == (2,)
    torch.testing.assert_close(stacked[0], found)


def _rbf_between(shift: float, variance_a: float, variance_b: float) -> float:
    """E exp(−(x − y)²/2) for x ~ N(shift, a), y ~ N(0, b)."""
    total = 1.0 + variance_a + variance_b
    return math.exp(-0.5 * shift**2 / total) / math.sqrt(total)


@pytest.mark.parametrize(("size", "repeats"), [(2, 4000), (4, 2000), (64, 300)])
def test_the_mean_is_exact_and_does_not_depend_on_the_number_of_points(size: int, repeats: int) -> None:
    """N(0.7, 0.5²) against N(0, 1), with the Gaussian kernel in closed form; then two samples of one distribution."""
    expected = _rbf_between(0.0, 0.25, 0.25) + _rbf_between(0.0, 1.0, 1.0) - 2 * _rbf_between(0.7, 0.25, 1.0)
    draws = numbers(3, repeats, size, 1, seed=3)
    a, b = 0.7 + 0.5 * draws[0], draws[1]
    assert_mean(maximum_mean_discrepancy(a, b, "rbf").numpy(), expected)
    assert expected > 0.05
    for kernel in KERNELS:
        assert_mean(maximum_mean_discrepancy(draws[2], b, kernel).numpy(), 0.0)


def test_the_inverse_multiquadric_against_quadrature() -> None:
    """The difference of two normals is normal, so each expectation is an integral over one number."""
    grid = np.linspace(-30.0, 30.0, 600_001)

    def expectation(mean: float, variance: float) -> float:
        density = np.exp(-0.5 * (grid - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance)
        return float((density / (1.0 + grid**2 / 2)).sum() * (grid[1] - grid[0]))

    expected = expectation(0.0, 0.5) + expectation(0.0, 2.0) - 2 * expectation(0.7, 1.25)
    draws = numbers(2, 2000, 8, 1, seed=4)
    assert_mean(maximum_mean_discrepancy(0.7 + 0.5 * draws[0], draws[1]).numpy(), expected)


def test_half_precision_does_not_eat_the_distances() -> None:
    a, b = 100.0 + numbers(16, 4, seed=5), 100.0 + numbers(16, 4, seed=6)
    exact = maximum_mean_discrepancy(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        found = maximum_mean_discrepancy(a.float(), b.float())
    torch.testing.assert_close(found.double(), exact, rtol=0.0, atol=1e-3)


@dataclass
class Centred(LinearGaussian):
    """One prior for all rows, N(m, 1) with the first row's m."""

    def prior(self) -> DiagonalNormal:
        """Return p(z)."""
        return DiagonalNormal(self.values["m"][0], torch.zeros(2))


def _model(rows: int) -> Centred:
    return Centred(copies(parameters(latent_dim=2), rows))


def test_the_surrogate_subtracts_the_discrepancy_and_the_value_does_not() -> None:
    model, x = _model(6), numbers(6, 2, seed=7)
    noise, other = numbers(3, 6, 2, seed=8), numbers(3, 6, 2, seed=9)
    result = mmd_elbo(model, x, num_samples=3, noise=noise, prior_noise=other, weight=7.0, beta=0.25, kernel="rbf")
    plain = elbo(model, x, num_samples=3, noise=noise)
    torch.testing.assert_close(result.value, plain.value)
    z, drawn = model.encoder(x).rsample_from(noise), model.prior().mean + other
    each = [maximum_mean_discrepancy(z[i], drawn[i], "rbf") for i in range(3)]  # one draw a row, so all independent
    distance = torch.stack(each).mean()
    torch.testing.assert_close(result.terms["squared_mmd"], distance.expand(6))
    expected = plain.terms["reconstruction"] - 0.25 * plain.terms["kl"].sum(-1) - 7.0 * distance
    torch.testing.assert_close(result.maximand, expected)
    default = mmd_elbo(model, x, num_samples=3, noise=noise, prior_noise=other, kernel="rbf")
    torch.testing.assert_close(default.maximand, plain.value - 10.0 * distance)


def test_a_learned_prior_learns_from_the_discrepancy() -> None:
    model = _model(6)
    result = mmd_elbo(model, numbers(6, 2, seed=7), beta=0.0)
    (slope,) = torch.autograd.grad(result.maximand.sum(), model.values["m"])
    assert float(slope[0].abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": -1.0}, "weight must be at least 0, got -1.0"),
        ({"beta": -1.0}, "beta must be at least 0, got -1.0"),
        ({"kernel": "linear"}, "kernel must be one of 'imq', 'rbf', got 'linear'"),
        ({"scale": 0.0}, "scale must be above 0, got 0.0"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"prior_noise": torch.zeros(1, 6, 3)}, r"noise must have shape \(1, 6, 2\)"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mmd_elbo(_model(6), numbers(6, 2, seed=7), **changes)


def test_samples_that_cannot_be_compared_are_refused() -> None:
    for a, b in ((1, 5), (5, 1)):
        with pytest.raises(ConfigError, match="at least 2 points each"):
            maximum_mean_discrepancy(numbers(a, 2, seed=1), numbers(b, 2, seed=2))
    with pytest.raises(ConfigError, match="of the same dimension"):
        maximum_mean_discrepancy(numbers(3, 2, seed=1), numbers(3, 1, seed=2))
    with pytest.raises(ConfigError, match="at least 2 points each"):
        mmd_elbo(_model(1), numbers(1, 2, seed=7))


def test_a_prior_that_takes_no_noise_is_refused() -> None:
    class Foreign(Centred):
        def prior(self) -> Any:
            components = Independent(Normal(torch.zeros(2, 2), torch.ones(2, 2)), 1)
            return MixtureSameFamily(Categorical(torch.ones(2)), components)

    with pytest.raises(ConfigError, match="the prior MixtureSameFamily cannot be drawn from given noise"):
        mmd_elbo(Foreign(copies(parameters(latent_dim=2), 6)), numbers(6, 2, seed=7))


def test_priors_of_the_library_take_noise() -> None:
    from latentia.parts import LearnedNormal, MixtureOfGaussians, StandardNormal

    parts: list[nn.Module] = [StandardNormal(2), LearnedNormal(2), MixtureOfGaussians(2, 3)]
    for part in parts:

        class Model(Centred):
            def prior(self, part: nn.Module = part) -> Any:
                return part.double()()

        result = mmd_elbo(Model(copies(parameters(latent_dim=2), 6)), numbers(6, 2, seed=7))
        assert bool(result.maximand.isfinite().all())

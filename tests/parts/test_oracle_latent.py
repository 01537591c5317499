"""Every prior and posterior: its density integrates to one and fits its samples, its moments and its gradients.

The integrals are sums over a grid of 65 × 65 points between −8 and 8: exact to six digits for mixtures, where what lies
outside counts, and to some thousandths for flows, whose densities have kinks.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from latentia.distributions import Flow
from tests.parts.latent_cases import POSTERIORS, PRIORS, Z, raw, stirred
from tests.tolerance import SIGMAS, assert_mean

pytestmark = pytest.mark.usefixtures("float64")

STEP, REACH = 0.25, 8.0


@functools.cache
def _prior(name: str) -> Any:
    return stirred(PRIORS[name]())()


@functools.cache
def _posterior(name: str) -> Any:
    """One distribution for one row: batch shape (1,)."""
    part, count = POSTERIORS[name]()
    return stirred(part)(raw(count).unsqueeze(0))


ALL: dict[str, Any] = {f"{name} prior": (_prior, name) for name in PRIORS}
ALL |= {f"{name} posterior": (_posterior, name) for name in POSTERIORS}


@pytest.fixture(params=list(ALL.values()), ids=list(ALL))
def density(request: pytest.FixtureRequest) -> Any:
    make, name = request.param
    return make(name)


def _grid() -> Tensor:
    axis = torch.arange(-REACH, REACH + STEP / 2, STEP)
    return torch.cartesian_prod(axis, axis)


@functools.cache
def _mass(density: Any) -> Tensor:
    """Probability of the cell around each point of the grid, shape (points,)."""
    points = _grid().reshape(-1, *(1,) * len(density.batch_shape), Z)
    with torch.no_grad():
        mass: Tensor = density.log_prob(points).exp() * STEP**2
    return mass.flatten()


def test_it_integrates_to_one(density: Any) -> None:
    assert float(_mass(density).sum()) == pytest.approx(1.0, abs=5e-3 if isinstance(density, Flow) else 1e-6)


def test_samples_fall_where_the_density_says(density: Any) -> None:
    """The plane is cut by lines both ways, and into quadrants; 4,000 draws."""
    mass, grid = _mass(density), _grid()
    draws = density.sample((4000,), generator=torch.Generator().manual_seed(0)).reshape(-1, Z)
    edges = [-1.625, -0.625, 0.625, 1.625]  # half-way between points of the grid: a cell is on one side as a whole
    inside, expected = [], []
    for axis in range(Z):
        for edge in edges:
            inside.append(draws[:, axis] < edge)
            expected.append(mass[grid[:, axis] < edge].sum())
    for low in (-0.625, 0.625):  # quadrants: what a density that forgets the correlations gets wrong
        inside.append((draws < low).all(-1))
        expected.append(mass[(grid < low).all(-1)].sum())
    # The sum over cells is off from the integral by less than the density's curvature over a cell: 2e-3.
    hits = torch.stack(inside, 1).double().numpy()
    wanted = torch.stack(expected).numpy()
    error = hits.std(0, ddof=1) / math.sqrt(len(hits))
    assert (abs(hits.mean(0) - wanted) <= SIGMAS * error + 2e-3).all()


def test_moments_are_the_integrals(density: Any) -> None:
    mass, grid = _mass(density), _grid()
    mean = (mass.unsqueeze(-1) * grid).sum(0)
    variance = (mass.unsqueeze(-1) * (grid - mean).square()).sum(0)
    # A flow's are averages over a fixed, small set of draws.
    tolerance = 0.05 if isinstance(density, Flow) else 1e-5
    torch.testing.assert_close(density.mean.detach().reshape(Z), mean, atol=tolerance, rtol=0.0)
    torch.testing.assert_close(density.stddev.detach().reshape(Z), variance.sqrt(), atol=tolerance, rtol=0.0)
    torch.testing.assert_close(density.variance, density.stddev.square())


def test_a_draw_takes_as_much_noise_as_it_says(density: Any) -> None:
    noise = torch.randn(5, *density.batch_shape, density.noise_size, generator=torch.Generator().manual_seed(3))
    draws = density.rsample_from(noise)
    assert draws.shape == (5, *density.batch_shape, Z)
    assert density.log_prob(draws).shape == (5, *density.batch_shape)
    torch.testing.assert_close(density.rsample_from(noise[2:3]), draws[2:3])  # each draw is a function of its own noise


@pytest.mark.parametrize("name", POSTERIORS)
def test_rows_do_not_mix(name: str) -> None:
    """Batches of three rows and four draws against each row and draw by itself."""
    part, count = POSTERIORS[name]()
    stirred(part)
    rows = torch.stack([raw(count, seed) for seed in (5, 6, 7)])
    q = part(rows)
    noise = torch.randn(4, 3, q.noise_size, generator=torch.Generator().manual_seed(4))
    z = q.rsample_from(noise)
    for i in range(3):
        alone = part(rows[i : i + 1])
        torch.testing.assert_close(alone.rsample_from(noise[:, i : i + 1]), z[:, i : i + 1])
        torch.testing.assert_close(alone.log_prob(z[:, i : i + 1].detach()), q.log_prob(z)[:, i : i + 1])
    pairs = q.log_prob(z[0].detach().unsqueeze(1))  # every draw under every row's posterior
    torch.testing.assert_close(pairs.diagonal(), q.log_prob(z)[0])
    torch.testing.assert_close(pairs[1, 2], part(rows[2]).log_prob(z[0, 1].detach()))


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_pathwise_gradient_is_that_of_the_integral(name: str) -> None:
    """∇φ E_q[f(z)] for f = z₀²z₁ + z₁ − z₀: every number that the network gives, the mixture's weights included."""

    def f(z: Tensor) -> Tensor:
        return z[..., 0].square() * z[..., 1] + z[..., 1] - z[..., 0]

    part, count = POSTERIORS[name]()
    stirred(part)
    row = raw(count).requires_grad_()
    grid = _grid()
    integral = (part(row.unsqueeze(0)).log_prob(grid.unsqueeze(1)).squeeze(1).exp() * f(grid)).sum() * STEP**2
    (exact,) = torch.autograd.grad(integral, row)
    rows = row.detach().expand(4000, -1).clone().requires_grad_()
    q = part(rows)
    noise = torch.randn(1, 4000, q.noise_size, generator=torch.Generator().manual_seed(0))
    (each,) = torch.autograd.grad(f(q.rsample_from(noise)).sum(), rows)
    loose = 0.02 if "spline" in name else 0.0  # the grid's error at the kinks
    if loose:
        error = each.std(0) / math.sqrt(len(each))
        assert ((each.mean(0) - exact).abs() <= SIGMAS * error + loose).all()
    else:
        assert_mean(each.numpy(), exact.numpy())


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_score_has_mean_zero(name: str) -> None:
    """E_q[∇φ log q(z)] = 0 with z held fixed: what the score-function estimator rests on."""
    part, count = POSTERIORS[name]()
    stirred(part)
    rows = raw(count).expand(4000, -1).clone().requires_grad_()
    q = part(rows)
    z = q.sample((1,), generator=torch.Generator().manual_seed(1))
    (each,) = torch.autograd.grad(q.log_prob(z).sum(), rows)
    assert_mean(each.numpy(), torch.zeros(count).numpy())
    assert each.abs().sum(0).max() > 0.0


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_density_of_a_draw_and_of_the_same_numbers_are_equal(name: str) -> None:
    part, count = POSTERIORS[name]()
    q = stirred(part)(raw(count).unsqueeze(0))
    z = q.rsample_from(torch.randn(6, 1, q.noise_size, generator=torch.Generator().manual_seed(2)))
    torch.testing.assert_close(q.log_prob(z), q.log_prob(z.detach().clone()))


def test_single_precision_agrees_with_double(density: Any, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    make, case = ALL[name]
    points = torch.randn(50, *density.batch_shape, Z, generator=torch.Generator().manual_seed(5))
    expected = density.log_prob(points)
    if make is _prior:
        single = stirred(PRIORS[case]()).float()()
    else:
        part, count = POSTERIORS[case]()
        single = stirred(part).float()(raw(count).unsqueeze(0).float())
    found = single.log_prob(points.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=2e-4, atol=2e-4)

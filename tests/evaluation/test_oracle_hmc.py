"""Hamiltonian Monte Carlo: a map that keeps volume and is its own inverse, and chains that keep their distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from latentia.errors import ConfigError, DataError
from latentia.evaluation import hmc
from latentia.evaluation.hmc import Point, leapfrog, transition
from latentia.evaluation.noise import RowStreams
from tests.evaluation.cases import generators, numbers
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

WEIGHTS = (1.0, 0.7)


def _terms(z: Tensor) -> tuple[Tensor, Tensor]:
    """A bent, heavy density of three dimensions in two terms."""
    a, b, c = z.unbind(-1)
    return -0.5 * z.square().sum(-1), -0.25 * (a.square() - b).square() - torch.cosh(c - 0.3 * a * b).log()


def _smooth(z: Tensor) -> Point:
    """The same with its gradients by hand, so that the map itself can be differentiated."""
    a, b, c = z.unbind(-1)
    bend, slope = a.square() - b, torch.tanh(c - 0.3 * a * b)
    gradient = torch.stack([-a * bend + 0.3 * b * slope, 0.5 * bend + 0.3 * a * slope, -slope], -1)
    return Point(z, _terms(z), (-z, gradient))


def _flow(state: Tensor, step_size: float, num_steps: int) -> Tensor:
    """The leapfrog as a map of (z, p), shape (6,)."""
    z, momentum = state[:3].reshape(1, 1, 3), state[3:].reshape(1, 1, 3)
    point, end = leapfrog(_smooth, _smooth(z), momentum, WEIGHTS, torch.tensor(step_size), num_steps)
    return torch.cat([point.z.flatten(), end.flatten()])


def _energy(state: Tensor) -> float:
    point = _smooth(state[:3].reshape(1, 1, 3))
    return float(-point.log_prob(WEIGHTS)) + 0.5 * float(state[3:].square().sum())


def test_gradients_of_the_terms_are_those_by_hand() -> None:
    z = numbers(4, 2, 3, seed=0)
    found, expected = Point.at(_terms, z), _smooth(z)
    torch.testing.assert_close(found.gradient(WEIGHTS), expected.gradient(WEIGHTS))
    torch.testing.assert_close(found.log_prob(WEIGHTS), expected.log_prob(WEIGHTS))
    assert not found.z.requires_grad
    assert not any(term.requires_grad for term in (*found.terms, *found.gradients))


@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_the_leapfrog_keeps_volume(num_steps: int) -> None:
    for seed in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda s: _flow(s, 0.3, num_steps), numbers(6, seed=seed))
        assert not torch.allclose(jacobian, torch.eye(6), atol=0.1)
        assert float(torch.linalg.det(jacobian)) == pytest.approx(1.0, abs=1e-11)


def test_the_leapfrog_is_undone_by_turning_the_momentum() -> None:
    sign = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    start = numbers(6, seed=5)
    there = _flow(start, 0.2, 9)
    assert float((there - start).abs().max()) > 0.3
    torch.testing.assert_close(sign * _flow(sign * there, 0.2, 9), start, rtol=0.0, atol=1e-12)


def test_the_energy_error_is_of_second_order() -> None:
    """Over a time of 1.6, half the step leaves a quarter of the error."""
    for seed in (2, 5, 6):
        start = numbers(6, seed=seed)
        errors = [_energy(_flow(start, 1.6 / steps, steps)) - _energy(start) for steps in (64, 128, 256)]
        assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.02)
        assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.005)


def test_one_step_by_hand() -> None:
    """Of a standard normal with ε = 0.4: z' = z + ε (p − ε z/2), p' = p − ε (z + z')/2."""
    z, p, step = 0.7, -0.5, 0.4

    def evaluate(at: Tensor) -> Point:
        return Point(at, (-0.5 * at.square().sum(-1),), (-at,))

    start = torch.full((1, 1, 1), z)
    point, end = leapfrog(evaluate, evaluate(start), torch.full((1, 1, 1), p), (1.0,), torch.tensor(step), 1)
    expected = z + step * (p - 0.5 * step * z)
    assert float(point.z) == pytest.approx(expected, abs=1e-15)
    assert float(end) == pytest.approx(p - 0.5 * step * (z + expected), abs=1e-15)


def test_a_move_costs_one_evaluation_a_step() -> None:
    calls = []

    def density(z: Tensor) -> tuple[Tensor, ...]:
        calls.append(len(z))
        return _terms(z)

    point = Point.at(density, numbers(4, 2, 3, seed=0))
    streams = RowStreams([generators(0)(i) for i in range(2)], point.z)
    transition(density, point, WEIGHTS, torch.tensor([0.1, 0.2]), 7, streams)
    assert calls == [4] * 8


@pytest.mark.parametrize("step_size", [0.3, 0.9])
def test_a_move_leaves_the_distribution_as_it_is(step_size: float) -> None:
    """40,000 exact draws of a correlated Gaussian, moved once: five standard errors for 2 means and 3 moments."""
    factor = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    precision = torch.linalg.inv(factor @ factor.T)

    def density(z: Tensor) -> tuple[Tensor, ...]:
        return (-0.5 * ((z - 1.0) @ precision * (z - 1.0)).sum(-1),)

    start = 1.0 + numbers(40_000, 1, 2, seed=1) @ factor.T
    streams = RowStreams([generators(3)(0)], start)
    point, probability = transition(density, Point.at(density, start), (1.0,), torch.tensor([step_size]), 5, streams)
    moved = (point.z != start).any(-1)
    assert 0.3 < float(moved.double().mean()) < 1.0
    assert_mean(moved.double().numpy() - probability.numpy(), np.zeros(1))
    centred = (point.z - 1.0).squeeze(1).numpy()
    assert_mean(centred, np.zeros(2))
    assert_mean(centred[:, :, None] * centred[:, None, :], (factor @ factor.T).numpy())


def test_chains_find_each_row_at_its_own_scale() -> None:
    """Two rows of standard deviations (1, 2) and (0.01, 0.02): moments of 2,000 chains, acceptance near 0.65."""
    scale = torch.tensor([[1.0, 2.0], [0.01, 0.02]])
    start = torch.zeros(2000, 2, 2)

    def log_prob(z: Tensor) -> Tensor:
        return -0.5 * (z / scale).square().sum(-1)

    found = hmc(log_prob, start, [generators(1)(i) for i in range(2)], num_samples=5, num_warmup=80, num_steps=4)
    assert found.z.shape == (5, 2000, 2, 2)
    last = (found.z[-1] / scale).numpy()
    assert_mean(last, np.zeros((2, 2)))
    assert_mean(last**2, np.ones((2, 2)))
    assert found.acceptance.numpy() == pytest.approx(0.65, abs=0.15)
    assert float(found.step_size[0] / found.step_size[1]) == pytest.approx(100.0, rel=0.3)


@pytest.mark.parametrize("outside", [-math.inf, math.nan, math.inf])
def test_a_proposal_without_a_finite_energy_is_never_taken(outside: float) -> None:
    """The uniform density on [0, 1]: chains stay inside, and have its moments."""

    def log_prob(z: Tensor) -> Tensor:
        inside = ((z > 0.0) & (z < 1.0)).all(-1)
        return torch.where(inside, 0.0 * z.sum(-1), outside)

    start = torch.from_numpy(np.random.default_rng(0).uniform(0.01, 0.99, (4000, 1, 1)))
    found = hmc(log_prob, start, [generators(2)(0)], num_samples=1, num_warmup=20, num_steps=2, step_size=0.2)
    z = found.z[-1].flatten().numpy()
    assert z.min() > 0.0
    assert z.max() < 1.0
    assert_mean(z, 1 / 2)
    assert_mean(z**2, 1 / 3)
    assert 0.0 < float(found.acceptance) < 1.0


def test_a_term_that_does_not_depend_on_z_has_no_gradient() -> None:
    point = Point.at(lambda z: (torch.zeros(z.shape[:2]), -0.5 * z.square().sum(-1)), torch.ones(2, 1, 3))
    torch.testing.assert_close(point.gradient((1.0, 2.0)), torch.full((2, 1, 3), -2.0))


def test_a_row_moves_alike_alone_and_beside_others() -> None:
    scale = torch.tensor([[1.0], [0.5], [3.0]])

    def run(chosen: list[int]) -> Tensor:
        spread, streams = scale[chosen], [generators(4)(i) for i in chosen]
        start = torch.ones(6, len(chosen), 1)
        return hmc(lambda z: -0.5 * (z / spread).square().sum(-1), start, streams, num_samples=3, num_warmup=10).z

    together = run([0, 1, 2])
    assert torch.equal(run([1])[:, :, 0], together[:, :, 1])
    assert torch.equal(run([2, 0])[:, :, 1], together[:, :, 0])
    assert not torch.equal(together[:, :, 0], together[:, :, 1])


def test_bad_input_is_refused() -> None:
    start, noise = torch.zeros(4, 1, 2), [torch.Generator()]

    def good(z: Tensor) -> Tensor:
        return -0.5 * z.square().sum(-1)

    with pytest.raises(ConfigError, match="num_samples must be at least 1, got 0"):
        hmc(good, start, noise, num_samples=0)
    with pytest.raises(ConfigError, match="num_steps must be at least 1, got 0"):
        hmc(good, start, noise, num_samples=1, num_steps=0)
    with pytest.raises(ConfigError, match="num_warmup must be at least 0, got -1"):
        hmc(good, start, noise, num_samples=1, num_warmup=-1)
    for step_size in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="step_size must be a positive number"):
            hmc(good, start, noise, num_samples=1, step_size=step_size)
    with pytest.raises(ConfigError, match=r"one generator a row, got \(4, 1, 2\) and 2 generators"):
        hmc(good, start, noise * 2, num_samples=1)
    with pytest.raises(DataError, match="log_prob of row 0 is nan where its chains start"):
        hmc(lambda z: good(z) * math.nan, start, noise, num_samples=1)

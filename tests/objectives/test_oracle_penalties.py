"""Weights on the divergence, by hand: β, free bits and capacity; they move the surrogate and never the value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from latentia.errors import ConfigError
from latentia.models import PPCA
from latentia.objectives import elbo
from tests.objectives.cases import LinearGaussian, copies, numbers, parameters

pytestmark = pytest.mark.usefixtures("float64")

ROWS = 4


def _model(rows: int = ROWS) -> LinearGaussian:
    values = copies(parameters(latent_dim=3), rows)
    return LinearGaussian(values | {"m": torch.zeros(rows, 3)})


X, NOISE = numbers(ROWS, 2, seed=21), numbers(1, ROWS, 3, seed=22)


def _parts() -> tuple[Tensor, Tensor]:
    """Return the divergence per dimension and the reconstruction."""
    terms = elbo(_model(), X, noise=NOISE).terms
    return terms["kl"].detach(), terms["reconstruction"].detach()


def _surrogate(**weights: Any) -> Tensor:
    result = elbo(_model(), X, noise=NOISE, **weights)
    torch.testing.assert_close(result.value, elbo(_model(), X, noise=NOISE).value, rtol=0.0, atol=0.0)
    assert result.surrogate is not None
    return result.surrogate


def test_free_bits_are_a_floor_under_every_dimension_of_every_row() -> None:
    kl, reconstruction = _parts()
    floor = float(kl.median())
    paid = [[max(floor, float(k)) for k in row] for row in kl]
    expected = reconstruction - torch.tensor([sum(row) for row in paid])
    torch.testing.assert_close(_surrogate(free_bits=floor), expected)
    torch.testing.assert_close(_surrogate(free_bits=torch.tensor(floor)), expected)
    weighted = reconstruction - 2.5 * torch.tensor([sum(row) for row in paid])
    torch.testing.assert_close(_surrogate(free_bits=floor, beta=2.5), weighted)
    assert 0 < int((kl < floor).sum()) < kl.numel()


def test_below_the_floor_the_divergence_has_no_gradient() -> None:
    model = _model()
    result = elbo(model, X, noise=NOISE, free_bits=1e6)
    (slope,) = torch.autograd.grad(result.maximand.sum(), model.values["log_s"], retain_graph=True)
    (fit,) = torch.autograd.grad(result.terms["reconstruction"].sum(), model.values["log_s"], retain_graph=True)
    (plain,) = torch.autograd.grad(result.value.sum(), model.values["log_s"])
    torch.testing.assert_close(slope, fit)
    assert float((slope - plain).abs().max()) > 0.1


def test_free_bits_do_not_depend_on_the_batch() -> None:
    """The maximum is taken row by row, so a row's surrogate is the same alone and beside others."""
    together = _surrogate(free_bits=0.4).detach()
    for i in range(ROWS):
        alone = elbo(_model(1), X[i : i + 1], noise=NOISE[:, i : i + 1], free_bits=0.4)
        torch.testing.assert_close(alone.maximand[0].detach(), together[i])
    kl, reconstruction = _parts()
    of_mean = reconstruction.mean() - kl.mean(0).clamp_min(0.4).sum()
    assert abs(float(together.mean() - of_mean)) > 1e-3  # the batch's form is another number


def test_free_bits_of_a_divergence_that_does_not_split_are_free_together() -> None:
    model = PPCA(numbers(4, seed=0), numbers(4, 3, seed=1), 0.4)
    x = numbers(2, 4, seed=2)
    total = elbo(model, x).terms["kl"].sum(-1)
    assert elbo(model, x).terms["kl"].shape == (2, 1)
    floor = float(total.mean()) / 3
    result = elbo(model, x, free_bits=floor)
    torch.testing.assert_close(
        result.maximand, result.terms["reconstruction"] - torch.maximum(total, torch.tensor(3 * floor))
    )


@pytest.mark.parametrize("capacity", [0.0, 0.5, 50.0])
def test_capacity_pulls_from_both_sides(capacity: float) -> None:
    kl, reconstruction = _parts()
    total = kl.sum(-1)
    expected = reconstruction - 30.0 * (total - capacity).abs()
    torch.testing.assert_close(_surrogate(capacity=capacity, beta=30.0), expected)
    torch.testing.assert_close(_surrogate(capacity=torch.tensor(capacity), beta=torch.tensor(30.0)), expected)
    model = _model()
    result = elbo(model, X, noise=NOISE, capacity=capacity)
    (slope,) = torch.autograd.grad(result.maximand.sum(), model.values["log_s"], retain_graph=True)
    (fit,) = torch.autograd.grad(result.terms["reconstruction"].sum(), model.values["log_s"], retain_graph=True)
    (rate,) = torch.autograd.grad(result.terms["kl"].sum(), model.values["log_s"])
    torch.testing.assert_close(slope, fit - torch.where(total > capacity, 1.0, -1.0).unsqueeze(-1) * rate)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"beta": -1.0}, "beta must be at least 0, got -1.0"),
        ({"free_bits": -0.1}, "free_bits must be at least 0, got -0.1"),
        ({"capacity": float("nan")}, "capacity must be at least 0, got nan"),
        ({"capacity": 1.0, "free_bits": 1.0}, "give one of them"),
    ],
)
def test_weights_that_make_no_sense_are_refused(weights: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        elbo(_model(), X, **weights)

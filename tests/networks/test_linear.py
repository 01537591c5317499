"""The matrix product under every network: torch's values, torch's gradients, and no row that depends on its place."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from latentia.evaluation import map_rows
from latentia.networks import Linear, linear

SHAPES = [(13, 4), (53, 11), (150, 4), (1, 1), (3, 40), (784, 400), (20, 784), (127, 2)]


def _numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize(("wide", "out"), SHAPES)
def test_values_and_gradients_are_those_of_the_product_in_double_precision(wide: int, out: int) -> None:
    tensors = [_numbers(7, wide, seed=1), _numbers(out, wide, seed=2), _numbers(out, seed=3)]
    single = [t.clone().requires_grad_() for t in tensors]
    double = [t.double().requires_grad_() for t in tensors]
    weights = _numbers(7, out, seed=4)
    y = linear(*single)
    expected = double[0] @ double[1].T + double[2]
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-4)
    gradients = torch.autograd.grad((y * weights).sum(), single)
    wanted = torch.autograd.grad((expected * weights.double()).sum(), double)
    for gradient, want in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient.double(), want, rtol=1e-5, atol=1e-4)


def test_leading_axes_are_kept_and_a_missing_bias_is_none() -> None:
    x, weight = _numbers(2, 3, 5), _numbers(4, 5)
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))
    assert linear(x[:, :0], weight).shape == (2, 0, 4)


def test_a_gradient_can_be_differentiated_again() -> None:
    """d/dx of (d/dx ½(wx)²) = w²."""
    x, weight = torch.tensor([[3.0]], requires_grad=True), torch.tensor([[2.0]], requires_grad=True)
    (first,) = torch.autograd.grad(0.5 * linear(x, weight).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert (first.item(), second.item()) == (12.0, 4.0)


def test_function_transforms_and_autocast_go_through() -> None:
    layer = Linear(3, 2)
    jacobian = torch.func.vmap(torch.func.jacrev(layer))(_numbers(5, 3))
    torch.testing.assert_close(jacobian, layer.weight.expand(5, 2, 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(_numbers(5, 3)).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("wide", "out"), SHAPES)
def test_a_row_does_not_depend_on_its_place(wide: int, out: int, dtype: torch.dtype) -> None:
    layer, x = Linear(wide, out).to(dtype), _numbers(800, wide, dtype=dtype)
    order = torch.randperm(800, generator=torch.Generator().manual_seed(5))
    full = map_rows(layer, x)
    assert torch.equal(map_rows(layer, x[order]), full[order])
    assert torch.equal(map_rows(layer, x[3:4]), full[3:4])

"""Causal convolutions: what a place can see, and that a walk from place to place sees the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from latentia.networks.causal import CausalContext, CausalConvolution
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

HEIGHT, WIDTH = 4, 5


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Weights from a seed: a unit that none reaches would see nothing."""
    torch.manual_seed(0)


def _depends(context: CausalContext) -> Tensor:
    """Whether the context of place t (rows) depends on the value at place s (columns)."""
    x = torch.rand(1, HEIGHT, WIDTH, 1, generator=torch.Generator().manual_seed(0))
    jacobian = torch.autograd.functional.jacobian(context, x)  # (1, T, C, 1, H, W, 1)
    seen: Tensor = jacobian.flatten(4)[0, :, :, 0].abs().sum(1) > 0
    return seen


def _within(radius: int, *, centre: bool = False) -> Tensor:
    """The same for a single window, by its definition."""
    seen = torch.zeros(HEIGHT * WIDTH, HEIGHT * WIDTH, dtype=torch.bool)
    for t in range(HEIGHT * WIDTH):
        for s in range(t + 1 if centre else t):
            (i, j), (a, c) = divmod(t, WIDTH), divmod(s, WIDTH)
            seen[t, s] = i - a <= radius and abs(j - c) <= radius
    return seen


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_a_place_sees_the_places_before_it_within_the_window_and_no_others(radius: int) -> None:
    context = CausalContext((HEIGHT, WIDTH), 1, 3, radius)
    assert torch.equal(_depends(context), _within(radius))


@pytest.mark.parametrize("layers", [1, 2])
def test_each_further_layer_widens_the_window_by_one(layers: int) -> None:
    context = CausalContext((HEIGHT, WIDTH), 1, 8, 1, layers)
    expected = _within(1).double()
    for _ in range(layers):
        expected = _within(1, centre=True).double() @ expected
    assert torch.equal(_depends(context), expected > 0)


def test_convolution_is_the_sum_over_its_window() -> None:
    layer = CausalConvolution(2, 3, 1, centre=True)
    assert layer.bias is not None
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(1, 3, 3, 2, generator=torch.Generator().manual_seed(1))
    taps = {(-1, -1): (0, 0), (-1, 0): (0, 1), (-1, 1): (0, 2), (0, -1): (1, 0), (0, 0): (1, 1)}
    expected = sum(x[0, 1 + di, 1 + dj] @ layer.weight[:, :, a, b].T for (di, dj), (a, b) in taps.items()) + layer.bias
    torch.testing.assert_close(layer(x)[0, 1, 1], expected)


def test_first_layer_has_unit_variance_on_unit_inputs() -> None:
    """The mean square of outputs over many channels is one where the whole window lies inside."""
    torch.manual_seed(0)
    layer = CausalConvolution(4, 4096, 2, centre=False)
    x = torch.ones(1, 6, 6, 4)
    assert_mean(layer(x)[0, 3, 3].square().detach().numpy(), 1.0)


@pytest.mark.parametrize("layers", [0, 2])
def test_a_walk_gives_the_context_of_the_whole(layers: int) -> None:
    context = CausalContext((HEIGHT, WIDTH), 2, 6, 2, layers)
    torch.nn.init.normal_(context.place)
    x = torch.randn(3, HEIGHT, WIDTH, 2, generator=torch.Generator().manual_seed(2))
    walk, steps = context.walk(3), []
    for t in range(HEIGHT * WIDTH):
        steps.append(walk.at(t))
        walk.write(t, x[:, t // WIDTH, t % WIDTH])
    torch.testing.assert_close(torch.stack(steps, 1), context(x))

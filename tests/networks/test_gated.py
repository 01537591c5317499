"""Gated layers against their formula."""

from __future__ import annotations

import pytest
import torch

from latentia.networks.gated import GatedLinear, GatedMLP

pytestmark = pytest.mark.usefixtures("float64")


def test_a_unit_is_multiplied_by_the_sigmoid_of_its_gate() -> None:
    layer = GatedLinear(3, 4)
    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    value, gate = layer.linear(x)[..., :4], layer.linear(x)[..., 4:]
    torch.testing.assert_close(layer(x), value / (1 + (-gate).exp()))


def test_the_last_layer_has_no_gate() -> None:
    network = GatedMLP((2, 3), [5], 4)
    x = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(1))
    hidden = network.layers[0](x.flatten(1))
    torch.testing.assert_close(network(x), hidden @ network.last_weight.T + network.last_bias)
    with torch.no_grad():
        network.last_weight.zero_()
        network.last_bias.fill_(2.5)
    assert torch.equal(network(x), torch.full((7, 4), 2.5))


def test_no_hidden_layer_is_an_affine_map() -> None:
    network = GatedMLP(3, [], 2)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(network(x), x @ network.last_weight.T + network.last_bias)

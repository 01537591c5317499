"""Fully connected networks: gated layers by hand."""

from __future__ import annotations

import pytest
import torch

from latentia.errors import ConfigError
from latentia.networks import MLP, ConvEncoder, Linear


def test_a_gated_layer_is_one_half_times_the_sigmoid_of_the_other() -> None:
    """(W x + b) · sigmoid(V x + c): Dauphin et al. 2017, equation 1; the output layer has no gates."""
    torch.manual_seed(0)
    network = MLP(3, [4], 2, activation="gated").double()
    first, last = (layer for layer in network.layers if isinstance(layer, Linear))
    assert first.weight.shape == (8, 3)
    assert last.weight.shape == (2, 4)
    x = torch.randn(5, 3, dtype=torch.float64)
    values, gates = x @ first.weight[:4].T + first.bias[:4], x @ first.weight[4:].T + first.bias[4:]
    expected = (values / (1 + torch.exp(-gates))) @ last.weight.T + last.bias
    torch.testing.assert_close(network(x), expected)


def test_convolutions_have_no_gates() -> None:
    with pytest.raises(ConfigError, match="fully connected"):
        ConvEncoder((8, 8), 4, (4, 4), "gated")

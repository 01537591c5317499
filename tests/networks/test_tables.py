"""What a network sees of counts, categories and tables: known numbers, in known places."""

from __future__ import annotations

import math

import torch
from torch import nn

from latentia.networks import ColumnInput, Log1p


def test_counts_reach_the_network_as_logarithms() -> None:
    found = Log1p(nn.Identity())(torch.tensor([[0.0, 1.0, 9.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.0, math.log(2.0), math.log(10.0)]]))


def test_each_column_is_given_as_what_it_is() -> None:
    """Columns: code of 3, real, count, grey level 0 … 4, code of 2."""
    network = ColumnInput(
        nn.Identity(), numbers=[1, 3], factors=[1.0, 0.25], counts=[2], categories=[0, 4], levels=[3, 2]
    )
    x = torch.tensor([[2.0, -1.5, 9.0, 4.0, 0.0], [0.0, 3.0, 0.0, 1.0, 1.0]])
    expected = torch.tensor(
        [
            [-1.5, 1.0, math.log(10.0), 0.0, 0.0, 1.0, 1.0, 0.0],
            [3.0, 0.25, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        ]
    )
    torch.testing.assert_close(network(x), expected)
    torch.testing.assert_close(network(x.expand(2, 2, 5)), expected.expand(2, 2, 8))
    torch.testing.assert_close(network.double()(x.double()), expected.double())
    assert not network.state_dict()


def test_a_table_without_categories_or_counts() -> None:
    network = ColumnInput(nn.Identity(), numbers=[0, 1], factors=[1.0, 1.0], counts=[], categories=[], levels=[])
    x = torch.randn(3, 2)
    torch.testing.assert_close(network(x), x)

"""Gated multilayer perceptrons: each hidden unit is multiplied by a gate between 0 and 1."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from latentia.networks.linear import Linear

__all__ = ["GatedLinear", "GatedMLP"]


class GatedLinear(nn.Module):
    r"""h = (A x + a) ⊙ σ(B x + b), as one matrix product: Dauphin et al. 2017, equation 1.

    Parameters
    ----------
    in_features, out_features
        Lengths of x and h.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = Linear(in_features, 2 * out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return F.glu(self.linear(x), -1)


class GatedMLP(nn.Module):
    """Gated layers from the trailing axes of the input to a vector; the last layer has no gate.

    Parameters
    ----------
    in_shape
        Shape of one input, flattened first; leading axes of any number are kept.
    hidden
        Widths of the gated layers; none makes the network linear (affine).
    out_features
        Length of the output vector.

    Examples
    --------
    >>> import torch
    >>> GatedMLP((28, 28), [300, 300], 80)(torch.zeros(5, 28, 28)).shape
    torch.Size([5, 80])
    """

    def __init__(self, in_shape: int | Sequence[int], hidden: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.in_shape = (in_shape,) if isinstance(in_shape, int) else tuple(in_shape)
        widths = [math.prod(self.in_shape), *hidden]
        self.layers = nn.Sequential(
            *(GatedLinear(a, b) for a, b in itertools.pairwise(widths)), Linear(widths[-1], out_features)
        )

    @property
    def last_weight(self) -> Tensor:
        """The weight of the last layer, shape (out, in)."""
        weight: Tensor = self.layers[-1].weight  # type: ignore[assignment]  # the last layer is always Linear
        return weight

    @property
    def last_bias(self) -> Tensor:
        """The bias of the last layer, which a decoder starts at the data's mean."""
        bias: Tensor = self.layers[-1].bias  # type: ignore[assignment]  # the last layer is always Linear
        return bias

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., *in_shape) to (..., out_features)."""
        if len(self.in_shape) > 1:
            x = x.flatten(-len(self.in_shape))
        out: Tensor = self.layers(x)
        return out

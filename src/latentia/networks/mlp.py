"""Multilayer perceptrons, and the smallest networks: a constant, a fixed scale, indicators."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentia.errors import ConfigError
from latentia.networks.linear import Linear

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gated": nn.GLU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


def activation(name: str, *, gated: bool = True) -> nn.Module:
    """Return the activation of that name, a key of ``ACTIVATIONS``; "gated" only where the layer has gates."""
    if name == "gated" and not gated:
        raise ConfigError("gated layers are fully connected: choose network='mlp', or another activation than 'gated'")
    if name not in ACTIVATIONS:
        msg = f"activation must be one of {', '.join(map(repr, ACTIVATIONS))}, got {name!r}"
        raise ConfigError(msg)
    return ACTIVATIONS[name]()


class MLP(nn.Module):
    """Fully connected layers from the trailing axes of the input to a vector.

    Parameters
    ----------
    in_shape
        Shape of one input, flattened first; leading axes of any number are kept.
    hidden
        Widths of the hidden layers; none makes the network linear (affine).
    out_features
        Length of the output vector.
    activation
        Name of the non-linearity after each hidden layer, a key of ``ACTIVATIONS``; "gated" layers have twice the
        outputs, one half of which gates the other: (W x + b) · sigmoid(V x + c) (Dauphin et al. 2017, equation 1).
    initialisation
        "torch" for torch's default, "xavier" for Glorot-uniform weights and zero biases.
    """

    def __init__(
        self,
        in_shape: int | Sequence[int],
        hidden: Sequence[int],
        out_features: int,
        activation: str = "relu",
        initialisation: str = "torch",
    ) -> None:
        super().__init__()
        self.in_shape = (in_shape,) if isinstance(in_shape, int) else tuple(in_shape)
        widths = [math.prod(self.in_shape), *hidden, out_features]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            if i > 0:
                layers.append(_activation(activation))
            gates = 2 if activation == "gated" and i < len(hidden) else 1
            layers.append(Linear(a, gates * b))
        self.layers = nn.Sequential(*layers)
        if initialisation == "xavier":
            for layer in layers:
                if isinstance(layer, Linear):
                    nn.init.xavier_uniform_(layer.weight)
                    nn.init.zeros_(layer.bias)

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


_activation = activation  # the argument of MLP has the same name


class Constant(nn.Module):
    """The network that ignores its input: a vector of parameters.

    Parameters
    ----------
    out_features
        Length of the vector.
    """

    def __init__(self, out_features: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(out_features))

    def forward(self, context: Tensor) -> Tensor:
        """Map (..., anything) to (..., out_features)."""
        return self.values.expand(*context.shape[:-1], -1)


class Scaled(nn.Module):
    """A network behind a fixed scale of its input, so that grey levels reach it between 0 and 1.

    Parameters
    ----------
    network
        The network that sees the scaled input.
    factor
        What the input is multiplied by.
    """

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network = network
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Map x to network(factor · x)."""
        out: Tensor = self.network(x * self.factor)
        return out


class OneHot(nn.Module):
    """A network behind indicators: each element's code becomes a vector with a single one.

    Parameters
    ----------
    network
        The network that sees (..., *E, levels).
    levels
        Number of codes.
    """

    def __init__(self, network: nn.Module, levels: int) -> None:
        super().__init__()
        self.network = network
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        """Map codes (..., *E) to network(indicators)."""
        out: Tensor = self.network(nn.functional.one_hot(x.long(), self.levels).to(x.dtype))
        return out

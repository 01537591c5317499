"""Tensor-to-tensor modules; nothing here knows of probability."""

from latentia.networks.causal import CausalContext, CausalConvolution
from latentia.networks.conv import ConvDecoder, ConvEncoder
from latentia.networks.linear import Linear, linear
from latentia.networks.mlp import ACTIVATIONS, MLP, Constant, OneHot, Scaled
from latentia.networks.tables import ColumnInput, Log1p

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "CausalContext",
    "CausalConvolution",
    "ColumnInput",
    "Constant",
    "ConvDecoder",
    "ConvEncoder",
    "Linear",
    "Log1p",
    "OneHot",
    "Scaled",
    "linear",
]

"""Tensor-to-tensor modules; nothing here knows of probability."""

from latentia.networks.conv import ConvDecoder, ConvEncoder
from latentia.networks.linear import Linear, linear
from latentia.networks.mlp import ACTIVATIONS, MLP, Constant, OneHot, Scaled

__all__ = ["ACTIVATIONS", "MLP", "Constant", "ConvDecoder", "ConvEncoder", "Linear", "OneHot", "Scaled", "linear"]

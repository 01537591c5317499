"""The pair of networks that a word such as ``network="mlp"`` stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from latentia.data import Support
from latentia.errors import ConfigError
from latentia.networks import MLP, ConvDecoder, ConvEncoder, OneHot, Scaled

__all__ = ["NETWORKS", "build_networks", "choose_network"]

NETWORKS = ("auto", "linear", "mlp", "conv")
# Up to this many numbers a fully connected network is the faster way to the same bound on a CPU.
_MOST_MLP_PIXELS = 1024


def choose_network(name: str, event_shape: Sequence[int]) -> str:
    """Return what "auto" means for items of this shape: "conv" for colour and for images above 32 × 32, else "mlp"."""
    if name != "auto":
        if name == "conv" and len(event_shape) < 2:
            raise ConfigError('network="conv" needs images of shape (H, W) or (H, W, C), but rows are vectors')
        return name
    image = len(event_shape) >= 2 and min(event_shape[:2]) >= 4
    return "conv" if image and (len(event_shape) == 3 or math.prod(event_shape) > _MOST_MLP_PIXELS) else "mlp"


def build_networks(
    name: str,
    *,
    event_shape: Sequence[int],
    support: Support,
    latent_dim: int,
    outputs_per_element: int,
    hidden: Sequence[int],
    activation: str,
    initialisation: str,
) -> tuple[nn.Module, nn.Module]:
    """Return the encoder's and the decoder's network.

    The encoder maps (..., *E) to (..., 2 L) and the decoder (..., L) to (..., k·D). Grey levels reach the encoder
    divided by their range, categories as indicators.
    """
    shape: Sequence[int] = tuple(event_shape)
    one_hot = support.kind == "categories"
    if name == "conv":
        if one_hot:
            raise ConfigError('network="conv" does not take categories: choose network="mlp"')
        channels = (32, 64, 128) if min(shape[:2]) > 32 else (32, 64)
        encoder: nn.Module = ConvEncoder(shape, 2 * latent_dim, channels, activation)
        decoder: nn.Module = ConvDecoder(latent_dim, shape, outputs_per_element, channels, activation)
    else:
        widths = () if name == "linear" else tuple(hidden)
        in_shape = (*shape, support.levels) if one_hot and support.levels else shape
        encoder = MLP(in_shape, widths, 2 * latent_dim, activation, initialisation)
        decoder = MLP(latent_dim, widths[::-1], outputs_per_element * math.prod(shape), activation, initialisation)
    if one_hot and support.levels:
        encoder = OneHot(encoder, support.levels)
    elif support.kind == "levels" and support.levels:
        encoder = Scaled(encoder, 1.0 / (support.levels - 1))
    return encoder, decoder

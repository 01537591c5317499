"""The pair of networks that a word such as ``network="mlp"`` stands for."""

from __future__ import annotations

import contextlib
import copy
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from latentia.data import Support
from latentia.errors import ConfigError, CorruptedError
from latentia.estimators.limits import Whole
from latentia.networks import MLP, ColumnInput, ConvDecoder, ConvEncoder, Linear, Log1p, OneHot, Scaled
from latentia.storage import show

__all__ = [
    "NETWORKS",
    "build_networks",
    "building",
    "check_same_networks",
    "choose_network",
    "described_networks",
    "own_networks",
    "widths_of",
]

NETWORKS = ("auto", "linear", "mlp", "conv")
# Up to this many numbers a fully connected network is the faster way to the same bound on a CPU.
_MOST_MLP_PIXELS = 1024
MAX_LAYERS = 100


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
    encoder_outputs: int,
    decoder_outputs: int,
    hidden: Sequence[int],
    activation: str,
    initialisation: str,
) -> tuple[nn.Module, nn.Module]:
    """Return the encoder's and the decoder's network.

    The encoder maps (..., *E) to (..., encoder_outputs) and the decoder (..., L) to (..., decoder_outputs). Grey levels
    reach the encoder divided by their range, counts as log(1 + x), categories as indicators.
    """
    shape: Sequence[int] = tuple(event_shape)
    if name == "conv":
        if support.kind == "categories":
            raise ConfigError('network="conv" does not take categories: choose network="mlp"')
        per_pixel, rest = divmod(decoder_outputs, math.prod(shape))
        if rest:
            raise ConfigError(
                'network="conv" gives as many numbers for each pixel, which a gaussian_full likelihood does not take: '
                'choose network="mlp" or likelihood="gaussian_low_rank"'
            )
        channels = (32, 64, 128) if min(shape[:2]) > 32 else (32, 64)
        encoder: nn.Module = ConvEncoder(shape, encoder_outputs, channels, activation)
        decoder: nn.Module = ConvDecoder(latent_dim, shape, per_pixel, channels, activation)
    else:
        widths = () if name == "linear" else tuple(hidden)
        encoder = MLP(_encoder_shape(shape, support), widths, encoder_outputs, activation, initialisation)
        decoder = MLP(latent_dim, widths[::-1], decoder_outputs, activation, initialisation)
    return _behind(encoder, support), decoder


def _encoder_shape(shape: Sequence[int], support: Support) -> Sequence[int]:
    """Return the shape of what the encoder's network sees of an item."""
    if support.columns is not None:
        given = _columns(support)
        return (len(given["numbers"]) + len(given["counts"]) + sum(given["levels"]),)
    return (*shape, support.levels) if support.kind == "categories" and support.levels else shape


def _behind(encoder: nn.Module, support: Support) -> nn.Module:
    """Return the encoder behind what data of this support are to a network."""
    if support.columns is not None:
        return ColumnInput(encoder, **_columns(support))
    if support.kind == "count":
        return Log1p(encoder)
    if support.kind == "categories" and support.levels:
        return OneHot(encoder, support.levels)
    return Scaled(encoder, 1.0 / (support.levels - 1)) if support.kind == "levels" and support.levels else encoder


def _columns(support: Support) -> dict[str, Any]:
    """Return the arguments of ``ColumnInput`` for a table."""
    kinds = list(enumerate(support.columns or ()))
    numbers = [(i, part) for i, part in kinds if part.kind not in ("count", "categories")]
    return {
        "numbers": [i for i, _ in numbers],
        "factors": [1.0 / (part.levels - 1) if part.levels else 1.0 for _, part in numbers],
        "counts": [i for i, part in kinds if part.kind == "count"],
        "categories": [i for i, part in kinds if part.kind == "categories"],
        "levels": [part.levels for _, part in kinds if part.kind == "categories"],
    }


class OneAxis(nn.Module):
    """A network of somebody else's, which knows a single leading axis, behind any number of them.

    Parameters
    ----------
    network
        Maps (N, ...) to (N, ...).
    event_dims
        Number of axes of one input.
    """

    def __init__(self, network: nn.Module, event_dims: int) -> None:
        super().__init__()
        self.network = network
        self.event_dims = event_dims

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., *E) to (..., out)."""
        split = x.dim() - self.event_dims
        out: Tensor = self.network(x.reshape(-1, *x.shape[split:]))
        return out.reshape(*x.shape[:split], *out.shape[1:])


def own_networks(given: Any, event_shape: Sequence[int]) -> tuple[nn.Module, nn.Module]:
    """Return copies of a pair of networks of the user's own: a constructor's argument is never trained itself.

    Their plain ``torch.nn.Linear`` layers become ours, which compute the same and give a row the same bits in every
    place.
    """
    encoder, decoder = copy.deepcopy(_pair(given))
    for module in (*encoder.modules(), *decoder.modules()):
        if type(module) is nn.Linear:
            module.__class__ = Linear
    return OneAxis(encoder, len(event_shape)), OneAxis(decoder, 1)


def described_networks(given: Any) -> dict[str, str]:
    """Return what networks of the user's own say of themselves, the same in every process.

    Names and shapes of weights do not tell a ReLU from a tanh; a module's text does.
    """
    texts = [re.sub(r" at 0x[0-9a-fA-F]+", "", repr(module)) for module in _pair(given)]
    return dict(zip(("encoder", "decoder"), texts, strict=True))


def check_same_networks(saved: Any, given: Any) -> None:
    """Refuse networks for a saved model that are not described as those it was fitted with.

    Raises
    ------
    ConfigError
        With both texts.
    CorruptedError
        If what was saved is no description.
    """
    now = described_networks(given)
    if not isinstance(saved, dict) or saved.keys() != now.keys() or not all(type(t) is str for t in saved.values()):
        raise CorruptedError("config.json does not describe the networks that the model was fitted with")
    for name, text in now.items():
        if saved[name] != text:
            before = "\n".join(map(show, saved[name].splitlines()))
            raise ConfigError(
                f"the model was fitted with another {name} than the one in network=(encoder, decoder); "
                f"its own:\n{before}\nthe one given:\n{text}"
            )


def _pair(given: Any) -> tuple[nn.Module, nn.Module]:
    pair = tuple(given) if isinstance(given, (tuple, list)) else ()
    if len(pair) != 2 or not all(isinstance(module, nn.Module) for module in pair):
        raise ConfigError(
            f"network must be one of {', '.join(map(repr, NETWORKS))} or a pair of modules, got {given!r}"
        )
    return pair


def widths_of(hidden: int | Sequence[int]) -> tuple[int, ...]:
    """Return the widths of hidden layers as whole numbers, or refuse them."""
    widths = tuple(hidden) if isinstance(hidden, (Sequence, np.ndarray)) else (hidden,)
    width = Whole(1, 100_000)
    if len(widths) > MAX_LAYERS or not all(width.allows(w) for w in widths):
        raise ConfigError(f"hidden must be up to {MAX_LAYERS} whole numbers from 1 to 100,000, got {hidden!r:.200}")
    return tuple(int(w) for w in widths)


@contextlib.contextmanager
def building(seed: int = 0) -> Iterator[None]:
    """Let modules be built in single precision and from a seed, whatever torch's global state; it is put back."""
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)

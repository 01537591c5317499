"""Convolutional networks for images of any size from 4 × 4 up, grey (H, W) or colour (H, W, C)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from latentia.networks.linear import Linear
from latentia.networks.mlp import activation as make_activation


def _channels(event_shape: Sequence[int]) -> int:
    return 1 if len(event_shape) == 2 else event_shape[2]


def _sizes(event_shape: Sequence[int], stages: int) -> list[tuple[int, int]]:
    """Heights and widths after 0, 1, … strided convolutions, each half the last, rounded up."""
    sizes = [(event_shape[0], event_shape[1])]
    for _ in range(stages):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


class ConvEncoder(nn.Module):
    """Strided convolutions, then one linear layer: image to vector.

    Parameters
    ----------
    event_shape
        (H, W) or (H, W, C); this network alone turns it to channels first.
    out_features
        Length of the output vector.
    channels
        Channels of each stride-2 convolution.
    activation
        Name of the non-linearity.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        out_features: int,
        channels: Sequence[int] = (32, 64),
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        height, width = _sizes(event_shape, len(channels))[-1]
        layers: list[nn.Module] = []
        previous = _channels(event_shape)
        for count in channels:
            layers += [nn.Conv2d(previous, count, 3, stride=2, padding=1), make_activation(activation, gated=False)]
            previous = count
        self.convolutions = nn.Sequential(*layers)
        self.head = Linear(previous * height * width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., H, W[, C]) to (..., out_features)."""
        lead = x.shape[: x.dim() - len(self.event_shape)]
        x = x.reshape(-1, *self.event_shape)
        x = x.unsqueeze(1) if len(self.event_shape) == 2 else x.permute(0, 3, 1, 2)
        features: Tensor = self.head(self.convolutions(x).flatten(1))
        return features.reshape(*lead, -1)


class ConvDecoder(nn.Module):
    """One linear layer, then stride-2 transposed convolutions of kernel 4: vector to maps in event order.

    Kernel 4 is a multiple of the stride, so that no checkerboard is built in; odd sizes are cropped.

    Parameters
    ----------
    in_features
        Length of the input vector.
    event_shape
        (H, W) or (H, W, C).
    outputs_per_element
        How many numbers the likelihood needs for each pixel and colour.
    channels
        Channels of each stage, from the image inwards (as for ``ConvEncoder``).
    activation
        Name of the non-linearity.
    """

    def __init__(
        self,
        in_features: int,
        event_shape: Sequence[int],
        outputs_per_element: int = 1,
        channels: Sequence[int] = (32, 64),
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.outputs = outputs_per_element
        self.sizes = _sizes(event_shape, len(channels))[::-1]
        widths = [*channels[::-1], outputs_per_element * _channels(event_shape)]
        self.start_shape = (widths[0], *self.sizes[0])
        self.head = Linear(in_features, math.prod(self.start_shape))
        self.activation = make_activation(activation, gated=False)
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map (..., in_features) to (..., outputs_per_element · H · W [· C])."""
        lead = z.shape[:-1]
        x: Tensor = self.head(z.reshape(-1, z.shape[-1])).reshape(-1, *self.start_shape)
        for convolution, (height, width) in zip(self.convolutions, self.sizes[1:], strict=True):
            x = convolution(self.activation(x))[..., :height, :width]
        # (N, k·C, H, W) → (N, k, H, W, C): the order in which a likelihood reads its parameters.
        x = x.reshape(x.shape[0], self.outputs, -1, *self.event_shape[:2]).permute(0, 1, 3, 4, 2)
        return x.reshape(*lead, -1)

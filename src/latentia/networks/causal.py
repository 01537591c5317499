"""Convolutions that see only what came before, in raster order, and a walk that computes them one place at a time.

Letters: N items, H × W places, C channels, T = H·W places in raster order. Maps are (N, H, W, C): the layout that a
CPU's convolutions like best, and in which places are rows of a matrix.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

__all__ = ["CausalContext", "CausalConvolution", "CausalWalk"]


class CausalConvolution(nn.Conv2d):
    r"""A convolution over the places above, and those to the left in the same row, up to a radius r.

    .. math:: y_{ij} = b + \sum_{(a, c) < (i, j)} W_{i-a,\, j-c}\, x_{ac}, \qquad |i - a| \le r,\ |j - c| \le r

    in raster order; with ``centre`` the place itself takes part too, which is right for every layer but the first. What
    lies outside of the map counts as zero. Van den Oord, Kalchbrenner and Kavukcuoglu 2016, section 3.4: their masks A
    and B.

    Parameters
    ----------
    in_channels, out_channels
        C before and after.
    radius
        r ≥ 1: the window is 2 r + 1 wide and r + 1 high.
    centre
        Whether y at a place may depend on x at that place.
    """

    mask: Tensor

    def __init__(self, in_channels: int, out_channels: int, radius: int, *, centre: bool) -> None:
        super().__init__(in_channels, out_channels, (radius + 1, 2 * radius + 1))
        self.radius = radius
        mask = torch.ones(1, 1, *self.kernel_size)
        mask[..., radius, radius + int(centre) :] = 0.0
        self.register_buffer("mask", mask, persistent=False)
        # Unit variance in, unit variance out: torch's own rule would count the masked weights too.
        nn.init.normal_(self.weight, std=(in_channels * float(mask.sum())) ** -0.5)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]  # there is a bias

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Map (N, H, W, in_channels) to (N, H, W, out_channels)."""
        r = self.radius
        padded = F.pad(input, (0, 0, r, r, r, 0)).permute(0, 3, 1, 2)
        return F.conv2d(padded, self.weight * self.mask, self.bias).permute(0, 2, 3, 1)

    def flat_weight(self) -> Tensor:
        """Return the weights as a matrix from the window, (r + 1, 2 r + 1, in_channels) in a row, to out_channels."""
        return (self.weight * self.mask).permute(0, 2, 3, 1).flatten(1)


class CausalContext(nn.Module):
    """Causal convolutions of a map: one that leaves out the place itself, then residual ones.

    Parameters
    ----------
    size
        H and W of the map.
    in_channels
        C of the map.
    channels
        C of the result.
    radius
        Of the first convolution's window.
    layers
        Further convolutions, each with a radius of 1 and a path around it: each lets the context see one place
        farther. They cost nothing where one x meets many z.

    Examples
    --------
    >>> context = CausalContext((3, 4), in_channels=1, channels=8, radius=1)
    >>> context(torch.zeros(2, 3, 4, 1)).shape
    torch.Size([2, 12, 8])
    """

    def __init__(self, size: tuple[int, int], in_channels: int, channels: int, radius: int, layers: int = 0) -> None:
        super().__init__()
        self.size, self.in_channels, self.channels = size, in_channels, channels
        self.first = CausalConvolution(in_channels, channels, radius, centre=False)
        self.others = nn.ModuleList(CausalConvolution(channels, channels, 1, centre=True) for _ in range(layers))
        self.place = nn.Parameter(torch.zeros(math.prod(size), channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, in_channels) to (N, T, channels); the row of a place depends on earlier places only."""
        h: Tensor = self.first(x)
        for layer in self.others:
            h = h + layer(F.relu(h))
        return h.flatten(1, 2) + self.place.to(h.dtype)

    def walk(self, n: int) -> CausalWalk:
        """Return a walk over the places of n maps that are not known yet."""
        return CausalWalk(self, n)


class CausalWalk:
    """The context of one place after the other, each from the values written so far: as much work as one forward pass.

    Parameters
    ----------
    context
        Whose weights are used.
    n
        Number of maps.
    """

    def __init__(self, context: CausalContext, n: int) -> None:
        self.context = context
        layers: list[CausalConvolution] = [context.first, *context.others]
        self._layers = [(layer.radius, layer.flat_weight(), layer.bias) for layer in layers]
        height, width = context.size
        self._maps = [  # what each layer reads, in a frame of zeros
            weight.new_zeros(n, height + r, width + 2 * r, layer.in_channels)
            for layer, (r, weight, _) in zip(layers, self._layers, strict=True)
        ]

    def at(self, place: int) -> Tensor:
        """Return the context of a place, shape (N, channels); all earlier places must have been written."""
        h = self._layer(0, place)
        for layer in range(1, len(self._maps)):
            self._put(layer, place, F.relu(h))
            h = h + self._layer(layer, place)
        return h + self.context.place[place]

    def write(self, place: int, values: Tensor) -> None:
        """Set the map's values at a place, shape (N, in_channels)."""
        self._put(0, place, values)

    def _layer(self, layer: int, place: int) -> Tensor:
        i, j = divmod(place, self.context.size[1])
        r, weight, bias = self._layers[layer]
        return F.linear(self._maps[layer][:, i : i + r + 1, j : j + 2 * r + 1].flatten(1), weight, bias)

    def _put(self, layer: int, place: int, values: Tensor) -> None:
        i, j = divmod(place, self.context.size[1])
        r = self._layers[layer][0]
        self._maps[layer][:, i + r, j + r] = values

"""A binary image whose pixels depend on their neighbours: each block of pixels given those before it, in raster order.

Letters: S sample shape, B batch shape, H × W image, k maps of it, T blocks of m = b × b pixels, C channels of context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from latentia.distributions.base import full_precision, uniform
from latentia.distributions.discrete import Bernoulli

__all__ = ["AutoregressiveBernoulli", "BlockConditional", "Walk", "blocks", "images"]

# Images that are drawn side by side: enough for full matrix products, few enough for any memory.
_ROWS_PER_WALK = 2048
# Draws behind a mean, and the seed that makes them the same for every row.
MEAN_DRAWS, _MEAN_SEED = 32, 0


class Walk(Protocol):
    """The context of one block after the other, from the values written so far."""

    def at(self, place: int) -> Tensor:
        """Return the context of a block, shape (N, C)."""

    def write(self, place: int, values: Tensor) -> None:
        """Set a block's values, shape (N, m)."""


class BlockConditional(Protocol):
    """What the density asks of a network: logits of a block, given the blocks before it and numbers of its own."""

    block: int

    def context(self, x: Tensor) -> Tensor:
        """Map blocks (N, H / b, W / b, m) to contexts (N, T, C), each of earlier blocks only."""

    def logits(self, context: Tensor, numbers: Tensor) -> Tensor:
        """Map contexts (..., C) and numbers of blocks (..., k·m) to (..., 2^m − 1) log-odds, one for each path."""

    def walk(self, n: int) -> Walk:
        """Return a walk over the blocks of n images that are not known yet."""


def blocks(x: Tensor, size: int) -> Tensor:
    """Cut images (..., H, W) into blocks of size × size pixels, shape (..., H / size, W / size, size²)."""
    cut: Tensor = x.unflatten(-1, (-1, size)).unflatten(-3, (-1, size))
    return cut.transpose(-3, -2).flatten(-2)


def images(x: Tensor, size: int) -> Tensor:
    """Join blocks (..., H / size, W / size, size²) to images (..., H, W): the inverse of ``blocks``."""
    cut: Tensor = x.unflatten(-1, (size, size))
    return cut.transpose(-3, -2).flatten(-2).flatten(-3, -2)


class AutoregressiveBernoulli(Distribution):
    r"""A binary image, block by block in raster order, and pixel by pixel within a block.

    .. math:: \log p(x) = \sum_{t=1}^{T} \sum_{j=1}^{m} \log \mathrm{Bernoulli}(x_{tj};\ \sigma(a_{tj} +
              g(c_t, f_t)_{\pi(x_{t,<j})}))

    where f_t are the parameters of block t, a among them, c_t is a context computed from the blocks before t, and π
    numbers the paths into a block: a pixel has one logit for every outcome of the pixels before it in its block, so
    that each block has an arbitrary joint law given its context. The context depends on x alone: it is computed once
    for each x, however many batch axes it meets.

    Parameters
    ----------
    maps
        f: k numbers for each pixel, shape (*B, k, H, W). The first map is a: log-odds, added on each of its paths.
    conditional
        The network behind c and g.
    """

    arg_constraints = {}  # noqa: RUF012 - the name and type that torch prescribes

    def __init__(self, maps: Tensor, conditional: BlockConditional) -> None:
        super().__init__(maps.shape[:-3], maps.shape[-2:], validate_args=False)
        self.conditional, self._pixels = conditional, conditional.block**2
        k, height, width = maps.shape[-3:]
        # Torch leaves an empty tensor as it is here, hence the shape in words.
        cut = F.pixel_unshuffle(maps, conditional.block).reshape(
            *self._batch_shape, k * self._pixels, height * width // self._pixels
        )
        self._numbers = cut.transpose(-2, -1).contiguous()  # (*B, T, k·m)

    def logits(self, value: Tensor) -> Tensor:
        """Return the log-odds of every pixel given the pixels before it in value, shape (*S, *B, H, W)."""
        return self._join(self._block_logits(blocks(value, self.conditional.block)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(value), summed over the image, shape (*S, *B), in nats."""
        x = blocks(value, self.conditional.block)
        return Bernoulli(self._block_logits(x), 2).log_prob(x.flatten(-3, -2))

    def _block_logits(self, x: Tensor) -> Tensor:
        """Return the log-odds of the pixels of blocks (*S, *B, H / b, W / b, m), shape (*S, *B, T, m)."""
        context = self.conditional.context(x.reshape(-1, *x.shape[-3:]).to(self._numbers.dtype))
        context = context.reshape(*x.shape[:-3], *context.shape[1:])
        paths = full_precision(self.conditional.logits(context, self._numbers))  # (*S, *B, T, 2^m − 1)
        taken = _paths(x.flatten(-3, -2)).expand(*paths.shape[:-1], -1)
        return paths.gather(-1, taken) + full_precision(self._numbers[..., : self._pixels])

    @torch.no_grad()
    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw images of zeros and ones, shape (*S, *B, H, W), one block after the other; no gradients."""
        shape = (*sample_shape, *self._numbers.shape[:-1], self._pixels)
        return self._join(self._follow(uniform(shape, full_precision(self._numbers), generator))[0])

    @property
    def mean(self) -> Tensor:
        """E[x], estimated, for it has no closed form: shape (*B, H, W), no gradients.

        The average over 32 draws of each pixel's probability given the pixels drawn before it, which is unbiased. The
        draws use the same uniform numbers for every row and in every call, so that the result is a fixed function of
        the parameters. A pixel's standard error is at most 0.5 / √32 = 0.09.
        """
        return self._join(self._mean())

    @property
    def variance(self) -> Tensor:
        """Variances p (1 − p) of the pixels, with p from ``mean``, shape (*B, H, W)."""
        mean = self.mean
        return mean * (1.0 - mean)

    @torch.no_grad()
    def _mean(self) -> Tensor:
        generator = torch.Generator().manual_seed(_MEAN_SEED)
        shape = (*self._numbers.shape[:-1], self._pixels)
        noise = uniform((MEAN_DRAWS, *shape[-2:]), full_precision(self._numbers), generator)
        noise = noise.view(MEAN_DRAWS, *(1 for _ in self._batch_shape), *shape[-2:])
        return self._follow(noise.expand(MEAN_DRAWS, *shape))[1].mean(0)

    def _follow(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels drawn by comparing noise (*S, *B, T, m) with their probabilities, and these, likewise."""
        numbers = self._numbers.reshape(-1, *self._numbers.shape[-2:])
        n = len(numbers)
        if n == 0:
            return noise, noise
        noise_rows = noise.reshape(-1, n, *noise.shape[-2:])
        rows = torch.arange(noise_rows[..., 0, 0].numel(), device=noise.device).split(_ROWS_PER_WALK)
        drawn = [self._follow_rows(numbers[row % n], noise_rows[row // n, row % n]) for row in rows]
        pixels, probabilities = (torch.cat(part).reshape(noise.shape) for part in zip(*drawn, strict=True))
        return pixels, probabilities

    def _follow_rows(self, numbers: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Do the same for N rows: of each block the tree of its outcomes first, then the path into it."""
        m = noise.shape[-1]
        depth = torch.tensor([j for j in range(m) for _ in range(2**j)], device=noise.device)
        walk, root = self.conditional.walk(len(noise)), torch.zeros_like(noise[:, 0, :1], dtype=torch.long)
        pixels, probabilities = torch.empty_like(noise), torch.empty_like(noise)
        for t in range(noise.shape[1]):
            paths = full_precision(self.conditional.logits(walk.at(t), numbers[:, t]))
            p = (paths + full_precision(numbers[:, t])[:, depth]).sigmoid()
            one = (noise[:, t][:, depth] < p).long()
            nodes = [root]
            for _ in range(m - 1):
                nodes.append(2 * nodes[-1] + 1 + one.gather(-1, nodes[-1]))
            taken = torch.cat(nodes, -1)
            pixels[:, t], probabilities[:, t] = one.gather(-1, taken), p.gather(-1, taken)
            walk.write(t, pixels[:, t])
        return pixels, probabilities

    def _join(self, x: Tensor) -> Tensor:
        """Return values by block (..., T, m) as images (..., H, W)."""
        size = self.conditional.block
        return images(x.unflatten(-2, [n // size for n in self._event_shape]), size)


def _paths(x: Tensor) -> Tensor:
    """Return numbers of paths into blocks (..., m): the binary heap's node that the pixels before each one lead to."""
    nodes = [torch.zeros_like(x[..., 0], dtype=torch.long)]
    for bit in x.long().unbind(-1)[:-1]:
        nodes.append(2 * nodes[-1] + 1 + bit)
    return torch.stack(nodes, -1)

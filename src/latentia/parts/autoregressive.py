"""A likelihood for binary images in which z says what is drawn and the neighbours say how the stroke goes on.

Letters: E = (H, W) the image of D pixels, L latent, k maps of the image, m pixels and C channels of a block.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from latentia.distributions.autoregressive import AutoregressiveBernoulli
from latentia.errors import ConfigError
from latentia.networks.causal import CausalContext, CausalWalk
from latentia.networks.linear import Linear
from latentia.parts.likelihoods import Likelihood

__all__ = ["LocalAutoregressiveLikelihood", "LocalConditional"]


class LocalConditional(nn.Module):
    """Logits of a block of pixels from the blocks before it, in a window, and from numbers of its own.

    The contexts and the numbers meet in a sum, before the first non-linearity, so that each is computed once for what
    it depends on: the contexts for every x, the numbers for every z.

    Parameters
    ----------
    size
        H and W of the image, multiples of ``block``.
    block
        Height and width of a block.
    numbers
        How many numbers z gives for a block, k·m.
    radius, layers
        Of the context's window and depth; see ``CausalContext``.
    channels
        C.
    hidden
        Widths of the layers between the sum and the logits.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        block: int,
        numbers: int,
        radius: int,
        layers: int,
        channels: int,
        hidden: Sequence[int],
    ) -> None:
        super().__init__()
        self.block = block
        pixels = block * block
        self.context = CausalContext((size[0] // block, size[1] // block), pixels, channels, radius, layers)
        self.mix = Linear(numbers, channels, bias=False)
        widths = [channels, *hidden]
        self.hidden = nn.ModuleList(Linear(a, b) for a, b in itertools.pairwise(widths))
        self.last = Linear(widths[-1], 2**pixels - 1)
        nn.init.zeros_(self.last.weight)  # the neighbours say nothing at first
        nn.init.zeros_(self.last.bias)

    def logits(self, context: Tensor, numbers: Tensor) -> Tensor:
        """Map contexts (..., C) and numbers (..., k·m) to (..., 2^m − 1) log-odds, one for each path into the block."""
        h = F.relu(context + self.mix(numbers))
        for layer in self.hidden:
            h = F.relu(layer(h))
        out: Tensor = self.last(h)
        return out

    def walk(self, n: int) -> CausalWalk:
        """Return a walk over the blocks of n images that are not known yet."""
        return self.context.walk(n)


class LocalAutoregressiveLikelihood(Likelihood):
    r"""p(x | z) = ∏ p(x_t | z, blocks before t within a window): binary images, sharper than independent pixels.

    .. math:: \log p(x \mid z) = \sum_{t, j} \log \mathrm{Bernoulli}(x_{tj};\ \sigma(a_{tj}(z) +
              g(c_t(x_{<t}), f_t(z))_{\pi(x_{t,<j})}))

    The window is what keeps z in use: strokes go on by the neighbours, but what is drawn, and where, only z can say
    (Chen et al. 2017; Gulrajani et al. 2017). Since c depends on x alone, the K samples of an importance-weighted
    bound share it. The image is read block by block in raster order, and the pixels of a block have an arbitrary joint
    law given its context; with ``block=1`` that is the usual order of pixels, at four times the cost.

    Parameters
    ----------
    network
        Maps (..., L) to (..., (1 + features) · D): maps of log-odds a, then of features f, each of the image's shape.
    event_shape
        (H, W), multiples of ``block``.
    window
        Width of the window in blocks, an odd number from 3; it reaches (window − 1) / 2 blocks up, left and right.
    channels
        C ≥ 1, the width of the contexts.
    features
        Numbers ≥ 1 that the network gives for each pixel beside its log-odds.
    hidden
        Widths of the layers behind the sum of contexts and features.
    layers
        Further causal convolutions of the contexts, each of which widens the window by one block on every side.
    block
        1 or 2: height and width of a block of pixels.

    Raises
    ------
    ConfigError
        If the items are no images of whole blocks, or a number is out of its range.

    Examples
    --------
    >>> from latentia.networks import MLP
    >>> part = LocalAutoregressiveLikelihood(MLP(2, [16], 5 * 64), event_shape=(8, 8))
    >>> p = part(torch.zeros(3, 1, 2))
    >>> p.log_prob(torch.zeros(4, 8, 8)).shape, p.sample().shape
    (torch.Size([3, 4]), torch.Size([3, 1, 8, 8]))
    """

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        *,
        window: int = 5,
        channels: int = 64,
        features: int = 4,
        hidden: Sequence[int] = (64,),
        layers: int = 0,
        block: int = 2,
    ) -> None:
        super().__init__(network, event_shape)
        for name, value, low in (("channels", channels, 1), ("features", features, 1), ("layers", layers, 0)):
            if value < low:
                raise ConfigError(f"{name} must be at least {low}, got {value}")
        if window < 3 or window % 2 == 0:
            raise ConfigError(f"window must be an odd number of blocks from 3, got {window}")
        if block not in (1, 2):
            raise ConfigError(f"block must be 1 or 2 pixels, got {block}")
        if len(self.event_shape) != 2 or any(n % block or n < 1 for n in self.event_shape):
            raise ConfigError(
                "a local autoregressive likelihood needs grey images (H, W) with sides that are multiples of "
                f"block={block}, got items of shape {self.event_shape}" + ("; choose block=1" if block > 1 else "")
            )
        self.outputs_per_element = 1 + features
        self.conditional = LocalConditional(
            (self.event_shape[0], self.event_shape[1]),
            block=block,
            numbers=self.outputs_per_element * block * block,
            radius=window // 2,
            layers=layers,
            channels=channels,
            hidden=hidden,
        )

    def forward(self, z: Tensor) -> AutoregressiveBernoulli:
        """Return p(x | z), batch shape (...), event shape E."""
        return AutoregressiveBernoulli(self.raw(z), self.conditional)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs that have this mean before the neighbours say anything, shape ((1 + features) · D,)."""
        offsets = torch.logit(mean.flatten(), eps=1e-6)
        return torch.cat([offsets, offsets.new_zeros((self.outputs_per_element - 1) * len(offsets))])

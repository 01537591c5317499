"""The posterior and the prior that are normalising flows; both need zuko, an extra.

Letters: B leading axes of the data, Z latent dimensions, H width of the layers' networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentia.distributions import full_precision
from latentia.distributions.flow import Flow, compose, flow_layers
from latentia.errors import ConfigError
from latentia.networks import linear
from latentia.parts.bounded import bounded_log_scale
from latentia.parts.posteriors import check_latent_dim, check_width

__all__ = ["FlowPosterior", "FlowPrior"]


def _check_sizes(transforms: int, width: int, bins: int | None) -> None:
    for name, value in {"transforms": transforms, "width": width}.items():
        if value < 1:
            msg = f"{name} must be at least 1, got {value}"
            raise ConfigError(msg)
    if bins is not None and bins < 2:
        msg = f"bins must be at least 2, or None for affine maps, got {bins}"
        raise ConfigError(msg)


class FlowPosterior(nn.Module):
    r"""q(z | x): z = μ(x) + σ(x) g(ε; h(x)), with an invertible g that starts as the identity.

    The network's output is read as μ and log σ (within ±9), Z numbers each, and the context h (H numbers), which every
    layer of g reads. Drawing, with its density, takes one pass through g: inverse autoregressive in the sense of Kingma
    et al. 2016; as each layer couples two halves, the density of any other z takes two.

    Parameters
    ----------
    network
        Maps (*B, *event) to (*B, 2 Z + H).
    latent_dim
        Number of latent dimensions Z ≥ 1.
    transforms
        Number of layers ≥ 1; from two on, each dimension depends on another.
    width
        Numbers of context, and units in each of the two hidden layers of a layer's network, H ≥ 1.
    bins
        Bins of rational-quadratic splines in place of affine maps: more shapes, at several times the cost.

    Raises
    ------
    ConfigError
        If zuko is not installed, or a number is out of range.
    """

    extra_noise = 0

    def __init__(
        self, network: nn.Module, latent_dim: int, transforms: int = 4, width: int = 64, bins: int | None = None
    ) -> None:
        super().__init__()
        _check_sizes(transforms, width, bins)
        self.network = network
        self.latent_dim, self.width = check_latent_dim(latent_dim), width
        self.layers = nn.ModuleList(
            flow_layers(
                latent_dim, context=width, layers=transforms, width=width, bins=bins, coupling=True, product=linear
            )
        )

    @staticmethod
    def outputs(latent_dim: int, transforms: int = 4, width: int = 64, bins: int | None = None) -> int:
        """Return how many numbers the network must give: 2 Z + H."""
        _check_sizes(transforms, width, bins)
        return 2 * check_latent_dim(latent_dim) + width

    def forward(self, x: Tensor) -> Flow:
        """Return q(z | x) with batch shape (*B,) and event shape (Z,)."""
        out, z = self.network(x), self.latent_dim
        check_width(self, out.shape[-1], 2 * z + self.width)
        loc, log_scale, context = full_precision(out).split([z, z, self.width], -1)
        # Bounded, so that an exploding encoder cannot explode the layers' networks.
        transform = compose(list(self.layers), context.tanh())
        return Flow(transform, loc, bounded_log_scale(log_scale, out.dtype))


class FlowPrior(nn.Module):
    r"""p(z): z = μ + σ g(ε), with learned μ, σ and an invertible g; it starts as N(0, I).

    The density takes one pass through g⁻¹, a masked autoregressive flow (Papamakarios et al. 2017); a draw takes Z.

    Parameters
    ----------
    latent_dim
        Number of latent dimensions Z ≥ 1.
    transforms
        Number of layers ≥ 1.
    width
        Units in each of the two hidden layers of a layer's network, H ≥ 1.
    bins
        Bins of rational-quadratic splines in place of affine maps: more shapes, at several times the cost.

    Raises
    ------
    ConfigError
        If zuko is not installed, or a number is out of range.
    """

    def __init__(self, latent_dim: int, transforms: int = 4, width: int = 64, bins: int | None = None) -> None:
        super().__init__()
        _check_sizes(transforms, width, bins)
        self.latent_dim = check_latent_dim(latent_dim)
        self.layers = nn.ModuleList(flow_layers(latent_dim, layers=transforms, width=width, bins=bins, product=linear))
        self.loc = nn.Parameter(torch.zeros(latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))

    def forward(self) -> Flow:
        """Return p(z) with event shape (Z,)."""
        log_scale = bounded_log_scale(self.log_scale, self.log_scale.dtype)
        return Flow(compose(list(self.layers), None).inv, self.loc, log_scale, moment_draws=1024)

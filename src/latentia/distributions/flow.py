r"""Normalising flows: a standard normal, moved by an invertible map that zuko's layers make.

Letters: S sample shape, B batch shape, Z dimensions, N draws.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Transform
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from latentia.distributions.base import full_precision, normal, without_autocast
from latentia.distributions.last_draw import LastDraw
from latentia.distributions.normal import LOG_2PI
from latentia.errors import ConfigError

__all__ = ["Flow", "flow_layers"]


class Flow(Distribution):
    r"""The distribution of μ + σ g(ε) for a standard normal ε and an invertible g.

    .. math:: \log p(z) = \log N(\epsilon; 0, I) - \log \left| \det \frac{\partial g}{\partial \epsilon} \right|
              - \sum_i \log \sigma_i, \qquad \epsilon = g^{-1}\!\left( \frac{z - \mu}{\sigma} \right)

    ``rsample_from`` goes through g and ``log_prob`` through its inverse; but the density of the very tensor that was
    drawn last comes from its noise, so that a bound never pays for the inverse. For its derivative with respect to z
    alone, detach the draw first.

    The mean and standard deviation have no closed form. They are averages over fixed, evenly spread noise (mirrored and
    whitened, so that they are exact where g is affine), the same for every row and at every call, without gradient.

    Parameters
    ----------
    transform
        g, from noise to values, over vectors: a transform of zuko, or of torch while zuko is imported.
    loc, log_scale
        μ and log σ, shape (*B, Z).
    moment_draws
        How many draws the mean and standard deviation average: even, from 2 on.
    """

    arg_constraints = {}  # noqa: RUF012 - the name and type that torch prescribes
    has_rsample = True

    def __init__(self, transform: Transform, loc: Tensor, log_scale: Tensor, moment_draws: int = 128) -> None:
        self.loc, self.log_scale = full_precision(loc), full_precision(log_scale)
        self.transform: Any = transform  # zuko gives every transform the method call_and_ladj
        self.moment_draws = moment_draws
        self._last: LastDraw[tuple[Tensor, Tensor]] = LastDraw()
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=False)

    @property
    def noise_size(self) -> int:
        """How many standard normals a reparameterised draw takes: Z."""
        return self._event_shape.numel()

    @property
    def mean(self) -> Tensor:
        """Mean over the fixed noise, shape (*B, Z)."""
        return self._moments[0]

    @property
    def stddev(self) -> Tensor:
        """Standard deviation over the fixed noise, shape (*B, Z)."""
        return self._moments[1].sqrt()

    @property
    def variance(self) -> Tensor:
        """Variance over the fixed noise, shape (*B, Z)."""
        return self._moments[1]

    def rsample_from(self, noise: Tensor) -> Tensor:
        """Return μ + σ g(ε) for standard normal ε of shape (*S, *B, Z): the reparameterised draw."""
        noise = noise.to(self.loc.dtype)
        with without_autocast(noise):
            moved, log_slope = self.transform.call_and_ladj(noise)
        return self._last.keep(torch.addcmul(self.loc, self.log_scale.exp(), moved), (noise, -log_slope))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(value), shape (*S, *B), in nats."""
        known = self._last.recall(value)
        if known is None:
            with without_autocast(value):
                known = self.transform.inv.call_and_ladj((value - self.loc) * (-self.log_scale).exp())
        noise, log_slope = known  # log|det ∂ε/∂((z − μ)/σ)|
        return -0.5 * (noise.square().sum(-1) + self.noise_size * LOG_2PI) + log_slope - self.log_scale.sum(-1)

    def rsample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw with a gradient to the parameters, shape (*S, *B, Z)."""
        return self.rsample_from(normal((*sample_shape, *self.loc.shape), self.loc, generator))

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw without gradient, shape (*S, *B, Z)."""
        with torch.no_grad():
            return self.rsample(sample_shape, generator)

    @functools.cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance over the fixed noise, in blocks of few draws: the layers are wider than their draws."""
        with torch.no_grad(), without_autocast(self.loc):
            noise = _even_noise(self.moment_draws, self.noise_size).to(self.loc.dtype).to(self.loc.device)
            noise = noise.reshape(-1, *(1,) * len(self.batch_shape), self.noise_size)
            total, squares = torch.zeros_like(self.loc), torch.zeros_like(self.loc)
            for block in noise.split(max(1, 8192 // max(1, self.batch_shape.numel()))):
                moved = self.transform(block.expand(-1, *self.loc.shape))
                total += moved.sum(0)
                squares += moved.square().sum(0)
            mean = total / len(noise)
            variance = (squares / len(noise) - mean.square()).clamp_min(0.0)
            return torch.addcmul(self.loc, self.log_scale.exp(), mean), variance * (2.0 * self.log_scale).exp()


@functools.cache
def _even_noise(count: int, size: int) -> Tensor:
    """Return scrambled Sobol points as normals, mirrored and, where there are enough, whitened: shape (N, Z)."""
    points = torch.quasirandom.SobolEngine(size, scramble=True, seed=0).draw(count // 2, dtype=torch.float64)
    half = torch.special.ndtri(points.clamp(1e-6, 1.0 - 1e-6))
    covariance = half.T @ half / len(half)
    if len(half) >= 2 * size:
        half = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), half.T, upper=False).T
    else:
        half = half / covariance.diagonal().sqrt()
    return torch.cat([half, -half])


Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""A function of x, W and b that returns x Wᵀ + b."""


def flow_layers(
    size: int,
    *,
    context: int = 0,
    layers: int,
    width: int,
    bins: int | None = None,
    coupling: bool = False,
    product: Product = F.linear,
) -> list[nn.Module]:
    """Return masked layers of zuko, each a module from a context to an invertible transform; together the identity.

    Parameters
    ----------
    size
        Z.
    context
        How many numbers of context each layer reads.
    layers
        How many layers; the order of the dimensions is turned round from one to the next.
    width
        Units in each of the two hidden layers that give a layer's parameters.
    bins
        Bins of monotonic rational-quadratic splines on [−5, 5] (Durkan et al. 2019); None for affine maps.
    coupling
        Whether half of the dimensions depends on the other half (Dinh et al. 2017), so that the inverse takes two
        passes; else each depends on all before it (Kingma et al. 2016; Papamakarios et al. 2017), and it takes Z.
    product
        What computes the linear layers.

    Raises
    ------
    ConfigError
        If zuko is not installed.
    """
    zuko = _zuko()
    order = torch.arange(size)
    shapes: list[tuple[int, ...]]
    univariate, shapes = zuko.transforms.MonotonicAffineTransform, [(), ()]  # a shift and a log-scale
    if bins is not None:
        univariate, shapes = zuko.transforms.MonotonicRQSTransform, [(bins,), (bins,), (bins - 1,)]
    made: list[nn.Module] = [
        zuko.flows.MaskedAutoregressiveTransform(
            size,
            context,
            passes=2 if coupling else None,
            order=order if i % 2 == 0 else order.flip(0),
            univariate=univariate,
            shapes=shapes,
            hidden_features=(width, width),
        )
        for i in range(layers)
    ]
    for layer in made:
        _adapt(layer, product)
    return made


def compose(layers: Sequence[nn.Module], context: Tensor | None) -> Any:
    """Return the transform that the layers make of a context."""
    transform: Any = _zuko().transforms.ComposedTransform(*(layer(context) for layer in layers))
    return transform


class _Linear(nn.Module):
    """A linear layer of zuko's, masked or not, whose product is the caller's."""

    def __init__(self, layer: Any, product: Product) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        # Fixed by the shapes alone: not part of what is learned and saved.
        self.register_buffer("mask", getattr(layer, "mask", None), persistent=False)
        self._product = product

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        weight: Tensor = self.weight if self.mask is None else self.weight * self.mask
        return self._product(x, weight, self.bias)


@torch.no_grad()
def _adapt(layer: Any, product: Product) -> None:
    """Replace the linear layers of a layer of zuko's, and let it start as the identity."""
    if hasattr(layer, "order"):
        layer.register_buffer("order", layer.order, persistent=False)
    last = layer  # one dimension without context has its parameters in the layer itself
    for name, module in list(layer.hyper.named_children()) if hasattr(layer, "hyper") else []:
        if hasattr(module, "weight"):
            last = layer.hyper[int(name)] = _Linear(module, product)
    for parameter in last.parameters():
        parameter.zero_()


@functools.cache
def _zuko() -> Any:
    """Import zuko and undo what that does to torch's own distributions: their validation is everybody's."""
    validate = Distribution._validate_args
    try:
        zuko = importlib.import_module("zuko")
        importlib.import_module("zuko.flows")
    except ImportError as error:
        msg = "a flow needs zuko: pip install 'latentia[flows]'"
        raise ConfigError(msg) from error
    finally:
        Distribution.set_default_validate_args(validate)
    return zuko

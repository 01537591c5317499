"""Priors p(z): modules that return a distribution when called without a context.

Letters: Z latent dimensions, C components, E event shape of the data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from latentia.distributions import DiagonalNormal, FullNormal, Mixture, UnitNormal
from latentia.errors import ConfigError
from latentia.networks import OneHot
from latentia.parts.bounded import bounded, bounded_log_scale
from latentia.parts.posteriors import check_components, check_latent_dim

__all__ = ["LearnedNormal", "MixtureOfGaussians", "StandardNormal", "VampPrior", "initial_pseudo_inputs"]


class StandardNormal(nn.Module):
    """p(z) = N(0, I).

    Parameters
    ----------
    latent_dim
        Number of latent dimensions Z ≥ 1.
    """

    like: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = check_latent_dim(latent_dim)
        # Carries dtype and device; not part of the saved state, for it holds no knowledge.
        self.register_buffer("like", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> UnitNormal:
        """Return N(0, I) with event shape (Z,)."""
        return UnitNormal(self.like)


class LearnedNormal(nn.Module):
    """p(z) = N(μ, diag σ²) with learned μ and σ; it starts as N(0, I).

    Parameters
    ----------
    latent_dim
        Number of latent dimensions Z ≥ 1.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = check_latent_dim(latent_dim)
        self.loc = nn.Parameter(torch.zeros(latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))

    def forward(self) -> DiagonalNormal:
        """Return p(z) with event shape (Z,)."""
        return DiagonalNormal(self.loc, bounded_log_scale(self.log_scale, self.log_scale.dtype))


class MixtureOfGaussians(nn.Module):
    """p(z) = Σ w_c N(μ_c, diag σ_c²) with learned weights, means and standard deviations.

    It starts with equal weights, σ² = ¾ and means drawn from N(0, ¼): together about N(0, I), and no two alike.

    Parameters
    ----------
    latent_dim
        Number of latent dimensions Z ≥ 1.
    components
        Number of components C ≥ 1.

    Examples
    --------
    >>> MixtureOfGaussians(2, components=10)().sample((5,)).shape
    torch.Size([5, 2])
    """

    def __init__(self, latent_dim: int, components: int = 10) -> None:
        super().__init__()
        self.latent_dim = check_latent_dim(latent_dim)
        self.log_weights = nn.Parameter(torch.zeros(check_components(components)))
        self.loc = nn.Parameter(0.5 * torch.randn(components, latent_dim))
        self.log_scale = nn.Parameter(torch.full((components, latent_dim), 0.5 * math.log(0.75)))

    def forward(self) -> Mixture:
        """Return p(z) with event shape (Z,)."""
        log_scale = bounded_log_scale(self.log_scale, self.log_scale.dtype)
        return Mixture(self.log_weights, DiagonalNormal(self.loc, log_scale))


class VampPrior(nn.Module):
    r"""p(z) = 1/C Σ q(z | u_c): the mixture of the posteriors of C learned pseudo-inputs u_c.

    Tomczak and Welling 2018, equation 9. The encoder is the model's own and stays so: the prior holds a reference
    to it and neither its parameters nor its state. The pseudo-inputs are parameters, kept within the data's range; they
    start at values that the caller gives, which must not be rows of the data, for they are saved with the model (see
    ``initial_pseudo_inputs``).

    Parameters
    ----------
    encoder
        Posterior part whose distribution is Gaussian or a mixture of Gaussians.
    pseudo_inputs
        First values of u, shape (C, *E), in the units that the encoder takes.
    low, high
        Range of the data's values; None for no limit.

    Raises
    ------
    ConfigError
        If there is no pseudo-input, or the encoder's network reads indicators of codes, through which no gradient
        comes back.

    Examples
    --------
    >>> from latentia.networks import MLP
    >>> from latentia.parts import DiagonalGaussian
    >>> encoder = DiagonalGaussian(MLP((8, 8), [32], DiagonalGaussian.outputs(2)))
    >>> inputs = initial_pseudo_inputs(torch.full((8, 8), 0.3), torch.full((8, 8), 0.2), 50, 0.0, 1.0)
    >>> prior = VampPrior(encoder, inputs, low=0.0, high=1.0)
    >>> prior().num_components, [name for name, _ in prior.named_parameters()]
    (50, ['pseudo_inputs'])
    """

    def __init__(
        self, encoder: nn.Module, pseudo_inputs: Tensor, low: float | None = None, high: float | None = None
    ) -> None:
        super().__init__()
        if pseudo_inputs.dim() < 2 or len(pseudo_inputs) < 1:
            msg = f"pseudo_inputs must have shape (components, *event), got {tuple(pseudo_inputs.shape)}"
            raise ConfigError(msg)
        if any(isinstance(module, OneHot) for module in encoder.modules()):
            msg = (
                "a VampPrior learns its pseudo-inputs through the encoder, and a network of one-hot codes gives them "
                "no gradient: use MixtureOfGaussians, or a network that reads numbers"
            )
            raise ConfigError(msg)
        # Inside a tuple it is no submodule: its weights are named, saved and counted once, as the model's encoder.
        self._encoder = (encoder,)
        self.pseudo_inputs = nn.Parameter(pseudo_inputs.detach().clone())
        self.low, self.high = low, high

    @property
    def latent_dim(self) -> int | None:
        """Number of latent dimensions Z, where the encoder knows it."""
        found: int | None = getattr(self._encoder[0], "latent_dim", None)
        return found

    def inputs(self) -> Tensor:
        """Return the pseudo-inputs within their range, shape (C, *E)."""
        return bounded(self.pseudo_inputs, self.low, self.high)

    def forward(self) -> Mixture:
        """Return p(z) with event shape (Z,)."""
        q = self._encoder[0](self.inputs())
        if isinstance(q, DiagonalNormal | FullNormal):
            return Mixture(torch.zeros_like(q.loc[..., 0]), q)
        if isinstance(q, Mixture):  # a mixture of mixtures is a mixture of all their components
            components = q.components
            loc = components.loc.flatten(0, 1)
            if isinstance(components, DiagonalNormal):
                flat = DiagonalNormal(loc, components.log_scale.expand_as(components.loc).flatten(0, 1))
                return Mixture(q.log_weights.flatten(), flat)
        msg = (
            "a VampPrior needs a posterior that is Gaussian or a mixture of diagonal Gaussians, and the encoder gives "
            f"{type(q).__name__}: use MixtureOfGaussians or FlowPrior"
        )
        raise ConfigError(msg)


def initial_pseudo_inputs(
    mean: Tensor,
    stddev: Tensor,
    components: int,
    low: float | None = None,
    high: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return first pseudo-inputs drawn around the data's mean, shape (C, *E): moments and noise, no row of the data.

    Parameters
    ----------
    mean, stddev
        Mean and standard deviation of every element over the data, shape (*E).
    components
        Number of pseudo-inputs C ≥ 1.
    low, high
        Range of the data's values; None for no limit.
    generator
        Source of the noise; torch's global one if not given.
    """
    shape = (check_components(components), *mean.shape)
    noise = torch.randn(shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return (mean + stddev * noise).clamp(low, high) if (low, high) != (None, None) else mean + stddev * noise

"""Approximate posteriors q(z | x): modules that map data to a distribution over the latent space.

Letters: B leading axes of the data, Z latent dimensions, C components. Every class says with ``outputs`` how many
numbers its network must give for a row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from latentia.distributions import DiagonalNormal, FullNormal, Mixture, full_precision
from latentia.errors import ConfigError
from latentia.parts.bounded import bounded_log_scale, bounded_offset

__all__ = ["DiagonalGaussian", "FullGaussian", "MixtureOfGaussiansPosterior"]


def check_latent_dim(latent_dim: int) -> int:
    """Return the number of latent dimensions; ConfigError below 1."""
    if latent_dim < 1:
        msg = f"latent_dim must be at least 1, got {latent_dim}"
        raise ConfigError(msg)
    return latent_dim


def check_components(components: int) -> int:
    """Return the number of components; ConfigError below 1."""
    if components < 1:
        msg = f"components must be at least 1, got {components}"
        raise ConfigError(msg)
    return components


def check_width(part: nn.Module, found: int, wanted: int) -> None:
    """Raise ConfigError unless a network gives as many numbers as the part reads."""
    if found != wanted:
        msg = (
            f"{type(part).__name__} needs a network with {wanted} outputs, got {found}; "
            f"{type(part).__name__}.outputs(…) says how many"
        )
        raise ConfigError(msg)


class DiagonalGaussian(nn.Module):
    """q(z | x) = N(μ(x), diag σ(x)²).

    The network's output is read as μ and log σ side by side; log σ is kept within ±9, so that an exploding encoder
    still yields a finite bound.

    Parameters
    ----------
    network
        Maps (*B, *event) to (*B, 2 Z).
    latent_dim
        Z, if the network's width is to be checked.

    Examples
    --------
    >>> from latentia.networks import MLP
    >>> DiagonalGaussian(MLP((8, 8), [32], DiagonalGaussian.outputs(2)))(torch.zeros(5, 8, 8)).mean.shape
    torch.Size([5, 2])
    """

    extra_noise = 0

    def __init__(self, network: nn.Module, latent_dim: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.latent_dim = latent_dim if latent_dim is None else check_latent_dim(latent_dim)

    @staticmethod
    def outputs(latent_dim: int) -> int:
        """Return how many numbers the network must give: 2 Z."""
        return 2 * check_latent_dim(latent_dim)

    def forward(self, x: Tensor) -> DiagonalNormal:
        """Return q(z | x) with batch shape (*B,) and event shape (Z,)."""
        out = self.network(x)
        if self.latent_dim is not None:
            check_width(self, out.shape[-1], self.outputs(self.latent_dim))
        loc, log_scale = full_precision(out).chunk(2, -1)
        return DiagonalNormal(loc, bounded_log_scale(log_scale, out.dtype))


class FullGaussian(nn.Module):
    r"""q(z | x) = N(μ(x), C(x) C(x)ᵀ), every covariance, by its lower Cholesky factor.

    The network's output is read as μ (Z numbers), log of C's diagonal (Z) and what stands below it (Z (Z − 1)/2, in a
    fixed order). The log-diagonal is kept within ±9 and the others within ±e⁹, so that an exploding encoder still
    yields a positive-definite covariance and a finite bound. Rezende, Mohamed and Wierstra 2014, section 4.3.

    Parameters
    ----------
    network
        Maps (*B, *event) to (*B, Z + Z (Z + 1)/2).
    latent_dim
        Number of latent dimensions Z ≥ 1.

    Raises
    ------
    ConfigError
        If latent_dim is below 1; at the first call, if the network gives another number of outputs.

    Examples
    --------
    >>> from latentia.networks import MLP
    >>> encoder = FullGaussian(MLP((8, 8), [32], FullGaussian.outputs(2)), latent_dim=2)
    >>> encoder(torch.zeros(5, 8, 8)).covariance_matrix.shape
    torch.Size([5, 2, 2])
    """

    extra_noise = 0

    def __init__(self, network: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.network = network
        self.latent_dim = check_latent_dim(latent_dim)

    @staticmethod
    def outputs(latent_dim: int) -> int:
        """Return how many numbers the network must give: Z + Z (Z + 1)/2."""
        return check_latent_dim(latent_dim) + latent_dim * (latent_dim + 1) // 2

    def forward(self, x: Tensor) -> FullNormal:
        """Return q(z | x) with batch shape (*B,) and event shape (Z,)."""
        out, z = self.network(x), self.latent_dim
        check_width(self, out.shape[-1], self.outputs(z))
        loc, log_diagonal, below = full_precision(out).split([z, z, z * (z - 1) // 2], -1)
        diagonal = torch.diag_embed(bounded_log_scale(log_diagonal, out.dtype).exp())
        return FullNormal(loc, diagonal + _strictly_lower(bounded_offset(below, out.dtype), z))


def _strictly_lower(values: Tensor, size: int) -> Tensor:
    """Lay (*B, Z (Z − 1)/2) numbers out below the diagonal, shape (*B, Z, Z).

    They and their reverse, one after the other, fill a square of side Z − 1 whose lower triangle, diagonal included,
    has each of them once: copies of whole rows, where an index for every number would take longer than the products.
    """
    side = size - 1
    square = torch.cat([values[..., side:], values.flip(-1)], -1).unflatten(-1, (side, side)) if side else values
    if not side:
        return values.new_zeros(*values.shape[:-1], 1, 1)
    return F.pad(square.tril(), (0, 1, 1, 0))


class MixtureOfGaussiansPosterior(nn.Module):
    """q(z | x) = Σ w_c(x) N(μ_c(x), diag σ_c(x)²).

    The network's output is read as C log-weights, then μ and log σ of every component, each (C, Z); log σ is kept
    within ±9. A draw takes one standard normal more than there are dimensions.

    Parameters
    ----------
    network
        Maps (*B, *event) to (*B, C (1 + 2 Z)).
    latent_dim
        Number of latent dimensions Z ≥ 1.
    components
        Number of components C ≥ 1.

    Raises
    ------
    ConfigError
        If a number is below 1; at the first call, if the network gives another number of outputs.

    Examples
    --------
    >>> from latentia.networks import MLP
    >>> count = MixtureOfGaussiansPosterior.outputs(2, components=3)
    >>> q = MixtureOfGaussiansPosterior(MLP((8, 8), [32], count), latent_dim=2, components=3)(torch.zeros(5, 8, 8))
    >>> q.rsample_from(torch.zeros(4, 5, q.noise_size)).shape
    torch.Size([4, 5, 2])
    """

    extra_noise = 1

    def __init__(self, network: nn.Module, latent_dim: int, components: int = 5) -> None:
        super().__init__()
        self.network = network
        self.latent_dim = check_latent_dim(latent_dim)
        self.components = check_components(components)

    @staticmethod
    def outputs(latent_dim: int, components: int = 5) -> int:
        """Return how many numbers the network must give: C (1 + 2 Z)."""
        return check_components(components) * (1 + 2 * check_latent_dim(latent_dim))

    def forward(self, x: Tensor) -> Mixture:
        """Return q(z | x) with batch shape (*B,) and event shape (Z,)."""
        out, z, c = self.network(x), self.latent_dim, self.components
        check_width(self, out.shape[-1], self.outputs(z, c))
        log_weights, loc, log_scale = full_precision(out).split([c, c * z, c * z], -1)
        loc, log_scale = loc.unflatten(-1, (c, z)), log_scale.unflatten(-1, (c, z))
        return Mixture(log_weights, DiagonalNormal(loc, bounded_log_scale(log_scale, out.dtype)))

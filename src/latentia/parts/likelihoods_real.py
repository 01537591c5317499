"""Likelihoods of real data whose elements are independent given z.

Letters: E event (D elements), L latent, k outputs per element.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentia.distributions import ContinuousBernoulli, DiagonalNormal, Laplace, StudentT, full_precision
from latentia.errors import ConfigError
from latentia.parts.bounded import bounded
from latentia.parts.likelihoods import Likelihood, LocationScaleLikelihood, check_min_scale

__all__ = ["ContinuousBernoulliLikelihood", "GaussianLikelihood", "LaplaceLikelihood", "StudentTLikelihood"]


class GaussianLikelihood(LocationScaleLikelihood):
    r"""p(x | z) = N(μ(z), Σ) with a diagonal Σ: real data.

    Squared error with a weight λ is this density with a fixed variance 1/(2λ), up to its constant
    (D/2) log(π/λ), which is not dropped here.

    Parameters
    ----------
    network
        Maps (..., L) to (..., D) means; to (..., 2 D), means and log σ, where ``variance`` is "network".
    event_shape
        Shape of one item.
    variance
        "shared" (one learned variance), "per_output" (one learned variance per element), "network" (an output of the
        network at z: the lectures' Σθ(z)), or a positive number (fixed).
    min_scale
        Floor of the standard deviation where it is learned: a constant column cannot drive the density to infinity.
    """

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        variance: str | float = "per_output",
        min_scale: float = 1e-3,
    ) -> None:
        self.check_scale(variance, "variance")
        super().__init__(network, event_shape, variance if isinstance(variance, str) else variance**0.5, min_scale)
        self.variance = variance

    def forward(self, z: Tensor) -> DiagonalNormal:
        """Return p(x | z), batch shape (...), event shape E."""
        return DiagonalNormal(*self.location_and_log_scale(z), self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs whose distribution has these moments, shape (k D,)."""
        return self.raw_from_location_and_scale(mean, variance.sqrt())


class LaplaceLikelihood(LocationScaleLikelihood):
    """p(x | z) = ∏ Laplace(xᵢ; μᵢ(z), bᵢ): real data under absolute instead of squared error.

    Parameters
    ----------
    network
        Maps (..., L) to (..., D) centres; to (..., 2 D), centres and log b, where ``scale`` is "network".
    event_shape
        Shape of one item.
    scale
        "shared" (one learned b), "per_output" (one learned b per element), "network" (an output of the network at z),
        or a positive number (fixed).
    min_scale
        Floor of b where it is learned.
    """

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        scale: str | float = "per_output",
        min_scale: float = 1e-3,
    ) -> None:
        self.check_scale(scale)
        super().__init__(network, event_shape, scale, min_scale, initial_scale=math.sqrt(0.5))

    def forward(self, z: Tensor) -> Laplace:
        """Return p(x | z), batch shape (...), event shape E."""
        return Laplace(*self.location_and_log_scale(z), self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs whose distribution has these moments, shape (k D,); the variance is 2 b²."""
        return self.raw_from_location_and_scale(mean, (0.5 * variance).sqrt())


class StudentTLikelihood(LocationScaleLikelihood):
    """p(x | z) = ∏ Student's t(xᵢ; μᵢ(z), σᵢ, ν): real data with outliers.

    Parameters
    ----------
    network
        Maps (..., L) to (..., D) centres; to (..., 2 D), centres and log σ, where ``scale`` is "network".
    event_shape
        Shape of one item.
    scale
        As for ``LaplaceLikelihood``: of σ, which is less than the standard deviation by the root of (ν − 2)/ν.
    degrees
        Degrees of freedom ν: "shared" (one learned number between 2.01 and 10⁴), "per_output" (one per element), or a
        number above 2 (fixed): below, there is no variance.
    min_scale
        Floor of σ where it is learned.
    """

    INITIAL_DEGREES = 10.0
    LIMITS = (math.log(0.01), math.log(1e4))

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        scale: str | float = "per_output",
        degrees: str | float = "shared",
        min_scale: float = 1e-3,
    ) -> None:
        self.check_scale(scale)
        super().__init__(network, event_shape, scale, min_scale)
        fixed = isinstance(degrees, (int, float)) and 2.0 < degrees < math.inf
        if not (fixed or degrees in ("shared", "per_output")):
            msg = f"degrees must be 'shared', 'per_output' or a finite number above 2, got {degrees!r}"
            raise ConfigError(msg)
        self.degrees = degrees
        if isinstance(degrees, str):
            shape = () if degrees == "shared" else self.event_shape
            self.log_excess: Tensor = nn.Parameter(torch.full(shape, math.log(self.INITIAL_DEGREES - 2.0)))
        else:
            self.register_buffer("log_excess", torch.tensor(math.log(degrees - 2.0)))

    @property
    def nu(self) -> Tensor:
        """Degrees of freedom ν, shape () or E."""
        log_excess = bounded(self.log_excess, *self.LIMITS) if isinstance(self.degrees, str) else self.log_excess
        return 2.0 + log_excess.exp()

    def forward(self, z: Tensor) -> StudentT:
        """Return p(x | z), batch shape (...), event shape E."""
        return StudentT(*self.location_and_log_scale(z), self.nu, self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs whose distribution has these moments, shape (k D,)."""
        nu = self.nu.detach().to(variance).flatten()
        return self.raw_from_location_and_scale(mean, (variance.flatten() * (nu - 2.0) / nu).sqrt())


class ContinuousBernoulliLikelihood(Likelihood):
    """p(x | z) = ∏ ContinuousBernoulli(xᵢ; ℓᵢ(z)): reals in [0, 1], both ends included.

    Loaiza-Ganem and Cunningham 2019: what a Bernoulli's cross-entropy on grey values lacks to be a likelihood.

    Parameters
    ----------
    network
        Maps (..., L) to (..., D) slopes ℓ.
    event_shape
        Shape of one item.
    min_scale
        Floor of the scale 1/|ℓ|: elements that are always 0, or always 1, cannot drive the density to infinity.
    """

    outputs_per_element = 1

    def __init__(self, network: nn.Module, event_shape: Sequence[int], min_scale: float = 1e-3) -> None:
        super().__init__(network, event_shape)
        self.min_scale = check_min_scale(min_scale)

    def forward(self, z: Tensor) -> ContinuousBernoulli:
        """Return p(x | z), batch shape (...), event shape E."""
        steepest = 1.0 / self.min_scale
        return ContinuousBernoulli(full_precision(self.raw(z)).clamp(-steepest, steepest), self.event_dims)

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs whose distribution has this mean, shape (D,): Newton's iteration."""
        wanted = mean.flatten().double().clamp(self.min_scale, 1.0 - self.min_scale)
        y = 2.0 * wanted - 1.0
        logits = 2.0 * y * (3.0 - y.square()) / (1.0 - y.square())  # close to the inverse of the mean, everywhere
        for _ in range(6):
            density = ContinuousBernoulli(logits)
            logits = logits - (density.mean - wanted) / density.variance
        return logits.to(mean)

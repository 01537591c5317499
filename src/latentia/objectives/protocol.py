"""What an objective asks of a model, and what of noise.

Letters: S samples, B batch, E event, Z latent dimensions, N ≥ Z noise dimensions. Densities in nats.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from latentia.errors import ConfigError


class Reparameterised(Protocol):
    """A distribution over z that turns standard normal noise into its draws; a posterior, or a prior."""

    @property
    def batch_shape(self) -> torch.Size:
        """(B,) of a posterior, () of a prior."""

    @property
    def event_shape(self) -> torch.Size:
        """(Z,)."""

    @property
    def noise_size(self) -> int:
        """N: how many standard normals a draw takes."""

    @property
    def mean(self) -> Tensor:
        """Mean, shape (*batch, Z)."""

    def rsample_from(self, noise: Tensor) -> Tensor:
        """Return draws, shape (S, *batch, Z), from standard normal noise, shape (S, *batch, N)."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of draws, shape (S, *batch)."""


class LatentVariableModel(Protocol):
    """What a bound needs of a model: three parts."""

    def prior(self) -> Distribution:
        """Return p(z)."""

    def encoder(self, x: Tensor) -> Reparameterised:
        """Return q(z | x)."""

    def decoder(self, z: Tensor) -> Distribution:
        """Return p(x | z)."""


def draw_noise(q: Reparameterised, num_samples: int, noise: Tensor | None, *, rows: tuple[int, ...] = ()) -> Tensor:
    """Return standard normal noise (S, B, N): the caller's if given, else from torch's global generator.

    Parameters
    ----------
    q
        Whose noise it is; the last axis has ``q.noise_size`` numbers.
    num_samples
        S ≥ 1.
    noise
        The caller's noise, which must have that shape.
    rows
        The batch, where q is one distribution for all rows (a prior): it is drawn from once for each.
    """
    require_count("num_samples", num_samples)
    shape = (num_samples, *rows, *q.batch_shape, q.noise_size)
    if noise is None:
        like = q.mean
        return torch.randn(shape, dtype=like.dtype, device=like.device)
    if noise.shape != shape:
        msg = f"noise must have shape {shape} (samples, batch, latent), got {tuple(noise.shape)}"
        raise ConfigError(msg)
    return noise


def require_count(name: str, count: int) -> None:
    """Raise ConfigError unless a number of samples is at least 1."""
    if count < 1:
        msg = f"{name} must be at least 1, got {count}"
        raise ConfigError(msg)


def require_weight(name: str, weight: float | Tensor | None) -> None:
    """Raise ConfigError for a negative number; a tensor is a schedule's, and never read back from its device."""
    if weight is not None and not isinstance(weight, Tensor) and not weight >= 0:
        msg = f"{name} must be at least 0, got {weight}"
        raise ConfigError(msg)


def log_density(part: str, distribution: Reparameterised | Distribution, value: Tensor) -> Tensor:
    """Return ``distribution.log_prob(value)``; ConfigError where there is no density to ask for."""
    method: Any = getattr(distribution, "log_prob", None)
    cause: NotImplementedError | None = None
    if method is not None:
        try:
            log_p: Tensor = method(value)
        except NotImplementedError as error:
            if error.args:  # not the bare one of torch's base class: an operator that a device lacks
                raise
            cause = error
        else:
            return log_p
    msg = (
        f"the {part} {type(distribution).__name__} has no log_prob, and a bound on log p(x) is made of densities: "
        f"give the model a {part} with a density"
    )
    raise ConfigError(msg) from cause


def require_path(q: Reparameterised, z: Tensor) -> None:
    """Raise ConfigError where draws carry no gradient to a posterior that is being trained.

    Without this check the encoder would quietly learn from the wrong gradient. It reads flags, never numbers.
    """
    if torch.is_grad_enabled() and not z.requires_grad and log_density("posterior", q, z).requires_grad:
        msg = (
            f"the draws of the posterior {type(q).__name__} carry no gradient to its parameters, so this objective "
            "would train it wrongly: use score_function_elbo, or torch.no_grad() to compute the value alone"
        )
        raise ConfigError(msg)

r"""Gaussians fitted to p(z | x) of each row by itself, many rows side by side.

Letters: S samples, K samples of an estimate, R rows, Z latent dimensions. Values in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from latentia.distributions import DiagonalNormal, FullNormal
from latentia.evaluation.noise import RowStreams
from latentia.objectives import Reparameterised

SAMPLES_PER_CALL = 8


class Family(Protocol):
    """Distributions over z with free parameters for every row."""

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters, each of shape (R, …)."""

    def distribution(self, parameters: list[Tensor]) -> DiagonalNormal | FullNormal:
        """Return q(z) at these parameters, batch shape (R,)."""


class Diagonal:
    """Gaussians with independent dimensions around a reference: μ = m + s δ, log σ = log s + η, δ = η = 0 at first.

    Parameters
    ----------
    mean, stddev
        m and s, shape (R, Z); in units of them one step size fits all dimensions.
    """

    def __init__(self, mean: Tensor, stddev: Tensor) -> None:
        self.mean, self.stddev = mean.detach(), stddev.detach()
        self.parameters = [torch.zeros_like(self.mean), torch.zeros_like(self.mean)]

    def distribution(self, parameters: list[Tensor]) -> DiagonalNormal:
        """Return q(z) at (δ, η), batch shape (R,)."""
        shift, log_scale = parameters
        return DiagonalNormal(torch.addcmul(self.mean, self.stddev, shift), self.stddev.log() + log_scale)


class Full:
    """Gaussians with every covariance around a reference: μ = m + F δ, C = F (diag e^η + Λ), Λ strictly lower.

    Parameters
    ----------
    mean, factor
        m, shape (R, Z), and F, a lower Cholesky factor, shape (R, Z, Z) or (Z, Z).
    """

    def __init__(self, mean: Tensor, factor: Tensor) -> None:
        self.mean, self.factor = mean.detach(), factor.detach().expand(len(mean), -1, -1)
        self.parameters = [torch.zeros_like(self.mean), torch.zeros_like(self.mean), torch.zeros_like(self.factor)]

    def distribution(self, parameters: list[Tensor]) -> FullNormal:
        """Return q(z) at (δ, η, Λ), batch shape (R,)."""
        shift, log_scale, below = parameters
        moved = self.mean + (self.factor @ shift.unsqueeze(-1)).squeeze(-1)
        return FullNormal(moved, self.factor @ (torch.diag_embed(log_scale.exp()) + below.tril(-1)))


def fitted(
    family: Family,
    log_joint: Callable[[Tensor], Tensor],
    streams: RowStreams,
    num_steps: int,
    num_samples: int,
    learning_rate: float,
) -> DiagonalNormal | FullNormal:
    r"""Return the member of the family with the highest bound for every row, by Adam.

    .. math:: \nabla_\phi \mathcal L = \mathbb E_\epsilon\, \nabla_z \bigl(\log p(x, z) - \log q_\phi(z)\bigr)\,
              \frac{\partial z_\phi(\epsilon)}{\partial \phi}

    The score of q, whose mean is zero, is left out: Roeder, Wu and Duvenaud 2017, equation 8.

    Parameters
    ----------
    family
        With its first parameters.
    log_joint
        Maps z, shape (S, R, Z), to log p(x, z), shape (S, R).
    streams
        Noise of the rows.
    num_steps, num_samples, learning_rate
        Steps, S and the first learning rate, which falls to zero along a cosine.
    """
    parameters = [parameter.clone().requires_grad_() for parameter in family.parameters]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate)
    for step in range(num_steps):
        optimiser.param_groups[0]["lr"] = 0.5 * learning_rate * (1.0 + math.cos(math.pi * step / num_steps))
        with torch.enable_grad():
            z = (q := family.distribution(parameters)).rsample_from(streams.normal(num_samples, q.noise_size))
            without_score = family.distribution([parameter.detach() for parameter in parameters])
            loss = -(log_joint(z) - without_score.log_prob(z)).mean(0).sum()
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            # A row whose density overflows stays where it is; it cannot touch the others.
            parameter.grad = gradient.nan_to_num_(0.0, 0.0, 0.0)
        optimiser.step()
    return family.distribution([parameter.detach() for parameter in parameters])


def log_weights(
    q: Reparameterised, log_joint: Callable[[Tensor], Tensor], streams: RowStreams, num_samples: int
) -> Tensor:
    """Return log p(x, z) − log q(z) at K samples of q, shape (K, R), in float64."""
    found = []
    for start in range(0, num_samples, SAMPLES_PER_CALL):
        z = q.rsample_from(streams.normal(min(SAMPLES_PER_CALL, num_samples - start), q.noise_size))
        found.append((log_joint(z) - q.log_prob(z)).double())
    return torch.cat(found)

"""What likelihoods p(x | z) share: a network, and the reading of its output as parameters of a distribution over data.

Letters: K samples, B batch, E event (D elements), L latent, k outputs of the network per element. A network maps
(..., L) to (..., n); where it gives k numbers for each element, n = k·D is read as (..., k, *E).
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from latentia.distributions import full_precision
from latentia.errors import ConfigError

__all__ = ["Likelihood", "LocationScaleLikelihood", "check_min_scale"]

MAX_LOG_SCALE = 10.0


def check_min_scale(min_scale: float) -> float:
    """Return the floor of a scale; ConfigError unless it is a positive number."""
    if not 0.0 < min_scale < math.inf:
        msg = f"min_scale must be a positive number, got {min_scale!r}"
        raise ConfigError(msg)
    return min_scale


class Likelihood(nn.Module, abc.ABC):
    """A part that maps latent vectors to a distribution over data.

    Parameters
    ----------
    network
        Maps (..., L) to (..., ``num_outputs``).
    event_shape
        Shape of one item.
    """

    outputs_per_element: int
    """k, or 0 where the outputs are not so many numbers for each element."""

    def __init__(self, network: nn.Module, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.event_shape = tuple(event_shape)

    @abc.abstractmethod
    def forward(self, z: Tensor) -> Distribution:
        """Return p(x | z), batch shape (...), event shape E."""

    @abc.abstractmethod
    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs at which the elements are independent with these moments (D,), shape (num_outputs,)."""

    def start_at_moments(self, mean: Tensor, variance: Tensor) -> None:
        """Start parameters that are no outputs of the network where these moments (D,) say more than a fixed start."""

    @property
    def num_outputs(self) -> int:
        """How many numbers the network must give for one item."""
        return self.outputs_per_element * math.prod(self.event_shape)

    @property
    def event_dims(self) -> int:
        """Number of axes of one item."""
        return len(self.event_shape)

    def read(self, z: Tensor) -> Tensor:
        """Return the network's output, shape (..., num_outputs)."""
        out: Tensor = self.network(z)
        if out.shape[-1] != self.num_outputs:
            k = self.outputs_per_element
            wanted = f"{k} × {math.prod(self.event_shape)}" if k else str(self.num_outputs)
            msg = (
                f"{type(self).__name__} needs a network with {wanted} outputs for items of "
                f"shape {self.event_shape}, got {out.shape[-1]}"
            )
            raise ConfigError(msg)
        return out

    def raw(self, z: Tensor) -> Tensor:
        """Return the network's output, shape (..., k, *E), or (..., *E) where k = 1."""
        out, k = self.read(z), self.outputs_per_element
        return out.reshape(*out.shape[:-1], *(() if k == 1 else (k,)), *self.event_shape)


class LocationScaleLikelihood(Likelihood):
    """A likelihood with a centre and a scale for each element: what the Gaussian, Laplace and Student's t share.

    Parameters
    ----------
    network
        Maps (..., L) to (..., D) centres; to (..., 2 D), centres and log-scales, where ``scale`` is "network".
    event_shape
        Shape of one item.
    scale
        "shared" (one learned scale), "per_output" (one learned scale per element), "network" (an output of the network
        at z), or a positive number (fixed).
    min_scale
        Floor of the scale where it is learned: a constant column cannot drive the density to infinity.
    initial_scale
        Where a learned scale that is no output of the network starts.
    """

    SCALES: ClassVar[tuple[str, ...]] = ("shared", "per_output", "network")

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        scale: str | float,
        min_scale: float,
        initial_scale: float = 1.0,
    ) -> None:
        super().__init__(network, event_shape)
        self.scale, self.min_scale = scale, check_min_scale(min_scale)
        self.outputs_per_element = 2 if scale == "network" else 1
        if scale in ("shared", "per_output"):
            shape = () if scale == "shared" else self.event_shape
            self.log_scale: Tensor = nn.Parameter(torch.full(shape, math.log(initial_scale)))
        elif scale != "network":
            self.register_buffer("log_scale", torch.tensor(math.log(float(scale))))

    @classmethod
    def check_scale(cls, scale: str | float, name: str = "scale") -> None:
        """Raise ConfigError unless this is one of the words or a positive number."""
        if not (scale in cls.SCALES or (isinstance(scale, (int, float)) and 0.0 < scale < math.inf)):
            msg = f"{name} must be 'shared', 'per_output', 'network' or a positive number, got {scale!r}"
            raise ConfigError(msg)

    def location_and_log_scale(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the centres, shape (..., *E), and the log-scales, broadcastable to them."""
        raw = full_precision(self.raw(z))
        if self.scale == "network":
            loc, log_scale = raw.unbind(-1 - self.event_dims)
        else:
            loc, log_scale = raw, self.log_scale
        if isinstance(self.scale, str):
            log_scale = log_scale.clamp(math.log(self.min_scale), MAX_LOG_SCALE)
        return loc, log_scale

    def raw_from_location_and_scale(self, loc: Tensor, scale: Tensor) -> Tensor:
        """Return the outputs with these centres and scales (D,), shape (k D,)."""
        if self.scale == "network":
            return torch.cat([loc.flatten(), scale.flatten().clamp_min(self.min_scale).log()])
        return loc.flatten()

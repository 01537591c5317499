"""What every density of this room shares: element-wise log-probabilities summed over the event, in nats."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution


def full_precision(x: Tensor) -> Tensor:
    """Return ``x`` in at least single precision: densities are never computed in half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def without_autocast(like: Tensor) -> torch.autocast:
    """Return a context in which matrix products on ``like``'s device keep the precision of their factors."""
    return torch.autocast(like.device.type, enabled=False)


def uniform(shape: Sequence[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw uniforms on [0, 1) on the generator's device and move them to ``like``'s."""
    device = like.device if generator is None else generator.device
    return torch.rand(*shape, generator=generator, device=device, dtype=like.dtype).to(like.device)


def normal(shape: Sequence[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw standard normals on the generator's device and move them to ``like``'s."""
    device = like.device if generator is None else generator.device
    return torch.randn(*shape, generator=generator, device=device, dtype=like.dtype).to(like.device)


class FactorisedDistribution(Distribution, abc.ABC):
    r"""A density whose elements are independent given its parameters.

    .. math:: \log p(x) = \sum_{i=1}^{D} \log p(x_i)

    Letters: S sample shape, B batch shape, E event shape (D elements).

    Torch's own argument validation is off: supports are checked once, where data enter the library, so that
    this object can be the training step's hot path.

    Parameters
    ----------
    parameter
        A tensor of shape (*B, *E), from which the shapes are read.
    event_dims
        How many trailing axes belong to the event.
    """

    arg_constraints = {}  # noqa: RUF012 - the name and type that torch prescribes

    def __init__(self, parameter: Tensor, event_dims: int) -> None:
        split = parameter.dim() - event_dims
        super().__init__(parameter.shape[:split], parameter.shape[split:], validate_args=False)
        self._like = parameter
        self.event_axes = tuple(range(-event_dims, 0))

    @abc.abstractmethod
    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p of every element, shape (*S, *B, *E), in nats."""

    @abc.abstractmethod
    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw from the distribution, shape (*S, *B, *E); without a generator torch's global one is used."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(value), summed over the event, shape (*S, *B), in nats."""
        return self.log_prob_elements(value).sum(self.event_axes)

    def _full_shape(self, sample_shape: Sequence[int]) -> torch.Size:
        return torch.Size((*sample_shape, *self._batch_shape, *self._event_shape))

"""Mixtures of discretised logistics: many grey levels with more than one likely region."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from latentia.distributions.base import FactorisedDistribution, full_precision, uniform
from latentia.distributions.discrete import DiscretizedLogistic, variance_over_levels


class DiscretizedLogisticMixture(FactorisedDistribution):
    r"""Independent elements, each a mixture of C discretised logistics.

    .. math:: \log p(x) = \sum_i \log \sum_{c=1}^{C} \pi_{ic}\, P(x_i; \mu_{ic}, s_{ic})

    P is that of ``DiscretizedLogistic``. Source: Salimans et al. 2017, equation 2, element by element: without their
    regression of green on red and of blue on both. The sum is formed in log space.

    Parameters
    ----------
    log_weights
        Unnormalised log π, shape (*B, C, *E).
    loc
        Centres μ in units of levels, shape (*B, C, *E).
    log_scale
        log s in units of levels, broadcastable to ``loc``.
    levels
        Number of levels k ≥ 2; values run from 0 to k−1.
    event_dims
        How many trailing axes belong to the event.
    """

    def __init__(self, log_weights: Tensor, loc: Tensor, log_scale: Tensor, levels: int, event_dims: int = 1) -> None:
        self._axis = -1 - event_dims
        self.log_weights = full_precision(log_weights).log_softmax(self._axis)
        self.components = DiscretizedLogistic(loc, log_scale.expand_as(loc), levels, event_dims)
        self.levels = levels
        super().__init__(self.log_weights.select(self._axis, 0), event_dims)

    @property
    def mean(self) -> Tensor:
        """Expected level, shape (*B, *E), as exact as that of ``DiscretizedLogistic``."""
        return (self.log_weights.exp() * self.components.mean).sum(self._axis)

    @property
    def variance(self) -> Tensor:
        """Variances, shape (*B, *E), summed over the levels one by one."""
        return variance_over_levels(self, self.levels)

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p of every element, shape (*S, *B, *E), in nats."""
        each = self.components.log_prob_elements(value.unsqueeze(self._axis))
        return (self.log_weights + each).logsumexp(self._axis)

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw levels 0 … k−1, shape (*S, *B, *E): first a component, then a level."""
        noise = uniform(self._full_shape(sample_shape), self._like, generator)
        cumulative = (
            self.log_weights.exp().cumsum(self._axis).narrow(self._axis, 0, self.log_weights.shape[self._axis] - 1)
        )
        chosen = (noise.unsqueeze(self._axis) >= cumulative).sum(self._axis, keepdim=True)
        shape = (*sample_shape, *self.log_weights.shape)
        loc, log_scale = (
            parameter.expand(shape).gather(self._axis, chosen).squeeze(self._axis)
            for parameter in (self.components.loc, self.components.log_scale)
        )
        return DiscretizedLogistic(loc, log_scale, self.levels, len(self._event_shape)).sample((), generator)

r"""Entropy, cross-entropy and divergences: exact where a closed form or a finite sum is known, else sampled.

.. math:: H(p, q) = H(p) + \mathrm{KL}(p \,\|\, q)

Entropy and cross-entropy are non-negative for discrete distributions. For densities they are differential: they depend
on the units of the data and can be negative; the divergences do not and cannot.

Letters: B batch shape, E event shape, N samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from latentia.distributions.discrete import Bernoulli, Binomial, Categorical, DiscretizedLogistic
from latentia.distributions.full_normal import FullNormal, expected_square, log_det
from latentia.distributions.logistic_mixture import DiscretizedLogisticMixture
from latentia.distributions.mixture import Mixture
from latentia.distributions.normal import LOG_2PI, DiagonalNormal, UnitNormal, kl_divergence
from latentia.errors import ConfigError

__all__ = ["Measure", "cross_entropy", "entropy", "jensen_shannon", "kl"]

_UNITS = {"nats": 1.0, "bits": 1.0 / math.log(2.0)}
_GAUSSIAN = (DiagonalNormal, UnitNormal, FullNormal)
# Configurations of a whole event that are summed one by one, where the sum does not split into elements.
_MOST_CONFIGURATIONS = 2**16


@dataclass(frozen=True)
class Measure:
    """A quantity of information for every distribution of a batch.

    Attributes
    ----------
    value
        Shape (*B,), in the unit that was asked for.
    standard_error
        Of the value, shape (*B,): zero where it is exact.
    """

    value: Tensor
    standard_error: Tensor


def entropy(
    p: Distribution, *, unit: str = "nats", num_samples: int = 10_000, generator: torch.Generator | None = None
) -> Measure:
    r"""Return the entropy of every distribution of a batch.

    .. math:: H(p) = -E_p[\log p(x)]

    Parameters
    ----------
    p
        A distribution of this library.
    unit
        "nats" (natural logarithm) or "bits" (logarithm to base 2).
    num_samples
        N ≥ 2 draws where there is no closed form.
    generator
        Source of the draws; needed only then.

    Returns
    -------
    Measure
        value and standard_error, shape (*B,).

    Raises
    ------
    ConfigError
        If the unit is another, or draws are needed and no generator is given.

    Examples
    --------
    >>> import torch
    >>> float(entropy(Bernoulli(torch.zeros(3)), unit="bits").value)  # three fair coins
    3.0
    >>> float(entropy(DiagonalNormal(torch.zeros(1), torch.tensor([-3.0]))).value) < 0  # a narrow density
    True
    """
    p, _ = _checked(p, p, unit)
    levels = _levels(p)
    if levels is not None:
        return _exact(-_expectation(p, p), unit)
    try:
        return _exact(p.entropy(), unit)
    except NotImplementedError:
        x = _draw(p, p, num_samples, generator, "the entropy")
        return _mean(-p.log_prob(x), unit)


def cross_entropy(
    p: Distribution,
    q: Distribution,
    *,
    unit: str = "nats",
    num_samples: int = 10_000,
    generator: torch.Generator | None = None,
) -> Measure:
    r"""Return the cross-entropy of q relative to p: the mean cost of coding draws of p with q.

    .. math:: H(p, q) = -E_p[\log q(x)]

    Parameters
    ----------
    p, q
        Distributions of this library with the same event shape; infinite where q lacks a value that p has.
    unit, num_samples, generator
        As for ``entropy``.

    Returns
    -------
    Measure
        value and standard_error, shape (*B,).

    Raises
    ------
    ConfigError
        As for ``entropy``; also if one distribution is discrete and the other continuous, or their events differ.

    Examples
    --------
    >>> import torch
    >>> fair, biased = Bernoulli(torch.zeros(1)), Bernoulli(torch.tensor([2.0]))
    >>> float(cross_entropy(fair, biased).value) > float(entropy(fair).value)
    True
    """
    p, q = _checked(p, q, unit)
    if _levels(p) is not None:
        return _exact(-_expectation(p, q), unit)
    if isinstance(p, _GAUSSIAN) and isinstance(q, _GAUSSIAN):
        constant = q.event_shape.numel() * LOG_2PI
        return _exact(0.5 * (expected_square(p, q) + log_det(q) + constant), unit)
    x = _draw(p, q, num_samples, generator, "the cross-entropy")
    return _mean(-q.log_prob(x), unit)


def kl(
    p: Distribution,
    q: Distribution,
    *,
    unit: str = "nats",
    num_samples: int = 10_000,
    generator: torch.Generator | None = None,
) -> Measure:
    r"""Return the Kullback-Leibler divergence from q to p.

    .. math:: \mathrm{KL}(p \,\|\, q) = E_p\left[\log \frac{p(x)}{q(x)}\right] \ge 0

    It is not symmetric, so no distance.

    Parameters
    ----------
    p, q
        Distributions of this library with the same event shape; infinite where q lacks a value that p has.
    unit, num_samples, generator
        As for ``entropy``.

    Returns
    -------
    Measure
        value and standard_error, shape (*B,).

    Raises
    ------
    ConfigError
        As for ``cross_entropy``.

    Examples
    --------
    >>> import torch
    >>> p, q = DiagonalNormal(torch.ones(1), torch.zeros(1)), UnitNormal(torch.zeros(1))
    >>> kl(p, q)
    Measure(value=tensor(0.5000), standard_error=tensor(0.))
    """
    p, q = _checked(p, q, unit)
    if _levels(p) is not None:
        return _exact(_expectation(p, p, minus=q), unit)
    try:
        return _exact(kl_divergence(p, q), unit)
    except NotImplementedError:
        x = _draw(p, q, num_samples, generator, "the divergence")
        return _mean(p.log_prob(x) - q.log_prob(x), unit)


def jensen_shannon(
    p: Distribution,
    q: Distribution,
    *,
    unit: str = "nats",
    num_samples: int = 10_000,
    generator: torch.Generator | None = None,
) -> Measure:
    r"""Return the Jensen-Shannon divergence, symmetric and at most log 2 (one bit).

    .. math:: \mathrm{JS}(p, q) = \tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m),
              \qquad m = \tfrac12 (p + q)

    The mixture m of two products over elements is no product, so that nothing splits: it is exact for discrete events
    of up to 65,536 configurations, and sampled from both sides, N draws each, otherwise.

    Parameters
    ----------
    p, q
        Distributions of this library with the same event shape.
    unit, num_samples, generator
        As for ``entropy``.

    Returns
    -------
    Measure
        value and standard_error, shape (*B,).

    Raises
    ------
    ConfigError
        As for ``cross_entropy``.

    Examples
    --------
    >>> import torch
    >>> heads, tails = Bernoulli(torch.tensor([50.0])), Bernoulli(torch.tensor([-50.0]))
    >>> round(float(jensen_shannon(heads, tails, unit="bits").value), 6)
    1.0
    """
    p, q = _checked(p, q, unit)
    counts = [_levels(side) for side in (p, q)]
    if counts[0] is not None and counts[1] is not None:
        levels, size = max(counts[0], counts[1]), p.event_shape.numel()
        if levels**size <= _MOST_CONFIGURATIONS:
            x = torch.cartesian_prod(*[torch.arange(levels)] * size).reshape(-1, *p.event_shape)
            batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
            log_p, log_q = _at(p, x, batch), _at(q, x, batch)
            middle = torch.logaddexp(log_p, log_q) - math.log(2.0)
            return _exact(0.5 * (_weighted(log_p, log_p, middle) + _weighted(log_q, log_q, middle)), unit)
    sides = []
    for this, other in ((p, q), (q, p)):
        x = _draw(this, other, num_samples, generator, "the Jensen-Shannon divergence")
        log_this, log_other = this.log_prob(x), other.log_prob(x)
        sides.append(_mean(log_this - torch.logaddexp(log_this, log_other) + math.log(2.0), unit))
    one, two = sides
    error = 0.5 * (one.standard_error.square() + two.standard_error.square()).sqrt()
    return Measure(0.5 * (one.value + two.value), error)


def _levels(p: Distribution) -> int | None:
    """Return how many values an element can take, from 0 on; None where they are not finitely many."""
    if isinstance(p, Bernoulli):
        return 2
    if isinstance(p, Binomial):
        return p.total_count + 1
    return p.levels if isinstance(p, Categorical | DiscretizedLogistic | DiscretizedLogisticMixture) else None


def _expectation(p: Any, q: Any, minus: Any = None) -> Tensor:
    """Return E_p[log q], or E_p[log q − log minus], by the sum over all levels of every element, shape (*B,)."""
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape, () if minus is None else minus.batch_shape)
    x = torch.arange(_levels(p) or 0).reshape(-1, *(1,) * len(p.event_shape)).expand(-1, *p.event_shape)
    log_minus = None if minus is None else _at(minus, x, batch, elements=True)
    total = _weighted(_at(p, x, batch, elements=True), _at(q, x, batch, elements=True), log_minus)
    return total.sum(tuple(range(-len(p.event_shape), 0)))


def _at(p: Any, x: Tensor, batch: torch.Size, elements: bool = False) -> Tensor:
    """Return log p of values x, shape (N, *E), for every distribution of a batch; −∞ where p has no such value.

    Shape (N, *B), or (N, *B, *E) for every element by itself.
    """
    levels, axes = _levels(p), tuple(range(-len(p.event_shape), 0))
    x = x.to(p.mean.device).reshape(len(x), *(1,) * len(batch), *p.event_shape).expand(-1, *batch, *p.event_shape)
    known = x if levels is None else x.clamp(max=levels - 1)
    found: Tensor = p.log_prob_elements(known) if elements else p.log_prob(known)
    outside = x != known
    return found.masked_fill(outside if elements else outside.any(axes), -math.inf)


def _weighted(log_p: Tensor, value: Tensor, minus: Tensor | None = None) -> Tensor:
    """Return Σ p · (value − minus) over the first axis, where what has no probability has no part."""
    difference = value if minus is None else value - minus
    return (log_p.exp() * difference.masked_fill(log_p == -math.inf, 0.0)).sum(0)


def _checked(p: Distribution, q: Distribution, unit: str) -> tuple[Distribution, Distribution]:
    """Check what all four functions ask of their arguments; a mixture of one component becomes that component."""
    if unit not in _UNITS:
        msg = f"unit must be 'nats' or 'bits', got {unit!r}"
        raise ConfigError(msg)
    if p.event_shape != q.event_shape:
        msg = f"p and q must be over the same events, got shapes {tuple(p.event_shape)} and {tuple(q.event_shape)}"
        raise ConfigError(msg)
    for one, other in ((p, q), (q, p)):
        if _levels(one) is not None and isinstance(other, (*_GAUSSIAN, Mixture)):
            msg = (
                f"{type(one).__name__} gives probabilities and {type(other).__name__} a density, which cannot be "
                "compared: add uniform noise to the discrete data, or use two discrete distributions"
            )
            raise ConfigError(msg)
    return _simple(p), _simple(q)


def _simple(p: Distribution) -> Distribution:
    return p.single() if isinstance(p, Mixture) and p.num_components == 1 else p


def _draw(p: Any, q: Any, num_samples: int, generator: torch.Generator | None, what: str) -> Tensor:
    """Draw from p, shape (N, *B, *E) with the batch of both."""
    if generator is None or num_samples < 2:
        msg = (
            f"{what} of {type(p).__name__} and {type(q).__name__} has no closed form: pass "
            "generator=torch.Generator().manual_seed(0) and at least 2 samples, and it is estimated"
        )
        raise ConfigError(msg)
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    lead = batch[: len(batch) - len(p.batch_shape)]
    drawn: Tensor = p.sample((num_samples, *lead), generator=generator)
    return drawn


def _exact(nats: Tensor, unit: str) -> Measure:
    return Measure(nats * _UNITS[unit], torch.zeros_like(nats))


def _mean(nats: Tensor, unit: str) -> Measure:
    error = nats.std(0) / math.sqrt(len(nats))
    return Measure(nats.mean(0) * _UNITS[unit], error * _UNITS[unit])

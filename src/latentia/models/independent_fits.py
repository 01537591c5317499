"""Maximum-likelihood values of a likelihood's outputs when they depend on nothing: closed forms, else L-BFGS.

Letters: N rows, D elements, k outputs per element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from latentia.errors import ConfigError
from latentia.parts import (
    BernoulliLikelihood,
    BinomialLikelihood,
    CategoricalLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    DiscretizedLogisticMixtureLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    Likelihood,
    MixedLikelihood,
    NegativeBinomialLikelihood,
    StudentTLikelihood,
)

__all__ = ["fitted_outputs"]


def fitted_outputs(part: Likelihood, rows: Tensor) -> Tensor:
    """Return the outputs of the most likely constant network, and set the part's own parameters to match.

    Parameters
    ----------
    part
        Whose elements are independent given its outputs.
    rows
        Data, shape (N, D), float64.

    Returns
    -------
    Tensor
        Shape (num_outputs,).

    Raises
    ------
    ConfigError
        If the elements are correlated.
    """
    mean, variance, n = rows.mean(0), rows.var(0, correction=0), len(rows)
    match part:
        case BernoulliLikelihood():
            return torch.logit((rows.sum(0) + 1.0) / (n + 2.0))
        case BinomialLikelihood():
            return torch.logit((rows.sum(0) + 1.0) / (n * (part.levels - 1) + 2.0))
        case CategoricalLikelihood():
            return (_histogram(rows, part.levels) + 1.0).log().log_softmax(0).flatten()
        case DiscretizedLogisticLikelihood() | DiscretizedLogisticMixtureLikelihood():
            # One observation more, spread evenly over the levels.
            weights = _histogram(rows, part.levels) + 1.0 / part.levels
            levels = torch.arange(part.levels, dtype=rows.dtype, device=rows.device).unsqueeze(-1)
            levels = levels.expand(-1, rows.shape[1]).reshape(-1, *part.event_shape)
            weights = weights.reshape(-1, *part.event_shape)
            return _climb(
                part, part.raw_from_moments(mean, variance), lambda p: (weights * p.log_prob_elements(levels)).sum() / n
            )
        case GaussianLikelihood():
            pooled = variance.mean() if part.variance == "shared" else variance
            _set_scale(part, pooled.sqrt())
            return part.raw_from_moments(mean, variance)
        case LaplaceLikelihood():
            centre = rows.median(0).values
            spread = (rows - centre).abs().mean(0)
            _set_scale(part, spread.mean() if part.scale == "shared" else spread)
            return part.raw_from_location_and_scale(centre, spread)
        case ContinuousBernoulliLikelihood():
            return part.raw_from_moments(mean, variance)  # of an exponential family: the mean decides
        case NegativeBinomialLikelihood():
            rows = torch.cat([rows, torch.ones_like(rows[:1])])  # one count more
            return _climb_rows(part, rows)
        case StudentTLikelihood():
            return _climb_rows(part, rows)
        case MixedLikelihood():
            return torch.cat([fitted_outputs(block, rows[:, at]) for block, at in part.blocks])
        case _:
            msg = f"elements under a {type(part).__name__} are not independent: choose another likelihood"
            raise ConfigError(msg)


def _set_scale(part: GaussianLikelihood | LaplaceLikelihood, scale: Tensor) -> None:
    """Set a learned scale that is no output of the network."""
    if part.scale in ("shared", "per_output"):
        part.log_scale.copy_(scale.clamp_min(part.min_scale).log().reshape(part.log_scale.shape))


def _histogram(rows: Tensor, levels: int) -> Tensor:
    """Count level in every column, shape (levels, D)."""
    cell = rows.long() * rows.shape[1] + torch.arange(rows.shape[1], device=rows.device)
    return torch.bincount(cell.flatten(), minlength=levels * rows.shape[1]).reshape(levels, -1).double()


def _climb_rows(part: Likelihood, rows: Tensor) -> Tensor:
    start = part.raw_from_moments(rows.mean(0), rows.var(0, correction=0))
    items = rows.reshape(-1, *part.event_shape)
    return _climb(part, start, lambda p: p.log_prob(items).mean())


def _climb(part: Likelihood, start: Tensor, objective: Callable[[Any], Tensor]) -> Tensor:
    """Maximise an objective of the part's density over its outputs and its own parameters."""
    network, part.network = part.network, nn.Identity()  # so that what goes in is what comes out
    try:
        own = {name: p.detach().double().clone().requires_grad_() for name, p in part.named_parameters()}
        values = start.detach().clone().requires_grad_()
        optimiser = torch.optim.LBFGS(
            [values, *own.values()], max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-12
        )

        def closure() -> float:
            optimiser.zero_grad()
            loss = -objective(functional_call(part, own, (values,)))
            loss.backward()
            return float(loss.detach())

        with torch.enable_grad():
            optimiser.step(closure)
        for name, parameter in part.named_parameters():
            parameter.data.copy_(own[name])
    finally:
        part.network = network
    return values.detach()

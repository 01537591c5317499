r"""How good an estimator of a gradient is: bias, variance and signal-to-noise ratio by the number of samples.

Letters: L samples (K in an importance-weighted bound), B batch, R repeats, P parameters of a part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from latentia.errors import ConfigError
from latentia.evaluation.gradient_draws import (
    Bound,
    GradientDraws,
    LongRun,
    Moments,
    Objective,
    Parts,
    Reference,
    parts_of,
)
from latentia.evaluation.gradient_table import GradientRow, GradientTable
from latentia.objectives import LatentVariableModel, elbo, iwae, iwae_dreg, score_function_elbo


@dataclass(frozen=True)
class GradientEstimator:
    """An objective whose gradient is to be judged.

    Attributes
    ----------
    objective
        Gives the maximand.
    min_samples
        The least L that it takes; smaller ones are left out of the table.
    reference
        The exact expectation of the maximand, or a long run, from which the bias is measured.
    """

    objective: Objective
    min_samples: int = 1
    reference: Bound | LongRun | None = None


def elbo_estimators(reference: Bound | LongRun | None = None) -> dict[str, GradientEstimator]:
    """Return the estimators of the ELBO's gradient: reparameterised, and the score function with each baseline.

    Parameters
    ----------
    reference
        For the bias of all of them: they have one expectation, whatever L is.
    """
    none, others, leave_one_out = (
        partial(score_function_elbo, baseline=baseline) for baseline in ("none", "mean", "leave_one_out")
    )
    return {
        "reparameterised": GradientEstimator(elbo, 1, reference),
        "score function": GradientEstimator(none, 1, reference),
        "score function, other rows": GradientEstimator(others, 1, reference),
        "score function, leave one out": GradientEstimator(leave_one_out, 2, reference),
    }


def iwae_estimators(reference: Bound | LongRun | None = None) -> dict[str, GradientEstimator]:
    """Return the estimators of the gradient of the importance-weighted bound: plain and doubly reparameterised.

    Parameters
    ----------
    reference
        For the bias of both; the expectation depends on L, here K.
    """
    return {
        "importance-weighted": GradientEstimator(iwae, 1, reference),
        "importance-weighted, doubly reparameterised": GradientEstimator(iwae_dreg, 1, reference),
    }


def gradient_diagnostics(
    model: LatentVariableModel,
    x: Tensor,
    estimators: Mapping[str, GradientEstimator | Objective],
    *,
    sample_counts: Sequence[int] = (1, 2, 4, 8, 16),
    repeats: int = 200,
    parts: Parts | None = None,
    generator: torch.Generator | None = None,
) -> GradientTable:
    r"""Measure estimators of a gradient on given rows, part by part.

    .. math:: \hat g = \nabla \frac1B \sum_{i=1}^{B} \text{maximand}(x_i), \qquad
              \mathrm{SNR}_i = \frac{|\mathbb E\, \hat g_i|}{\mathrm{sd}\, \hat g_i}

    All estimators see the same noise. The parameters are not moved, and their ``grad`` is not touched.

    Parameters
    ----------
    model
        Fitted or fresh.
    x
        Rows, shape (B, *E).
    estimators
        By name; a bare objective has no reference.
    sample_counts
        Every L ≥ 1.
    repeats
        R ≥ 2.
    parts
        Parameters by part; by default those of the model's encoder, decoder and prior that require a gradient, each in
        the first of these that has it.
    generator
        Of the noise, on any device; torch's global one if not given.

    Returns
    -------
    GradientTable
        One row for each estimator, L and part.

    Raises
    ------
    ConfigError
        For too few repeats or samples, or a model without parameters.

    Examples
    --------
    >>> import torch
    >>> from latentia.models import VariationalAutoencoder
    >>> from latentia.networks import Linear
    >>> from latentia.parts import DiagonalGaussian, GaussianLikelihood, StandardNormal
    >>> _ = torch.manual_seed(0)
    >>> model = VariationalAutoencoder(
    ...     prior=StandardNormal(2),
    ...     encoder=DiagonalGaussian(Linear(5, 4)),
    ...     decoder=GaussianLikelihood(Linear(2, 5), (5,), 0.1),
    ... )
    >>> table = gradient_diagnostics(model, torch.randn(8, 5), elbo_estimators(), sample_counts=(4,), repeats=50)
    >>> path, score, *_ = table.select(part="encoder")
    >>> score.variance > 10 * path.variance
    True
    """
    if repeats < 2 or not sample_counts or min(sample_counts) < 1:
        msg = (
            "a variance needs repeats of at least 2 and at least one number of samples, each at least 1, got "
            f"repeats={repeats} and sample_counts={tuple(sample_counts)}"
        )
        raise ConfigError(msg)
    made = {n: e if isinstance(e, GradientEstimator) else GradientEstimator(e) for n, e in estimators.items()}
    chosen = parts_of(model) if parts is None else {name: list(values) for name, values in parts.items()}
    if not made or not any(chosen.values()):
        msg = (
            "there is nothing to measure: give at least one estimator, and a model with parameters that can be trained"
        )
        raise ConfigError(msg)
    gradients = GradientDraws(model, x, chosen, generator)
    rows: dict[tuple[str, int], list[GradientRow]] = {}
    references: dict[tuple[int, int], Reference] = {}
    for count in sample_counts:
        used = {name: estimator for name, estimator in made.items() if count >= estimator.min_samples}
        moments, costs = gradients.draw({name: e.objective for name, e in used.items()}, count, repeats)
        for name, estimator in used.items():
            key = (id(estimator.reference), count)
            if estimator.reference is not None and key not in references:
                references[key] = gradients.reference(estimator.reference, count)
            against = references.get(key)
            rows[name, count] = [
                _row(name, count, part, moment, against, costs[name]) for part, moment in moments[name].items()
            ]
    ordered = [row for name in made for count in sample_counts for row in rows.get((name, count), [])]
    return GradientTable(tuple(ordered), repeats, x.shape[0])


def _row(name: str, count: int, part: str, moments: Moments, against: Reference | None, cost: float) -> GradientRow:
    mean, variances = moments.mean, moments.variances
    varying = variances > 0
    ratios = mean[varying].abs() / variances[varying].sqrt()
    variance = float(variances.sum())
    bias = bias_error = None
    if against is not None:
        bias = float((mean - against.gradients[part]).norm())
        bias_error = math.sqrt(variance / moments.count + against.variances[part])
    return GradientRow(
        estimator=name,
        num_samples=count,
        part=part,
        num_parameters=mean.numel(),
        norm=float(mean.norm()),
        mean_norm=moments.norms / moments.count,
        variance=variance,
        signal_to_noise=float(ratios.mean()) if len(ratios) else math.nan,
        bias=bias,
        bias_error=bias_error,
        reference=None if against is None else against.what,
        decoder_evaluations=cost,
    )

"""Questions put to a model: functions ``(model, batch, …) → Result``; values in nats, higher is better."""

from latentia.objectives.discrepancy import maximum_mean_discrepancy, mmd_elbo
from latentia.objectives.doubly_reparameterised import iwae_dreg, piwae
from latentia.objectives.elbo import elbo, kl_terms
from latentia.objectives.importance import ciwae, importance_log_weights, iwae, miwae
from latentia.objectives.minibatch import DatasetBound, dataset_bound
from latentia.objectives.protocol import LatentVariableModel, Reparameterised, draw_noise
from latentia.objectives.result import Result
from latentia.objectives.score_function import score_function_elbo, score_function_surrogate
from latentia.objectives.total_correlation import aggregated_posterior, beta_tc

DEPENDS_ON_BATCH = frozenset({beta_tc, mmd_elbo})
"""Objectives whose expectation changes with the rows beside a row: they must see whole batches, not micro-batches."""

__all__ = [
    "DEPENDS_ON_BATCH",
    "DatasetBound",
    "LatentVariableModel",
    "Reparameterised",
    "Result",
    "aggregated_posterior",
    "beta_tc",
    "ciwae",
    "dataset_bound",
    "draw_noise",
    "elbo",
    "importance_log_weights",
    "iwae",
    "iwae_dreg",
    "kl_terms",
    "maximum_mean_discrepancy",
    "miwae",
    "mmd_elbo",
    "piwae",
    "score_function_elbo",
    "score_function_surrogate",
]

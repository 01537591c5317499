"""The rulers: estimators of log p(x), what a bound lacks and why, and measures of latent spaces."""

from latentia.evaluation.annealed import AnnealedEstimates, annealed_importance_sampling
from latentia.evaluation.bandit import BanditRun, exact_policy_gradient, learn_bandit, policy_gradients
from latentia.evaluation.bidirectional import BidirectionalBounds, bidirectional_monte_carlo
from latentia.evaluation.decomposition import ElboDecomposition, aggregated_posterior_gap, elbo_decomposition
from latentia.evaluation.gaps import InferenceGaps, inference_gaps
from latentia.evaluation.gradient_draws import LongRun
from latentia.evaluation.gradient_table import GradientRow, GradientTable
from latentia.evaluation.gradients import GradientEstimator, elbo_estimators, gradient_diagnostics, iwae_estimators
from latentia.evaluation.health import Health, health
from latentia.evaluation.hmc import Samples, hmc
from latentia.evaluation.log_likelihood import LogMeanExp, RowEstimates, estimate_log_prob, standard_error
from latentia.evaluation.metrics import ACTIVE_THRESHOLD, active_units, bits_per_dim
from latentia.evaluation.noise import RowNoise
from latentia.evaluation.prior_sampling import PriorEstimates, prior_monte_carlo
from latentia.evaluation.quadrature import bound_by_quadrature
from latentia.evaluation.report import (
    DEQUANTISED,
    EXACT,
    IMPORTANCE_WEIGHTED,
    Evaluation,
    exact_evaluation,
    paired_difference,
    sampled_evaluation,
)
from latentia.evaluation.results import Mean
from latentia.evaluation.rows import ROWS_PER_CALL, map_rows

__all__ = [
    "ACTIVE_THRESHOLD",
    "DEQUANTISED",
    "EXACT",
    "IMPORTANCE_WEIGHTED",
    "ROWS_PER_CALL",
    "AnnealedEstimates",
    "BanditRun",
    "BidirectionalBounds",
    "ElboDecomposition",
    "Evaluation",
    "GradientEstimator",
    "GradientRow",
    "GradientTable",
    "Health",
    "InferenceGaps",
    "LogMeanExp",
    "LongRun",
    "Mean",
    "PriorEstimates",
    "RowEstimates",
    "RowNoise",
    "Samples",
    "active_units",
    "aggregated_posterior_gap",
    "annealed_importance_sampling",
    "bidirectional_monte_carlo",
    "bits_per_dim",
    "bound_by_quadrature",
    "elbo_decomposition",
    "elbo_estimators",
    "estimate_log_prob",
    "exact_evaluation",
    "exact_policy_gradient",
    "gradient_diagnostics",
    "health",
    "hmc",
    "inference_gaps",
    "iwae_estimators",
    "learn_bandit",
    "map_rows",
    "paired_difference",
    "policy_gradients",
    "prior_monte_carlo",
    "sampled_evaluation",
    "standard_error",
]

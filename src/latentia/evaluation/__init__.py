"""The rulers: estimators of log p(x), and measures of latent spaces."""

from latentia.evaluation.log_likelihood import LogMeanExp, RowEstimates, estimate_log_prob, standard_error
from latentia.evaluation.metrics import ACTIVE_THRESHOLD, active_units, bits_per_dim
from latentia.evaluation.noise import RowNoise
from latentia.evaluation.report import (
    DEQUANTISED,
    EXACT,
    IMPORTANCE_WEIGHTED,
    Evaluation,
    exact_evaluation,
    paired_difference,
    sampled_evaluation,
)
from latentia.evaluation.rows import ROWS_PER_CALL, map_rows

__all__ = [
    "ACTIVE_THRESHOLD",
    "DEQUANTISED",
    "EXACT",
    "IMPORTANCE_WEIGHTED",
    "ROWS_PER_CALL",
    "Evaluation",
    "LogMeanExp",
    "RowEstimates",
    "RowNoise",
    "active_units",
    "bits_per_dim",
    "estimate_log_prob",
    "exact_evaluation",
    "map_rows",
    "paired_difference",
    "sampled_evaluation",
    "standard_error",
]

"""The rulers: estimators of log p(x), and measures of latent spaces."""

from latentia.evaluation.log_likelihood import LogMeanExp, RowEstimates, estimate_log_prob, standard_error
from latentia.evaluation.metrics import ACTIVE_THRESHOLD, active_units, bits_per_dim
from latentia.evaluation.noise import RowNoise
from latentia.evaluation.rows import ROWS_PER_CALL, map_rows

__all__ = [
    "ACTIVE_THRESHOLD",
    "ROWS_PER_CALL",
    "LogMeanExp",
    "RowEstimates",
    "RowNoise",
    "active_units",
    "bits_per_dim",
    "estimate_log_prob",
    "map_rows",
    "standard_error",
]

"""Questions put to a model: functions ``(model, batch, …) → Result``; values in nats, higher is better."""

from latentia.objectives.bounds import LatentVariableModel, Result, elbo, importance_log_weights, iwae, kl_terms

__all__ = ["LatentVariableModel", "Result", "elbo", "importance_log_weights", "iwae", "kl_terms"]

"""Constructor arguments as JSON values: what is saved, compared on resume, and listed on a model's card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from latentia.data import Support
from latentia.estimators.choices import NamedPart

if TYPE_CHECKING:
    from latentia.estimators.base import GenerativeEstimator

__all__ = ["LOCAL", "parameters_as_json", "plain", "unplain"]

# Arguments that say how a model was fitted here, not what it is.
LOCAL = ("run_dir", "run_mode", "callbacks", "verbose", "device")


def parameters_as_json(estimator: GenerativeEstimator) -> dict[str, Any]:
    """Return the constructor's arguments as JSON values; what makes sense only on this machine is left out."""
    values = {k: v for k, v in estimator.get_params(deep=False).items() if k not in LOCAL}
    if not isinstance(values.get("random_state"), int | np.integer | None):
        values["random_state"] = estimator.seed_
    if callable(values.get("learning_rate_schedule")):
        values["learning_rate_schedule"] = "constant"  # a function is no data, and a fitted model needs it no more
    return {name: plain(value) for name, value in values.items()}


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: numbers of NumPy as numbers, tuples as lists, what is not finite as None."""
    if isinstance(value, NamedPart):
        return plain(value.to_json())
    if isinstance(value, nn.Module):
        return type(value).__name__
    if isinstance(value, Support):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def unplain(value: Any) -> Any:
    """Return the means of a row of the history as they were: what was not finite stands as None in JSON."""
    if isinstance(value, dict):
        return {name: unplain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [unplain(one) for one in value]
    return float("nan") if value is None else value

"""Numbers kept within limits without losing the way back: what encoders, priors and pseudo-inputs share."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LOG_SCALE_LIMIT", "bounded", "bounded_log_scale", "bounded_offset"]

# Beyond e^±9 neither the KL nor its gradient says anything useful, and float32 comes near its limits. float16 ends at
# 65504, which the gradients σ² and z σ ε have to stay below as well.
LOG_SCALE_LIMIT, HALF_LOG_SCALE_LIMIT = 9.0, 5.0
OFFSET_LIMIT, HALF_OFFSET_LIMIT = 8103.0, 20.0


def bounded(raw: Tensor, low: float | None, high: float | None) -> Tensor:
    """Return raw, clamped to [low, high], None for no limit; the gradient passes as if there were no clamp.

    Beyond the limits the gradient at the limit is passed on: it points back, where a clamp's own would be zero.
    """
    if low is None and high is None:
        return raw
    clamped = raw.detach().clamp(low, high)
    # The difference is exactly zero however large the number is; half precision may have made it infinite.
    finite = raw.nan_to_num(nan=float("nan"), posinf=high, neginf=low)
    return clamped + (finite - finite.detach())


def bounded_log_scale(raw: Tensor, dtype: torch.dtype) -> Tensor:
    """Return log σ, kept within ±9; within −9 and 5 where ``dtype``, in which it was computed, is float16."""
    return bounded(raw, -LOG_SCALE_LIMIT, HALF_LOG_SCALE_LIMIT if dtype == torch.float16 else LOG_SCALE_LIMIT)


def bounded_offset(raw: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what stands below a Cholesky factor's diagonal, kept within ±e⁹; within ±20 where it was in float16."""
    limit = HALF_OFFSET_LIMIT if dtype == torch.float16 else OFFSET_LIMIT
    return bounded(raw, -limit, limit)

"""Walks in latent space: functions of arrays, and of `encode` and `decode` callables."""

from __future__ import annotations

from latentia.latents.grid import prior_quantile_grid

__all__ = ["prior_quantile_grid"]

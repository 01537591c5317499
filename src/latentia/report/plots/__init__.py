"""Every plot of the report as a function `plot(fitted, ..., ax=None)` that returns the axes it drew on.

Without `ax` a plot makes a figure of its own (`ax.figure`), which nothing else holds on to: no plotting state is
shared, no window opens, and a figure is gone when its last user is. matplotlib is imported by the first plot drawn.
"""

from __future__ import annotations

from latentia.report.plots.bounds import bound_gaps, bound_ladder, elbo_parts
from latentia.report.plots.curves import learning_curves, log_probs, score_distribution
from latentia.report.plots.gradients import gradient_curves
from latentia.report.plots.health import kl_history
from latentia.report.plots.images import manifold, reconstructions, samples, scored_items
from latentia.report.plots.latent import kl_per_dimension, latent_scatter
from latentia.report.plots.rows import marginals

__all__ = [
    "bound_gaps",
    "bound_ladder",
    "elbo_parts",
    "gradient_curves",
    "kl_history",
    "kl_per_dimension",
    "latent_scatter",
    "learning_curves",
    "log_probs",
    "manifold",
    "marginals",
    "reconstructions",
    "samples",
    "score_distribution",
    "scored_items",
]

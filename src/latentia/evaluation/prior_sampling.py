r"""Plain Monte Carlo over the prior: the first estimator of log p(x) that comes to mind, and how it fails.

Letters: K samples, N rows, Z latent dimensions, E event. Values in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentia.errors import warn
from latentia.evaluation.log_likelihood import Array, LogMeanExp, add_log_weights, require_samples
from latentia.evaluation.results import Mean, Measured
from latentia.objectives import LatentVariableModel

# With n effective samples a row's estimate is off by about 1/√n nats, and low by 1/(2n). Below ten of them it also
# hangs on so few draws that the number itself says little: the regions that matter may not have been met at all.
LEAST_EFFECTIVE_SAMPLES = 10.0
TOLERATED_SHARE = 0.01

# Samples are drawn in pieces of one size, so that neither memory nor a chunk of the decoder changes which they are.
SAMPLES_PER_DRAW = 16_384


@dataclass(frozen=True)
class PriorEstimates(Measured):
    """Plain Monte Carlo over the prior for N rows.

    Attributes
    ----------
    log_prob
        Logarithm of the mean likelihood of K draws, shape (N,), in nats: in expectation a lower bound on log p(x).
    effective_sample_size
        (Σw)²/Σw² with w = p(x | z), shape (N,), between 1 and K.
    num_samples
        K.
    """

    log_prob: Array
    effective_sample_size: Array
    num_samples: int

    @property
    def untrusted(self) -> npt.NDArray[np.bool_]:
        """Where the estimate is not to be trusted, shape (N,): rows with fewer than ten effective samples."""
        few: npt.NDArray[np.bool_] = ~(self.effective_sample_size >= LEAST_EFFECTIVE_SAMPLES)
        return few

    def means(self) -> dict[str, Mean]:
        """Return the means over the rows."""
        return {name: Mean.of(getattr(self, name)) for name in ("log_prob", "effective_sample_size")}

    def __str__(self) -> str:
        """Say it in lines, each number with its unit and what it is."""
        means, few = self.means(), int(self.untrusted.sum())
        return "\n".join(
            [
                f"Monte Carlo over the prior, {len(self.log_prob):,} rows",
                f"  log p(x)     {means['log_prob']} nats: lower bound in expectation, K = {self.num_samples:,}",
                f"  sample size  {means['effective_sample_size'].value:.1f} (effective); not to be trusted for {few:,} "
                f"of {len(self.log_prob):,} rows",
            ]
        )


def prior_monte_carlo(
    model: LatentVariableModel,
    rows: Tensor,
    *,
    num_samples: int,
    noise: Callable[[int], torch.Generator],
    samples_per_call: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> PriorEstimates:
    r"""Estimate log p(x) of every row by the mean likelihood of draws from the prior.

    .. math:: \log \hat p(x) = \log \tfrac1K \sum_{k=1}^K p(x \mid z_k), \qquad z_k \sim p(z)

    Unbiased for p(x), and useless for its logarithm as soon as few draws come near the posterior: the mean is then
    that of the largest term, and the value far too low. The effective sample size says so, and so does a warning.

    Parameters
    ----------
    model
        Prior and decoder, in evaluation mode; the encoder is not used.
    rows
        Data as the model takes them, shape (N, *E).
    num_samples
        K ≥ 1.
    noise
        Gives the generator of row i, for example ``RowNoise(…).generator``.
    samples_per_call
        How many samples are decoded at a time, by default as many as stay in the cache.
    progress
        Called with the number of finished rows after each.

    Returns
    -------
    PriorEstimates
        One entry per row.

    Warns
    -----
    UserWarning
        If more than one row in a hundred has fewer than ten effective samples.

    Raises
    ------
    ConfigError
        If there are no samples.

    Examples
    --------
    >>> from latentia.evaluation import RowNoise
    >>> from latentia.models import PPCA
    >>> model, x = PPCA(torch.zeros(3), torch.ones(3, 1), 0.5), torch.zeros(1, 3)
    >>> found = prior_monte_carlo(model, x, num_samples=10_000, noise=RowNoise(x.numpy(), 0, "prior").generator)
    >>> bool(abs(found.log_prob[0] - float(model.log_prob(x))) < 0.1)
    True
    """
    require_samples(num_samples)
    log_prob, size = np.empty(len(rows)), np.empty(len(rows))
    for i in range(len(rows)):
        weights = _weights(model, rows[i : i + 1], num_samples, noise(i), samples_per_call)
        log_prob[i], size[i] = weights.value, weights.effective_sample_size
        if progress is not None:
            progress(i + 1)
    found = PriorEstimates(log_prob, size, num_samples)
    few = int(found.untrusted.sum())
    if few > TOLERATED_SHARE * len(rows):
        warn(
            f"Monte Carlo over the prior has fewer than {LEAST_EFFECTIVE_SAMPLES:g} effective samples for {few} of "
            f"{len(rows)} rows, where its log p(x) is too low: use importance sampling from q(z | x), or more samples"
        )
    return found


@torch.inference_mode()
def _weights(
    model: LatentVariableModel, x: Tensor, num_samples: int, generator: torch.Generator, samples_per_call: int | None
) -> LogMeanExp:
    """Return the mean of p(x | z) over draws from the prior, for one row of shape (1, *E)."""
    weights, prior = LogMeanExp(), model.prior()
    for start in range(0, num_samples, SAMPLES_PER_DRAW):
        count = min(SAMPLES_PER_DRAW, num_samples - start)
        z = prior.sample((count, 1), generator=generator)  # type: ignore[call-arg]  # every prior takes one
        add_log_weights(weights, model.decoder, x, z, z.new_zeros(count, 1), samples_per_call)
    return weights

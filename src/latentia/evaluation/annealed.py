r"""Annealed importance sampling: lower bounds on log p(x) by way of densities between a start and the posterior.

Letters: C chains, N rows, T temperatures, L leapfrog steps, Z latent dimensions, E event. Values in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentia.errors import warn
from latentia.evaluation.annealing import Annealing, Path, anneal_up, blocks, few_moves, streams_of
from latentia.evaluation.freezing import frozen
from latentia.evaluation.log_likelihood import Array, LogMeanExp
from latentia.evaluation.results import Mean, Measured
from latentia.objectives import LatentVariableModel


@dataclass(frozen=True)
class AnnealedEstimates(Measured):
    """Annealed importance sampling of N rows.

    Attributes
    ----------
    log_prob
        Logarithm of the mean weight, shape (N,), in nats: in expectation a lower bound on log p(x).
    effective_sample_size
        (Σw)²/Σw² over the chains, shape (N,), between 1 and C.
    acceptance
        Mean probability with which the moves of a row were taken, shape (N,); NaN where there were none (T = 1).
    step_size
        ε at the last temperature, shape (N,).
    annealing
        The settings.
    """

    log_prob: Array
    effective_sample_size: Array
    acceptance: Array
    step_size: Array
    annealing: Annealing

    def means(self) -> dict[str, Mean]:
        """Return the means over the rows."""
        names = ("log_prob", "effective_sample_size", "acceptance")
        return {name: Mean.of(getattr(self, name)) for name in names}

    def __str__(self) -> str:
        """Say it in lines, each number with its unit and what it is."""
        means = self.means()
        return "\n".join(
            [
                f"annealed importance sampling of {len(self.log_prob):,} rows: {self.annealing}",
                f"  log p(x)     {means['log_prob']} nats: annealed lower bound",
                f"  acceptance   {means['acceptance'].value:.2f} of the moves",
                f"  sample size  {means['effective_sample_size'].value:.1f} of {self.annealing.num_chains} (effective)",
            ]
        )


def annealed_importance_sampling(
    model: LatentVariableModel,
    rows: Tensor,
    *,
    noise: Callable[[int], torch.Generator],
    num_chains: int = 16,
    num_temperatures: int = 1000,
    num_steps: int = 10,
    start: str = "prior",
    schedule: str = "sigmoidal",
    step_size: float = 0.1,
    rows_per_block: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> AnnealedEstimates:
    r"""Estimate log p(x) of every row by annealed importance sampling.

    .. math:: \log \hat p(x) = \log \tfrac1C \sum_{c=1}^C w_c, \qquad
              w = \prod_{t=0}^{T-1} \frac{f_{\beta_{t+1}}(z_t)}{f_{\beta_t}(z_t)}

    The weights are unbiased for p(x), so the logarithm of their mean is in expectation a lower bound on log p(x),
    however few the temperatures. With T = 1 it is plain Monte Carlo over the start. Moves are Hamiltonian Monte
    Carlo, whose step sizes follow four pilot chains a row that are not counted. Neal 2001; Wu et al. 2017.

    Rows are computed in blocks of one size, the last one filled up: a row's value depends on no other row, bit for bit,
    where the parts treat the rows of equal batches alike (the networks of this library do).

    Parameters
    ----------
    model
        Prior, encoder and decoder, in evaluation mode. Any prior with ``log_prob`` and ``sample``, any likelihood
        that is differentiable in z.
    rows
        Data as the model takes them, shape (N, *E).
    noise
        Gives the generator of row i, for example ``RowNoise(…).generator``.
    num_chains
        C ≥ 1.
    num_temperatures
        T ≥ 1: how many factors a weight has; there are T − 1 moves between them.
    num_steps
        L ≥ 1 leapfrog steps a move.
    start
        Where chains begin: "prior", or "posterior" for q(z | x).
    schedule
        "sigmoidal" or "linear".
    step_size
        ε > 0 at the first move; only the warm-up of the pilots depends on it.
    rows_per_block
        R, by default as many rows as keep a processor busy and its cache unspilt.
    progress
        Called with the number of finished rows after each block.

    Returns
    -------
    AnnealedEstimates
        One entry per row.

    Raises
    ------
    ConfigError
        If a number is out of its range.
    DataError
        If log p(x | z) is not finite where chains start.

    Examples
    --------
    >>> from latentia.evaluation import RowNoise
    >>> from latentia.models import PPCA
    >>> model = PPCA(torch.zeros(3), torch.ones(3, 1), 0.5)
    >>> x = torch.tensor([[1.0, 0.5, 0.0]])
    >>> found = annealed_importance_sampling(
    ...     model, x, noise=RowNoise(x.numpy(), 0, "ais").generator, num_temperatures=50
    ... )
    >>> bool(abs(found.log_prob[0] - float(model.log_prob(x))) < 0.3)
    True
    """
    annealing = Annealing(num_chains, num_temperatures, num_steps, start, schedule, step_size)
    columns = {name: np.empty(len(rows)) for name in ("log_prob", "effective_sample_size", "acceptance", "step_size")}
    for block in blocks(rows, annealing, rows_per_block):
        with torch.inference_mode(False), frozen(model), torch.no_grad():
            path = Path(model, block.x, start)
            streams = streams_of(path, block, noise)
            found = anneal_up(path, streams, annealing, len(block.indices), block.indices[0])
        last = (
            found.step_sizes[max(found.step_sizes)] if found.step_sizes else torch.full_like(found.acceptance, math.nan)
        )
        for j, i in enumerate(block.indices):
            weights = LogMeanExp()
            weights.add(found.log_weights[:, j])
            columns["log_prob"][i], columns["effective_sample_size"][i] = weights.value, weights.effective_sample_size
            columns["acceptance"][i] = float(found.acceptance[j])
            columns["step_size"][i] = float(last[j])
        if progress is not None:
            progress(block.indices[-1] + 1)
    message = few_moves(columns["acceptance"], annealing)
    if message is not None:
        warn(message)
    return AnnealedEstimates(**columns, annealing=annealing)

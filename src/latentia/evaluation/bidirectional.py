r"""Bidirectional Monte Carlo: log p(x) of simulated rows between two bounds, and so the error of an estimator.

Letters: C chains, N rows, T temperatures, Z latent dimensions, E event. Values in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentia.errors import warn
from latentia.evaluation.annealing import Annealing, Path, anneal, anneal_up, blocks, few_moves, streams_of
from latentia.evaluation.freezing import frozen
from latentia.evaluation.hmc import Point, check_at_least, check_finite
from latentia.evaluation.log_likelihood import Array, LogMeanExp
from latentia.evaluation.noise import RowNoise
from latentia.evaluation.results import Mean, Measured
from latentia.objectives import LatentVariableModel


@dataclass(frozen=True)
class BidirectionalBounds(Measured):
    """log p(x) of N simulated rows, from below and from above; both hold in expectation, not row by row.

    Attributes
    ----------
    lower
        Annealed importance sampling from the start to the posterior, shape (N,), in nats.
    upper
        The reverse, from an exact posterior sample down to the start, shape (N,), in nats.
    effective_sample_size
        (Σw)²/Σw² over the forward chains, shape (N,).
    acceptance
        Mean probability with which moves were taken, both ways, shape (N,).
    rows, latents
        The simulated x, shape (N, *E), and the z they came from, shape (N, Z).
    annealing
        The settings.
    """

    lower: Array
    upper: Array
    effective_sample_size: Array
    acceptance: Array
    annealing: Annealing
    rows: npt.NDArray[np.generic] = field(repr=False)
    latents: npt.NDArray[np.generic] = field(repr=False)

    @property
    def gap(self) -> Array:
        """Upper minus lower bound, shape (N,), in nats: the mean error of either is at most the mean gap."""
        gap: Array = self.upper - self.lower
        return gap

    def means(self) -> dict[str, Mean]:
        """Return the means over the rows; the error of the gap is that of the paired differences."""
        return {name: Mean.of(getattr(self, name)) for name in ("lower", "upper", "gap", "acceptance")}

    def __str__(self) -> str:
        """Say it in lines, each number with its unit and what it is."""
        means = self.means()
        return "\n".join(
            [
                f"bidirectional Monte Carlo of {len(self.lower):,} simulated rows: {self.annealing}",
                f"  lower bound  {means['lower']} nats",
                f"  upper bound  {means['upper']} nats",
                f"  gap          {means['gap']} nats, acceptance {means['acceptance'].value:.2f}",
            ]
        )


def bidirectional_monte_carlo(
    model: LatentVariableModel,
    num_rows: int = 100,
    *,
    seed: int = 0,
    num_chains: int = 16,
    num_temperatures: int = 1000,
    num_steps: int = 10,
    start: str = "prior",
    schedule: str = "sigmoidal",
    step_size: float = 0.1,
    rows_per_block: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> BidirectionalBounds:
    r"""Bound log p(x) from both sides on rows that the model itself generates.

    .. math:: z^\star \sim p(z), \quad x \sim p(x \mid z^\star), \qquad
              \log \tfrac1C \sum_c w_c \;\lesssim\; \log p(x) \;\lesssim\; -\log \tfrac1C \sum_c \tilde w_c

    For such x the latent vector z* is an exact sample of p(z | x). Chains that begin there and run the moves of the
    forward chains in reverse order have weights that are unbiased for 1/p(x), so that minus the logarithm of their mean
    is in expectation an upper bound. The gap bounds the error of annealed importance sampling with these settings, and
    so says which settings a set of real rows needs. Grosse, Ghahramani and Adams 2015; Wu et al. 2017, section 4.

    Parameters
    ----------
    model
        Prior, encoder and decoder, in evaluation mode; the encoder is used only with ``start="posterior"``.
    num_rows
        N ≥ 1 rows to simulate.
    seed
        Of the simulated rows and of the chains.
    num_chains, num_temperatures, num_steps, start, schedule, step_size, rows_per_block, progress
        As in ``annealed_importance_sampling``.

    Returns
    -------
    BidirectionalBounds
        One entry per row, and the rows.

    Raises
    ------
    ConfigError
        If a number is out of its range.
    DataError
        If log p(x | z) is not finite where chains start.

    Examples
    --------
    >>> from latentia.models import PPCA
    >>> found = bidirectional_monte_carlo(PPCA(torch.zeros(3), torch.ones(3, 1), 0.5), 16, num_temperatures=100)
    >>> bool(abs(found.gap.mean()) < 0.2)
    True
    """
    check_at_least(1, num_rows=num_rows)
    annealing = Annealing(num_chains, num_temperatures, num_steps, start, schedule, step_size)
    rows, latents = simulated(model, num_rows, seed)
    noise = RowNoise(rows.cpu().numpy(), seed, "bidirectional")
    columns = {name: np.empty(num_rows) for name in ("lower", "upper", "effective_sample_size", "acceptance")}
    for block in blocks(rows, annealing, rows_per_block):
        with torch.inference_mode(False), frozen(model), torch.no_grad():
            path = Path(model, block.x, start)
            streams = streams_of(path, block, noise.generator)
            up = anneal_up(path, streams, annealing, len(block.indices), block.indices[0])
            top = block.filled(latents).expand(num_chains, -1, -1)
            point = Point.at(path.terms, top)
            check_finite(point, path.names, len(block.indices), block.indices[0])
            betas = annealing.temperatures()[::-1]
            down = anneal(path, point, betas, streams, num_steps, up.step_sizes.__getitem__)
        for j, i in enumerate(block.indices):
            weights, inverse = LogMeanExp(), LogMeanExp()
            weights.add(up.log_weights[:, j])
            inverse.add(down.log_weights[:, j])
            columns["lower"][i], columns["upper"][i] = weights.value, -inverse.value
            columns["effective_sample_size"][i] = weights.effective_sample_size
            columns["acceptance"][i] = 0.5 * float(up.acceptance[j] + down.acceptance[j])
        if progress is not None:
            progress(block.indices[-1] + 1)
    message = few_moves(columns["acceptance"], annealing)
    if message is not None:
        warn(message)
    return BidirectionalBounds(**columns, annealing=annealing, rows=rows.cpu().numpy(), latents=latents.cpu().numpy())


@torch.no_grad()
def simulated(model: LatentVariableModel, num_rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw z ~ p(z) and x ~ p(x | z): rows, shape (N, *E), with an exact sample of their posterior, shape (N, Z)."""
    generator = torch.Generator().manual_seed(seed)
    latents: Tensor = model.prior().sample((num_rows,), generator=generator)  # type: ignore[call-arg]  # every density of this library takes one
    rows: Tensor = model.decoder(latents).sample(generator=generator)  # type: ignore[call-arg]
    return rows, latents

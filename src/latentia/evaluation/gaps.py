r"""Why a bound is loose: the encoder's fault, or the family's. Local posteriors, optimised for each row by itself.

Letters: S samples of a step, K samples of an estimate, N rows, R rows of a block, Z latent dimensions, E event. Values
in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentia.distributions import DiagonalNormal, FullNormal
from latentia.errors import ConfigError, warn
from latentia.evaluation.annealing import Block
from latentia.evaluation.freezing import frozen
from latentia.evaluation.hmc import check_at_least
from latentia.evaluation.local_posteriors import Diagonal, Full, fitted, log_weights
from latentia.evaluation.log_likelihood import Array, LogMeanExp
from latentia.evaluation.noise import RowStreams
from latentia.evaluation.results import Mean, Measured
from latentia.objectives import LatentVariableModel

ROWS_PER_BLOCK = 64
TOLERATED_LOSS = 0.02  # nats: what the last, small steps of an optimum leave to chance
_BOUNDS = ("amortised", "diagonal", "full")


@dataclass(frozen=True)
class InferenceGaps(Measured):
    """Bounds on log p(x) of N rows by posteriors of growing freedom, and the gaps between them.

    Attributes
    ----------
    amortised
        Evidence lower bound with the encoder's q(z | x), shape (N,), in nats.
    diagonal, full
        The same with the best Gaussian for the row, of diagonal and of full covariance, shape (N,).
    log_prob
        Best estimate of log p(x), shape (N,): the one given, or by importance sampling.
    effective_sample_size
        (Σw)²/Σw² of the importance sampling, shape (N,), between 1 and K.
    family
        Of the encoder: "diagonal", "full" or "other".
    num_samples, num_steps
        K and the steps of optimisation.
    """

    amortised: Array
    diagonal: Array
    full: Array
    log_prob: Array
    effective_sample_size: Array
    family: str
    num_samples: int
    num_steps: int

    @property
    def inference_gap(self) -> Array:
        """What the bound lacks, log p(x) − L[q], shape (N,): amortisation and approximation gap together."""
        gap: Array = self.log_prob - self.amortised
        return gap

    @property
    def amortisation_gap(self) -> Array | None:
        """What the encoder loses against the best member of its family, shape (N,); None for another family."""
        if self.family == "other":
            return None
        best: Array = self.diagonal if self.family == "diagonal" else self.full
        return best - self.amortised

    @property
    def approximation_gap_diagonal(self) -> Array:
        """What diagonal Gaussians lose at their best, log p(x) − L[q*], shape (N,)."""
        gap: Array = self.log_prob - self.diagonal
        return gap

    @property
    def approximation_gap_full(self) -> Array:
        """What Gaussians lose at their best, shape (N,)."""
        gap: Array = self.log_prob - self.full
        return gap

    def means(self) -> dict[str, Mean]:
        """Return the means over the rows; the errors of gaps are those of paired differences."""
        names = ["amortised", "diagonal", "full", "log_prob", "inference_gap"]
        names += ["amortisation_gap"] if self.family != "other" else []
        names += ["approximation_gap_diagonal", "approximation_gap_full", "effective_sample_size"]
        return {name: Mean.of(getattr(self, name)) for name in names}

    def __str__(self) -> str:
        """Say it in lines, each number with its unit and what it is."""
        means = self.means()
        amortisation = means.get("amortisation_gap", "not known for this family")
        return "\n".join(
            [
                f"inference gaps of {len(self.log_prob):,} rows, in nats",
                f"  L[q]             {means['amortised']}: the encoder's bound",
                f"  L[q* diagonal]   {means['diagonal']}: the best diagonal Gaussian of each row",
                f"  L[q* full]       {means['full']}: the best Gaussian of each row",
                f"  log p(x)         {means['log_prob']}",
                f"  amortisation     {amortisation}: what the encoder loses",
                f"  approximation    {means['approximation_gap_diagonal']} (diagonal), "
                f"{means['approximation_gap_full']} (full): what the family loses",
            ]
        )


def inference_gaps(
    model: LatentVariableModel,
    rows: Tensor,
    *,
    noise: Callable[[int], torch.Generator],
    log_prob: Array | None = None,
    num_samples: int = 1000,
    num_steps: int = 500,
    samples_per_step: int = 8,
    learning_rate: float = 0.05,
    progress: Callable[[int], None] | None = None,
) -> InferenceGaps:
    r"""Split the looseness of the evidence lower bound into what the encoder and what its family loses.

    .. math:: \log p(x) - \mathcal L[q] = \underbrace{\log p(x) - \mathcal L[q^\star]}_{\text{approximation}}
              + \underbrace{\mathcal L[q^\star] - \mathcal L[q]}_{\text{amortisation}}, \qquad
              q^\star = \arg\max_{q' \in \mathcal Q} \mathcal L[q']

    Cremer, Li and Duvenaud 2018, equations 3 and 4. For every row by itself a Gaussian is fitted to p(z | x) by Adam,
    many rows side by side: diagonal, from the encoder's moments on; then full, from the best diagonal one on (or from
    the encoder's, where that is full). The gradient is the pathwise one without the score of q, which has no variance
    where q is exact (Roeder, Wu and Duvenaud 2017).

    Parameters
    ----------
    model
        Prior, encoder and decoder, in evaluation mode; p must be differentiable in z.
    rows
        Data as the model takes them, shape (N, *E).
    noise
        Gives the generator of row i, for example ``RowNoise(…).generator``.
    log_prob
        The best estimate of log p(x) at hand, for example by annealed importance sampling, shape (N,), in nats.
        Without it, importance sampling from that of the three posteriors with the largest effective sample size, a
        lower bound in expectation; and so are then the approximation gaps.
    num_samples
        K ≥ 2 samples a row for every bound.
    num_steps
        Steps ≥ 1 of Adam a family, with a learning rate that falls to zero along a cosine.
    samples_per_step
        S ≥ 1.
    learning_rate
        In units of the encoder's standard deviations.
    progress
        Called with the number of finished rows after each block.

    Returns
    -------
    InferenceGaps
        One entry per row.

    Warns
    -----
    UserWarning
        If the optimised posteriors are worse than the encoder's.

    Raises
    ------
    ConfigError
        If a number is out of its range, or ``log_prob`` has not one entry a row.

    Examples
    --------
    >>> from latentia.evaluation import RowNoise
    >>> from latentia.models import PPCA
    >>> model, x = PPCA(torch.zeros(3), torch.ones(3, 2), 0.5), torch.zeros(4, 3)
    >>> found = inference_gaps(model, x, noise=RowNoise(x.numpy(), 0, "gaps").generator, num_steps=50)
    >>> found.family, bool(found.inference_gap.max() < 1e-4)  # PPCA's encoder is the exact posterior
    ('full', True)
    """
    check_at_least(1, num_steps=num_steps, samples_per_step=samples_per_step)
    check_at_least(2, num_samples=num_samples)
    if not 0.0 < learning_rate < math.inf:
        raise ConfigError(f"learning_rate must be a positive number, got {learning_rate}")
    if log_prob is not None and log_prob.shape != (len(rows),):
        raise ConfigError(f"log_prob must have shape ({len(rows)},), one entry a row, got {log_prob.shape}")
    columns = {name: np.empty(len(rows)) for name in (*_BOUNDS, "log_prob", "effective_sample_size")}
    columns["effective_sample_size"].fill(-math.inf)
    family = "other"
    for first in range(0, len(rows), ROWS_PER_BLOCK):
        indices = range(first, min(first + ROWS_PER_BLOCK, len(rows)))
        block = Block(indices, ROWS_PER_BLOCK - len(indices), rows)
        with torch.inference_mode(False), frozen(model), torch.no_grad():
            x, generators = block.x, [noise(i) for i in indices]
            q: Any = model.encoder(x)  # every posterior has a stddev, which the bounds do not ask for
            streams = RowStreams(generators, q.mean, block.padding)
            log_joint = _log_joint(model, x)
            diagonal = fitted(
                Diagonal(q.mean, q.stddev), log_joint, streams, num_steps, samples_per_step, learning_rate
            )
            known = q if isinstance(q, FullNormal) else diagonal
            factor = q.scale_tril if isinstance(q, FullNormal) else torch.diag_embed(diagonal.stddev)
            full = fitted(Full(known.mean, factor), log_joint, streams, num_steps, samples_per_step, learning_rate)
            states = [generator.get_state() for generator in generators]
            for name, posterior in zip(_BOUNDS, (q, diagonal, full), strict=True):
                for generator, state in zip(generators, states, strict=True):
                    generator.set_state(state)  # the same noise for all, so that differences have little
                weights = log_weights(posterior, log_joint, streams, num_samples)[:, : len(indices)]
                columns[name][first : indices.stop] = weights.mean(0).cpu().numpy()
                _keep_better(columns, indices, weights)
        family = "diagonal" if isinstance(q, DiagonalNormal) else "full" if isinstance(q, FullNormal) else "other"
        if progress is not None:
            progress(indices.stop)
    if log_prob is not None:
        columns["log_prob"] = np.asarray(log_prob, dtype=np.float64)
    found = InferenceGaps(**columns, family=family, num_samples=num_samples, num_steps=num_steps)
    _warn_of_failure(found)
    return found


def _log_joint(model: LatentVariableModel, x: Tensor) -> Callable[[Tensor], Tensor]:
    prior = model.prior()

    def log_joint(z: Tensor) -> Tensor:
        log_p: Tensor = model.decoder(z).log_prob(x) + prior.log_prob(z)
        return log_p

    return log_joint


def _keep_better(columns: dict[str, Array], indices: range, weights: Tensor) -> None:
    """Keep the importance-weighted estimates of these weights, shape (K, R), where more of them count than before."""
    for i, of_row in zip(indices, weights.unbind(1), strict=True):
        mean = LogMeanExp()
        mean.add(of_row)
        if not mean.effective_sample_size <= columns["effective_sample_size"][i]:
            columns["log_prob"][i], columns["effective_sample_size"][i] = mean.value, mean.effective_sample_size


def _warn_of_failure(found: InferenceGaps) -> None:
    """Warn where optimisation has not kept what it began with."""
    for better, worse in (("full", "diagonal"), *([(found.family, "amortised")] if found.family != "other" else [])):
        gain = Mean.of(getattr(found, better) - getattr(found, worse))
        if gain.value < -max(5.0 * gain.standard_error, TOLERATED_LOSS) or not math.isfinite(gain.value):
            warn(
                f"the best {better} Gaussians have a bound {-gain.value:.3g} nats below the {worse} posteriors they "
                "contain, so the optimisation failed: take more steps or a smaller learning_rate"
            )

r"""What the evidence lower bound is made of, and how far the aggregated posterior is from the prior.

.. math:: \tfrac1N \sum_n \mathcal L(x_n) = \underbrace{\mathbb E \log p(x \mid z)}_{\text{reconstruction}}
          - \underbrace{I_q(x; z)}_{\text{mutual information}}
          - \underbrace{\mathrm{KL}\Bigl(q(z) \Big\| \prod_d q(z_d)\Bigr)}_{\text{total correlation}}
          - \underbrace{\sum_d \mathrm{KL}(q(z_d) \| p(z_d))}_{\text{dimension-wise}}

with q(z) = 1/N Σ q(z | x_n), the mixture of the posteriors of exactly the N rows given: Hoffman and Johnson 2016,
equation 7; Chen et al. 2018, equation 2.

Letters: S samples, N rows, M rows of a piece of the mixture, Z latent dimensions, E event. Values in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentia.distributions import DiagonalNormal, FullNormal, Mixture, UnitNormal
from latentia.evaluation.hmc import check_at_least
from latentia.evaluation.log_likelihood import Array
from latentia.evaluation.noise import RowStreams
from latentia.evaluation.results import Mean, Measured
from latentia.objectives import LatentVariableModel, Reparameterised

# Nats below log N from which on the mutual information is that of so few rows, not of the data.
CEILING = 1.0
ROWS_PER_PIECE = 256
NUMBERS_PER_CALL = 1 << 20


@dataclass(frozen=True)
class ElboDecomposition(Measured):
    """The parts of the evidence lower bound of N rows, whose means over the rows are the quantities of their names.

    The standard errors are those over the rows. All parts come from the same samples, so that they add up to the bound
    without error.

    Attributes
    ----------
    reconstruction
        E log p(x | z), shape (N,).
    mutual_information
        log q(z | x) − log q(z), shape (N,): their mean is at most log N; see ``saturated``.
    marginal_kl
        log q(z) − log p(z), shape (N,): KL(q(z)‖p(z)), what the prior lacks. Of N rows it is at least that of all the
        data they are a sample of.
    total_correlation
        log q(z) − Σ log q(z_d), shape (N,); None where q(z | x) has no densities of single dimensions (a flow).
    dimension_wise_kl
        log q(z_d) − log p(z_d), shape (N, Z), or (N, 1) where the prior does not split; None as above.
    num_samples
        S samples a row.
    """

    reconstruction: Array
    mutual_information: Array
    marginal_kl: Array
    total_correlation: Array | None
    dimension_wise_kl: Array | None
    num_samples: int

    @property
    def elbo(self) -> Array:
        """Reconstruction minus all other parts, shape (N,): the evidence lower bound on these samples."""
        bound: Array = self.reconstruction - self.mutual_information - self.marginal_kl
        return bound

    @property
    def largest_information(self) -> float:
        """The logarithm of N: what the mutual information of N rows with z cannot exceed."""
        return math.log(len(self.reconstruction))

    @property
    def saturated(self) -> bool:
        """Whether the mutual information is at its ceiling.

        It is then that of too few rows, and lower than that of the data; KL(q(z)‖p(z)) is higher by as much.
        """
        return bool(self.mutual_information.mean() > self.largest_information - CEILING)

    def means(self) -> dict[str, Mean]:
        """Return the means over the rows."""
        parts = {name: getattr(self, name) for name in ("elbo", "reconstruction", "mutual_information", "marginal_kl")}
        if self.total_correlation is not None and self.dimension_wise_kl is not None:
            parts["total_correlation"] = self.total_correlation
            parts["dimension_wise_kl"] = self.dimension_wise_kl.sum(-1)
        return {name: Mean.of(part) for name, part in parts.items()}

    def to_json(self) -> dict[str, Any]:
        """Return every number but those per row as JSON values: what is not finite becomes null."""
        return super().to_json() | {"largest_information": self.largest_information, "saturated": self.saturated}

    def __str__(self) -> str:
        """Say it in lines, each number with its unit and what it is."""
        means = self.means()
        most, ceiling = self.largest_information, ": at its ceiling, of the data it is more" if self.saturated else ""
        lines = [
            f"parts of the ELBO of {len(self.reconstruction):,} rows, in nats",
            f"  ELBO                 {means['elbo']}",
            f"  reconstruction       {means['reconstruction']}",
            f"  mutual information   {means['mutual_information']}, at most log N = {most:.2f}{ceiling}",
            f"  KL(q(z) ‖ p(z))      {means['marginal_kl']}{', at most' if ceiling else ''}",
        ]
        if self.total_correlation is not None:
            lines.append(f"    total correlation  {means['total_correlation']}")
            lines.append(f"    dimension-wise     {means['dimension_wise_kl']}")
        return "\n".join(lines)


@torch.inference_mode()
def elbo_decomposition(
    model: LatentVariableModel, rows: Tensor, *, noise: Callable[[int], torch.Generator], num_samples: int = 1
) -> ElboDecomposition:
    """Split the evidence lower bound of the rows into its parts.

    The aggregated posterior is computed exactly, from all pairs of samples and rows: its cost grows as S N² Z.

    Parameters
    ----------
    model
        Prior, encoder and decoder, in evaluation mode.
    rows
        Data as the model takes them, shape (N, *E).
    noise
        Gives the generator of row i, for example ``RowNoise(…).generator``.
    num_samples
        S ≥ 1 samples a row.

    Returns
    -------
    ElboDecomposition
        One entry per row.

    Raises
    ------
    ConfigError
        If there are no samples or no rows.

    Examples
    --------
    >>> from latentia.evaluation import RowNoise
    >>> from latentia.models import PPCA
    >>> model, x = PPCA(torch.zeros(3), torch.ones(3, 2), 0.5), torch.randn(50, 3)
    >>> parts = elbo_decomposition(model, x, noise=RowNoise(x.numpy(), 0, "parts").generator)
    >>> bool(abs(parts.elbo - model.log_prob(x).numpy()).max() < 1e-3)  # with the exact posterior
    True
    """
    check_at_least(1, num_samples=num_samples, rows=len(rows))
    drawn = _draw(model, rows, noise, num_samples, reconstruct=True)
    joint, each = aggregated_log_prob(model, rows, drawn.z, per_dimension=True)
    correlation = divergence = None
    if each is not None:
        prior = model.prior()
        if isinstance(prior, DiagonalNormal | UnitNormal):
            divergence = (each - prior.log_prob_elements(drawn.z).double()).mean(0)
        else:
            divergence = (each.sum(-1) - drawn.log_p).mean(0).unsqueeze(-1)
        correlation = (joint - each.sum(-1)).mean(0)
    return ElboDecomposition(
        reconstruction=_array(drawn.log_likelihood.mean(0)),
        mutual_information=_array((drawn.log_q - joint).mean(0)),
        marginal_kl=_array((joint - drawn.log_p).mean(0)),
        total_correlation=None if correlation is None else _array(correlation),
        dimension_wise_kl=None if divergence is None else _array(divergence),
        num_samples=num_samples,
    )


@torch.inference_mode()
def aggregated_posterior_gap(
    model: LatentVariableModel, rows: Tensor, *, noise: Callable[[int], torch.Generator], num_samples: int = 1
) -> Mean:
    r"""Return KL(q(z)‖p(z)) in nats, with its standard error: what samples lose by coming from the prior.

    .. math:: \mathrm{KL}(q(z) \,\|\, p(z)) = \tfrac1N \sum_n \mathbb E_{q(z \mid x_n)} \log q(z) - \log p(z)

    Hoffman and Johnson 2016: the best prior for an encoder is its aggregated posterior, and the bound would gain this
    much by it on these rows. On the data that they are a sample of it would gain less: the divergence is convex, so
    that a mixture of few posteriors is on average farther from the prior than one of many.

    Parameters
    ----------
    model, rows, noise, num_samples
        As in ``elbo_decomposition``.
    """
    check_at_least(1, num_samples=num_samples, rows=len(rows))
    drawn = _draw(model, rows, noise, num_samples, reconstruct=False)
    joint, _ = aggregated_log_prob(model, rows, drawn.z, per_dimension=False)
    return Mean.of(_array((joint - drawn.log_p).mean(0)))


@dataclass(frozen=True)
class _Drawn:
    """Samples z, shape (S, N, Z), with log q(z | x), log p(z) and log p(x | z), shape (S, N), in float64."""

    z: Tensor
    log_q: Tensor
    log_p: Tensor
    log_likelihood: Tensor


def _draw(
    model: LatentVariableModel,
    rows: Tensor,
    noise: Callable[[int], torch.Generator],
    num_samples: int,
    *,
    reconstruct: bool,
) -> _Drawn:
    prior, found = model.prior(), []
    for first in range(0, len(rows), ROWS_PER_PIECE):
        x = rows[first : first + ROWS_PER_PIECE]
        q = model.encoder(x)
        z = q.rsample_from(
            RowStreams([noise(first + i) for i in range(len(x))], q.mean).normal(num_samples, q.noise_size)
        )
        log_q, log_p = q.log_prob(z).double(), prior.log_prob(z).double()
        found.append((z, log_q, log_p, model.decoder(z).log_prob(x).double() if reconstruct else log_q))
    return _Drawn(*(torch.cat(columns, 1) for columns in zip(*found, strict=True)))


def aggregated_log_prob(
    model: LatentVariableModel, rows: Tensor, z: Tensor, *, per_dimension: bool
) -> tuple[Tensor, Tensor | None]:
    """Return log q(z), shape (S, N), and log q(z_d), shape (S, N, Z), of the mixture of all posteriors, in float64.

    The second is None where it is not asked for or the posteriors have no densities of single dimensions.
    """
    flat = z.flatten(0, 1)
    joint = flat.new_full((len(flat),), -math.inf, dtype=torch.float64)
    each = flat.new_full(flat.shape, -math.inf, dtype=torch.float64) if per_dimension else None
    for first in range(0, len(rows), ROWS_PER_PIECE):
        q = model.encoder(rows[first : first + ROWS_PER_PIECE])
        count = len(q.mean)
        for part in torch.arange(len(flat)).split(max(1, NUMBERS_PER_CALL // (count * flat.shape[-1]))):
            span = slice(int(part[0]), int(part[-1]) + 1)
            pairs = flat[span].unsqueeze(1).expand(-1, count, -1)  # (samples, M, Z)
            elements = _log_prob_per_dimension(q, pairs) if each is not None else None
            if each is not None and elements is not None:
                each[span] = torch.logaddexp(each[span], elements.logsumexp(1).double())
            else:
                each = None
            log_q = elements.sum(-1) if elements is not None and isinstance(q, DiagonalNormal) else q.log_prob(pairs)
            joint[span] = torch.logaddexp(joint[span], log_q.logsumexp(1).double())
    log_n = math.log(len(rows))
    return (joint - log_n).reshape(z.shape[:2]), None if each is None else (each - log_n).reshape(z.shape)


def _log_prob_per_dimension(q: Reparameterised, z: Tensor) -> Tensor | None:
    """Return log q(z_d | x), shape (samples, M, Z), or None where the family has no such densities."""
    if isinstance(q, DiagonalNormal):
        return q.log_prob_elements(z)
    if isinstance(q, FullNormal):
        return DiagonalNormal(q.mean, q.stddev.log()).log_prob_elements(z)
    if isinstance(q, Mixture):
        components = DiagonalNormal(q.components.mean, q.components.stddev.log())
        return (components.log_prob_elements(z.unsqueeze(-2)) + q.log_weights.unsqueeze(-1)).logsumexp(-2)
    return None


def _array(values: Tensor) -> Array:
    found: Array = values.cpu().numpy().astype(np.float64)
    return found

r"""The divergence in three parts, and the β-TC-VAE, which weighs them.

.. math:: \mathbb E_x\, \mathrm{KL}(q(z \mid x) \,\|\, p(z)) = \underbrace{I(x; z)}_{\text{mutual information}}
          + \underbrace{\mathrm{KL}\Bigl(q(z) \,\Big\|\, \prod_d q(z_d)\Bigr)}_{\text{total correlation}}
          + \underbrace{\sum_d \mathrm{KL}(q(z_d) \,\|\, p(z_d))}_{\text{dimension-wise}}

with the aggregated posterior q(z) = 1/N Σ q(z | x_n) over the data set, which a minibatch can only estimate: Chen et
al. 2018, equation 2 and appendix C.

Letters: L samples, B batch, N rows of the data set, E event, Z latent dimensions. Values in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

import torch
from torch import Tensor

from latentia.distributions import DiagonalNormal, FullNormal, UnitNormal
from latentia.errors import ConfigError
from latentia.objectives.elbo import kl_terms
from latentia.objectives.protocol import (
    LatentVariableModel,
    Reparameterised,
    draw_noise,
    log_density,
    require_path,
    require_weight,
)
from latentia.objectives.result import Result

AggregatedPosterior = Literal["stratified", "weighted"]


def beta_tc(
    model: LatentVariableModel,
    x: Tensor,
    *,
    dataset_size: int,
    num_samples: int = 1,
    noise: Tensor | None = None,
    alpha: float | Tensor = 1.0,
    beta: float | Tensor | None = None,
    gamma: float | Tensor = 1.0,
    estimator: AggregatedPosterior = "stratified",
) -> Result:
    r"""Return the evidence lower bound of every row, with a surrogate that weighs the parts of its divergence.

    .. math:: \mathbb E_q \log p(x \mid z) - \alpha\, I(x; z) - \beta\, \mathrm{TC} - \gamma\, \mathrm{DWKL}

    The parts are estimated on the samples z and the posteriors of all rows of the batch, so the surrogate depends on
    the batch: it must not be computed in micro-batches. With α = β = γ = 1 it is the ELBO on those samples, whatever
    the batch and the estimator. Chen et al. 2018, equation 4.

    Parameters
    ----------
    model
        Prior (diagonal), encoder (diagonal or full-covariance Gaussian) and decoder.
    x
        Rows, shape (B, *E), drawn from the data set without replacement.
    dataset_size
        N ≥ B.
    num_samples
        L ≥ 1.
    noise
        Standard normal noise, shape (L, B, Z); drawn from torch's global generator if not given.
    alpha, beta, gamma
        Weights ≥ 0 of mutual information, total correlation and dimension-wise divergence; ``beta`` is 1 if not given.
        A 0-dimensional tensor is a schedule's value.
    estimator
        How q(z) is estimated: see ``aggregated_posterior``.

    Returns
    -------
    Result
        value (B,), the ELBO; terms "reconstruction" (B,), "kl" (B, Z) or (B, 1), as of ``elbo``, and
        "mutual_information" (B,), "total_correlation" (B,) and "dimension_wise_kl" (B, Z), whose means over the batch
        are the estimates; a single row's may have any sign.

    Raises
    ------
    ConfigError
        For a prior or posterior without densities per dimension, N below B, a negative weight or an unknown estimator.
    """
    for name, number in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        require_weight(name, number)
    q, p = model.encoder(x), model.prior()
    if not isinstance(p, DiagonalNormal | UnitNormal):
        msg = (
            f"beta_tc compares q(z) with the prior dimension by dimension, and {type(p).__name__} has no density of "
            "one: use a standard or learned diagonal normal prior"
        )
        raise ConfigError(msg)
    z = q.rsample_from(draw_noise(q, num_samples, noise))
    require_path(q, z)
    reconstruction = log_density("likelihood", model.decoder(z), x).mean(0)
    joint, each = aggregated_posterior(q, z, dataset_size, estimator)  # (L, B), (L, B, Z)
    information = (log_density("posterior", q, z) - joint).mean(0)
    correlation = (joint - each.sum(-1)).mean(0)
    divergence = (each - p.log_prob_elements(z)).mean(0)
    weighted = correlation if beta is None else beta * correlation
    surrogate = reconstruction - alpha * information - weighted - gamma * divergence.sum(-1)
    kl = kl_terms(q, p, z)
    terms = {
        "reconstruction": reconstruction,
        "kl": kl,
        "mutual_information": information,
        "total_correlation": correlation,
        "dimension_wise_kl": divergence,
    }
    return Result(reconstruction - kl.sum(-1), terms, surrogate)


def aggregated_posterior(
    q: Reparameterised, z: Tensor, dataset_size: int, estimator: AggregatedPosterior = "stratified"
) -> tuple[Tensor, Tensor]:
    r"""Estimate log q(z) and log q(z_d) over a data set of N rows from the posteriors of B of them.

    .. math:: \hat q(z_i) = \sum_{j=1}^{B} W_{ij}\, q(z_i \mid x_j), \qquad z_i \sim q(z \mid x_i)

    "stratified" gives the row that z came from its share 1/N and each other row (N − 1)/(N (B − 1)): the estimate of
    q(z), not of its logarithm, is unbiased, and exact for B = N. (Chen et al. 2018 give one of the others a weight of
    its own; the mean over which one it is has the same expectation, less noise, and no order of rows.) A batch of one
    row knows no others, and its q(z) is q(z | x). "weighted" is 1/(N B) for all: low by about log N.

    Parameters
    ----------
    q
        Posteriors of the rows, batch (B,), diagonal or full-covariance Gaussian.
    z
        Samples, shape (L, B, Z), those of row i from its own posterior.
    dataset_size
        N ≥ B.
    estimator
        "stratified" or "weighted".

    Returns
    -------
    tuple of Tensor
        log q̂(z), shape (L, B), and log q̂(z_d), shape (L, B, Z), nats.
    """
    if estimator not in _LOG_WEIGHTS:
        msg = f"estimator must be one of {', '.join(map(repr, get_args(AggregatedPosterior)))}, got {estimator!r}"
        raise ConfigError(msg)
    if not isinstance(q, DiagonalNormal | FullNormal):
        msg = (
            f"q(z) is estimated from densities of single dimensions, and the posterior {type(q).__name__} has none in "
            "closed form: use a diagonal or full-covariance Gaussian"
        )
        raise ConfigError(msg)
    rows = z.shape[-2]
    if dataset_size < rows:
        msg = f"dataset_size must be at least the {rows} rows of the batch, got {dataset_size}"
        raise ConfigError(msg)
    log_weights = _LOG_WEIGHTS[estimator](rows, dataset_size, z)  # (B, B)
    every = z.unsqueeze(-2)  # (L, B, 1, Z): each sample under the posterior of each row
    if isinstance(q, DiagonalNormal):
        elements = q.log_prob_elements(every)  # (L, B, B, Z)
        pairs = elements.sum(-1)
    else:
        elements = DiagonalNormal(q.loc, q.stddev.log()).log_prob_elements(every)
        pairs = q.log_prob(every)
    return (pairs + log_weights).logsumexp(-1), (elements + log_weights.unsqueeze(-1)).logsumexp(-2)


def _stratified(rows: int, dataset_size: int, like: Tensor) -> Tensor:
    if rows == 1:
        return like.new_zeros(1, 1)
    other = math.log((dataset_size - 1) / (dataset_size * (rows - 1)))
    own = torch.eye(rows, dtype=torch.bool, device=like.device)
    return like.new_full((rows, rows), other).masked_fill(own, -math.log(dataset_size))


def _weighted(rows: int, dataset_size: int, like: Tensor) -> Tensor:
    return like.new_full((rows, rows), -math.log(dataset_size * rows))


_LOG_WEIGHTS: Mapping[str, Callable[[int, int, Tensor], Tensor]] = MappingProxyType(
    {"stratified": _stratified, "weighted": _weighted}
)

r"""Importance-weighted bounds on log p(x), with one sample of z for every weight.

.. math:: w_k = \frac{p(x \mid z_k)\, p(z_k)}{q(z_k \mid x)}, \qquad z_k \sim q(z \mid x)

Letters: M outer samples, K inner samples, B batch, E event, N noise dimensions. All values in nats, higher is better.
Each value is a bound in expectation, never Σ w̃ log w, which exceeds it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentia.errors import ConfigError
from latentia.objectives.protocol import LatentVariableModel, draw_noise, log_density, require_count, require_path
from latentia.objectives.result import Result


def iwae(model: LatentVariableModel, x: Tensor, *, num_samples: int = 5, noise: Tensor | None = None) -> Result:
    r"""Return the importance-weighted bound of every row.

    .. math:: \mathcal L_K(x) = \log \tfrac1K \sum_{k=1}^{K} w_k, \qquad
              w_k = \frac{p(x \mid z_k)\, p(z_k)}{q(z_k \mid x)}

    It rises with K to log p(x) and is the ELBO at K = 1: Burda, Grosse and Salakhutdinov 2016, equation 8.

    Parameters
    ----------
    model
        Prior, encoder and decoder.
    x
        Rows, shape (B, *E).
    num_samples
        K ≥ 1.
    noise
        Standard normal noise, shape (K, B, N); drawn from torch's global generator if not given.

    Returns
    -------
    Result
        value (B,); terms "elbo" (B,), the mean of the log-weights, and "effective_sample_size" (B,), (Σw)²/Σw².
    """
    log_weights = importance_log_weights(model, x, num_samples=num_samples, noise=noise)
    return Result(log_mean_exp(log_weights), weight_terms(log_weights))


def miwae(
    model: LatentVariableModel, x: Tensor, *, num_outer: int = 1, num_samples: int = 5, noise: Tensor | None = None
) -> Result:
    r"""Return the mean of M importance-weighted bounds with K samples each, of every row.

    .. math:: \mathcal L_{M,K}(x) = \tfrac1M \sum_{m=1}^{M} \log \tfrac1K \sum_{k=1}^{K} w_{m,k}

    Its expectation is that of ``iwae`` with K samples, whatever M is; M averages the gradient, whose signal-to-noise
    ratio in the encoder grows as √(M/K): Rainforth et al. 2018.

    Parameters
    ----------
    model
        Prior, encoder and decoder.
    x
        Rows, shape (B, *E).
    num_outer
        M ≥ 1: how many bounds are averaged.
    num_samples
        K ≥ 1: how many weights are in each.
    noise
        Standard normal noise, shape (M·K, B, N), the K draws of one bound side by side; drawn from torch's global
        generator if not given.

    Returns
    -------
    Result
        value (B,); terms "elbo" (B,), the mean of the log-weights, and "effective_sample_size" (B,), at most K, the
        mean over the M bounds.
    """
    log_weights = grouped_log_weights(model, x, num_outer, num_samples, noise)
    return Result(log_mean_exp(log_weights, 1).mean(0), weight_terms(log_weights))


def ciwae(
    model: LatentVariableModel,
    x: Tensor,
    *,
    num_samples: int = 5,
    weight: float | Tensor = 0.5,
    noise: Tensor | None = None,
) -> Result:
    r"""Return the combination of the ELBO and the importance-weighted bound on the same samples, of every row.

    .. math:: \mathcal L(x) = \beta\, \tfrac1K \sum_{k=1}^{K} \log w_k + (1 - \beta) \log \tfrac1K \sum_{k=1}^{K} w_k

    Rainforth et al. 2018.

    Parameters
    ----------
    model
        Prior, encoder and decoder.
    x
        Rows, shape (B, *E).
    num_samples
        K ≥ 1.
    weight
        β from 0 (the importance-weighted bound) to 1 (the ELBO).
    noise
        Standard normal noise, shape (K, B, N); drawn from torch's global generator if not given.

    Returns
    -------
    Result
        value (B,), the combination, which lies between its parts; terms "elbo" (B,), "iwae" (B,) and
        "effective_sample_size" (B,).
    """
    if not isinstance(weight, Tensor) and not 0 <= weight <= 1:
        msg = f"weight must be from 0 (the importance-weighted bound) to 1 (the ELBO), got {weight}"
        raise ConfigError(msg)
    log_weights = importance_log_weights(model, x, num_samples=num_samples, noise=noise)
    tight = log_mean_exp(log_weights)
    value = weight * log_weights.mean(0) + (1.0 - weight) * tight
    terms = weight_terms(log_weights)
    return Result(value, {**terms, "iwae": tight.detach()})


def importance_log_weights(
    model: LatentVariableModel, x: Tensor, *, num_samples: int, noise: Tensor | None = None
) -> Tensor:
    """Return log p(x | z) + log p(z) − log q(z | x) at samples of q, shape (K, B), nats."""
    q, p = model.encoder(x), model.prior()
    z = q.rsample_from(draw_noise(q, num_samples, noise))
    require_path(q, z)
    log_likelihood = log_density("likelihood", model.decoder(z), x)
    return log_likelihood + log_density("prior", p, z) - log_density("posterior", q, z)


def grouped_log_weights(
    model: LatentVariableModel, x: Tensor, num_outer: int, num_samples: int, noise: Tensor | None
) -> Tensor:
    """Return the log-weights of M groups of K samples, shape (M, K, B): sample m·K + k is the k-th of group m."""
    require_count("num_outer", num_outer)
    require_count("num_samples", num_samples)
    log_weights = importance_log_weights(model, x, num_samples=num_outer * num_samples, noise=noise)
    return log_weights.reshape(num_outer, num_samples, *log_weights.shape[1:])


def log_mean_exp(values: Tensor, dim: int = 0) -> Tensor:
    """Return the logarithm of the mean of exponentials along an axis."""
    return values.logsumexp(dim) - math.log(values.shape[dim])


@torch.no_grad()
def weight_terms(log_weights: Tensor) -> dict[str, Tensor]:
    """Return what is logged of log-weights (*M, K, B): the ELBO, and the effective sample size within each group."""
    axis = log_weights.dim() - 2
    size = (2.0 * log_weights.logsumexp(axis) - (2.0 * log_weights).logsumexp(axis)).exp()
    return {
        "elbo": log_weights.flatten(0, -2).mean(0),
        "effective_sample_size": size if axis == 0 else size.mean(0),
    }

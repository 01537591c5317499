r"""The maximum mean discrepancy between two samples, and the objectives that pull q(z) to p(z) with it.

Letters: L samples, B batch, n and m points, E event, Z latent dimensions, N noise dimensions. Bounds in nats; the
discrepancy has no unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution

from latentia.distributions import full_precision
from latentia.distributions.base import without_autocast
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

Kernel = Literal["imq", "rbf"]


def maximum_mean_discrepancy(a: Tensor, b: Tensor, kernel: Kernel = "imq", scale: float = 1.0) -> Tensor:
    r"""Return the unbiased estimate of the squared maximum mean discrepancy between two distributions.

    .. math:: \widehat{\mathrm{MMD}}^2 = \frac{1}{n(n-1)} \sum_{i \ne j} k(a_i, a_j)
              + \frac{1}{m(m-1)} \sum_{i \ne j} k(b_i, b_j) - \frac{2}{nm} \sum_{i,j} k(a_i, b_j)

    Zero in expectation where the two are the same, so it is negative about as often as not there; its expectation does
    not depend on n and m. Gretton et al. 2012, lemma 6.

    Parameters
    ----------
    a, b
        Independent points of each, shapes (*, n, Z) and (*, m, Z) with n, m ≥ 2.
    kernel
        "imq", 1/(1 + t), the inverse multiquadric, or "rbf", exp(−t), with t = ‖a − b‖²/(2 Z s²).
    scale
        s > 0: the standard deviation at which t is 1 on average, between two points of N(0, s² I).

    Returns
    -------
    Tensor
        Shape (*), at most 2.

    Raises
    ------
    ConfigError
        For fewer than two points, different dimensions, an unknown kernel or a scale that is not positive.

    Examples
    --------
    >>> import torch
    >>> points = torch.tensor([[0.0], [1.0]])
    >>> round(float(maximum_mean_discrepancy(points, points + 5.0, "rbf")), 4)
    1.2129
    """
    if kernel not in _KERNELS:
        msg = f"kernel must be one of {', '.join(map(repr, get_args(Kernel)))}, got {kernel!r}"
        raise ConfigError(msg)
    if not scale > 0:
        msg = f"scale must be above 0, got {scale}"
        raise ConfigError(msg)
    n, m = a.shape[-2], b.shape[-2]
    if n < 2 or m < 2 or a.shape[-1] != b.shape[-1]:
        msg = (
            "the discrepancy needs two samples of at least 2 points each, of the same dimension, got shapes "
            f"{tuple(a.shape)} and {tuple(b.shape)}"
        )
        raise ConfigError(msg)
    a, b = full_precision(a), full_precision(b)
    unit = 2.0 * a.shape[-1] * scale**2

    def gram(left: Tensor, right: Tensor) -> Tensor:
        return _KERNELS[kernel](_squared_distances(left, right) / unit)

    within = _mean_off_diagonal(gram(a, a)) + _mean_off_diagonal(gram(b, b))
    return within - 2.0 * gram(a, b).mean((-2, -1))


def mmd_elbo(
    model: LatentVariableModel,
    x: Tensor,
    *,
    num_samples: int = 1,
    noise: Tensor | None = None,
    prior_noise: Tensor | None = None,
    weight: float | Tensor = 10.0,
    beta: float | Tensor | None = None,
    kernel: Kernel = "imq",
    scale: float = 1.0,
) -> Result:
    r"""Return the evidence lower bound of every row, with a surrogate that pulls the aggregated posterior to the prior.

    .. math:: \mathbb E_q \log p(x \mid z) - \beta\, \mathrm{KL}(q(z \mid x) \,\|\, p(z))
              - \lambda\, \widehat{\mathrm{MMD}}^2(q(z), p(z))

    β = 0 is the MMD-VAE (Zhao, Song and Ermon 2019, whose α is 1 − β and whose λ is this λ + β) and the Wasserstein
    autoencoder with a Gaussian encoder (Tolstikhin et al. 2018); β = 1 adds the discrepancy to the ELBO. The
    discrepancy is between rows, so the surrogate depends on the batch: it must not be computed in micro-batches, and it
    needs two rows.

    Parameters
    ----------
    model
        Prior (which turns noise into draws, as those of this library do), encoder and decoder.
    x
        Rows, shape (B, *E), B ≥ 2.
    num_samples
        L ≥ 1: the discrepancy is the mean over L, each with one draw a row.
    noise
        Standard normal noise of the posterior, shape (L, B, N); drawn from torch's global generator if not given.
    prior_noise
        The same for the prior, whose N may be another.
    weight
        λ ≥ 0; a 0-dimensional tensor is a schedule's value.
    beta
        β ≥ 0, 1 if not given; likewise.
    kernel, scale
        As of ``maximum_mean_discrepancy``.

    Returns
    -------
    Result
        value (B,), the ELBO; terms "reconstruction" (B,) and "kl" (B, Z) or (B, 1), as of ``elbo``, and "squared_mmd"
        (B,), the same number for every row.

    Raises
    ------
    ConfigError
        For a single row, a negative weight, an unknown kernel, or a prior that cannot be drawn from noise.
    """
    for name, number in (("weight", weight), ("beta", beta)):
        require_weight(name, number)
    q, p = model.encoder(x), model.prior()
    z = q.rsample_from(draw_noise(q, num_samples, noise))  # (L, B, Z)
    require_path(q, z)
    drawn = _draw_prior(p, num_samples, x.shape[0], prior_noise)
    discrepancy = maximum_mean_discrepancy(z, drawn, kernel, scale).mean()
    reconstruction = log_density("likelihood", model.decoder(z), x).mean(0)
    kl = kl_terms(q, p, z)
    total = kl.sum(-1)
    surrogate = reconstruction - (total if beta is None else beta * total) - weight * discrepancy
    terms = {"reconstruction": reconstruction, "kl": kl, "squared_mmd": discrepancy.expand(x.shape[0])}
    return Result(reconstruction - total, terms, surrogate)


def _draw_prior(p: Distribution, num_samples: int, rows: int, noise: Tensor | None) -> Tensor:
    source: Any = p
    if not hasattr(source, "rsample_from"):
        msg = (
            f"the prior {type(p).__name__} cannot be drawn from given noise (it has no rsample_from), which mmd_elbo "
            "needs: use a prior of latentia.parts"
        )
        raise ConfigError(msg)
    typed: Reparameterised = source
    return typed.rsample_from(draw_noise(typed, num_samples, noise, rows=(rows,)))


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    # Autocast would take the product in half precision, and the difference of large numbers does not bear it.
    with without_autocast(a):
        squares = a.square().sum(-1).unsqueeze(-1) + b.square().sum(-1).unsqueeze(-2)
        return (squares - 2.0 * a @ b.mT).clamp_min(0.0)


def _mean_off_diagonal(gram: Tensor) -> Tensor:
    n = gram.shape[-1]
    own = torch.eye(n, dtype=torch.bool, device=gram.device)
    return gram.masked_fill(own, 0.0).sum((-2, -1)) / (n * (n - 1))


_KERNELS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"imq": lambda t: 1.0 / (1.0 + t), "rbf": lambda t: (-t).exp()}
)

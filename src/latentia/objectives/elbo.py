r"""The evidence lower bound, and the weights that training may put on its divergence.

Letters: L samples, B batch, E event, Z latent dimensions, N ≥ Z noise dimensions. All values in nats, higher is better.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributions import Distribution

from latentia.distributions import DiagonalNormal, UnitNormal, kl_divergence, kl_per_dimension
from latentia.errors import ConfigError
from latentia.objectives.protocol import (
    LatentVariableModel,
    Reparameterised,
    draw_noise,
    log_density,
    require_path,
    require_weight,
)
from latentia.objectives.result import Result


def elbo(
    model: LatentVariableModel,
    x: Tensor,
    *,
    num_samples: int = 1,
    noise: Tensor | None = None,
    beta: float | Tensor | None = None,
    free_bits: float | Tensor | None = None,
    capacity: float | Tensor | None = None,
) -> Result:
    r"""Return the evidence lower bound of every row.

    .. math:: \mathcal L(x) = \tfrac1L \sum_{l=1}^{L} \log p(x \mid z^{(l)}) - \mathrm{KL}(q(z \mid x) \,\|\, p(z)),
              \qquad z^{(l)} = \mu + \sigma \epsilon^{(l)}

    The divergence is exact where it is registered for the pair of distributions, and the mean of
    log q(z) − log p(z) over the same samples otherwise. Kingma and Welling 2014, equation 10.

    The value is this bound whatever the weights are; they make the surrogate, the mean of log p(x | z) minus

    .. math:: \beta \sum_d \max(\lambda, \mathrm{KL}_d) \quad\text{or}\quad
              \beta \left| \textstyle\sum_d \mathrm{KL}_d - C \right|

    with free bits λ or a capacity C.

    Parameters
    ----------
    model
        Prior, encoder and decoder.
    x
        Rows, shape (B, *E).
    num_samples
        L ≥ 1.
    noise
        Standard normal noise, shape (L, B, N); drawn from torch's global generator if not given.
    beta
        Weight β ≥ 0 of the divergence in the surrogate (Higgins et al. 2017), 1 if not given. A 0-dimensional tensor is
        a schedule's value, here and in the next two.
    free_bits
        λ ≥ 0 nats that each latent dimension may use for nothing (Kingma et al. 2016). The paper takes
        the maximum of λ and the minibatch's mean divergence, which changes with the batch size and when a batch is
        split; here it is taken row by row, so that a row's number depends on no other row. Where the divergence does
        not split over dimensions, λ Z nats are free together.
    capacity
        C ≥ 0 nats to which the divergence of a row is pulled from both sides (Burgess et al. 2018, whose γ is
        ``beta``).

    Returns
    -------
    Result
        value (B,); terms "reconstruction" (B,) = mean log p(x | z), "kl" (B, Z), or (B, 1) where the divergence
        does not split over dimensions.

    Raises
    ------
    ConfigError
        For num_samples below 1, noise of another shape, a negative weight, free bits together with a capacity, or a
        posterior whose draws carry no gradient.

    Examples
    --------
    >>> import torch
    >>> from latentia.models import PPCA
    >>> model = PPCA(torch.zeros(3), torch.ones(3, 1), 0.5)
    >>> x = torch.zeros(2, 3)
    >>> bool((elbo(model, x).value <= model.log_prob(x) + 5).all())
    True
    """
    q, p = model.encoder(x), model.prior()
    noise = draw_noise(q, num_samples, noise)
    z = q.rsample_from(noise)
    require_path(q, z)
    # A single sample goes without its axis: one reduction less in the training step.
    log_p: Tensor = log_density("likelihood", model.decoder(z[0] if num_samples == 1 else z), x)
    reconstruction = log_p if num_samples == 1 else log_p.mean(0)
    kl = kl_terms(q, p, z)
    total = kl.sum(-1)
    value = reconstruction - total
    penalty = _penalty(kl, total, z.shape[-1], beta, free_bits, capacity)
    surrogate = None if penalty is None else reconstruction - penalty
    return Result(value, {"reconstruction": reconstruction, "kl": kl}, surrogate)


def _penalty(
    kl: Tensor,
    total: Tensor,
    latent_dim: int,
    beta: float | Tensor | None,
    free_bits: float | Tensor | None,
    capacity: float | Tensor | None,
) -> Tensor | None:
    """Return what the surrogate subtracts in place of the divergence, shape (B,); None where nothing is weighted."""
    for name, weight in (("beta", beta), ("free_bits", free_bits), ("capacity", capacity)):
        require_weight(name, weight)
    if free_bits is not None and capacity is not None:
        msg = "free_bits and capacity both say how many nats z may carry: give one of them"
        raise ConfigError(msg)
    if free_bits is not None:
        penalty = kl.clamp_min(free_bits * (latent_dim // kl.shape[-1])).sum(-1)
    elif capacity is not None:
        penalty = (total - capacity).abs()
    elif beta is not None:
        penalty = total
    else:
        return None
    return penalty if beta is None else beta * penalty


def kl_terms(q: Reparameterised | Distribution, p: Distribution, z: Tensor) -> Tensor:
    """Return KL(q‖p) with a last axis, nats: (B, Z) where it splits over dimensions, else (B, 1).

    Exact where it is registered for the pair, else the mean of log q − log p over the samples z, shape (L, B, Z).
    """
    exact = closed_form_kl(q, p)
    if exact is not None:
        return exact
    return (log_density("posterior", q, z) - log_density("prior", p, z)).mean(0).unsqueeze(-1)


def closed_form_kl(q: Reparameterised | Distribution, p: Distribution) -> Tensor | None:
    """Return KL(q‖p) as ``kl_terms`` does where it is registered for the pair, else None."""
    if isinstance(q, DiagonalNormal) and isinstance(p, DiagonalNormal | UnitNormal):
        return kl_per_dimension(q, p)
    registered: Any = kl_divergence
    try:
        exact: Tensor = registered(q, p)
    except NotImplementedError:
        return None
    return exact.unsqueeze(-1)

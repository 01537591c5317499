r"""Lower bounds on log p(x): the evidence lower bound and its importance-weighted relative.

Letters: L samples of the elbo, K samples of the iwae, B batch, E event, Z latent dimensions. All values in
nats, higher is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from latentia.distributions import DiagonalNormal, FullNormal, UnitNormal, kl_divergence, kl_per_dimension
from latentia.errors import ConfigError


class LatentVariableModel(Protocol):
    """What a bound needs of a model: three parts."""

    def prior(self) -> UnitNormal | DiagonalNormal:
        """Return p(z)."""

    def encoder(self, x: Tensor) -> DiagonalNormal | FullNormal:
        """Return q(z | x)."""

    def decoder(self, z: Tensor) -> Distribution:
        """Return p(x | z)."""


@dataclass(frozen=True)
class Result:
    """What an objective returns, per row.

    Attributes
    ----------
    value
        The bound itself, shape (B,), nats: what may be logged, selected on and reported.
    terms
        Its parts by name, each (B,) or (B, Z), nats.
    surrogate
        What to maximise instead of ``value`` where the two differ (a weight β, free bits); never reported.
    """

    value: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    surrogate: Tensor | None = None

    @property
    def maximand(self) -> Tensor:
        """The surrogate where there is one, else the value, shape (B,)."""
        return self.value if self.surrogate is None else self.surrogate


def draw_noise(q: DiagonalNormal | FullNormal, num_samples: int, noise: Tensor | None) -> Tensor:
    """Return standard normal noise (num_samples, B, Z): the caller's if given, else from torch's global generator."""
    if num_samples < 1:
        msg = f"num_samples must be at least 1, got {num_samples}"
        raise ConfigError(msg)
    shape = (num_samples, *q.batch_shape, *q.event_shape)
    if noise is None:
        return torch.randn(shape, dtype=q.mean.dtype, device=q.mean.device)
    if noise.shape != shape:
        msg = f"noise must have shape {shape} (samples, batch, latent), got {tuple(noise.shape)}"
        raise ConfigError(msg)
    return noise


def elbo(
    model: LatentVariableModel,
    x: Tensor,
    *,
    num_samples: int = 1,
    noise: Tensor | None = None,
    beta: float | Tensor | None = None,
) -> Result:
    r"""Return the evidence lower bound of every row.

    .. math:: \mathcal L(x) = \tfrac1L \sum_{l=1}^{L} \log p(x \mid z^{(l)}) - \mathrm{KL}(q(z \mid x) \,\|\, p(z)),
              \qquad z^{(l)} = \mu + \sigma \epsilon^{(l)}

    The divergence is exact where it is registered for the pair of distributions, and the mean of
    log q(z) − log p(z) over the same samples otherwise. Kingma and Welling 2014, equation 10.

    Parameters
    ----------
    model
        Prior, encoder and decoder.
    x
        Rows, shape (B, *E).
    num_samples
        L ≥ 1.
    noise
        Standard normal noise, shape (L, B, Z); drawn from torch's global generator if not given.
    beta
        Weight of the divergence in the surrogate (Higgins et al. 2017); the value is the bound at β = 1 whatever β is.

    Returns
    -------
    Result
        value (B,); terms "reconstruction" (B,) = mean log p(x | z), "kl" (B, Z), or (B, 1) where the divergence
        does not split over dimensions.

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
    # A single sample goes without its axis: one reduction less in the training step.
    log_p: Tensor = model.decoder(z[0] if num_samples == 1 else z).log_prob(x)
    reconstruction = log_p if num_samples == 1 else log_p.mean(0)
    kl = kl_terms(q, p, z)
    total = kl.sum(-1)
    value = reconstruction - total
    surrogate = None if beta is None else reconstruction - beta * total
    return Result(value, {"reconstruction": reconstruction, "kl": kl}, surrogate)


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
        Standard normal noise, shape (K, B, Z); drawn from torch's global generator if not given.

    Returns
    -------
    Result
        value (B,); terms "elbo" (B,), the mean of the log-weights, and "effective_sample_size" (B,), (Σw)²/Σw².
    """
    log_weights = importance_log_weights(model, x, num_samples=num_samples, noise=noise)
    value = log_weights.logsumexp(0) - math.log(num_samples)
    with torch.no_grad():
        size = (2.0 * log_weights.logsumexp(0) - (2.0 * log_weights).logsumexp(0)).exp()
        mean = log_weights.mean(0)
    return Result(value, {"elbo": mean, "effective_sample_size": size})


def importance_log_weights(
    model: LatentVariableModel, x: Tensor, *, num_samples: int, noise: Tensor | None = None
) -> Tensor:
    """Return log p(x | z) + log p(z) − log q(z | x) at samples of q, shape (K, B), nats."""
    q, p = model.encoder(x), model.prior()
    z = q.rsample_from(draw_noise(q, num_samples, noise))
    log_weights: Tensor = model.decoder(z).log_prob(x) + p.log_prob(z) - q.log_prob(z)
    return log_weights


def kl_terms(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """Return KL(q‖p) with a last axis, nats: (B, Z) where it splits over dimensions, else (B, 1).

    Exact where it is registered for the pair, else the mean of log q − log p over the samples z, shape (K, B, Z).
    """
    if isinstance(q, DiagonalNormal) and isinstance(p, DiagonalNormal | UnitNormal):
        return kl_per_dimension(q, p)
    try:
        return kl_divergence(q, p).unsqueeze(-1)
    except NotImplementedError:
        return (q.log_prob(z) - p.log_prob(z)).mean(0).unsqueeze(-1)

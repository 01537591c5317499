r"""Estimators of log p(x) of a fitted latent-variable model, row by row, and what comes with them.

Letters: K samples, N rows, Z latent dimensions, E event. Values in nats.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from latentia.errors import ConfigError
from latentia.objectives import LatentVariableModel, kl_terms

Array = npt.NDArray[np.float64]

# Numbers that are decoded in one call: enough for full matrix products, few enough to stay in the cache.
NUMBERS_PER_CALL = 200_704


@dataclass(frozen=True)
class RowEstimates:
    """Estimates for every row, all in nats but the last two.

    Attributes
    ----------
    log_prob
        Importance-weighted lower bound on log p(x) with K samples, shape (N,).
    reconstruction
        Mean of log p(x | z) over the same samples, shape (N,): minus the distortion.
    kl
        KL(q(z | x)‖p(z)) per dimension, shape (N, Z), or (N, 1) where it does not split: the rate.
    effective_sample_size
        (Σw)²/Σw², shape (N,): K where q is exact, near 1 where the estimate is not to be trusted.
    posterior_mean
        E_q[z], shape (N, Z).
    """

    log_prob: Array
    reconstruction: Array
    kl: Array
    effective_sample_size: Array
    posterior_mean: Array

    @property
    def elbo(self) -> Array:
        """Evidence lower bound of every row: reconstruction minus the divergence, shape (N,)."""
        bound: Array = self.reconstruction - self.kl.sum(-1)
        return bound


class LogMeanExp:
    """The logarithm of a mean of exponentials, and of their squares, fed in pieces.

    The state is a running maximum and two sums in float64, so that neither the number nor the size of the pieces
    matters.
    """

    def __init__(self) -> None:
        self.count, self._maximum, self._sum, self._squares = 0, -math.inf, 0.0, 0.0

    def add(self, values: Tensor) -> None:
        """Take in a vector of log-weights."""
        values = values.double()
        self.count += values.numel()
        largest = float(values.max())  # NaN if any is
        maximum = largest if math.isnan(largest) else max(largest, self._maximum)
        if math.isnan(self._maximum) or not math.isfinite(maximum):  # broken, infinite, or all weights zero so far
            self._maximum = self._maximum if math.isnan(self._maximum) else maximum
            return
        factor = math.exp(self._maximum - maximum)
        scaled = (values - maximum).exp()
        self._sum = self._sum * factor + float(scaled.sum())
        self._squares = self._squares * factor**2 + float(scaled.square().sum())
        self._maximum = maximum

    @property
    def value(self) -> float:
        """Logarithm of the mean of the weights; NaN where one of them is."""
        if math.isnan(self._maximum) or self._maximum == math.inf:
            return self._maximum
        return self._maximum + math.log(self._sum / self.count) if self._sum > 0.0 else -math.inf

    @property
    def effective_sample_size(self) -> float:
        """(Σw)²/Σw², between 1 and the number of weights; NaN where they are not finite."""
        if math.isnan(self._maximum) or self._maximum == math.inf:
            return math.nan
        return self._sum**2 / self._squares if self._squares > 0.0 else 0.0


@torch.inference_mode()
def estimate_log_prob(
    model: LatentVariableModel,
    rows: Tensor,
    *,
    num_samples: int,
    noise: Callable[[int], Tensor],
    samples_per_call: int | None = None,
    bfloat16: bool = False,
    progress: Callable[[int], None] | None = None,
) -> RowEstimates:
    r"""Estimate log p(x) of every row by importance sampling from q(z | x).

    .. math:: \log \hat p(x) = \log \tfrac1K \sum_{k=1}^K \frac{p(x \mid z_k) p(z_k)}{q(z_k \mid x)}

    Each row is encoded and decoded by itself, in calls of the same shapes, so that its value does not depend on its
    neighbours, bit for bit. In expectation the estimate is a lower bound: Burda, Grosse and Salakhutdinov 2016,
    theorem 1.

    Parameters
    ----------
    model
        Prior, encoder and decoder, in evaluation mode.
    rows
        Data as the model takes them, shape (N, *E).
    num_samples
        K ≥ 1: exactly so many samples are drawn.
    noise
        Gives the standard normals of row i, shape (K, N), with N = ``noise_size`` of q(z | x).
    samples_per_call
        How many samples are decoded at a time, by default as many as stay in the cache; no more than memory and
        rounding depend on it.
    bfloat16
        Whether the decoder's matrix products run in bfloat16 (the likelihood stays in single precision): faster, and
        off by about 0.03 nats a row.
    progress
        Called with the number of finished rows after each.

    Returns
    -------
    RowEstimates
        One entry per row.

    Raises
    ------
    ConfigError
        If there are no samples, or the noise has another shape.
    """
    require_samples(num_samples)
    # One array per kind of number, made at the first row: small arrays kept from every row would lie between the large
    # ones that come and go, and the process would grow by gigabytes over ten thousand rows.
    columns: dict[str, Array] = {}
    prior, decoder = model.prior(), _in_bfloat16(model.decoder) if bfloat16 else model.decoder
    for i in range(len(rows)):
        x, weights = rows[i : i + 1], LogMeanExp()
        q = model.encoder(x)
        z = q.rsample_from(_checked(noise(i), (num_samples, q.noise_size)).unsqueeze(1).to(q.mean))  # (K, 1, Z)
        log_ratio = (prior.log_prob(z) - q.log_prob(z)).double()
        kl = kl_terms(q, prior, z)[0]
        total = add_log_weights(weights, decoder, x, z, log_ratio, samples_per_call, bfloat16)
        row: dict[str, Array] = {
            "log_prob": np.asarray(weights.value),
            "reconstruction": np.asarray(total / num_samples),
            "kl": kl.double().cpu().numpy(),
            "effective_sample_size": np.asarray(weights.effective_sample_size),
            "posterior_mean": q.mean[0].double().cpu().numpy(),
        }
        if not columns:
            columns = {name: np.empty((len(rows), *value.shape)) for name, value in row.items()}
        for name, value in row.items():
            columns[name][i] = value
        if progress is not None:
            progress(i + 1)
    return RowEstimates(**columns)


def add_log_weights(
    weights: LogMeanExp,
    decoder: Callable[[Tensor], Distribution],
    x: Tensor,
    z: Tensor,
    log_ratio: Tensor,
    samples_per_call: int | None,
    bfloat16: bool = False,
) -> float:
    """Feed log p(x | z) + log_ratio of one row to a mean of weights, and return the sum of log p(x | z).

    Parameters
    ----------
    weights
        What takes the log-weights in.
    decoder
        Gives p(x | z).
    x, z, log_ratio
        The row, shape (1, *E); samples, shape (K, 1, Z); log p(z) − log of the density they came from, shape (K, 1).
    samples_per_call, bfloat16
        As in ``estimate_log_prob``.
    """
    size, total = samples_per_call or max(32, NUMBERS_PER_CALL // max(1, x.numel())), 0.0
    for start in range(0, len(z), size):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
            log_p: Tensor = decoder(z[start : start + size]).log_prob(x).double()
        weights.add(log_p + log_ratio[start : start + size])
        total += float(log_p.sum())
    return total


def require_samples(num_samples: int) -> None:
    """Raise unless there is at least one sample."""
    if num_samples < 1:
        msg = f"the number of importance samples must be at least 1, got {num_samples}"
        raise ConfigError(msg)


def _checked(noise: Tensor, shape: tuple[int, int]) -> Tensor:
    if noise.shape != shape:
        msg = f"the noise of a row must have shape {shape} (samples, noise_size of q), got {tuple(noise.shape)}"
        raise ConfigError(msg)
    return noise


def _in_bfloat16(decoder: Callable[[Tensor], Distribution]) -> Callable[[Tensor], Distribution]:
    """Return a copy whose products have their weights in bfloat16, which autocast would cast again in every call."""
    if not isinstance(decoder, nn.Module):
        return decoder
    cast = copy.deepcopy(decoder)
    for module in cast.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            module.to(torch.bfloat16)
    return cast


def standard_error(values: Array) -> float:
    """Return the standard error of the mean over rows: sd/√N, NaN for a single row."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan

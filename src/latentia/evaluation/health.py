"""Whether a fitted model uses its latent space: active units, unused dimensions, and posterior collapse.

Letters: N rows, Z latent dimensions. Values in nats.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latentia.errors import ConfigError
from latentia.evaluation.log_likelihood import Array
from latentia.evaluation.metrics import active_units
from latentia.evaluation.results import Mean

# Below it a dimension's posterior is its prior for every purpose: a mean that varies with a standard deviation of 0.14
# costs as much.
UNUSED_KL = 0.01
# A code that costs less in all its dimensions together is no code.
LEAST_RATE = 0.1
# What a dimension must once have carried in training to count as lost.
CARRIED_KL = 0.1

HEALTHY, COLLAPSED, UNINFORMATIVE = "healthy", "collapsed", "uninformative"
_REMEDIES = (
    'try KL warm-up (kl_warmup_epochs=20), free bits (objective="elbo:free_bits=0.1"), a smaller weight of the '
    "divergence (beta=0.5), a weaker decoder, or a smaller learning_rate"
)


@dataclass(frozen=True)
class Health:
    """How much of its latent space a fitted model uses.

    Attributes
    ----------
    verdict
        "healthy"; "collapsed": q(z | x) is the prior; or "uninformative": it is not, and yet the same for every x.
    n, latent_dim
        Rows N and latent dimensions Z.
    rate
        KL(q(z | x)‖p(z)), mean over the rows.
    kl_per_dimension
        The same by dimension; None where it does not split.
    active_units
        Dimensions whose posterior mean varies over the rows by more than 0.01.
    unused
        Dimensions with a KL below 0.01 nats; None where it does not split. Some are normal in a large latent space.
    lost
        Unused dimensions that carried 0.1 nats or more in an earlier epoch; None without a history.
    collapsed_since
        First epoch from which on every dimension stayed unused; None without a history, or where that is not so.
    aggregated_gap
        KL(q(z)‖p(z)), at most what samples lose by coming from the prior; None where it was not computed.
    """

    verdict: str
    n: int
    latent_dim: int
    rate: Mean
    active_units: int
    kl_per_dimension: list[float] | None = None
    unused: int | None = None
    lost: int | None = None
    collapsed_since: int | None = None
    aggregated_gap: Mean | None = None

    @property
    def warning(self) -> str | None:
        """A sentence that names what is wrong and what helps; None for a healthy model."""
        since = "" if self.collapsed_since is None else f" since epoch {self.collapsed_since}"
        if self.verdict == COLLAPSED:
            return (
                f"posterior collapse{since}: q(z | x) is the prior (a KL of {self.rate.value:.3f} nats over "
                f"{self.latent_dim} latent dimensions), so that z says nothing about x; {_REMEDIES}"
            )
        if self.verdict == UNINFORMATIVE:
            return (
                f"posterior collapse{since}: q(z | x) costs {self.rate.value:.2f} nats but its mean is the same for "
                f"every x in all {self.latent_dim} latent dimensions, so that z says nothing about x; {_REMEDIES}"
            )
        return None

    def __str__(self) -> str:
        """Say it in lines, each number with its unit and what it is."""
        lines = [
            f"latent space of {self.latent_dim} dimensions on {self.n:,} rows: {self.verdict}",
            f"  active units {self.active_units} of {self.latent_dim}",
            f"  rate         {self.rate} nats",
        ]
        if self.unused is not None:
            normal = " (normal: the prior switches off what is not needed)" if self.unused and not self.warning else ""
            lines.append(f"  unused       {self.unused} dimensions with a KL below {UNUSED_KL} nats{normal}")
        if self.lost:
            lines.append(f"  lost         {self.lost} of them carried {CARRIED_KL} nats or more earlier in training")
        if self.aggregated_gap is not None:
            lines.append(
                f"  prior gap    {self.aggregated_gap} nats: KL(q(z) ‖ p(z)), the most that a richer prior could gain"
            )
        if self.warning is not None:
            lines.append(f"  {self.warning}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return every number as JSON values: what is not finite becomes null."""
        content: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Mean):
                content[f.name], content[f"{f.name}_standard_error"] = value.value, value.standard_error
            else:
                content[f.name] = value
        content["warning"] = self.warning
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}


def health(
    posterior_mean: npt.ArrayLike,
    kl: npt.ArrayLike,
    *,
    prior_stddev: npt.ArrayLike = 1.0,
    history: Sequence[Mapping[str, Any]] | None = None,
    aggregated_gap: Mean | None = None,
) -> Health:
    """Judge a fitted model's latent space from what its encoder says of some rows.

    A few unused dimensions of many are normal and no reason for a warning; a latent space that is unused as a whole is
    posterior collapse (Bowman et al. 2016, section 3.1).

    Parameters
    ----------
    posterior_mean
        E_q[z | x] of every row, shape (N, Z), for example ``RowEstimates.posterior_mean``.
    kl
        KL(q(z | x)‖p(z)) of every row by dimension, shape (N, Z), or (N, 1) where it does not split, for example
        ``RowEstimates.kl``.
    prior_stddev
        Of the prior, a number or shape (Z,): the unit in which means count as varying.
    history
        Rows of training, as an estimator's ``history_``: each with ``row["train"]["kl"]``, Z numbers, where known.
    aggregated_gap
        From ``aggregated_posterior_gap``, to be shown with the rest.

    Returns
    -------
    Health
        The verdict and its numbers; ``.warning`` is the sentence to show where it is bad.

    Raises
    ------
    ConfigError
        If the shapes do not fit each other, there are no rows, or a number is not finite.

    Examples
    --------
    >>> print(health([[0.9, 0.0], [-0.9, 0.0]], [[1.2, 0.0], [1.1, 0.0]]))
    latent space of 2 dimensions on 2 rows: healthy
      active units 1 of 2
      rate         1.15 ± 0.05 nats
      unused       1 dimensions with a KL below 0.01 nats (normal: the prior switches off what is not needed)
    """
    means, costs = np.asarray(posterior_mean, dtype=np.float64), np.asarray(kl, dtype=np.float64)
    if means.ndim != 2 or not len(means) or costs.shape not in {means.shape, (len(means), 1)}:
        raise ConfigError(
            "posterior_mean must have shape (rows, latent_dim) and kl the same, or (rows, 1), got "
            f"{means.shape} and {costs.shape}"
        )
    if not (np.isfinite(means).all() and np.isfinite(costs).all()):
        raise ConfigError(
            "posterior_mean and kl must be finite numbers, but some are not: the encoder's output is not usable"
        )
    latent_dim, per_dimension = means.shape[1], costs.mean(0)
    splits = costs.shape[1] == latent_dim
    active = int(active_units(means / np.asarray(prior_stddev, dtype=np.float64)).sum())
    rate = Mean.of(costs.sum(1))
    dead = bool((per_dimension < UNUSED_KL).all()) if splits else rate.value < UNUSED_KL * latent_dim
    past = _kl_history(history, latent_dim)
    return Health(
        verdict=COLLAPSED if dead or rate.value < LEAST_RATE else HEALTHY if active else UNINFORMATIVE,
        n=len(means),
        latent_dim=latent_dim,
        rate=rate,
        active_units=active,
        kl_per_dimension=[float(value) for value in per_dimension] if splits else None,
        unused=int((per_dimension < UNUSED_KL).sum()) if splits else None,
        lost=_lost(per_dimension, past) if splits and len(past) else None,
        collapsed_since=_collapsed_since(past) if len(past) else None,
        aggregated_gap=aggregated_gap,
    )


def _kl_history(history: Sequence[Mapping[str, Any]] | None, latent_dim: int) -> Array:
    """Return the training KL by epoch and dimension, shape (epochs, Z); no epochs where it is not known."""
    found = [row.get("train", {}).get("kl") for row in history or ()]
    known = [value for value in found if isinstance(value, Sequence) and len(value) == latent_dim]
    table: Array = np.asarray(known if len(known) == len(found) else [], dtype=np.float64).reshape(-1, latent_dim)
    return table


def _lost(now: Array, past: Array) -> int:
    return int(((past.max(0) >= CARRIED_KL) & (now < UNUSED_KL)).sum())


def _collapsed_since(past: Array) -> int | None:
    """Return the first epoch, counted from 1, from which on no dimension was used."""
    used = np.flatnonzero((past >= UNUSED_KL).any(1))
    first = int(used[-1]) + 2 if len(used) else 1
    return first if first <= len(past) else None

"""The numbers of one model on one set of rows, each named for what it is."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from latentia.errors import ConfigError
from latentia.evaluation.log_likelihood import RowEstimates, standard_error
from latentia.evaluation.metrics import active_units, bits_per_dim

EXACT = "exact"
IMPORTANCE_WEIGHTED = "importance-weighted lower bound"
DEQUANTISED = "lower bound on the log-mass (uniform dequantisation)"


@dataclass(frozen=True)
class Evaluation:
    """What is known of a model on n rows; None where a number does not apply. Nats unless the name says otherwise.

    Attributes
    ----------
    name, likelihood
        Of the estimator.
    n
        Number of rows.
    num_samples
        K importance samples a row, None where the value is exact.
    kind
        What ``log_prob`` is: exact, or which bound.
    log_prob, standard_error
        Mean of log p(x) over the rows and its standard error.
    bits_per_dim
        −log p/(D log 2) where p is a mass; None for densities, which depend on the unit.
    elbo, elbo_standard_error
        Evidence lower bound, the mean over K samples a row.
    rate, distortion
        Mean KL(q(z | x)‖p(z)) and mean −log p(x | z): elbo = −(rate + distortion).
    kl_per_dimension
        The rate by latent dimension; None where it does not split, as for most learned priors.
    active_units
        Latent dimensions whose posterior mean varies over the rows by more than 0.01.
    latent_dim
        How many there are.
    effective_sample_size
        Mean over the rows of (Σw)²/Σw², at most K.
    num_parameters
        Of the model.
    precision
        Of the network's products during the evaluation.
    per_row
        log p(x) of every row, shape (n,).
    """

    name: str
    likelihood: str
    n: int
    kind: str
    log_prob: float
    standard_error: float
    num_parameters: int
    num_samples: int | None = None
    bits_per_dim: float | None = None
    elbo: float | None = None
    elbo_standard_error: float | None = None
    rate: float | None = None
    distortion: float | None = None
    kl_per_dimension: list[float] | None = None
    active_units: int | None = None
    latent_dim: int | None = None
    effective_sample_size: float | None = None
    precision: str = "float32"
    per_row: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False, compare=False)

    def __str__(self) -> str:
        """Say it in lines, each number with its unit and what it is."""
        samples = "" if self.num_samples is None else f", K = {self.num_samples:,}"
        lines = [
            f"{self.name} ({self.likelihood} likelihood) on {self.n:,} rows",
            f"  log p(x)     {self.log_prob:.2f} ± {self.standard_error:.2f} nats: {self.kind}{samples}",
        ]
        if self.bits_per_dim is not None:
            lines.append(f"  bits/dim     {self.bits_per_dim:.3f}")
        if self.elbo is not None and self.rate is not None and self.distortion is not None:
            lines.append(f"  ELBO         {self.elbo:.2f} ± {self.elbo_standard_error:.2f} nats")
            lines.append(f"  rate         {self.rate:.2f} nats, distortion {self.distortion:.2f} nats")
        if self.active_units is not None and self.latent_dim is not None:
            lines.append(f"  active units {self.active_units} of {self.latent_dim}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return every number but those per row as JSON values: what is not finite becomes null."""
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "per_row"}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}


def paired_difference(a: Evaluation, b: Evaluation) -> tuple[float, float]:
    """Return the mean of log p(x) of one model minus that of another on the same rows, and its standard error.

    The error is that of the paired differences: rows that are hard for both do not count against either.

    Parameters
    ----------
    a, b
        With their values of the same rows, in the same order.

    Returns
    -------
    tuple of float
        In nats, positive where ``a`` is better. The error is NaN for a single row, both are NaN where a value is; an
        infinite value leaves no error either.

    Raises
    ------
    ConfigError
        If the numbers of rows differ, or there are none.
    """
    if len(a.per_row) != len(b.per_row) or not len(a.per_row):
        msg = (
            f"evaluations are compared row by row, but {a.name} has {len(a.per_row)} rows and {b.name} has "
            f"{len(b.per_row)}: evaluate both on the same rows"
        )
        raise ConfigError(msg)
    with np.errstate(invalid="ignore"):  # two infinite values have no difference
        differences = a.per_row - b.per_row
        return float(differences.mean()), standard_error(differences)


def exact_evaluation(
    name: str, likelihood: str, log_prob: npt.NDArray[np.float64], *, kind: str, num_parameters: int, discrete_dims: int
) -> Evaluation:
    """Return the evaluation of a model whose log p(x), or a bound on it, has a closed form.

    Parameters
    ----------
    name, likelihood, kind, num_parameters
        As in ``Evaluation``.
    log_prob
        Of every row, nats.
    discrete_dims
        D where ``log_prob`` is a log-mass, 0 where it is a density.
    """
    mean = float(log_prob.mean())
    return Evaluation(
        name=name,
        likelihood=likelihood,
        n=len(log_prob),
        kind=kind,
        log_prob=mean,
        standard_error=standard_error(log_prob),
        num_parameters=num_parameters,
        bits_per_dim=bits_per_dim(mean, discrete_dims) if discrete_dims else None,
        precision="float64",
        per_row=log_prob,
    )


def sampled_evaluation(
    name: str,
    likelihood: str,
    estimates: RowEstimates,
    *,
    num_samples: int,
    num_parameters: int,
    discrete_dims: int,
    log_jacobian: float | npt.NDArray[np.float64],
    precision: str,
) -> Evaluation:
    """Return the evaluation of a model from its importance-sampled rows.

    Parameters
    ----------
    name, likelihood, num_samples, num_parameters, precision
        As in ``Evaluation``.
    estimates
        Of every row, in the model's units.
    discrete_dims
        D where the model gives a mass, 0 where it gives a density.
    log_jacobian
        Added to every log p and to the reconstruction: the change of units, one for all rows or one for each.
    """
    log_prob = estimates.log_prob + log_jacobian
    elbo = estimates.elbo + log_jacobian
    mean, kl = float(log_prob.mean()), estimates.kl.mean(0)
    latent_dim = estimates.posterior_mean.shape[1]
    return Evaluation(
        name=name,
        likelihood=likelihood,
        n=len(log_prob),
        num_samples=num_samples,
        kind=IMPORTANCE_WEIGHTED,
        log_prob=mean,
        standard_error=standard_error(log_prob),
        bits_per_dim=bits_per_dim(mean, discrete_dims) if discrete_dims else None,
        elbo=float(elbo.mean()),
        elbo_standard_error=standard_error(elbo),
        rate=float(kl.sum()),
        distortion=-float(estimates.reconstruction.mean()) - float(np.mean(log_jacobian)),
        kl_per_dimension=[float(k) for k in kl] if len(kl) == latent_dim else None,
        active_units=int(active_units(estimates.posterior_mean).sum()),
        latent_dim=latent_dim,
        effective_sample_size=float(estimates.effective_sample_size.mean()),
        num_parameters=num_parameters,
        precision=precision,
        per_row=log_prob,
    )

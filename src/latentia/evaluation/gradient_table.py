r"""What is known of estimators of a gradient, as a table.

Letters: L samples, B batch, R repeats, P parameters of a part.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class GradientRow:
    r"""One estimator at one number of samples, for one part of the model.

    The gradient g is that of the mean of the maximand over the rows, a vector of P numbers, drawn R times.

    Attributes
    ----------
    estimator, num_samples, part
        Which; L samples.
    num_parameters
        P.
    norm
        ‖E g‖, of the mean over the R gradients.
    mean_norm
        E ‖g‖: larger than ‖E g‖ by the noise.
    variance
        The trace of the covariance of g: Σ Var gᵢ.
    signal_to_noise
        The mean over the parameters of \|E gᵢ\|/sd gᵢ (Rainforth et al. 2018), those aside that never vary; noise alone
        shows as about 0.8/√R.
    bias
        ‖E g − reference‖, or None without a reference.
    bias_error
        The size of ``bias`` that the R gradients' noise (and the long run's) makes without any bias:
        √(variance/R + …).
    reference
        "exact", "reference run of … gradients", or None.
    decoder_evaluations
        How many z the decoder saw for each row and gradient: the cost.
    """

    estimator: str
    num_samples: int
    part: str
    num_parameters: int
    norm: float
    mean_norm: float
    variance: float
    signal_to_noise: float
    bias: float | None
    bias_error: float | None
    reference: str | None
    decoder_evaluations: float


@dataclass(frozen=True)
class GradientTable:
    """What `gradient_diagnostics` found.

    Attributes
    ----------
    rows
        In the order of the estimators, the numbers of samples and the parts.
    repeats
        R gradients of each.
    batch_size
        B rows of data, the same throughout.
    """

    rows: tuple[GradientRow, ...]
    repeats: int
    batch_size: int

    def select(self, **which: str | int) -> tuple[GradientRow, ...]:
        """Return the rows with these values, such as ``estimator="elbo", part="encoder"``."""
        return tuple(row for row in self.rows if all(getattr(row, name) == value for name, value in which.items()))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values: what is not finite becomes null."""
        rows = [
            {
                k: None if isinstance(v, float) and not math.isfinite(v) else v
                for k, v in dataclasses.asdict(row).items()
            }
            for row in self.rows
        ]
        return {"repeats": self.repeats, "batch_size": self.batch_size, "rows": rows}

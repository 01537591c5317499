"""What the results of the rulers share: a mean over rows with its standard error, and every number as JSON."""

from __future__ import annotations

import abc
import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentia.evaluation.log_likelihood import Array, standard_error


@dataclass(frozen=True)
class Mean:
    """A mean over rows and the standard error of that mean, in nats.

    Attributes
    ----------
    value
        The mean.
    standard_error
        sd/√N over the rows; NaN for a single row.

    Examples
    --------
    >>> print(Mean.of(np.array([1.0, 2.0, 3.0, 6.0])))
    3.00 ± 1.08
    """

    value: float
    standard_error: float

    @classmethod
    def of(cls, per_row: Array) -> Mean:
        """Return the mean of one number a row, shape (N,)."""
        return cls(float(np.mean(per_row)) if len(per_row) else math.nan, standard_error(per_row))

    def __str__(self) -> str:
        """Say it with two decimals; an error that is not known is left out."""
        known = math.isfinite(self.standard_error)
        return f"{self.value:.2f} ± {self.standard_error:.2f}" if known else f"{self.value:.2f}"


class Measured(abc.ABC):
    """A frozen dataclass of arrays with one entry a row and of settings; its numbers are the means over the rows."""

    @abc.abstractmethod
    def means(self) -> dict[str, Mean]:
        """Return every mean over the rows by name, each with its standard error, in nats."""

    def to_json(self) -> dict[str, Any]:
        """Return every number but those per row as JSON values: what is not finite becomes null."""
        content: dict[str, Any] = {}
        for f in dataclasses.fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value = getattr(self, f.name)
            if dataclasses.is_dataclass(value) and not isinstance(value, type):  # settings
                content.update(dataclasses.asdict(value))
            elif not isinstance(value, np.ndarray):
                content[f.name] = value
        for name, mean in self.means().items():
            content[name], content[f"{name}_standard_error"] = mean.value, mean.standard_error
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}

"""The rulers beside a fit: independent pixels under the same likelihood, and PPCA, compared row by row."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from latentia.cli.console import note
from latentia.errors import LatentiaError
from latentia.estimators import registry

if TYPE_CHECKING:
    from latentia.data import Dataset

__all__ = ["Comparison", "compare", "evaluate_baselines"]

_BASELINES = ("independent-pixels", "ppca")
_OWN = {"run_dir", "verbose", "device", "random_state"}


@dataclass(frozen=True)
class Comparison:
    """Mean difference of log p(x) over the same rows, with the standard error of the paired differences."""

    model: str
    baseline: str
    difference: float  # nats; positive where the model is better
    standard_error: float

    @property
    def standard_errors(self) -> float:
        """The difference in units of its standard error; NaN where there is none."""
        if self.standard_error == 0:
            return math.copysign(math.inf, self.difference) if self.difference else 0.0
        return self.difference / self.standard_error

    def __str__(self) -> str:
        """Say it in a sentence."""
        side = "above" if self.difference >= 0 else "below"
        if math.isnan(self.difference):
            return f"{self.model} cannot be compared with {self.baseline}: log p(x) of a row is not a finite number"
        if math.isnan(self.standard_error):
            distance = f"{abs(self.difference):.2f} nats {side} {self.baseline}"
            return f"{self.model} lies {distance}, and no standard error can be given"
        return (
            f"{self.model} lies {abs(self.difference):.2f} ± {self.standard_error:.2f} nats {side} {self.baseline} "
            f"({abs(self.standard_errors):.1f} standard errors)"
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {**asdict(self), "standard_errors": self.standard_errors}


def evaluate_baselines(model: Any, dataset: Dataset, seed: int) -> list[Any]:
    """Fit every baseline with the settings that it shares with the model, and evaluate it on the test split.

    A baseline that cannot take these data is left out with a note.
    """
    evaluations = []
    for name in _BASELINES:
        cls = registry.get(name)
        if isinstance(model, cls):
            continue
        mine = registry.signature(name).parameters
        shared = {key: getattr(model, key) for key in mine if key not in _OWN and hasattr(model, key)}
        if "random_state" in mine:
            shared["random_state"] = seed
        try:
            evaluations.append(cls(**shared).fit(dataset.train).evaluate(dataset.test.x))
        except (LatentiaError, ValueError) as failure:
            note(f"the baseline {name} is left out: {failure}")
    return evaluations


def compare(evaluation: Any, baselines: list[Any]) -> list[Comparison]:
    """Compare the model with each baseline row by row."""
    from latentia.evaluation import paired_difference

    return [
        Comparison(evaluation.name, baseline.name, *paired_difference(evaluation, baseline)) for baseline in baselines
    ]

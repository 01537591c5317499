"""A published result as data: what to fit to what, the number it should reach, and what that costs."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from latentia import __version__, data
from latentia.errors import ConfigError, DataError
from latentia.estimators import registry
from latentia.evaluation import Evaluation, paired_difference
from latentia.storage import write_files

__all__ = ["Outcome", "Recipe", "append_result", "run"]

HEADING = """# Results

Each row was written by `latentia reproduce NAME`, failures included. Values are −log p(x), or −ELBO, in nats a row of
the test split, means over seeds; ± is the standard error over the test rows of a single seed, or over seeds where there
are several. Cost is that of all training steps of one seed, 6 × parameters × rows × epochs, whatever the machine; hours
are those of one seed's training as it ran, on whatever else the machine was doing. A difference is the mean over rows
of log p(x) of the first model minus that of the second, paired; both models' −log p(x) stand beside it.

| recipe | number | value | expected | reached | seeds | rows, K | cost | hours | version |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


NUMBERS = {"log_prob": "−log p(x)", "elbo": "−ELBO"}
"""What a recipe may report of an evaluation, and how it is called with its sign changed."""


@dataclass(frozen=True)
class Recipe:
    """One published or measured result and how to reach it.

    Attributes
    ----------
    name
        What one types.
    summary
        One sentence.
    source
        Who reported the expected value, or how it was measured.
    dataset, estimator, parameters
        What is fitted to what: a data set's name, an estimator's name, its arguments.
    against
        Arguments that make a second model of the first, which is fitted as well; the number is then the difference.
    all_rows
        Whether training and validation rows are joined, as publications without a selection do.
    number
        What is reported with its sign changed: "log_prob", or "elbo" where that is what was published.
    num_samples
        Importance samples a row.
    expected, tolerance
        The number with its sign changed, or the difference, in nats a row of the test split, and how far off is still
        agreement; None where a value is only reported.
    hours
        About how long one seed takes on one CPU thread.
    """

    name: str
    summary: str
    source: str
    dataset: str
    estimator: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    against: Mapping[str, Any] | None = None
    all_rows: bool = False
    number: str = "log_prob"
    num_samples: int = 500
    expected: float | None = None
    tolerance: float | None = None
    hours: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a recipe gave: one evaluation a seed (of the second model as well), one seed's operations and seconds."""

    recipe: Recipe
    seeds: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]
    operations: float
    seconds: float
    others: tuple[Evaluation, ...] = ()

    @property
    def value(self) -> float:
        """Mean over the seeds of −log p(x), of −ELBO where the recipe says so, or of the difference, nats."""
        return statistics.fmean(self._numbers)

    @property
    def standard_error(self) -> float:
        """Over the seeds; of a single seed over the test rows."""
        if len(self.evaluations) == 1:
            first = self.evaluations[0]
            if self.others:
                return paired_difference(first, self.others[0])[1]
            return first.standard_error if self.recipe.number == "log_prob" else first.elbo_standard_error or math.nan
        return statistics.stdev(self._numbers) / math.sqrt(len(self.evaluations))

    @property
    def _numbers(self) -> list[float]:
        if self.others:
            return [paired_difference(a, b)[0] for a, b in zip(self.evaluations, self.others, strict=True)]
        return [-float(getattr(e, self.recipe.number)) for e in self.evaluations]

    @property
    def reached(self) -> bool | None:
        """Whether the value lies within the tolerance; None where nothing is expected.

        A value that is far better than expected is not reached either: something is likely to be wrong.
        """
        if self.recipe.expected is None or self.recipe.tolerance is None:
            return None
        return abs(self.value - self.recipe.expected) <= self.recipe.tolerance

    def row(self) -> str:
        """Return the row of the table of results."""
        recipe, first = self.recipe, self.evaluations[0]
        expected = "–" if recipe.expected is None else f"{recipe.expected:.2f} ± {recipe.tolerance:.2f}"
        reached = {None: "–", True: "yes", False: "no"}[self.reached]
        seeds, samples = ", ".join(map(str, self.seeds)), first.num_samples or "exact"
        number = NUMBERS[recipe.number]
        if self.others:
            both = (-statistics.fmean(e.log_prob for e in group) for group in (self.evaluations, self.others))
            number = "difference ({:.2f} against {:.2f})".format(*both)
        return (
            f"| {recipe.name} | {number} | {self.value:.2f} ± {self.standard_error:.2f} | "
            f"{expected} | {reached} | {seeds} | "
            f"{first.n:,}, {samples} | {self.operations:.1e} | {self.seconds / 3600:.2f} | {__version__} |"
        )


def run(
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0,),
    out: str | Path | None = None,
    resume: bool = False,
    say: Callable[[str], None] = lambda _: None,
    **overrides: Any,
) -> Outcome:
    """Fit and evaluate a recipe, once a seed; the test split is read once, at the end.

    Parameters
    ----------
    recipe
        What to do.
    seeds
        One fit for each.
    out
        Folder for one run folder a seed; None keeps nothing.
    resume
        Go on with the runs in ``out``.
    say
        Told what happens.
    **overrides
        Arguments of the estimator to change, such as ``max_epochs=2`` for a trial.
    """
    if not seeds:
        raise ConfigError("a recipe needs at least one seed")
    dataset = data.load(recipe.dataset)
    rows = _joined(dataset.train) if recipe.all_rows else dataset.train
    evaluations: list[Evaluation] = []
    others: list[Evaluation] = []
    operations, seconds = 0.0, []

    def fit(name: str, seed: int, arguments: Mapping[str, Any]) -> Evaluation:
        nonlocal operations
        if out is not None:
            folder = Path(out) / name
            arguments = {**arguments, "run_dir": folder, "run_mode": "resume" if resume and folder.exists() else "new"}
        say(f"{recipe.name}, {name}: fitting {recipe.estimator} to {recipe.dataset}")
        estimator = registry.get(recipe.estimator)(**{**arguments, "random_state": seed}).fit(rows)
        if out is not None:
            estimator.save(folder)
        evaluation: Evaluation = estimator.evaluate(dataset.test, num_samples=recipe.num_samples)
        say(f"{recipe.name}, {name}: {-evaluation.log_prob:.2f} ± {evaluation.standard_error:.2f} nats")
        seconds.append(sum(row["seconds"] for row in estimator.history_))
        operations = 6.0 * estimator.num_parameters_ * len(rows) * getattr(estimator, "n_iter_", 0)
        return evaluation

    for seed in seeds:
        if recipe.against is not None:
            others.append(fit(f"against-seed-{seed}", seed, {**recipe.parameters, **overrides, **recipe.against}))
        evaluations.append(fit(f"seed-{seed}", seed, {**recipe.parameters, **overrides}))
    mean_seconds = sum(seconds) / len(seeds)
    return Outcome(recipe, tuple(seeds), tuple(evaluations), operations, mean_seconds, tuple(others))


def _joined(train: data.Split) -> data.Split:
    """Return training and validation rows as one split without validation."""
    if train.valid is None:
        return train
    x = np.concatenate([train.x, train.valid.x])
    y = None if train.y is None or train.valid.y is None else np.concatenate([train.y, train.valid.y])
    return dataclasses.replace(train, x=x, y=y, valid=None)


def append_result(outcome: Outcome, path: str | Path) -> None:
    """Add an outcome's row to the table of results, which is begun if there is none."""
    path = Path(path)
    text = path.read_text(encoding="utf-8") if path.exists() else HEADING
    if not re.search(r"^\| recipe \|", text, re.MULTILINE):
        raise DataError(f"{path.name} holds no table of results: remove it, or name another file")
    write_files(path.parent, {path.name: (text.rstrip("\n") + "\n" + outcome.row() + "\n").encode()}, manifest=False)

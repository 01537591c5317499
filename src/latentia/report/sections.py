"""The sections of a report; each is empty text where it does not apply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentia.report import page, plots
from latentia.report.contracts import Encoder, Fitted, as_fitted, history_of, info_of, is_encoder
from latentia.report.diagnosis import Found
from latentia.report.pictures import is_picture
from latentia.report.plots.curves import row_scores, term_names
from latentia.report.plots.images import pick_scored
from latentia.report.plots.latent import shown_classes
from latentia.report.plots.rows import shown_features
from latentia.report.selection import choose_rows, say_rows
from latentia.report.tables import NumbersTable, numbers_table, paired_sentence
from latentia.report.text import clean, counted

if TYPE_CHECKING:
    from latentia.data import Split
    from latentia.estimators.latent_space import LatentSpace
    from latentia.evaluation import Evaluation

__all__ = ["Subject", "latent", "learning", "makes", "numbers", "read_numbers", "scores"]

NUM_SAMPLES = 64
NUM_PAIRS = 24
NUM_SCORED = 12
MOST_POINTS = 3000
PIXEL_BUDGET = 300_000  # data pixels of one sheet: keeps a page of colour photographs under five megabytes
GROUPS = {"best": "Most likely", "median": "Around the median", "worst": "Least likely"}


@dataclass(frozen=True)
class Subject:
    """What all sections of a report are about."""

    fitted: Fitted
    split: Split
    x: NDArray[Any]
    own: Evaluation
    others: list[Evaluation]
    seed: int
    diagnosis: Found | None = None

    @property
    def y(self) -> NDArray[Any] | None:
        """Classes, where the data have any."""
        return None if self.split.y is None else np.asarray(self.split.y)

    @property
    def pictured(self) -> bool:
        """Whether items are shown as images."""
        return is_picture(tuple(self.fitted.event_shape_))

    @property
    def planar(self) -> bool:
        """Whether the latent space is a plane whose points are images."""
        return self.pictured and is_encoder(self.fitted) and self.fitted.latent_dim == 2

    @property
    def split_name(self) -> str:
        """`test`, usually."""
        return clean(getattr(self.split, "name", "") or "test", 40)

    @property
    def data_name(self) -> str:
        """What the data are called."""
        known = info_of(self.fitted).get("name") or getattr(getattr(self.split, "info", None), "name", "")
        return clean(known or "the data given", 80)

    @property
    def items(self) -> str:
        """What one item is: `8 × 8 pixels, 17 grey levels`."""
        shape, support = tuple(self.fitted.event_shape_), self.fitted.support_
        size = " × ".join(map(str, shape[:2])) + " pixels" if self.pictured else counted(int(np.prod(shape)), "column")
        colour = len(shape) == 3 and shape[2] == 3 and self.pictured
        kinds = {
            "binary": "binary",
            "levels": f"{support.levels} {'' if not self.pictured else 'colour ' if colour else 'grey '}levels",
            "categories": f"{support.levels} categories",
            "unit": "values in [0, 1]",
            "positive": "positive values",
            "real": "real values",
            "count": "counts",
            "columns": "of different kinds",
        }
        return f"{size}, {kinds.get(support.kind, clean(support.kind, 40))}"

    @cached_property
    def space(self) -> LatentSpace | None:
        """How the latent space is used, where an encoder was learned."""
        if not hasattr(self.fitted, "diagnose"):
            return None
        from latentia.estimators.latent_space import latent_space

        return latent_space(self.fitted, as_fitted(self.fitted, self.x))  # type: ignore[arg-type]  # what can be diagnosed is a VAE

    @cached_property
    def scored(self) -> NDArray[np.float64]:
        """Log p(x) of every row."""
        return row_scores(self.fitted, self.x, self.own)

    def choose(self, wanted: int) -> tuple[NDArray[np.intp], str]:
        """Choose rows to show, and say which."""
        rows = choose_rows(len(self.x), wanted, self.seed)
        return rows, say_rows(rows, len(self.x), self.split_name, self.seed)

    def affordable(self, wanted: int, share: int = 1) -> int:
        """Return how many pictures fit a sheet, or one of `share` sheets: fewer where they are large."""
        fitting = PIXEL_BUDGET // share // int(np.prod(self.fitted.event_shape_))
        return max(4, min(wanted, fitting // 4 * 4))


def numbers(subject: Subject) -> str:
    """Return the table, and what its words mean."""
    evaluations = [subject.own, *subject.others]
    table = numbers_table(evaluations)
    against = [paired_sentence(subject.own, other) for other in subject.others]
    lead = " ".join(sentence for sentence in against if sentence)
    return page.section("Numbers", lead, page.numbers(table, own=0), read_numbers(table, evaluations))


def read_numbers(table: NumbersTable, evaluations: Sequence[Evaluation]) -> str:
    """Return what the words of a table of numbers mean."""
    meaning = {"log p(x)": "in nats: higher is better, and ± is one standard error over the rows."}
    if any("bound" in item.kind for item in evaluations):
        meaning["A lower bound"] = "can only be too low: the model's log p(x) is at least that."
    if "ELBO, nats" in table.header:
        meaning["ELBO"] = "= −rate − distortion; the rate is the KL to the prior, the distortion E[−log p(x | z)]."
    if "bits/dim" in table.header:
        meaning["Bits/dim"] = "is −log₂ p(x) over the number of values in a row: lower is better."
    if "active units" in table.header:
        meaning["A unit is active"] = "when its posterior mean varies over the rows: Var(E[z | x]) > 0.01."
    return page.reading(meaning)


def makes(subject: Subject) -> str:
    """Return samples and reconstructions: sheets of pictures, or a panel for each column of a table."""
    return picture_sheets(subject) if subject.pictured else column_panels(subject)


def picture_sheets(subject: Subject) -> str:
    """Return a sheet of samples, and one of originals with their reconstructions."""
    fitted = subject.fitted
    count = math.isqrt(subject.affordable(NUM_SAMPLES)) ** 2
    sheets = [
        page.figure(
            plots.samples(fitted, n=count, random_state=subject.seed),
            "samples",
            "Samples",
            f"{counted(count, 'draw')} from the model, seed {subject.seed}.",
        )
    ]
    if is_encoder(fitted):
        rows, said = subject.choose(subject.affordable(NUM_PAIRS))
        drawn = plots.reconstructions(fitted, subject.x[rows])
        sheets.append(
            page.figure(drawn, "pairs", "Reconstructions", f"Data above what the model makes of them. {said}")
        )
    return page.section("What it makes", "", page.figures("two", *sheets))


def column_panels(subject: Subject) -> str:
    """Return histograms of the columns against samples, and values against their reconstructions."""
    fitted = subject.fitted
    rows, said = subject.choose(MOST_POINTS)
    x = subject.x[rows]
    columns = shown_features(x)
    total = int(np.prod(fitted.event_shape_))
    which = f"The first {len(columns)} of {total} columns that vary. " if len(columns) < total else ""
    histograms = []
    for i in columns:
        drawn = plots.marginals(fitted, x, features=[i], random_state=subject.seed, legend=i == columns[0])
        histograms.append(page.figure(drawn, f"column{i}", "Histogram of a column"))
    parts = page.section(
        "Data and samples",
        f"{which}Data in grey, samples outlined. As many samples as rows, seed {subject.seed}. {said}",
        page.figures("three", *histograms),
    )
    if not is_encoder(fitted):
        return parts
    scatters = [
        page.figure(plots.reconstructions(fitted, x, features=[i]), f"kept{i}", "A column kept") for i in columns
    ]
    return parts + page.section(
        "Reconstructions",
        f"{which}A value on the line is kept as it was. {said}",
        page.figures("three", *scatters),
    )


def latent(subject: Subject) -> str:
    """Return the map of the means beside the manifold, where there is one, and else beside the KL of each dimension."""
    fitted = subject.fitted
    if not is_encoder(fitted):
        return ""
    beside = manifold(subject, fitted) if subject.planar else kl(subject)
    return page.section("Latent space", "", page.figures("two", latent_map(subject, fitted), beside))


def manifold(subject: Subject, fitted: Encoder) -> str:
    """Return what the decoder makes of the plane."""
    return page.figure(
        plots.manifold(fitted),
        "manifold",
        "The manifold",
        "Decoder means on the prior's quantiles: every picture stands for the same share of the prior.",
    )


def kl(subject: Subject) -> str:
    """Return the KL of each dimension, where there is a posterior that has one and it splits."""
    if not is_encoder(subject.fitted) or len(subject.own.kl_per_dimension or ()) != subject.fitted.latent_dim:
        return ""
    means = np.asarray(subject.fitted.transform(as_fitted(subject.fitted, subject.x)), dtype=np.float64)
    return page.figure(
        plots.kl_per_dimension(subject.fitted, subject.own, means=means),
        "kl",
        "KL per dimension",
        "What each latent dimension carries: KL(q(z | x) ‖ p(z)), averaged over the rows.",
    )


def latent_map(subject: Subject, fitted: Encoder) -> str:
    """Return the scatter of the posterior means."""
    rows, said = subject.choose(MOST_POINTS)
    y = None if subject.y is None else subject.y[rows]
    circles = " The circles hold 39 % and 86 % of the prior." if fitted.latent_dim == 2 else ""
    what = "Posterior means, coloured by class." if shown_classes(y) else "Posterior means."
    drawn = plots.latent_scatter(fitted, subject.x[rows], y)
    return page.figure(drawn, "map", "The map", f"{what}{circles} {said}")


def scores(subject: Subject) -> str:
    """Return how log p(x) is spread, and the items at its ends and in its middle."""
    fitted, x = subject.fitted, subject.x
    spread = page.figure(
        plots.score_distribution(fitted, x, subject.own),
        "spread",
        "All rows",
        f"How log p(x) is spread over {counted(len(x), f'{subject.split_name} row')}.",
    )
    groups = pick_scored(subject.scored, subject.affordable(NUM_SCORED))
    items = [
        page.figure(
            plots.scored_items(fitted, x, subject.own, groups=(name,), n=len(rows), columns=4),
            name,
            GROUPS[name],
            say_rows(rows, len(x), subject.split_name, None),
        )
        for name, rows in groups.items()
    ]
    lead = "The rows that the model finds most and least likely, each with its log p(x) in nats."
    if subject.planar and (beside := kl(subject)):
        return page.section("Scores", lead, page.figures("two", spread, beside), page.figures("three", *items))
    return page.section("Scores", lead, page.figures("two", spread, *items))


def learning(subject: Subject) -> str:
    """Return the curves of every term."""
    if not history_of(subject.fitted):
        return ""
    curves = []
    for index, term in enumerate(term_names(subject.fitted)):
        drawn = plots.learning_curves(subject.fitted, terms=[term], legend=index == 0)
        curves.append(page.figure(drawn, f"curve{index}", f"Learning curve of {term}"))
    lead = (
        "Each term of the objective, averaged over all rows after every epoch. The best epoch is chosen on validation "
        "rows only; curves may begin outside the frame."
    )
    if "mutual_information" in term_names(subject.fitted):
        lead += " Mutual information, total correlation and dimension-wise KL are estimated batch by batch."
    return page.section("Learning", lead, page.figures("three", *curves))

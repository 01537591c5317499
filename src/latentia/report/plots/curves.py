"""Learning curves, and how log p(x) is spread over the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentia.errors import ConfigError
from latentia.report.contracts import Fitted, Row, as_fitted, history_of, name_of, require_fitted, require_rows
from latentia.report.style import LIGHT, TEXT_SIZE, dress, new_axes, panels, show_legend
from latentia.report.text import clean, with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from latentia.evaluation import Evaluation

__all__ = ["learning_curves", "log_probs", "score_distribution", "term_names"]

# Of every term that is known: its title and its unit. In this order they are drawn, the objective's own bound first.
TERMS = {
    "miwae": ("MIWAE: mean of M weighted bounds", "nats"),
    "ciwae": ("CIWAE: between ELBO and IWAE", "nats"),
    "iwae": ("Importance-weighted bound", "nats"),
    "elbo": ("ELBO", "nats"),
    "reconstruction": ("Reconstruction, E[log p(x | z)]", "nats"),
    "kl": ("KL(q(z | x) ‖ p(z))", "nats"),
    "mutual_information": ("Mutual information of x and z", "nats"),
    "total_correlation": ("Total correlation of z", "nats"),
    "dimension_wise_kl": ("Dimension-wise KL, Σ KL(q(z_d) ‖ p(z_d))", "nats"),
    "squared_mmd": ("Squared MMD of q(z) and p(z)", "no unit"),
    "effective_sample_size": ("Effective sample size", "samples"),
}
BOUNDS = ("miwae", "ciwae", "iwae", "elbo")
FEW_EPOCHS = 12  # up to these, every epoch is a dot as well
SETTLED = 0.08  # the fraction of the epochs in which a curve may still leave the frame


def term_names(fitted: Fitted) -> list[str]:
    """Name the terms in the history, the bound first."""
    found: dict[str, None] = {}
    for row in history_of(fitted):
        for part in ("train", "valid"):
            found.update(dict.fromkeys(row.get(part) or ()))
    order = list(TERMS)
    return sorted(found, key=lambda term: order.index(term) if term in order else len(order))


def learning_curves(
    fitted: Fitted, ax: Axes | None = None, *, terms: Sequence[str] | None = None, legend: bool = True
) -> Axes:
    """Draw every term of the objective over the epochs: training in grey, validation in colour, the best epoch marked.

    A term with one value per latent dimension is summed. The frame fits the epochs after the first few: a curve may
    start outside it.

    Parameters
    ----------
    fitted
        An estimator with a history.
    ax
        Where to draw; a new figure when not given. Several terms divide it into panels.
    terms
        Which terms; all when not given.
    legend
        Whether the first panel says which line is which.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigError
        When there is no history (closed forms), or no term of that name in it.
    """
    require_fitted(fitted)
    rows = history_of(fitted)
    if not rows:
        raise ConfigError(
            f"learning_curves needs a history and {name_of(fitted)} has none: it is fitted in closed form"
        )
    names = term_names(fitted)
    chosen = names if terms is None else list(terms)
    unknown = [term for term in chosen if term not in names]
    if unknown or not chosen:
        raise ConfigError(f"learning_curves: no term {unknown} in the history, choose from {names}")
    ax = new_axes(360 * min(len(chosen), 3), 250 * -(-len(chosen) // 3), ax)
    drawn = panels(ax, len(chosen), 3)
    for panel, term in zip(drawn, chosen, strict=True):
        draw_term(panel, term, rows, best_epoch(fitted, rows))
    if legend:
        show_legend(drawn[0])
    return ax


def best_epoch(fitted: Fitted, rows: Sequence[Row]) -> float | None:
    """Return the epoch whose weights were kept, or the best on validation where the estimator does not say."""
    known = getattr(fitted, "best_epoch_", None)
    if known is not None:
        return float(known)
    for bound in BOUNDS:
        epochs, values = series(rows, "valid", bound)
        if len(values):
            return float(epochs[int(np.argmax(values))])
    return None


def series(rows: Sequence[Row], part: str, term: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return epochs and values of one term where it was recorded and finite."""
    points = [(float(row["epoch"]), total(row[part][term])) for row in rows if term in (row.get(part) or {})]
    pairs = np.array([(epoch, value) for epoch, value in points if math.isfinite(value)]).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def total(value: Any) -> float:
    """Sum a term over its latent dimensions, if it has them."""
    return math.nan if value is None else float(np.sum(value))


def draw_term(ax: Axes, term: str, rows: Sequence[Row], best: float | None) -> None:
    """Draw one term into one panel."""
    title, unit = TERMS.get(term, (clean(term, 40), ""))
    dress(ax, title=title, x="epoch", y=unit, grid="y")
    settled: list[NDArray[np.float64]] = []
    for part, label, colour, width in (("train", "training", "data", 1.4), ("valid", "validation", "model", 1.9)):
        epochs, values = series(rows, part, term)
        if not len(values):
            continue
        marker = "o" if len(values) <= FEW_EPOCHS else ""
        ax.plot(epochs, values, marker=marker, ms=3, color=LIGHT[colour], linewidth=width, label=label, gid=part)
        settled.append(values[epochs >= epochs[0] + SETTLED * (epochs[-1] - epochs[0])])
        if part == "valid" and best is not None and best in epochs:
            at = float(values[epochs == best][0])
            ax.axvline(best, color=LIGHT["best"], linewidth=0.8, linestyle=(0, (2, 3)))
            ax.plot([best], [at], "o", color=LIGHT["best"], markersize=5, label=f"best, epoch {best:g}", gid="best")
            settled.append(np.array([at]))
    if settled:
        low, high = (float(side(np.concatenate(settled))) for side in (np.min, np.max))
        margin = 0.08 * (high - low) or 0.5
        ax.set_ylim(low - margin, high + margin)
    ax.locator_params(axis="y", nbins=5)
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    first, last = (float(rows[end]["epoch"]) for end in (0, -1))
    margin = max(0.03 * (last - first), 0.5)
    ax.set_xlim(first - margin, last + margin)


def score_distribution(
    fitted: Fitted, x: NDArray[Any], evaluation: Evaluation | None = None, ax: Axes | None = None
) -> Axes:
    """Draw how log p(x) is spread over the rows, with its mean and the mean's standard error.

    Parameters
    ----------
    fitted
        Any estimator.
    x
        (n, *event).
    evaluation
        What `evaluate(x)` returned; log p(x) is computed when it is not given.
    ax
        Where to draw; a new figure when not given.

    Returns
    -------
    Axes
    """
    x = require_rows(fitted, x, "score_distribution")
    values = row_scores(fitted, x, evaluation)
    ax = new_axes(440, 290, ax)
    finite = values[np.isfinite(values)]
    dress(ax, x="log p(x), nats", y="rows")
    if not len(finite):
        return ax
    ax.hist(finite, bins=min(40, max(8, round(2 * len(finite) ** 0.4))), color=LIGHT["model"], alpha=0.85, rwidth=0.92)
    mean = float(finite.mean())
    error = float(finite.std(ddof=1) / math.sqrt(len(finite))) if len(finite) > 1 else None
    shown, spread = with_error(mean, error)
    ax.axvline(mean, color=LIGHT["best"], linewidth=1.4, gid="mean")
    label = f"mean {shown}" + (f" ± {spread}" if spread else "")
    left = mean > float(np.mean(ax.get_xlim()))
    ax.annotate(
        label.replace("-", "−"), (mean, 1.0), xycoords=("data", "axes fraction"), xytext=(-6 if left else 6, -2),
        textcoords="offset points", ha="right" if left else "left", va="top", color=LIGHT["best"], fontsize=TEXT_SIZE,
    )  # fmt: skip
    return ax


def log_probs(evaluations: Sequence[Evaluation], ax: Axes | None = None, *, names: Sequence[str] | None = None) -> Axes:
    """Draw the mean log p(x) of several models with two standard errors to either side, the best on top.

    A lower bound points to the right, where the true value may lie.

    Parameters
    ----------
    evaluations
        What `evaluate` returned, on the same rows.
    ax
        Where to draw; a new figure when not given.
    names
        What to call them; the evaluations' own names when not given.

    Returns
    -------
    Axes
    """
    called = [clean(name, 40) for name in (names or [item.name for item in evaluations])]
    order = sorted(range(len(evaluations)), key=lambda index: evaluations[index].log_prob)
    ax = dress(
        new_axes(440, 60 + 30 * len(order), ax), x="log p(x), nats; ± two standard errors", frame="bottom", grid="x"
    )
    for place, index in enumerate(order):
        item = evaluations[index]
        marker, size = ("o", 7.0) if item.kind == "exact" else (">", 8.0)
        reach = 2 * item.standard_error if math.isfinite(item.standard_error) else 0.0
        ax.errorbar(
            item.log_prob,
            place,
            xerr=reach,
            fmt=marker,
            markersize=size,
            color=LIGHT["model"],
            linewidth=1.8,
            capsize=0,
        )
    ax.set_yticks(range(len(order)), [called[index] for index in order], parse_math=False)
    ax.tick_params(axis="y", length=0, labelsize=TEXT_SIZE, labelcolor=LIGHT["ink"])
    ax.set_ylim(-0.6, len(order) - 0.4)
    return ax


def row_scores(fitted: Fitted, x: NDArray[Any], evaluation: Evaluation | None) -> NDArray[np.float64]:
    """Return log p(x) of every row, from the evaluation where it has them."""
    if evaluation is not None and len(evaluation.per_row):
        values = np.asarray(evaluation.per_row, dtype=np.float64)
    else:
        values = np.asarray(fitted.score_samples(as_fitted(fitted, x)), dtype=np.float64)
    if values.shape != (len(x),):
        raise ConfigError(f"the evaluation scored {values.shape[0]} rows and {len(x)} were given: pass the same rows")
    return values

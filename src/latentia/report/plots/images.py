"""Sheets of pictures: samples, reconstructions, the manifold, and the items scored best and worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentia.errors import ConfigError
from latentia.latents import prior_quantile_grid
from latentia.report.contracts import Fitted, as_fitted, drawn_support, require_encoder, require_fitted, require_rows
from latentia.report.pictures import Floats, Sheet, as_pictures, is_picture, shared_limits, sheet
from latentia.report.plots import rows as table_rows
from latentia.report.plots.curves import row_scores
from latentia.report.style import LIGHT, TEXT_SIZE, bare, dress, new_axes
from latentia.report.text import plain_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from latentia.evaluation import Evaluation

__all__ = ["manifold", "pick_scored", "reconstructions", "samples", "scored_items"]

FIGURE_WIDTH = 440.0  # points
SHEET_PIXELS = 560  # data pixels along one side of the manifold


def samples(
    fitted: Fitted, ax: Axes | None = None, n: int = 64, random_state: int | None = 0, *, columns: int | None = None
) -> Axes:
    """Draw a sheet of samples from the model.

    Parameters
    ----------
    fitted
        Any estimator of pictures.
    ax
        Where to draw; a new figure when not given.
    n
        How many, at least 1.
    random_state
        The seed of `sample`.
    columns
        Items in a row; nearly a square when not given.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigError
        When items are rows of a table (`marginals` shows those), or `n` is less than one.
    """
    require_pictures(fitted, "samples", "marginals")
    if n < 1:
        raise ConfigError(f"samples needs n of at least 1: got {n}")
    drawn = np.asarray(fitted.sample(n, random_state=random_state))
    limits = shared_limits(drawn_support(fitted), drawn)
    across = columns or nearly_square(n)
    return show(sheet(as_pictures(drawn, limits), across), ax)[0]


def reconstructions(
    fitted: Fitted,
    x: NDArray[Any],
    ax: Axes | None = None,
    *,
    columns: int = 8,
    features: Sequence[int] | None = None,
) -> Axes:
    """Draw originals with their reconstructions below; for tables, values against reconstructed values.

    Parameters
    ----------
    fitted
        An estimator with a latent space.
    x
        (n, *event), all of them drawn.
    ax
        Where to draw; a new figure when not given.
    columns
        Pairs in a row.
    features
        Which columns of a table; the first twelve that vary when not given.

    Returns
    -------
    Axes
    """
    encoder = require_encoder(fitted, "reconstructions")
    x = require_rows(fitted, x, "reconstructions")
    again = np.asarray(encoder.reconstruct(as_fitted(fitted, x)))
    if not is_picture(fitted.event_shape_):
        return table_rows.against(fitted, x, again, ax, features=features)
    columns = min(columns, len(x))
    originals = as_pictures(x, shared_limits(fitted.support_, x, again))
    pairs = interleave(originals, as_pictures(again, shared_limits(drawn_support(fitted), x, again)), columns)
    ax, laid = show(sheet(pairs, columns, row_gaps=(0.04, 0.24)), ax, across=min(FIGURE_WIDTH, 85.0 * columns))
    label_rows(ax, laid, ["data", "model"] * (len(laid.tops) // 2))
    return ax


def manifold(fitted: Fitted, ax: Axes | None = None, *, n: int | None = None) -> Axes:
    """Draw what the decoder makes of a two-dimensional latent space: means on the prior's quantile grid.

    Parameters
    ----------
    fitted
        An estimator of pictures with `latent_dim=2`.
    ax
        Where to draw; a new figure when not given.
    n
        Pictures a side; as many as can be told apart when not given.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigError
        When the latent space has another dimension, or items are rows of a table.
    """
    encoder = require_encoder(fitted, "manifold")
    require_pictures(fitted, "manifold", "marginals")
    if encoder.latent_dim != 2:
        raise ConfigError(f"manifold needs latent_dim=2 and this model has {encoder.latent_dim}: see latent_scatter")
    # An odd number, so that the middle of the prior is in the picture.
    side = n or int(np.clip(SHEET_PIXELS // max(fitted.event_shape_[:2]), 9, 15)) // 2 * 2 + 1
    grid = prior_quantile_grid(side)
    means = np.asarray(encoder.inverse_transform(grid.reshape(-1, 2)))
    pictures = as_pictures(means, shared_limits(drawn_support(fitted), means))
    ax, laid = show(sheet(pictures, side, gap=0.07), ax)
    ticks = np.unique(np.round(np.linspace(0, side - 1, 5)).astype(int))
    ax.set_xticks([laid.lefts[i] + laid.wide / 2 for i in ticks], [signed(grid[0, i, 0]) for i in ticks])
    ax.set_yticks([laid.tops[i] + laid.tall / 2 for i in ticks], [signed(grid[i, 0, 1]) for i in ticks])
    return dress(ax, x="z₁, quantiles of the prior", y="z₂, quantiles of the prior", frame="")


def scored_items(
    fitted: Fitted,
    x: NDArray[Any],
    evaluation: Evaluation | None = None,
    ax: Axes | None = None,
    *,
    groups: Sequence[str] = ("best", "median", "worst"),
    n: int = 8,
    columns: int | None = None,
) -> Axes:
    """Draw the items that the model finds most, middlingly and least likely, each with its log p(x) in nats.

    Parameters
    ----------
    fitted
        Any estimator.
    x
        (n, *event), the rows that were scored.
    evaluation
        What `evaluate(x)` returned; log p(x) is computed when it is not given.
    ax
        Where to draw; a new figure when not given.
    groups
        Some of `"best"`, `"median"`, `"worst"`.
    n
        Items in a group, at most a third of the rows.
    columns
        Items in a row; a whole group when not given.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigError
        For a group of another name, or an evaluation of other rows.
    """
    x = require_rows(fitted, x, "scored_items")
    values = row_scores(fitted, x, evaluation)
    picked = pick_scored(values, n)
    unknown = [group for group in groups if group not in picked]
    if unknown or not groups:
        raise ConfigError(f"scored_items knows the groups {list(picked)}: got {list(groups)}")
    chosen = {group: picked[group] for group in groups}
    order = np.concatenate(list(chosen.values()))
    if not is_picture(fitted.event_shape_):
        return table_rows.strip(fitted, x, values, chosen, ax)
    limits = shared_limits(fitted.support_, x[order])
    count = len(order) // len(groups)
    columns = min(columns or count, count)
    blanks = -count % columns
    blocks = [with_blanks(as_pictures(x[rows], limits), blanks) for rows in chosen.values()]
    ax, laid = show(
        sheet(np.concatenate(blocks), columns, row_gaps=(0.36,)),
        ax,
        room=0.36,
        across=min(FIGURE_WIDTH, 85.0 * columns),
    )
    lines = -(-count // columns)
    for block, rows in enumerate(chosen.values()):
        for place, row in enumerate(rows):
            top = laid.tops[block * lines + place // columns] + laid.tall * 1.07
            middle = laid.lefts[place % columns] + laid.wide / 2
            ax.text(
                middle,
                top,
                score_label(values[row]),
                ha="center",
                va="top",
                fontsize=TEXT_SIZE - 1.5,
                color=LIGHT["muted"],
            )
    label_rows(
        ax, laid, [name if line == 0 else "" for name in groups for line in range(lines)] if len(groups) > 1 else []
    )
    return ax


def pick_scored(values: NDArray[np.float64], n: int) -> dict[str, NDArray[np.intp]]:
    """Return the rows of the `n` highest, middle and lowest values: the highest first, but the lowest of the lowest.

    With fewer than 3 n rows every group is a third of them (at least one row), so that no row is in two groups unless
    there are fewer than three. What is not a number counts as lowest.
    """
    order = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")
    n = max(1, min(n, len(order) // 3))
    start = (len(order) - n) // 2
    return {"best": order[:n], "median": order[start : start + n], "worst": order[::-1][:n]}


def require_pictures(fitted: Fitted, plot: str, instead: str) -> None:
    """Refuse rows of a table where only pictures can be drawn."""
    require_fitted(fitted)
    if not is_picture(tuple(fitted.event_shape_)):
        raise ConfigError(f"{plot} draws pictures and items have shape {tuple(fitted.event_shape_)}: use {instead}")


def nearly_square(n: int) -> int:
    """As many columns as rows, or a little more."""
    return int(np.ceil(np.sqrt(n)))


def interleave(above: Floats, below: Floats, columns: int) -> Floats:
    """Put each row of pictures above the row that belongs to it."""
    blanks = -len(above) % columns
    pair = np.stack(
        [with_blanks(part, blanks).reshape(-1, columns, *part.shape[1:]) for part in (above, below)], axis=1
    )
    return pair.reshape(-1, *above.shape[1:])


def with_blanks(pictures: Floats, count: int) -> Floats:
    """Append empty places."""
    return np.concatenate([pictures, np.full((count, *pictures.shape[1:]), np.nan)])


def show(laid: Sheet, ax: Axes | None, *, room: float = 0.0, across: float = FIGURE_WIDTH) -> tuple[Axes, Sheet]:
    """Show a sheet on axes that fit it, with `room` for a line of text below the last row."""
    height, width = laid.canvas.shape[0] + round(room * laid.tall), laid.canvas.shape[1]
    ax = bare(new_axes(across, across * height / width, ax))
    ax.imshow(laid.canvas, interpolation="none", aspect="equal")
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    return ax, laid


def label_rows(ax: Axes, laid: Sheet, labels: Sequence[str]) -> None:
    """Write a word to the left of each row."""
    places = [(top + laid.tall / 2, label) for top, label in zip(laid.tops, labels, strict=False) if label]
    ax.set_yticks([place for place, _ in places], [label for _, label in places])
    ax.tick_params(axis="y", length=0)


def score_label(value: float) -> str:
    """Write a log p(x) under a picture: one decimal while it is small."""
    return plain_number(value, 1 if abs(value) < 1000 else 0).replace("-", "−")


def signed(value: float) -> str:
    """Write a tick: one decimal, a true minus, and no sign on zero."""
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")

"""Latent space: a map of the posterior means, and the KL of each dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentia.errors import ConfigError, DataError
from latentia.report.contracts import Fitted, as_fitted, info_of, name_of, require_encoder, require_rows
from latentia.report.plots.rows import point_size
from latentia.report.style import LIGHT, MARKERS, TEXT_SIZE, class_colour, class_marker, dress, new_axes
from latentia.report.text import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from latentia.evaluation import Evaluation

__all__ = ["class_names", "kl_per_dimension", "latent_scatter", "map_of_means"]

MOST_CLASSES = 20  # beyond these, neither colour nor shape can tell classes apart

Floats = NDArray[np.float64]


def latent_scatter(fitted: Fitted, x: NDArray[Any], y: NDArray[Any] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the posterior means of rows, coloured and labelled by class; more than two dimensions through their PCA.

    With two latent dimensions the axes are z₁ and z₂ on the same scale, with the circles that hold 39 % and 86 % of a
    standard normal prior (one and two standard deviations). With one, its values are spread over the classes.

    Parameters
    ----------
    fitted
        An estimator with a latent space.
    x
        (n, *event).
    y
        (n,) whole numbers, the classes; a row without a label has −1 and is grey. One colour when not given.
    ax
        Where to draw; a new figure when not given.

    Returns
    -------
    Axes
        Its first collection holds the points in the rows' order (up to ten classes; one more for each further shape).
    """
    encoder = require_encoder(fitted, "latent_scatter")
    x = require_rows(fitted, x, "latent_scatter")
    labels = None if y is None else np.asarray(y)
    if labels is not None and labels.shape != (len(x),):
        raise DataError(f"latent_scatter needs one class per row: got {labels.shape} for {len(x)} rows")
    means = np.asarray(encoder.transform(as_fitted(fitted, x)), dtype=np.float64).reshape(len(x), -1)
    points, names = map_of_means(means, labels)
    ax = new_axes(440, 440, ax)
    dress(ax, x=names[0], y=names[1], frame="left bottom")
    classes = shown_classes(labels)
    draw_points(ax, points, class_indices(labels, classes, len(points)))
    if means.shape[1] == 2:
        ax.set_aspect("equal", adjustable="datalim")
        draw_prior(ax)
    if classes and labels is not None:
        label_classes(ax, points, labels, classes, class_names(fitted, classes))
    return ax


def map_of_means(means: Floats, labels: NDArray[Any] | None = None) -> tuple[Floats, tuple[str, str]]:
    """Place means (n, L) on a plane, (n, 2), and name its axes with their share of the variance where it is a PCA."""
    if means.shape[1] == 1:
        spread = (
            np.zeros(len(means)) if labels is None else np.unique(labels, return_inverse=True)[1].astype(np.float64)
        )
        return np.stack([means[:, 0], spread], axis=1), ("z", "" if labels is None else "class")
    if means.shape[1] == 2:
        return means, ("z₁", "z₂")
    centred = means - means.mean(axis=0)
    left, scale, right = np.linalg.svd(centred, full_matrices=False)
    # The sign of a principal axis is arbitrary: the largest loading is made positive, so that pictures repeat.
    signs = np.sign(right[np.arange(len(right)), np.argmax(np.abs(right), axis=1)])
    points = (left * scale * signs)[:, :2]
    if points.shape[1] < 2:
        points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    share = np.zeros(2)
    total = float((scale**2).sum())
    if total > 0:
        share[: min(2, len(scale))] = (scale**2 / total)[:2]
    first, second = (f"principal axis {axis + 1}, {100 * share[axis]:.0f} % of the variance" for axis in range(2))
    return points, (first, second)


def draw_prior(ax: Axes) -> None:
    """Draw one and two standard deviations of a standard normal prior."""
    angle = np.linspace(0, 2 * np.pi, 121)
    for radius in (1.0, 2.0):
        ax.plot(
            radius * np.cos(angle), radius * np.sin(angle), color=LIGHT["data"], linewidth=0.8, zorder=1,
            scalex=False, scaley=False,
        )  # fmt: skip


def shown_classes(labels: NDArray[Any] | None) -> list[int]:
    """Return the classes that a map tells apart; none where there is only one, or too many."""
    classes = [] if labels is None else [int(label) for label in np.unique(labels) if label >= 0]
    return classes if 1 < len(classes) <= MOST_CLASSES else []


def class_indices(labels: NDArray[Any] | None, classes: Sequence[int], count: int) -> NDArray[np.intp]:
    """Give each row the place of its class, −1 where it has none."""
    if labels is None or not classes:
        return np.full(count, -1)
    return np.array([classes.index(label) if label in classes else -1 for label in labels])


def draw_points(ax: Axes, points: Floats, indices: NDArray[np.intp]) -> None:
    """Draw points in the colour and the shape of their classes; grey for −1, one colour where there are no classes."""
    unlabelled = LIGHT["rule"] if indices.max() >= 0 else LIGHT["model"]
    colours = np.array([unlabelled if index < 0 else class_colour(index) for index in indices])
    shapes = np.array([class_marker(max(index, 0)) for index in indices])
    for shape in dict.fromkeys(sorted(shapes, key=MARKERS.index)):
        of_it = shapes == shape
        ax.scatter(
            points[of_it, 0], points[of_it, 1], s=point_size(len(points)), c=list(colours[of_it]), marker=str(shape),
            alpha=0.75, linewidths=0, zorder=2, clip_on=False,
        )  # fmt: skip


def class_names(fitted: Fitted, classes: Sequence[int]) -> list[str]:
    """Name classes as the data did, else by their numbers."""
    names = info_of(fitted).get("class_names") or ()
    return [clean(names[label], 24) if label < len(names) else str(label) for label in classes]


def label_classes(ax: Axes, points: Floats, labels: NDArray[Any], classes: Sequence[Any], names: Sequence[str]) -> None:
    """Write each class's name at the median of its points, moved apart where names would cover each other."""
    centres = np.array([np.median(points[labels == label], axis=0) for label in classes])
    span = np.maximum(np.ptp(points, axis=0), 1e-12)
    longest = max(map(len, names))
    places = spread_apart(centres / span, (0.022 * (longest + 1.6), 0.055)) * span
    for index, (name, place) in enumerate(zip(names, places, strict=True)):
        ax.text(
            place[0], place[1], name, ha="center", va="center", fontsize=TEXT_SIZE - 0.5, fontweight="bold",
            color=LIGHT["ink"], parse_math=False, zorder=3,
            bbox={
                "boxstyle": "round,pad=0.25,rounding_size=0.5",
                "facecolor": LIGHT["paper"], "edgecolor": class_colour(index), "linewidth": 1.6,
            },
        )  # fmt: skip


def spread_apart(places: Floats, size: tuple[float, float]) -> Floats:
    """Push boxes of one size apart, a little at a time, along the axis in which they overlap least."""
    places = places.copy()
    need = np.array(size)
    for _ in range(60):
        moved = False
        for i in range(len(places)):
            for j in range(i):
                apart = places[i] - places[j]
                lacking = need - np.abs(apart)
                if np.all(lacking > 1e-9):
                    axis = int(np.argmin(lacking / need))
                    step = 0.5 * lacking[axis] * (1.0 if apart[axis] >= 0 else -1.0)
                    places[i, axis] += step
                    places[j, axis] -= step
                    moved = True
        if not moved:
            break
    return places


def kl_per_dimension(
    fitted: Fitted, evaluation_or_x: Evaluation | NDArray[Any], ax: Axes | None = None, *, means: Floats | None = None
) -> Axes:
    """Draw the mean KL(q(z_d | x) ‖ p(z_d)) of each latent dimension, largest first, with the dead ones marked.

    A dimension is active when Var_x(E_q[z_d | x]) > 0.01 (Burda et al. 2016).

    Parameters
    ----------
    fitted
        An estimator with a latent space.
    evaluation_or_x
        What `evaluate` returned, or rows (n, *event) to evaluate.
    ax
        Where to draw; a new figure when not given.
    means
        (n, L) posterior means, from which active dimensions are told. Computed when rows are given; with an
        evaluation alone, as many dimensions of least KL are marked as it counts inactive units.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigError
        When the estimator reports no KL per dimension, or one number for all of them.
    """
    encoder = require_encoder(fitted, "kl_per_dimension")
    from latentia.evaluation import Evaluation

    if isinstance(evaluation_or_x, Evaluation):
        evaluation = evaluation_or_x
    else:
        x = require_rows(fitted, evaluation_or_x, "kl_per_dimension")
        evaluation = fitted.evaluate(as_fitted(fitted, x))
        means = np.asarray(encoder.transform(as_fitted(fitted, x)), dtype=np.float64) if means is None else means
    if evaluation.kl_per_dimension is None:
        raise ConfigError(f"kl_per_dimension: {name_of(fitted)} reports no KL per dimension")
    values = np.asarray(evaluation.kl_per_dimension, dtype=np.float64)
    if len(values) != encoder.latent_dim:
        raise ConfigError(
            f"kl_per_dimension: the KL of this {name_of(fitted)} does not split over its {encoder.latent_dim} latent "
            "dimensions"
        )
    alive = active_dimensions(values, evaluation, means)
    order = np.argsort(-values, kind="stable")
    ax = new_axes(440, 290, ax)
    dress(ax, x="latent dimension, sorted", y="KL, nats", grid="y")
    bars = ax.bar(range(len(values)), values[order], width=0.78, color=LIGHT["model"], linewidth=0)
    for bar, dimension in zip(bars, order, strict=True):
        if not alive[dimension]:
            bar.set(facecolor=LIGHT["rule"], gid="dead")
    dead = np.flatnonzero(~alive[order])
    if len(dead):
        height = np.maximum(values[order][dead], 0.0) + 0.02 * max(float(values.max()), 1e-3)
        ax.plot(dead, height, "x", color=LIGHT["best"], markersize=5.5, markeredgewidth=1.6, clip_on=False)
    if len(values) <= 24:
        ax.set_xticks(range(len(values)), [str(dimension + 1) for dimension in order])
    else:
        ax.set_xticks([0, len(values) - 1], ["largest", "smallest"])
    ax.tick_params(axis="x", length=0)
    middle, reach = (len(values) - 1) / 2, max(len(values), 6) / 2 + 0.1  # few bars stay slim
    ax.set_xlim(middle - reach, middle + reach)
    summary = f"{int(alive.sum())} of {len(values)} active" + (", × dead" if len(dead) else "")
    ax.annotate(
        summary, (1, 1), xycoords="axes fraction", ha="right", va="top", fontsize=TEXT_SIZE, color=LIGHT["muted"]
    )  # fmt: skip
    ax.set_ylim(0, max(1.08 * float(values.max()), 1e-3))
    return ax


def active_dimensions(values: Floats, evaluation: Evaluation, means: Floats | None) -> NDArray[np.bool_]:
    """Say of each dimension whether it is active: from the means, or from how many the evaluation counts."""
    if means is not None:
        from latentia.evaluation import active_units

        return active_units(means)
    alive = np.zeros(len(values), dtype=bool)
    count = evaluation.active_units
    alive[np.argsort(-values, kind="stable")[: len(values) if count is None else count]] = True
    return alive

"""What each latent dimension carried while the model was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latentia.errors import ConfigError
from latentia.report.contracts import Fitted, history_of, name_of, require_encoder
from latentia.report.style import LIGHT, SEQUENTIAL_MAP, TEXT_SIZE, class_colour, dress, figure_of, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["kl_by_epoch", "kl_history"]

MOST_LINES = 8  # beyond these, lines cannot be told apart
MOST_COLUMNS = 600  # of a heat map: more epochs than these are averaged in groups
SHARP = 480  # pixels that a heat map is enlarged to at least in both directions, so that a browser only shrinks it

Floats = NDArray[np.float64]


def kl_by_epoch(fitted: Fitted) -> tuple[Floats, Floats]:
    """Return the epochs, (E,), and the training KL of each latent dimension, (E, L); none where it does not split."""
    latent_dim = int(getattr(fitted, "latent_dim", 0) or 0)
    found = [(row["epoch"], (row.get("train") or {}).get("kl")) for row in history_of(fitted)]
    kept = [(epoch, kl) for epoch, kl in found if isinstance(kl, list) and len(kl) == latent_dim]
    epochs = np.array([epoch for epoch, _ in kept], dtype=np.float64)
    return epochs, np.array([kl for _, kl in kept], dtype=np.float64).reshape(len(kept), latent_dim)


def kl_history(fitted: Fitted, ax: Axes | None = None) -> Axes:
    """Draw KL(q(z_d | x) ‖ p(z_d)) of every latent dimension over the epochs of training.

    Up to eight dimensions are lines with their numbers at the end; more are a heat map, the one that carries most in
    the end on top.

    Parameters
    ----------
    fitted
        An estimator with a latent space and a history.
    ax
        Where to draw; a new figure when not given.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigError
        When the history has no KL of single dimensions: another objective, or a prior that does not split.
    """
    require_encoder(fitted, "kl_history")
    epochs, values = kl_by_epoch(fitted)
    if not len(epochs):
        raise ConfigError(f"kl_history: the history of this {name_of(fitted)} has no KL of single latent dimensions")
    ax = new_axes(440, 290, ax)
    return lines(ax, epochs, values) if values.shape[1] <= MOST_LINES else heat_map(ax, epochs, values)


def lines(ax: Axes, epochs: Floats, values: Floats) -> Axes:
    """Draw one line a dimension, named at its end."""
    dress(ax, x="epoch", y="KL, nats", grid="y")
    last = np.nan_to_num(values[-1])
    top = float(np.nanmax(values, initial=1e-3))
    for dimension, series in enumerate(values.T):
        ax.plot(
            epochs, series, color=class_colour(dimension), linewidth=1.7, marker="o" if len(epochs) == 1 else "",
            gid=f"dimension {dimension + 1}",
        )  # fmt: skip
    order = np.argsort(last, kind="stable")
    for dimension, place in zip(order.tolist(), spaced(last[order], 0.062 * top), strict=True):
        ax.annotate(
            f"z{subscript(dimension + 1)}", (1.0, place), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=TEXT_SIZE, fontweight="bold",
            color=class_colour(dimension), annotation_clip=False,
        )  # fmt: skip
    ax.set_ylim(0, 1.06 * top)
    ax.set_xlim(epochs[0], max(epochs[-1], epochs[0] + 1))
    whole_epochs(ax)
    return ax


def heat_map(ax: Axes, epochs: Floats, values: Floats) -> Axes:
    """Draw one strip a dimension, from the one that carries most in the end down."""
    order = np.argsort(-np.nan_to_num(values[-1]), kind="stable")
    groups = np.array_split(np.arange(len(epochs)), min(len(epochs), MOST_COLUMNS))
    strips = np.stack([values[group].mean(axis=0) for group in groups], axis=1)[order]
    dress(ax, x="epoch", y="latent dimension, sorted", frame="")
    tall, wide = (-(-SHARP // size) for size in strips.shape)
    picture = ax.imshow(
        strips.repeat(tall, axis=0).repeat(wide, axis=1), aspect="auto", interpolation="none", cmap=SEQUENTIAL_MAP,
        vmin=0.0, vmax=float(np.nanmax(strips)), extent=(epochs[0] - 0.5, epochs[-1] + 0.5, len(order) - 0.5, -0.5),
    )  # fmt: skip
    step = -(-len(order) // 16)
    ax.set_yticks(range(0, len(order), step), [str(dimension + 1) for dimension in order[::step]])
    ax.tick_params(axis="y", length=0)
    whole_epochs(ax)
    bar = figure_of(ax).colorbar(picture, ax=ax, fraction=0.05, pad=0.03)
    bar.set_label("KL, nats", fontsize=TEXT_SIZE - 1, color=LIGHT["muted"])
    bar.ax.tick_params(labelsize=TEXT_SIZE - 1.5, labelcolor=LIGHT["muted"], color=LIGHT["data"])
    bar.outline.set_visible(False)
    return ax


def whole_epochs(ax: Axes) -> None:
    """Put ticks on whole epochs only."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def spaced(places: Floats, least: float) -> Floats:
    """Move rising places apart, `least` at least between neighbours and none below zero, each as little as can be."""
    from sklearn.isotonic import isotonic_regression

    steps = least * np.arange(len(places))
    moved: Floats = isotonic_regression(places - steps, y_min=0.0) + steps
    return moved


def subscript(number: int) -> str:
    """Write a number below the line."""
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))

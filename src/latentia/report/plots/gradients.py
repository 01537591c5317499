"""Estimators of a gradient against the number of samples they take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from latentia.errors import ConfigError
from latentia.report.style import LIGHT, TEXT_SIZE, dress, new_axes, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from latentia.evaluation import GradientRow, GradientTable

__all__ = ["gradient_curves"]


class Look(NamedTuple):
    """How an estimator is drawn: what belongs together has one colour."""

    colour: str
    dashes: str
    marker: str


LOOKS = {
    "reparameterised": Look("model", "-", "o"),
    "score function": Look("best", "-", "s"),
    "score function, other rows": Look("best", "--", "^"),
    "score function, leave one out": Look("best", ":", "D"),
    "importance-weighted": Look("c2", "-", "o"),
    "importance-weighted, doubly reparameterised": Look("c2", "--", "v"),
}
OTHER = Look("c6", "-", "P")
NOISE = 0.8  # the signal-to-noise ratio of R gradients without any signal is about so much over √R


def gradient_curves(table: GradientTable, ax: Axes | None = None, *, part: str = "encoder") -> Axes:
    """Draw variance, signal-to-noise ratio and bias of every estimator against its samples L.

    The first two on logarithmic axes. The bias is drawn in units of what noise alone makes of it: about 1 is none.

    Parameters
    ----------
    table
        What was measured.
    ax
        Where to draw; a new figure when not given. Three panels divide it.
    part
        Which part of the model.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigError
        When the table has no such part.
    """
    rows = table.select(part=part)
    if not rows:
        known = ", ".join(dict.fromkeys(row.part for row in table.rows))
        raise ConfigError(f"gradient_curves: there are no gradients of the {part}, but of {known or 'nothing'}")
    ax = new_axes(1080, 380, ax)
    variance, signal, bias = panels(ax, 3, 3)
    dress(
        variance, title=f"Variance of the {part}’s gradient", x="samples L, decoder passes a row", y="Σ Var", grid="y"
    )
    dress(signal, title="Signal-to-noise ratio", x="samples L", y="mean of |E g| / sd g", grid="y")
    dress(bias, title="Bias", x="samples L", y="times what noise alone makes", grid="y")
    for name in dict.fromkeys(row.estimator for row in rows):
        mine = [row for row in rows if row.estimator == name]
        curve(variance, name, mine, [row.variance for row in mine])
        curve(signal, name, mine, [row.signal_to_noise for row in mine])
        curve(bias, name, mine, [in_noise(row) for row in mine])
    floor = NOISE / math.sqrt(table.repeats)
    signal.axhline(floor, color=LIGHT["data"], linewidth=1.0, linestyle=(0, (2, 3)), gid="noise")
    signal.annotate(
        "noise alone", (1.0, floor), xycoords=("axes fraction", "data"), xytext=(0, -3), textcoords="offset points",
        ha="right", va="top", fontsize=TEXT_SIZE - 1.5, color=LIGHT["muted"],
    )  # fmt: skip
    bias.axhline(1.0, color=LIGHT["data"], linewidth=1.0, linestyle=(0, (2, 3)))
    bias.set_ylim(0, max(2.0, 1.1 * max((in_noise(row) for row in rows), default=0.0)))
    counts = sorted({row.num_samples for row in rows})
    for panel, logarithmic in ((variance, True), (signal, True), (bias, False)):
        panel.set_xscale("log")
        if logarithmic:
            panel.set_yscale("log")
        panel.minorticks_off()
        panel.set_xticks(counts, [str(count) for count in counts])
    legend(variance)
    return ax


def curve(ax: Axes, name: str, rows: list[GradientRow], values: list[float]) -> None:
    """Draw one estimator into one panel."""
    look = LOOKS.get(name, OTHER)
    ax.plot(
        [row.num_samples for row in rows], values, color=LIGHT[look.colour], linestyle=look.dashes, marker=look.marker,
        markersize=5.5, linewidth=1.8, label=name, gid=name,
    )  # fmt: skip


def in_noise(row: GradientRow) -> float:
    """Return the bias in units of what noise alone makes of it; 0 where there is no noise and no bias."""
    if row.bias is None or row.bias_error is None:
        return math.nan
    return row.bias / row.bias_error if row.bias_error > 0 else 0.0 if row.bias == 0 else math.inf


def legend(ax: Axes) -> None:
    """Say below all panels which line is which."""
    ax.legend(
        frameon=False, fontsize=TEXT_SIZE - 0.5, labelcolor=LIGHT["muted"], handlelength=2.8, ncols=3,
        loc="upper left", bbox_to_anchor=(0.0, -0.24), columnspacing=2.4,
    )  # fmt: skip

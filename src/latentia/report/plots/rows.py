"""Rows of tables: marginal histograms, values against reconstructed values, and scored rows as a strip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentia.errors import ConfigError
from latentia.report.contracts import Fitted, info_of, require_rows
from latentia.report.style import LIGHT, SEQUENTIAL_MAP, TEXT_SIZE, dress, figure_of, new_axes, panels, show_legend
from latentia.report.text import clean, plain_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["against", "feature_names", "marginals", "shown_features", "strip"]

MOST_FEATURES = 12
SHOWN_RANGE = (0.5, 99.5)  # percentiles of the data that a panel's frame is sure to hold


def feature_names(fitted: Fitted) -> list[str]:
    """Name the columns: as the data did, else x1, x2 and so on."""
    count = int(np.prod(fitted.event_shape_))
    known = getattr(fitted, "feature_names_in_", None)
    if known is None:
        known = info_of(fitted).get("feature_names")
    names = [] if known is None else [clean(name, 40) for name in known]
    return names if len(names) == count else [f"x{index + 1}" for index in range(count)]


def shown_features(x: NDArray[Any]) -> list[int]:
    """Choose at most twelve columns: the first ones that vary, in their order."""
    flat = x.reshape(len(x), -1)
    varying = np.flatnonzero(np.ptp(flat, axis=0) > 0)
    chosen = varying if len(varying) else np.arange(flat.shape[1])
    return [int(index) for index in chosen[:MOST_FEATURES]]


def marginals(
    fitted: Fitted,
    x: NDArray[Any],
    ax: Axes | None = None,
    *,
    features: Sequence[int] | None = None,
    random_state: int | None = 0,
    legend: bool = True,
) -> Axes:
    """Draw histograms of the data's columns in grey, with as many samples of the model as an outline over them.

    Parameters
    ----------
    fitted
        Any estimator.
    x
        (n, *event).
    ax
        Where to draw; a new figure when not given. Several columns divide it into panels.
    features
        Which columns (of the flattened event); the first twelve that vary when not given.
    random_state
        The seed of `sample`.
    legend
        Whether the first panel says which mark is which.

    Returns
    -------
    Axes
    """
    x = require_rows(fitted, x, "marginals")
    chosen = checked_features(fitted, x, features)
    data = x.reshape(len(x), -1).astype(np.float64)
    drawn = np.asarray(fitted.sample(len(x), random_state=random_state), dtype=np.float64).reshape(len(x), -1)
    names = feature_names(fitted)
    ax = new_axes(340 * min(len(chosen), 3), 230 * -(-len(chosen) // 3), ax)
    parts = panels(ax, len(chosen), 3)
    support = fitted.support_
    for panel, feature in zip(parts, chosen, strict=True):
        kind = support.kind if support.columns is None else support.columns[feature].kind
        draw_marginal(panel, data[:, feature], drawn[:, feature], names[feature], whole=kind != "real")
    if legend:
        show_legend(parts[0])
    return ax


def draw_marginal(ax: Axes, data: NDArray[np.float64], drawn: NDArray[np.float64], name: str, *, whole: bool) -> None:
    """Draw one column into one panel: fractions of the rows, in the same bins."""
    dress(ax, title=name, x="value", y="fraction of rows")
    data, drawn = data[np.isfinite(data)], drawn[np.isfinite(drawn)]
    edges = bin_edges(data, drawn, whole=whole)
    grey, blue = LIGHT["data"], LIGHT["model"]
    ax.stairs(fractions(data, edges), edges, fill=True, color=grey, alpha=0.5, label="data", gid="data")
    ax.stairs(fractions(drawn, edges), edges, color=blue, linewidth=1.8, label="samples", gid="samples")
    ax.set_xlim(edges[0], edges[-1])
    ax.locator_params(nbins=5)


def fractions(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fraction of values in each bin; what lies outside is counted in the outermost ones."""
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return np.asarray(counts / max(len(values), 1), dtype=np.float64)


def bin_edges(data: NDArray[np.float64], drawn: NDArray[np.float64], *, whole: bool) -> NDArray[np.float64]:
    """Return bins that hold all the data and nearly all samples; one bin a value where values are few and whole."""
    if not len(data):
        return np.linspace(0.0, 1.0, 2)
    values = np.unique(data)
    if whole and len(values) <= 40 and np.all(values == np.round(values)):
        return np.arange(values[0] - 0.5, values[-1] + 1.0)
    low, high = float(data.min()), float(data.max())
    if len(drawn):
        # A few wild samples are counted in the outermost bins rather than allowed to flatten the picture.
        spread = np.percentile(drawn, SHOWN_RANGE)
        middle, reach = (low + high) / 2, max(high - low, 1e-12)
        low, high = min(low, max(spread[0], middle - reach)), max(high, min(spread[1], middle + reach))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, int(np.clip(round(2 * len(data) ** 0.4), 8, 40)) + 1)


def against(
    fitted: Fitted,
    x: NDArray[Any],
    again: NDArray[Any],
    ax: Axes | None = None,
    *,
    features: Sequence[int] | None = None,
) -> Axes:
    """Draw values `x` against `again`, a panel a column."""
    chosen = checked_features(fitted, x, features)
    data, model = (values.reshape(len(values), -1).astype(np.float64) for values in (x, again))
    names = feature_names(fitted)
    ax = new_axes(340 * min(len(chosen), 3), 260 * -(-len(chosen) // 3), ax)
    for panel, feature in zip(panels(ax, len(chosen), 3), chosen, strict=True):
        dress(panel, title=names[feature], x="data", y="reconstruction", grid="both")
        panel.axline((float(np.mean(data[:, feature])),) * 2, slope=1, color=LIGHT["data"], linewidth=1, zorder=1)
        panel.scatter(
            data[:, feature],
            model[:, feature],
            s=point_size(len(data)),
            color=LIGHT["model"],
            alpha=0.6,
            linewidths=0,
            clip_on=False,
        )
        panel.locator_params(nbins=5)
    return ax


def strip(
    fitted: Fitted,
    x: NDArray[Any],
    values: NDArray[np.float64],
    groups: Mapping[str, NDArray[np.intp]],
    ax: Axes | None,
) -> Axes:
    """Draw scored rows as lines of a table, coloured by how far each value lies from its column's mean."""
    chosen = shown_features(x)
    flat = x.reshape(len(x), -1).astype(np.float64)[:, chosen]
    spread = np.where(flat.std(axis=0) > 0, flat.std(axis=0), 1.0)
    order = np.concatenate(list(groups.values()))
    standard = (flat[order] - flat.mean(axis=0)) / spread
    ax = dress(new_axes(460, 90 + 21 * len(order), ax), frame="")
    picture = ax.pcolormesh(standard, cmap=SEQUENTIAL_MAP, vmin=-3, vmax=3, edgecolors=LIGHT["paper"], linewidth=1.0)
    ax.invert_yaxis()
    names = feature_names(fitted)
    ax.set_xticks(
        np.arange(len(chosen)) + 0.5, [clean(names[i], 16) for i in chosen], rotation=45, ha="right", parse_math=False
    )
    ax.set_yticks(np.arange(len(order)) + 0.5, [plain_number(values[row], 2).replace("-", "−") for row in order])
    ax.set_ylabel("log p(x), nats")
    ax.tick_params(length=0)
    at = 0
    for rows in list(groups.values())[:-1]:
        at += len(rows)
        ax.axhline(at, color=LIGHT["paper"], linewidth=4)
    bar = figure_of(ax).colorbar(picture, ax=ax, fraction=0.05, pad=0.03)
    bar.set_label("standard deviations from the column's mean", fontsize=TEXT_SIZE - 1, color=LIGHT["muted"])
    bar.ax.tick_params(labelsize=TEXT_SIZE - 1.5, labelcolor=LIGHT["muted"], color=LIGHT["data"])
    bar.outline.set_visible(False)
    return ax


def checked_features(fitted: Fitted, x: NDArray[Any], features: Sequence[int] | None) -> list[int]:
    """Return the columns to show, refusing those that do not exist."""
    count = int(np.prod(fitted.event_shape_))
    chosen = shown_features(x) if features is None else [int(feature) for feature in features]
    wrong = [feature for feature in chosen if not 0 <= feature < count]
    if wrong or not chosen:
        raise ConfigError(f"features must be column numbers from 0 to {count - 1}: got {list(features or ())}")
    return chosen


def point_size(count: int) -> float:
    """Smaller points where there are more of them, in square points."""
    return float(np.clip(14000 / max(count, 1), 5.0, 26.0))

"""The ladder of bounds on log p(x), and what the evidence lower bound is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from latentia.report.style import LIGHT, TEXT_SIZE, bare, dress, new_axes
from latentia.report.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from latentia.report.diagnosis import Found, Parts, Quantity, Rung

__all__ = ["bound_gaps", "bound_ladder", "elbo_parts"]

WIDTH = 460.0  # points
ROW = 41.0  # points for a bound: a line of text and its mark
FAR = 12.0  # a bound that lies further below than so many times the span of the others is shown by an arrow
FAR_UNTRUSTED = 2.0  # the same for one that says nothing anyway
LEAST_SPAN = 0.5  # nats: differences that matter to nobody are not blown up to the width of the figure
TEXT, MARK = 0.16, -0.22  # where they stand in a line
PAPER = {"facecolor": LIGHT["paper"], "edgecolor": "none", "pad": 1.5}  # behind words, so that no line crosses them


def bound_ladder(found: Found, ax: Axes | None = None) -> Axes:
    """Draw bounds on log p(x) of the same rows, and the interval in which it lies for rows that the model generates.

    Triangles point to where log p(x) lies. Error bars are two standard errors of the difference to the best estimate,
    row by row: those of the means, which are written out, are common to all and say little about which bound is
    tighter. The interval has the scale of the ladder.

    Parameters
    ----------
    found
        The diagnosis.
    ax
        Where to draw; a new figure when not given.

    Returns
    -------
    Axes
        Its two children are the ladder and the interval.
    """
    rungs, lines = found.rungs, len(found.rungs) + 1
    height = 80 + ROW * (lines + 1)
    ax = bare(new_axes(WIDTH, height, ax))
    ladder = ax.inset_axes((0.0, 1 - ROW * lines / height, 1.0, ROW * lines / height))
    interval = ax.inset_axes((0.0, 34 / height, 1.0, ROW / height))
    dress(ladder, frame="bottom", grid="x")
    reaches = [(rung.level.value, 2 * (rung.below.error or 0.0)) for rung in near(rungs)]
    low, high = limits([at + side * reach for at, reach in reaches for side in (-1, 1)] + [found.best.value])
    ladder.axvline(found.best.value, 0.0, 1 - 0.6 / lines, color=LIGHT["best"], linewidth=1.4, gid="best")
    line(ladder, lines - 1, "best estimate of log p(x)", "", str(found.best), colour="best")
    for place, rung in enumerate(reversed(rungs)):
        colour = LIGHT["model"] if rung.trusted else LIGHT["data"]
        at, reach = rung.level.value, 2 * (rung.below.error or 0.0)
        line(ladder, place, rung.name, rung.kind, rung.shown)
        if at < low:
            ladder.annotate(
                "", (low, place + MARK), (low + 0.07 * (high - low), place + MARK), gid="far",
                arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.8},
            )  # fmt: skip
        else:
            bar(ladder, at, place + MARK, reach, ">", colour)
    ladder.set_xlim(low, high)
    ladder.set_ylim(-0.5, lines - 0.5)
    ladder.set_yticks([])
    draw_interval(interval, found, high - low)
    return ax


def draw_interval(ax: Axes, found: Found, span: float) -> None:
    """Draw the lower and the upper bound of simulated rows on a frame as wide as the ladder's, where they fit it."""
    dress(ax, x="nats", frame="bottom", grid="x")
    low, high, reach = found.lower.value, found.upper.value, found.gap.error or 0.0
    line(ax, 0, f"{counted(found.num_simulated, 'row')} that the model generates", "lower and upper bound",
         f"gap {found.gap}")  # fmt: skip
    ax.plot([low, high], [MARK, MARK], color=LIGHT["model"], linewidth=5.0, alpha=0.35, solid_capstyle="butt")
    for at, marker in ((low, ">"), (high, "<")):
        bar(ax, at, MARK, reach, marker, LIGHT["model"])
    half = max(span, 1.2 * (abs(high - low) + 2 * reach)) / 2
    ax.set_xlim((low + high) / 2 - half, (low + high) / 2 + half)
    ax.set_ylim(-0.5, 0.5)
    ax.set_yticks([])


def elbo_parts(parts: Parts, ax: Axes | None = None) -> Axes:
    """Draw how the evidence lower bound comes from the reconstruction by what is taken off it, as steps down.

    Parameters
    ----------
    parts
        Of the bound.
    ax
        Where to draw; a new figure when not given.

    Returns
    -------
    Axes
    """
    taken = [("mutual information of x and z", parts.mutual_information, "c2")]
    if parts.total_correlation is not None and parts.dimension_wise_kl is not None:
        taken += [
            ("total correlation of z", parts.total_correlation, "c3"),
            ("dimension-wise KL to the prior", parts.dimension_wise_kl, "c6"),
        ]
    else:
        taken += [("KL(q(z) ‖ p(z))", parts.marginal_kl, "c3")]
    return steps(
        ("reconstruction, E[log p(x | z)]", parts.reconstruction), taken, ("ELBO", parts.elbo), ax, downwards=True
    )


def bound_gaps(found: Found, ax: Axes | None = None) -> Axes:
    """Draw what the evidence lower bound lacks, as steps up to log p(x): what the encoder loses, and what its family.

    Parameters
    ----------
    found
        The diagnosis.
    ax
        Where to draw; a new figure when not given.

    Returns
    -------
    Axes
    """
    if found.amortisation is None or found.approximation is None:
        lacking = [("inference gap", found.lacking, "c0")]
    else:
        lacking = [
            ("amortisation gap: the encoder", found.amortisation, "c0"),
            (f"approximation gap: the {found.family} family", found.approximation, "c3"),
        ]
    return steps(("ELBO", found.elbo), lacking, ("log p(x), best estimate", found.best), ax, downwards=False)


def steps(
    start: tuple[str, Quantity],
    between: Sequence[tuple[str, Quantity, str]],
    last: tuple[str, Quantity],
    ax: Axes | None,
    *,
    downwards: bool,
) -> Axes:
    """Draw a sum as a flight of steps from its first number to its last."""
    count = len(between) + 2
    ax = dress(new_axes(WIDTH, 40 + ROW * count, ax), x="nats", frame="bottom", grid="x")
    at, sign = start[1].value, "−" if downwards else "+"
    met = [at, last[1].value]
    end(ax, count - 1, *start)
    for place, (name, part, colour) in zip(range(count - 2, 0, -1), between, strict=True):
        line(ax, place, f"{sign} {name}", "", str(part))
        width = -part.value if downwards else part.value
        ax.barh(place + MARK, width, left=at, height=0.3, color=LIGHT[colour], linewidth=0, gid="part")
        at += width
        met.append(at)
    end(ax, 0, f"= {last[0]}", last[1])
    ax.set_xlim(*limits(met))
    ax.set_ylim(-0.5, count - 0.5)
    ax.set_yticks([])
    return ax


def end(ax: Axes, place: int, name: str, quantity: Quantity) -> None:
    """Draw an end of the steps: a diamond."""
    line(ax, place, name, "", str(quantity))
    ax.plot([quantity.value], [place + MARK], "D", color=LIGHT["model"], markersize=7.0, gid="end")


def bar(ax: Axes, at: float, place: float, reach: float, marker: str, colour: str) -> None:
    """Draw a value with what is to either side of it."""
    ax.errorbar(at, place, xerr=reach, fmt=marker, markersize=8.0, color=colour, linewidth=1.8, capsize=0)


def line(ax: Axes, place: float, name: str, kind: str, value: str, colour: str = "ink") -> None:
    """Write a line: a name and what it is from the left, a number from the right."""
    words = ax.annotate(
        name, (0.0, place + TEXT), xycoords=("axes fraction", "data"), va="center", fontsize=TEXT_SIZE,
        color=LIGHT[colour], parse_math=False, bbox=PAPER,
    )  # fmt: skip
    if kind:
        ax.annotate(
            kind, (1.0, 0.0), xycoords=words, xytext=(7, 0), textcoords="offset points", va="bottom",
            fontsize=TEXT_SIZE - 1.5, color=LIGHT["muted"], parse_math=False, bbox=PAPER,
        )  # fmt: skip
    ax.annotate(
        value.replace("-", "−"), (1.0, place + TEXT), xycoords=("axes fraction", "data"), ha="right", va="center",
        fontsize=TEXT_SIZE, color=LIGHT[colour], parse_math=False, bbox=PAPER,
    )  # fmt: skip


def near(rungs: Sequence[Rung]) -> list[Rung]:
    """Leave out bounds so far below all others that these could not be told apart."""
    kept = sorted(rungs, key=lambda rung: rung.level.value)
    while len(kept) > 2:
        lowest, second, highest = (kept[place].level.value for place in (0, 1, -1))
        far = FAR if kept[0].trusted else FAR_UNTRUSTED
        if second - lowest <= far * max(highest - second, LEAST_SPAN):
            break
        kept.pop(0)
    return kept


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Return a frame around values, at least half a nat wide."""
    low, high = min(values), max(values)
    low -= max(0.0, LEAST_SPAN - (high - low))
    margin = 0.07 * (high - low)
    return low - margin, high + margin

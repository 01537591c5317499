"""One visual identity: colours that everybody can tell apart, axes that say their unit, figures without global state.

The class colours were found by maximising the smallest perceptual distance (OKLab) between any two of them, as seen
with normal sight and with each of the three colour-vision deficiencies (Machado et al. 2009, full severity), starting
from the set of Okabe and Ito; a test holds that distance. There is a set for light paper and one for dark screens.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "DARK",
    "LIGHT",
    "MARKERS",
    "SEQUENTIAL_MAP",
    "class_colour",
    "class_marker",
    "dress",
    "new_axes",
    "panels",
    "stylesheet",
]

LIGHT: Final = {
    "paper": "#fcfcfa",
    "raised": "#f4f4f0",
    "ink": "#18202b",
    "muted": "#5a6472",
    "rule": "#dcdfe1",
    "data": "#9aa2ac",
    "model": "#025c99",
    "best": "#c9570a",
    "c0": "#025c98",
    "c1": "#c0a73c",
    "c2": "#0b9b6d",
    "c3": "#d0600f",
    "c4": "#e876b0",
    "c5": "#49afea",
    "c6": "#a654d4",
    "c7": "#3c2d2a",
    "c8": "#715402",
    "c9": "#11065b",
}
DARK: Final = {
    "paper": "#12161c",
    "raised": "#1b2129",
    "ink": "#e8ebef",
    "muted": "#a0a9b5",
    "rule": "#333b46",
    "data": "#76808d",
    "model": "#58b4ee",
    "best": "#f5a25d",
    "c0": "#0795be",
    "c1": "#faa301",
    "c2": "#53db9f",
    "c3": "#cf5e09",
    "c4": "#e6adee",
    "c5": "#adf3fe",
    "c6": "#d26aff",
    "c7": "#726a63",
    "c8": "#989f75",
    "c9": "#5d5dd1",
}
NUM_COLOURS: Final = 10
MARKERS: Final = "os^D"  # past ten classes the colours come again with another shape
SEQUENTIAL_MAP: Final = "cividis"
TEXT_SIZE: Final = 11.0
POINTS_PER_INCH: Final = 72.0


def class_colour(index: int) -> str:
    """Return the colour of a class on light paper; the page swaps it for its dark twin."""
    return LIGHT[f"c{index % NUM_COLOURS}"]


def class_marker(index: int) -> str:
    """Return the shape of a class's points."""
    return MARKERS[(index // NUM_COLOURS) % len(MARKERS)]


def new_axes(width: float, height: float, ax: Axes | None = None) -> Axes:
    """Return `ax`, or the axes of a new figure of `width` × `height` points that belongs to nobody but its holder."""
    if ax is not None:
        return ax
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(width / POINTS_PER_INCH, height / POINTS_PER_INCH),
        dpi=2 * POINTS_PER_INCH,
        layout="constrained",
        facecolor=LIGHT["paper"],
    )
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def dress(
    ax: Axes, *, title: str = "", x: str = "", y: str = "", frame: str = "left bottom", grid: str | None = None
) -> Axes:
    """Give axes their title, their labels with units, and the identity's lines and colours.

    Text is never read as mathematics: a class may be called `$x_1`.
    """
    ax.set_facecolor("none")
    for side, spine in ax.spines.items():
        spine.set_visible(side in frame.split())
        spine.set_color(LIGHT["data"])
        spine.set_linewidth(0.8)
    ax.tick_params(
        which="both", color=LIGHT["data"], labelcolor=LIGHT["muted"], labelsize=TEXT_SIZE - 1, length=3, width=0.8
    )
    if grid is not None:
        ax.set_axisbelow(True)
        ax.grid(visible=True, axis="both" if grid == "both" else ("x" if grid == "x" else "y"))
        for line in [*ax.get_xgridlines(), *ax.get_ygridlines()]:
            line.set(color=LIGHT["rule"], linewidth=0.7)
    if title:
        ax.set_title(
            title, loc="left", fontsize=TEXT_SIZE + 0.5, fontweight="bold", color=LIGHT["ink"], pad=8, parse_math=False
        )
    ax.set_xlabel(x, fontsize=TEXT_SIZE, color=LIGHT["muted"], parse_math=False)
    ax.set_ylabel(y, fontsize=TEXT_SIZE, color=LIGHT["muted"], parse_math=False)
    return ax


def bare(ax: Axes, *, title: str = "") -> Axes:
    """Dress axes that hold nothing but pictures."""
    dress(ax, title=title, frame="")
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def show_legend(ax: Axes) -> None:
    """Say in the axes' emptiest corner which mark is which."""
    ax.legend(frameon=False, fontsize=TEXT_SIZE - 1, labelcolor=LIGHT["muted"], handlelength=1.1, borderpad=0.1)


def panels(ax: Axes, count: int, columns: int) -> Sequence[Axes]:
    """Divide axes into `count` panels of equal size, row by row; one panel is the axes themselves."""
    if count == 1:
        return [ax]
    bare(ax)
    columns = min(columns, count)
    rows = -(-count // columns)
    # Room for titles and labels, as fractions of what one panel has.
    wide, tall = 1 / (columns - 0.26), 1 / (rows - 0.36)
    return [
        ax.inset_axes((column * wide, 1 - (row + 0.64) * tall, 0.74 * wide, 0.64 * tall))
        for row, column in (divmod(index, columns) for index in range(count))
    ]


def figure_of(ax: Axes) -> Figure:
    """Return the figure that holds the axes."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise RuntimeError("these axes have been taken out of their figure")
    return figure


def stylesheet() -> str:
    """Return the page's style sheet, its colours as variables for light paper, dark screens and print."""
    light, dark = (";".join(f"--{name}:{value}" for name, value in tokens.items()) for tokens in (LIGHT, DARK))
    rules = resources.files("latentia.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}"
    )

"""Figures as SVG that belongs to a page: its fonts, its colours by day and by night, no names of its own."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from latentia.report.style import LIGHT, figure_of
from latentia.report.text import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["to_svg"]

VARIABLES = {value: f"var(--{name})" for name, value in LIGHT.items()}  # a test holds that no two are equal
TAG = re.compile(r"<[^>]*>")  # text between tags, which may be a user's, is never touched
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
REFERENCE = re.compile(r'(href="#|url\(#)([^")]+)')
IDENTIFIER = re.compile(r' id="([^"]*)"')
GEOMETRY = re.compile(r'\b(?:x|y|d|transform|points)="[^"]*"')
STYLE = re.compile(r'\b(style|fill|stroke)="([^"]*)"')
FONT = re.compile(r"font(-family)?: [^;\"]*")
NUMBER = re.compile(r"-?\d+\.\d{3,}")


def to_svg(ax: Axes, *, name: str, label: str) -> str:
    """Write the figure that holds `ax` as one `<svg>` element to stand inside a page.

    Colours of the identity become the page's variables, so that a figure turns dark with its page. Text stays text, in
    the page's font. Nothing refers to anything outside.

    Parameters
    ----------
    ax
        Axes of a figure.
    name
        Letters, digits and hyphens, unique in the page: all identifiers inside begin with it.
    label
        What the figure shows, for those who cannot see it.
    """
    import matplotlib

    figure = figure_of(ax)
    stream = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        # The browser has the letters that the font measured with lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # Pictures keep their proportions and leave margins, which are cut off; charts keep the size they share.
        box = "tight" if ax.get_aspect() != "auto" else None
        figure.savefig(stream, format="svg", transparent=True, metadata=metadata, bbox_inches=box, pad_inches=0.04)
    return adopt(stream.getvalue(), name, label)


def adopt(svg: str, name: str, label: str) -> str:
    """Make a stand-alone SVG document a part of a page."""
    body = svg[svg.index("<svg") :]
    opening, _, rest = body.partition(">")
    box = re.search(r'viewBox="([^"]*)"', opening)
    if box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    width = float(box[1].split()[2])
    for unwanted in (r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", r"<metadata>.*?</metadata>", r"<!--.*?-->"):
        rest = re.sub(unwanted, "", rest, flags=re.DOTALL)
    used = dict.fromkeys(old for tag in TAG.findall(rest) for _, old in REFERENCE.findall(tag))
    short = {old: f"{name}-{index}" for index, old in enumerate(used)}
    rest = TAG.sub(lambda tag: adopt_tag(tag[0], short), rest)
    rest = re.sub(r">\s+<", "><", rest).strip()
    opening = f'<svg role="img" aria-label="{escape(label)}" viewBox="{box[1]}" style="max-width:{width * 1.35:.0f}px">'
    return opening + rest


def adopt_tag(tag: str, short: Mapping[str, str]) -> str:
    """Rewrite one tag: short names for what is referred to, none for the rest, fewer digits, the page's colours."""
    tag = tag.replace("xlink:href=", "href=")
    tag = IDENTIFIER.sub(lambda found: f' id="{short[found[1]]}"' if found[1] in short else "", tag)
    tag = REFERENCE.sub(lambda found: found[1] + short[found[2]], tag)
    tag = GEOMETRY.sub(lambda found: " ".join(NUMBER.sub(shorten, found[0]).split()), tag)
    return STYLE.sub(restyle, tag)


def restyle(found: re.Match[str]) -> str:
    """Swap the identity's colours for the page's variables, and the figure's font for the page's."""
    attribute, value = found.groups()
    value = COLOUR.sub(lambda colour: VARIABLES.get(colour[0], colour[0]), value)
    if attribute == "style":
        value = value.replace("image-rendering:crisp-edges;image-rendering:pixelated", "")
        return f'style="{FONT.sub(keep_size, value)}"'
    return f'style="{attribute}:{value}"' if "var(" in value else f'{attribute}="{value}"'


def keep_size(font: re.Match[str]) -> str:
    """Keep the weight and the size of a font declaration and drop its family."""
    if font[1]:
        return ""
    weight = "font-weight:700;" if re.search(r"\b(bold|700)\b", font[0]) else ""
    size = re.search(r"([\d.]+)px", font[0])
    return weight + (f"font-size:{size[1]}px" if size else "")


def shorten(number: re.Match[str]) -> str:
    """Keep two decimals: a hundredth of a pixel."""
    return f"{float(number[0]):.2f}"

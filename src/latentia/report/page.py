"""Pieces of a page: every one of them takes plain text and returns HTML in which that text is harmless."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from latentia.report.render import to_svg
from latentia.report.style import stylesheet
from latentia.report.tables import NumbersTable
from latentia.report.text import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Tile", "alarm", "code", "document", "facts", "figure", "figures", "numbers", "section", "tiles"]

# Nothing is fetched, nothing runs, nobody frames the page; styles are its own.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
MINUS = re.compile(r"(?<![\w.])-(?=\d)")
LONG = 20_000


class Tile(NamedTuple):
    """One number that matters, large."""

    name: str
    value: str
    spread: str
    note: str


def document(title: str, kicker: str, summary: str, parts: Iterable[str], footer: str, *, tiles: str = "") -> str:
    """Put a page together from plain texts and finished parts."""
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        '<meta name="generator" content="Latentia">\n'
        f"<title>{escape(title)} · {escape(kicker)}</title>\n<style>\n{stylesheet()}</style>\n</head>\n<body>\n"
        f'<header>\n<p class="kicker">{escape(kicker)}</p>\n<h1>{escape(title)}</h1>\n'
        f'<p class="summary">{escape(summary, 1000)}</p>\n{tiles}</header>\n<main>\n'
        + "\n".join(part for part in parts if part)
        + f"\n</main>\n<footer>{escape(footer, 1000)}</footer>\n</body>\n</html>\n"
    )


def section(title: str, lead: str, *content: str) -> str:
    """Return a section; nothing when it would be empty."""
    body = "\n".join(part for part in content if part)
    if not body:
        return ""
    opening = f'<p class="lead">{escape(lead, 1000)}</p>\n' if lead else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{opening}{body}\n</section>"


def alarm(title: str, text: str) -> str:
    """Return what must not be overlooked."""
    return f'<p class="alarm" role="note"><b>{escape(title)}</b> {escape(text, 1000)}</p>'


def figures(across: str, *content: str) -> str:
    """Set figures beside each other where there is room: `"one"`, `"two"`, `"three"` or `"many"` across."""
    body = "\n".join(part for part in content if part)
    return f'<div class="figures {across}">\n{body}\n</div>' if body else ""


def figure(ax: Axes, name: str, title: str, caption: str | None = None) -> str:
    """Return a drawing, with its title and caption below unless it speaks for itself; `name` is unique in the page."""
    if caption is None:
        return f"<figure>{to_svg(ax, name=name, label=title)}</figure>"
    drawing = to_svg(ax, name=name, label=f"{title}. {caption}")
    text = f"<b>{escape(title)}.</b> {escape(caption, LONG)}" if caption else f"<b>{escape(title)}</b>"
    return f"<figure>{drawing}\n<figcaption>{text}</figcaption></figure>"


def tiles(items: Iterable[Tile]) -> str:
    """Return the numbers that matter, side by side."""
    cells = []
    for item in items:
        spread = f" <small>± {escape(item.spread)}</small>" if item.spread else ""
        value = f'<div class="value">{true_minus(escape(item.value))}{spread}</div>'
        note = f'<div class="note">{true_minus(escape(item.note))}</div>'
        cells.append(f'<div class="tile"><dt>{escape(item.name)}</dt><dd>{value}{note}</dd></div>')
    return f'<dl class="tiles">{"".join(cells)}</dl>\n' if cells else ""


def numbers(table: NumbersTable, own: int | None = None) -> str:
    """Return the table of numbers, the row `own` set in bold."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in table.header)
    body = []
    for index, (name, *cells) in enumerate(table.rows):
        kind = ' class="own"' if index == own else ""
        values = "".join(f"<td>{true_minus(escape(cell))}</td>" for cell in cells)
        body.append(f'<tr{kind}><th scope="row">{escape(name)}</th>{values}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Numbers"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def reading(items: Mapping[str, str]) -> str:
    """Return what the words of a table mean, as one small paragraph."""
    return '<p class="reading">' + " ".join(f"<b>{escape(k)}</b> {escape(v, 1000)}" for k, v in items.items()) + "</p>"


def facts(items: Iterable[tuple[str, str]]) -> str:
    """Return names and values, one a line."""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value, LONG)}</dd>" for name, value in items if value)
    return f'<dl class="facts">{lines}</dl>' if lines else ""


def heading(title: str) -> str:
    """Return a heading inside a section."""
    return f'<h3 class="next">{escape(title)}</h3>'


def code(text: str) -> str:
    """Return lines of code; every line is cleaned on its own."""
    return f"<pre><code>{lines_of(text.splitlines())}</code></pre>"


def folded(title: str, text: str) -> str:
    """Return text to be opened with a click."""
    body = lines_of(text.splitlines())
    return f"<details><summary>{escape(title)}</summary><pre>{body}</pre></details>" if text.strip() else ""


def lines_of(lines: Sequence[str]) -> str:
    """Clean and escape lines one by one, keeping what they begin with."""
    indents = (re.match(r" *", line) for line in lines)
    return "\n".join(
        f"{indent[0] if indent else ''}{escape(line, LONG)}" for indent, line in zip(indents, lines, strict=True)
    )


def true_minus(text: str) -> str:
    """Write minus signs as such, and keep equations on one line: on a page they need not be typed again."""
    return MINUS.sub("−", text).replace(" = ", "\u00a0=\u00a0")

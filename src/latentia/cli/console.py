"""What reaches the terminal: data on stdout, all else on stderr, and no control character from a file on either."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "clean",
    "debug_mode",
    "debugging",
    "error",
    "finite",
    "is_quiet",
    "note",
    "number",
    "one_line",
    "prepare_streams",
    "print_json",
    "print_table",
    "print_text",
    "silence",
]

_PIPE_WIDTH = 160  # columns of a table that no terminal bounds
_quiet = False
_debug = False


def silence(quiet: bool) -> None:
    """Turn notes off or on; errors and data are printed all the same."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Return whether notes are off."""
    return _quiet


def debug_mode(on: bool) -> None:
    """Turn tracebacks of errors on or off."""
    global _debug
    _debug = on


def debugging() -> bool:
    """Return whether errors show their traceback."""
    return _debug


def clean(text: object) -> str:
    r"""Return the text on one line, with every character that could steer a terminal written as an escape.

    Control characters (newlines and the C1 block too), format characters such as the bidirectional overrides, lone
    surrogates from undecodable file names, and the Unicode line separators: an escape byte shows as ``\x1b``.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def one_line(text: object) -> str:
    """Return the text with its line breaks turned into spaces, and then cleaned."""
    return clean(" ".join(str(text).split()))


def note(text: object) -> None:
    """Say something on stderr unless ``--quiet`` was given."""
    if not _quiet:
        _write(sys.stderr, clean(text))


def error(text: object) -> None:
    """Say on stderr, in one line, what went wrong."""
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    _write(sys.stderr, ("\x1b[1;31merror:\x1b[0m " if coloured else "error: ") + one_line(text))


def prepare_streams() -> None:
    """Make a terminal with a narrow encoding show an escape instead of dying of a Greek letter."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()


def finite(value: Any) -> Any:
    """Return the value as plain JSON types: arrays as lists, paths as text, numbers that are not finite as ``None``."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return finite(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [finite(item) for item in value]
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout: ASCII only, finite numbers or null."""
    sys.stdout.write(json.dumps(finite(value), indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def print_text(text: str) -> None:
    """Print text of several lines on stdout, each cleaned."""
    sys.stdout.writelines(clean(line) + "\n" for line in text.splitlines())
    sys.stdout.flush()


def number(value: object, digits: int = 2) -> str:
    """Format a number for a table, and a dash for anything else."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:,.{digits}f}"


def stdout() -> Console:
    """Return the console for tables, as wide as the terminal, or wide enough for every column."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(file=sys.stdout, width=wide, markup=False, highlight=False, emoji=False, soft_wrap=False)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None, right: Sequence[str] = ()
) -> None:
    """Print a table on stdout.

    Parameters
    ----------
    columns
        The headings.
    rows
        The cells, any objects; their text is cleaned and never read as markup.
    title
        A line above the table.
    right
        Headings of the columns that are aligned to the right.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = stdout()
    plain = console.encoding.lower().replace("-", "") not in {"utf8", "utf16", "utf32"}
    table = Table(
        title=Text(clean(title)) if title else None,
        title_justify="left",
        box=box.ASCII if plain else box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in columns:
        table.add_column(Text(clean(column)), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    console.print(table)

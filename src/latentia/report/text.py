"""Text that is safe to show and numbers that show what is known of them."""

from __future__ import annotations

import html
import math
import re
import unicodedata

__all__ = ["clean", "counted", "escape", "plain_number", "with_error"]

LONGEST = 300
MOST_PLACES = 6
MANY = 10_000  # from here on digits are grouped in threes
# Terminal escape sequences go as a whole: without their first byte the rest would be litter.
ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])|\x9b[0-?]*[ -/]*[@-~]")
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # control, format (with the bidirectional overrides), surrogates, private


def clean(text: object, longest: int = LONGEST) -> str:
    """Make one printable line of whatever somebody named a class, a column or a file.

    Terminal escapes and invisible characters are taken out, line ends and tabs become spaces, and what is longer than
    `longest` characters ends in an ellipsis.
    """
    line = ESCAPE_SEQUENCE.sub("", str(text))
    line = re.sub(r"[\s\u2028\u2029]+", " ", line).strip()
    line = "".join(character for character in line if unicodedata.category(character) not in HIDDEN)
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def escape(text: object, longest: int = LONGEST) -> str:
    """Clean text for a page: one line in which no character has a meaning to the browser."""
    return html.escape(clean(text, longest), quote=True)


def with_error(value: float, error: float | None, *, decimals: int = 2) -> tuple[str, str | None]:
    """Write a value to the digits its standard error allows: the error to two significant digits, the value to match.

    Parameters
    ----------
    value, error
        In the same unit. Without a finite positive error the value gets `decimals` decimals and no error is shown, and
        no number gets more than six.

    Returns
    -------
    tuple
        `("-61.23", "0.35")`, or `("-61.23", None)`.
    """
    if error is None or not math.isfinite(error) or error <= 0:
        return plain_number(value, decimals), None
    # Rounded first: 0.0996 is 0.10 to two digits, not 0.100.
    exponent = int(f"{error:.1e}".partition("e")[2])
    places = min(max(0, 1 - exponent), MOST_PLACES)
    return plain_number(value, places), f"{error:.{places}f}"


def plain_number(value: float | None, decimals: int = 2) -> str:
    """Write a number with fixed decimals, large ones grouped in threes; an en dash stands for None."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return f"{value:,.{decimals}f}" if abs(value) >= MANY else f"{value:.{decimals}f}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 image`, `1,797 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"

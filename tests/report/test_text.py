"""Numbers to the digits of their error, and text that can do no harm."""

from __future__ import annotations

import math

import pytest

from latentia.report.text import clean, counted, escape, plain_number, with_error


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (-61.2345, 0.3456, ("-61.23", "0.35")),
        (-61.2345, 3.456, ("-61.2", "3.5")),
        (-61.2345, 34.56, ("-61", "35")),
        (-12345.6, 345.6, ("-12,346", "346")),
        (-61.2345, 0.0345, ("-61.234", "0.035")),
        (1.0, 0.0996, ("1.00", "0.10")),  # rounds up to one digit more
        (1.0, 0.0094, ("1.0000", "0.0094")),
        (1.0, 9.96, ("1", "10")),
        (1.0, 1e-12, ("1.000000", "0.000000")),
        (-61.2345, None, ("-61.23", None)),
        (-61.2345, 0.0, ("-61.23", None)),
        (-61.2345, math.nan, ("-61.23", None)),
        (-61.2345, math.inf, ("-61.23", None)),
    ],
)
def test_a_value_has_the_digits_of_its_error(value: float, error: float | None, shown: tuple[str, str | None]) -> None:
    assert with_error(value, error) == shown


def test_numbers_that_are_none() -> None:
    assert [plain_number(v) for v in (None, math.nan, math.inf, -math.inf)] == ["–", "nan", "inf", "-inf"]
    assert plain_number(9999.4, 1) == "9999.4"
    assert plain_number(-123456.78, 1) == "-123,456.8"


def test_counts() -> None:
    assert counted(1, "row") == "1 row"
    assert counted(1797, "row") == "1,797 rows"
    assert counted(2, "axis", "axes") == "2 axes"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\n\tc", "a b c"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("nul\x00 bell\x07", "nul bell"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("a\u2028b", "a b"),
        ("zero\u200bwidth", "zerowidth"),
        ("  spaces   inside ", "spaces inside"),
        ("数字 ± ₁ é", "数字 ± ₁ é"),
    ],
)
def test_what_cannot_be_seen_is_taken_out(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_long_text_ends_in_an_ellipsis() -> None:
    assert clean("x" * 1000, 10) == "xxxxxxxxx…"


def test_nothing_means_anything_to_a_browser() -> None:
    assert escape("<script>alert('x' & \"y\")</script>") == (
        "&lt;script&gt;alert(&#x27;x&#x27; &amp; &quot;y&quot;)&lt;/script&gt;"
    )

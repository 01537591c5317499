"""The support of data: what it says, what it infers, what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentia.data import Support
from latentia.errors import DataError

ALL = ["binary", "levels:2", "levels:17", "levels:256", "levels:65536", "categories:5", "unit", "positive", "real",
       "count", "columns:real", "columns:real*3;categories:3;count;real;positive;binary*2;unit;levels:300"]  # fmt: skip


@pytest.mark.parametrize("text", ALL)
def test_text_and_json_name_the_same_support(text: str) -> None:
    support = Support.parse(text)
    assert str(support) == text
    assert Support.from_json(json.loads(json.dumps(support.to_json()))) == support
    assert Support.parse(support) is support


@pytest.mark.parametrize(
    "text",
    ["", "grey", "levels", "levels:", "levels:1", "levels:65537", "levels:-3", "levels:2.5", "binary:2", "Levels:4",
     "levels:4 ", "categories", "real:1", "\x1b[2J", None, 3, "count:3", "columns", "columns:", "columns:real;",
     "columns:columns:real", "columns:real*0", "columns:real*", "columns:real*65537", "columns:real*9999999",
     "columns:real*40000;count*40000", "columns:levels:1", "columns:" * 9999],
)  # fmt: skip
def test_texts_that_name_none(text: Any) -> None:
    with pytest.raises(DataError) as caught:
        Support.parse(text)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("content", [None, [], {}, {"kind": 3}, {"kind": "levels"}, {"kind": "levels", "levels": True},
                                     {"kind": "levels", "levels": 4.0}, {"kind": "real", "more": 1},
                                     {"kind": "columns"}, {"kind": "columns", "columns": ""},
                                     {"kind": "columns", "columns": ["real"]}, {"kind": "columns", "columns": "grey"},
                                     {"kind": "real", "columns": "real"}, {"kind": "columns", "columns": 3},
                                     {"kind": "columns", "columns": "columns:real"}])  # fmt: skip
def test_json_that_is_none(content: Any) -> None:
    with pytest.raises(DataError):
        Support.from_json(content)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[True, False]]), "binary"),
        (np.array([[0, 1]], np.uint8), "binary"),
        (np.array([[0, 1]], np.int64), "binary"),
        (np.array([[0.0, 1.0]]), "binary"),
        (np.zeros((2, 2)), "binary"),
        (np.array([[0, 2]], np.uint8), "levels:256"),
        (np.array([[0, 255]], np.uint8), "levels:256"),
        (np.array([[0, 2]], np.int64), "real"),
        (np.array([[-1, 1]], np.int8), "real"),
        (np.array([[0, 1, 0.5]]), "real"),
        (np.array([[0, 1, np.nan]]), "real"),
        (np.array([[0, 300]], np.uint16), "real"),
        (np.zeros((0, 3)), "real"),
        (np.zeros((0, 3), np.uint8), "levels:256"),
    ],
)
def test_rule_for_bare_arrays(array: np.ndarray[Any, Any], expected: str) -> None:
    assert str(Support.infer(array)) == expected


def test_one_odd_value_at_the_end_of_many_is_seen() -> None:
    array = np.zeros((3_000_000, 1), np.float32)
    assert str(Support.infer(array)) == "binary"
    array[-1] = 0.5
    assert str(Support.infer(array)) == "real"
    with pytest.raises(DataError, match=r"values from 0 to 0\.5 \(for example 0\.5\)"):
        Support("binary").check(array)


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([1j]), np.array([{}]), np.array(["2026"], "M8[Y]")])
def test_no_numbers(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(DataError, match="but numbers or truth values are needed"):
        Support.infer(array)
    with pytest.raises(DataError, match=r"photo has type .*but numbers or truth values are needed"):
        Support("real").check(array, "photo")


GOOD: dict[str, list[float]] = {
    "binary": [0, 1],
    "levels:17": [0, 16, 3],
    "categories:5": [0, 4],
    "count": [0, 3, 2**31 - 1],
    "unit": [0, 1, 0.25],
    "positive": [1e-300, 7, 1e300],
    "real": [-1e300, 0, 3.5],
}
BAD: dict[str, list[float]] = {
    "binary": [2, -1, 0.5, np.inf],
    "levels:17": [17, -1, 3.5, np.inf],
    "categories:5": [5, -1, 0.5],
    "count": [-1, 0.5, np.inf, 2.0**31],
    "unit": [1.0001, -0.0001, np.inf, -np.inf],
    "positive": [0, -1, np.inf],
    "real": [np.inf, -np.inf],
}


@pytest.mark.parametrize(("text", "values"), GOOD.items())
def test_values_inside_pass(text: str, values: list[float]) -> None:
    Support.parse(text).check(np.array(values))
    Support.parse(text).check(np.array([*values, np.nan]))  # missing values are the caller's business


@pytest.mark.parametrize(("text", "value"), [(text, value) for text, values in BAD.items() for value in values])
def test_values_outside_are_refused(text: str, value: float) -> None:
    array = np.array([*GOOD[text], value])
    seen = re.escape(f"(for example {value:g}), but the support '{text}'")
    with pytest.raises(DataError, match=rf"^x has values from .* {seen}"):
        Support.parse(text).check(array)


def test_refusal_teaches() -> None:
    with pytest.raises(DataError) as caught:
        Support("binary").check(np.array([[0, 130], [255, 1]], np.uint8), "the training rows")
    assert str(caught.value) == (
        "the training rows has values from 0 to 255 (for example 130), but the support 'binary' allows only 0 and 1: "
        "change the values or pass the support that fits, 'binary', 'levels:K', 'unit', 'real', 'positive', "
        "'categories:K', 'count', or for a table one of these for each column, such as 'columns:real*2;categories:3'"
    )


def test_columns_are_checked_one_by_one() -> None:
    table = Support.parse("columns:real;categories:3;count")
    good = np.array([[-1.5, 2, 7], [np.nan, 0, 100]])
    table.check(good)
    for column, value, words in [(0, np.inf, "finite numbers"), (1, 3, "the codes 0 to 2"), (2, -1, "whole numbers")]:
        bad = good.copy()
        bad[1, column] = value
        with pytest.raises(DataError, match=rf"^column {column} of the data has .*example {value:g}\).*{words}"):
            table.check(bad, "the data")
    with pytest.raises(DataError, match=r"shape \(2, 2\), but .* a table with 3 columns"):
        table.check(good[:, :2])
    with pytest.raises(DataError, match="a table with 3 columns"):
        table.check(good[:, :, None])


def test_a_table_has_not_more_categories_than_memory() -> None:
    Support.parse("columns:categories:65536*16")
    with pytest.raises(DataError, match=r"1,114,112 categories in all, but at most 1,048,576 can be"):
        Support.parse("columns:categories:65536*17")


@pytest.mark.parametrize("text", [*ALL, "columns:count;binary"])
def test_masses_and_densities(text: str) -> None:
    """A table has a mass only where no column has a density."""
    continuous = any(word in text for word in ("unit", "positive", "real"))
    assert Support.parse(text).is_discrete is not continuous


def test_strided_and_mapped_arrays_are_checked(tmp_path: Path) -> None:
    array = np.zeros((50, 60), np.int32)
    array[31, 59] = 4
    np.save(tmp_path / "x.npy", array)
    for view in (array.T, array[:, ::-1], np.load(tmp_path / "x.npy", mmap_mode="r"), array[::1, 59:]):
        with pytest.raises(DataError, match="for example 4"):
            Support("levels", 4).check(view)
        Support("levels", 5).check(view)


@pytest.mark.parametrize(
    ("text", "array", "expected"),
    [
        ("binary", np.array([True, False]), np.uint8),
        ("binary", np.array([0.0, 1.0]), np.uint8),
        ("levels:256", np.array([0, 255], np.int64), np.uint8),
        ("levels:257", np.array([0, 256], np.int64), np.uint16),
        ("categories:3", np.array([0.0, 2.0]), np.uint8),
        ("real", np.array([0, 255], np.uint8), np.float32),
        ("real", np.array([1.5], np.float16), np.float32),
        ("real", np.array([1.5], np.float32), np.float32),
        ("real", np.array([1.5], np.float64), np.float64),
        ("real", np.array([2**24 + 1], np.int32), np.float64),
        ("unit", np.array([True]), np.float32),
        ("count", np.array([7.0, 2**31 - 1]), np.int32),
        ("columns:count;categories:2", np.array([[7, 1]], np.int16), np.float32),
        ("columns:count;categories:2", np.array([[2**31 - 1, 1]]), np.float64),
    ],
)
def test_storage_type(text: str, array: np.ndarray[Any, Any], expected: type) -> None:
    stored = Support.parse(text).cast(array)
    assert stored.dtype == expected
    np.testing.assert_array_equal(stored, array)  # nothing is lost


def test_cast_does_not_copy_what_fits() -> None:
    array = np.zeros((3, 3), np.uint8)
    assert Support("levels", 256).cast(array) is array

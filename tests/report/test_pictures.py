"""Items as pictures: which value is black, which is white, and where each stands on its sheet."""

from __future__ import annotations

import numpy as np
import pytest

from latentia.data import Support
from latentia.report.pictures import as_pictures, is_picture, shared_limits, sheet
from latentia.report.selection import choose_rows, say_rows


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((8, 8), True), ((28, 20), True), ((32, 32, 3), True), ((64, 64, 1), True), ((5,), False), ((4, 4, 2), False)],
)
def test_what_is_a_picture(shape: tuple[int, ...], expected: bool) -> None:
    assert is_picture(shape) is expected


@pytest.mark.parametrize(
    ("support", "limits"),
    [
        ("binary", (0.0, 1.0)),
        ("unit", (0.0, 1.0)),
        ("levels:17", (0.0, 16.0)),
        ("levels:256", (0.0, 255.0)),
        ("categories:3", (0.0, 2.0)),
        ("positive", (0.0, 7.0)),
        ("real", (-2.0, 7.0)),
    ],
)
def test_black_and_white_come_from_the_support_or_are_shared(support: str, limits: tuple[float, float]) -> None:
    first, second = np.array([1.0, 7.0]), np.array([-2.0, np.nan])
    assert shared_limits(Support.parse(support), first, second) == limits


def test_constant_reals_have_limits_too() -> None:
    low, high = shared_limits(Support("real"), np.full(3, 4.0))
    assert low < high


def test_zero_is_black_and_the_top_is_white() -> None:
    pictures = as_pictures(np.array([[[0, 16], [8, 4]]]), (0.0, 16.0))
    assert pictures.shape == (1, 2, 2, 3)
    assert pictures[0, ..., 0].tolist() == [[0.0, 1.0], [0.5, 0.25]]
    np.testing.assert_allclose(pictures[..., 0], pictures[..., 2])


def test_reals_run_from_their_smallest_to_their_largest_value() -> None:
    pictures = as_pictures(np.array([[[-3.0, 5.0], [1.0, np.nan]]]), (-3.0, 5.0))
    assert pictures[0, ..., 0].tolist() == [[0.0, 1.0], [0.5, 0.0]]
    assert as_pictures(np.array([[[-9.0, 9.0]]]), (-3.0, 5.0))[0, 0, :, 0].tolist() == [0.0, 1.0]


def test_colours_stay_as_they_are() -> None:
    items = np.arange(2 * 2 * 3).reshape(1, 2, 2, 3)
    np.testing.assert_allclose(as_pictures(items, (0.0, 11.0)), items / 11.0)


def test_large_items_shrink_by_averages() -> None:
    item = np.zeros((1, 192, 192))
    item[0, 0, 0] = 1.0
    pictures = as_pictures(item, (0.0, 1.0))
    assert pictures.shape == (1, 96, 96, 3)
    assert pictures[0, 0, 0, 0] == pytest.approx(0.25)
    assert pictures.sum() == pytest.approx(0.75)


def test_a_sheet_holds_every_item_where_it_says() -> None:
    levels = np.array([0.0, 0.2, 0.4, 0.6, 0.8])
    pictures = np.broadcast_to(levels[:, None, None, None], (5, 2, 3, 3))
    laid = sheet(pictures, 3, gap=0.1, row_gaps=(0.5,))
    for index, level in enumerate(levels):
        top, left = laid.tops[index // 3], laid.lefts[index % 3]
        place = laid.canvas[top : top + laid.tall, left : left + laid.wide]
        assert (place[..., :3] == round(level * 255)).all()
        assert (place[..., 3] == 255).all()
    opaque = (laid.canvas[..., 3] > 0).sum()
    assert opaque == 5 * laid.tall * laid.wide  # and nothing else: gaps and the empty place are clear
    assert laid.tops[1] - laid.tall == round(0.5 * laid.tall)
    assert laid.lefts[1] - laid.wide == round(0.1 * laid.wide)


def test_pixels_are_enlarged_by_whole_numbers() -> None:
    laid = sheet(np.random.default_rng(0).random((4, 7, 5, 3)), 2, gap=0.0)
    assert laid.tall % 7 == 0
    assert laid.wide % 5 == 0
    assert laid.tall // 7 == laid.wide // 5 > 1


def test_the_choice_of_rows_is_seeded_sorted_and_without_repeats() -> None:
    rows = choose_rows(1000, 24, 3)
    assert len(set(rows.tolist())) == 24
    assert (np.diff(rows) > 0).all()
    assert rows.max() < 1000
    np.testing.assert_array_equal(rows, choose_rows(1000, 24, 3))
    assert not np.array_equal(rows, choose_rows(1000, 24, 4))
    np.testing.assert_array_equal(choose_rows(5, 24, 0), np.arange(5))


def test_the_sentence_names_the_rows() -> None:
    assert say_rows([2, 5], 9, "test", 3) == "Test rows 2, 5, chosen with seed 3."
    assert say_rows([5, 2], 9, "valid", None) == "Valid rows 5, 2."
    assert say_rows(np.arange(9), 9, "test", 0) == "All 9 test rows."
    assert say_rows(np.arange(3000), 10_000, "test", 0) == "3,000 of the 10,000 test rows, chosen with seed 0."

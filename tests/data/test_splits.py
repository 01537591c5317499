"""Seeded divisions, fingerprints and what a data set says about itself."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentia.data import Dataset, Info, Split, Support, fingerprint, split_rows
from latentia.data.splits import make_dataset
from latentia.errors import DataError


@pytest.mark.parametrize("n", [10, 11, 99, 1797, 1965])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_division_is_complete_and_of_the_right_sizes(n: int, seed: int) -> None:
    valid, test, train = split_rows(n, seed, 0.1, 0.1)
    assert len(valid) == len(test) == round(0.1 * n)
    assert sorted([*valid, *test, *train]) == list(range(n))
    for part in (valid, test, train):
        assert list(part) == sorted(part)


def test_division_never_changes() -> None:
    """Saved runs name their rows by this seed: the same numbers for ever, on every machine and NumPy."""
    valid, test, _ = split_rows(30, 7, 0.1, 0.1)
    assert (valid.tolist(), test.tolist()) == ([8, 16, 29], [4, 23, 25])


def test_another_seed_gives_another_division() -> None:
    parts = {tuple(split_rows(100, seed, 0.1)[0]) for seed in range(50)}
    assert len(parts) == 50


def test_division_is_uniform() -> None:
    """Each of 20 rows is in the tenth with probability 0.1; 2,000 seeds, five standard errors: fails with p < 2e-5."""
    counts = np.zeros(20)
    for seed in range(2000):
        counts[split_rows(20, seed, 0.1)[0]] += 1
    assert np.abs(counts - 200).max() < 5 * np.sqrt(2000 * 0.1 * 0.9)


def test_groups_stay_together() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 500) * 10
    valid, train = split_rows(groups, 3, 0.1)
    assert not set(groups[valid]) & set(groups[train])
    assert sorted([*valid, *train]) == list(range(500))
    largest = np.unique(groups, return_counts=True)[1].max()
    assert 50 <= len(valid) < 50 + largest


def test_groups_of_one_are_the_same_as_rows() -> None:
    np.testing.assert_array_equal(split_rows(np.arange(57), 5, 0.2)[0], split_rows(57, 5, 0.2)[0])


def test_fingerprint_is_what_it_says() -> None:
    array = np.array([[1, 2, 3], [4, 5, 6]], np.int16)
    expected = hashlib.sha256(b"<i2(2, 3);" + bytes([1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0])).hexdigest()
    assert fingerprint(array) == expected
    assert fingerprint(array.astype(">i2")) == expected
    assert fingerprint(np.asfortranarray(array)) == expected
    assert fingerprint(np.repeat(array, 2, axis=1)[:, ::2]) == expected


def test_fingerprint_sees_every_change() -> None:
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    flipped = array.copy()
    flipped[1, 2] ^= 1
    variants: list[list[np.ndarray[Any, Any]]] = [
        [array], [array.reshape(3, 2)], [array.astype(np.int32)], [flipped], [array[:1], array[1:]], [array, array],
        [array[:1]],
    ]  # fmt: skip
    assert len({fingerprint(*arrays) for arrays in variants}) == len(variants)


def test_fingerprint_of_a_large_map_equals_that_of_the_array(tmp_path: Path) -> None:
    array = np.arange(6_000_000, dtype=np.float64).reshape(-1, 6)
    np.save(tmp_path / "x.npy", array)
    assert fingerprint(np.load(tmp_path / "x.npy", mmap_mode="r")) == fingerprint(array)


def _dataset() -> Dataset:
    info = Info("toy", (2,), Support("real"), class_names=("a", "b"), feature_names=("u", "v"), citation="@misc{x}")
    x = np.arange(20.0).reshape(10, 2)
    y = np.arange(10) % 2
    return make_dataset(info, {"train": (x[:6], y[:6]), "valid": (x[6:8], y[6:8]), "test": (x[8:], None)})


def test_parts_of_a_dataset() -> None:
    dataset = _dataset()
    assert dataset.train.valid is dataset.valid
    assert dataset.valid.valid is None
    assert [len(split) for split in (dataset.train, dataset.valid, dataset.test)] == [6, 2, 2]
    assert [split.name for split in (dataset.train, dataset.valid, dataset.test)] == ["train", "valid", "test"]
    assert dataset.info is dataset.train.info is dataset.test.info
    assert len(dataset.info.fingerprint) == 64
    assert repr(dataset) == "Dataset(toy: 6 / 2 / 2 rows of 2, real)"
    assert repr(dataset.train) == "Split(toy train: 6 × 2 float64, real, 2 classes)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.train.name = "test"  # type: ignore[misc]  # that it cannot be assigned is the point


def test_fingerprint_of_a_dataset_covers_labels_and_order() -> None:
    dataset = _dataset()
    other = make_dataset(
        dataset.info,
        {"train": (dataset.train.x, 1 - np.asarray(dataset.train.y)), "valid": (dataset.valid.x, dataset.valid.y),
         "test": (dataset.test.x, None)},
    )  # fmt: skip
    assert other.info.fingerprint != dataset.info.fingerprint


def test_info_survives_json() -> None:
    info = _dataset().info
    again = Info.from_json(json.loads(json.dumps(info.to_json())))
    assert again == info


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"name": 3},
        {"name": None},
        {"support": None},
        {"support": "real"},
        {"event_shape": [2.0]},
        {"event_shape": [-1]},
        {"event_shape": None},
        {"event_shape": "22"},
        {"class_names": [1]},
        {"class_names": "ab"},
        {"feature_names": {"a": 1}},
        {"citation": []},
    ],
)
def test_descriptions_of_nothing_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"this is no description of a data set|a support is an object"):
        Info.from_json({**_dataset().info.to_json(), **change})
    with pytest.raises(DataError):
        Info.from_json({"name": "x"})


def test_a_split_shows_no_rows() -> None:
    split = Split(np.zeros((3, 8, 8), np.uint8), None, Info("x", (8, 8), Support("levels", 17)), "test")
    assert repr(split) == "Split(x test: 3 × 8 × 8 uint8, levels:17, no labels)"

"""Array files of the user's own: .npy, .npz, idx, and what is refused."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentia import data
from latentia.errors import CorruptedError, DataError, StorageError

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 6, 5), np.uint8)
TABLE = np.random.default_rng(1).normal(size=(50, 3))


def _rows(dataset: data.Dataset) -> np.ndarray[Any, Any]:
    return np.concatenate([dataset.train.x, dataset.valid.x, dataset.test.x])


def _sorted(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    flat = rows.reshape(len(rows), -1)
    return flat[np.lexsort(flat.T)]


class TestNpy:
    def test_images_are_divided(self, tmp_path: Path) -> None:
        np.save(tmp_path / "my images.npy", IMAGES)
        dataset = data.load(tmp_path / "my images.npy")
        assert repr(dataset) == "Dataset(my images: 40 / 5 / 5 rows of 6 × 5, levels:256)"
        assert dataset.info.split == "80/10/10 by chance with seed 0"
        assert dataset.info.licence == "unknown"
        assert dataset.train.y is None
        np.testing.assert_array_equal(_sorted(_rows(dataset)), _sorted(IMAGES))
        valid, test, train = data.split_rows(50, 0, 0.1, 0.1)
        np.testing.assert_array_equal(dataset.valid.x, IMAGES[valid])
        np.testing.assert_array_equal(dataset.test.x, IMAGES[test])
        np.testing.assert_array_equal(dataset.train.x, IMAGES[train])

    def test_seed_and_text_paths(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        np.save(tmp_path / "x.npy", TABLE)
        monkeypatch.chdir(tmp_path)
        first, second = data.load("x.npy", seed=3), data.load("./x.npy", seed=3)
        assert first.info == second.info
        assert first.info.split == "80/10/10 by chance with seed 3"
        assert data.load("x.npy").info.fingerprint != first.info.fingerprint

    @pytest.mark.parametrize(
        ("array", "support", "kind"),
        [
            (TABLE, "real", np.float64),
            (TABLE.astype(np.float32), "real", np.float32),
            (TABLE.astype(">f8"), "real", np.float64),
            (TABLE > 0, "binary", np.uint8),
            ((TABLE > 0).astype(np.int64), "binary", np.uint8),
            (IMAGES.astype(np.int64), "real", np.float64),
            (IMAGES.astype(np.uint16), "real", np.float32),
        ],
    )
    def test_support_by_the_rule(self, tmp_path: Path, array: np.ndarray[Any, Any], support: str, kind: type) -> None:
        np.save(tmp_path / "x.npy", array)
        dataset = data.load(tmp_path / "x.npy")
        assert str(dataset.info.support) == support
        assert dataset.train.x.dtype == kind
        np.testing.assert_array_equal(_sorted(_rows(dataset)), _sorted(array))

    def test_support_as_told(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", IMAGES.astype(np.int64))
        dataset = data.load(tmp_path / "x.npy", support="levels:256")
        assert dataset.train.x.dtype == np.uint8
        with pytest.raises(DataError, match=r"^x has values from 0 to 255 .*the support 'levels:17' allows only"):
            data.load(tmp_path / "x.npy", support="levels:17")

    def test_missing_values_stay(self, tmp_path: Path) -> None:
        array = TABLE.copy()
        array[3, 1] = np.nan
        np.save(tmp_path / "x.npy", array)
        assert np.isnan(_rows(data.load(tmp_path / "x.npy"))).sum() == 1
        array[3, 1] = np.inf
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(DataError, match=r"for example inf\), but the support 'real' allows only finite numbers"):
            data.load(tmp_path / "x.npy")

    @pytest.mark.parametrize(
        ("array", "why"),
        [
            (np.zeros(5), r"has shape \(5,\), but rows are needed"),
            (np.array(3.0), r"has shape \(\), but rows are needed"),
            (np.zeros((0, 3)), "there is nothing in it"),
            (np.zeros((20, 0)), "there is nothing in it"),
            (np.array([["a"] * 3] * 20), "has type <U1, but numbers or truth values are needed"),
            (np.zeros((20, 2), complex), "has type complex128, but numbers"),
            (np.zeros((20, 3, 8, 8)), r"looks like channels first.*pass array\.transpose\(0, 2, 3, 1\)"),
            (np.zeros((20, 1, 8, 8)), "looks like channels first"),
            (np.zeros((9, 2)), r"x\.npy has 9 rows, but at least 10 are needed to divide them"),
        ],
    )
    def test_refused(self, tmp_path: Path, array: np.ndarray[Any, Any], why: str) -> None:
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(DataError, match=why):
            data.load(tmp_path / "x.npy")

    def test_one_channel_last_is_grey(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", IMAGES[..., None])
        assert data.load(tmp_path / "x.npy").info.event_shape == (6, 5)
        assert data.read(tmp_path / "x.npy")[0].shape == (50, 6, 5)
        assert data.read(tmp_path / "x.npy", mmap=True)[0].shape == (50, 6, 5)

    def test_colour_stays(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.zeros((20, 8, 8, 3), np.uint8))
        assert data.load(tmp_path / "x.npy").info.event_shape == (8, 8, 3)

    def test_label_makes_no_sense(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", TABLE)
        expected = r"label and drop name columns of a table, but x\.npy is none"
        with pytest.raises(DataError, match=expected):
            data.load(tmp_path / "x.npy", label="y")
        with pytest.raises(DataError, match=expected):
            data.load(tmp_path / "x.npy", drop=["y"])

    def test_objects_and_pickles(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.array([{}], object))
        with pytest.raises(StorageError, match="holds Python objects"):
            data.load(tmp_path / "x.npy")
        for name in ("x.pkl", "model.pt", "x.npy", "x.npz", "x.csv", "data", "x.parquet"):
            (tmp_path / name).write_bytes(pickle.dumps([1, 2]))
            for read in (data.load, data.read):
                with pytest.raises(StorageError, match="is a pickle, which runs code"):
                    read(tmp_path / name)

    def test_name_with_control_characters(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a\n\x1b[31mred.npy", TABLE)
        dataset = data.load(tmp_path / "a\n\x1b[31mred.npy")
        assert dataset.info.name == "a\\n\\x1b[31mred"
        assert "\x1b" not in repr(dataset) + dataset.info.description
        with pytest.raises(DataError) as caught:
            data.load(tmp_path / "\x1b[31m.npy")
        assert "\x1b" not in str(caught.value)


class TestNpz:
    def _load(self, path: Path, **arrays: Any) -> data.Dataset:
        np.savez(path / "x.npz", **arrays)
        return data.load(path / "x.npz")

    def test_one_array(self, tmp_path: Path) -> None:
        assert self._load(tmp_path, anything=IMAGES).info.event_shape == (6, 5)

    def test_x_and_y(self, tmp_path: Path) -> None:
        dataset = self._load(tmp_path, x=IMAGES, y=np.arange(50) % 3 + 5)
        assert dataset.info.class_names == ("5", "6", "7")
        assert dataset.train.y is not None
        for image, label in zip(dataset.train.x, dataset.train.y, strict=True):
            (row,) = np.flatnonzero((image == IMAGES).all((1, 2)))
            assert label == row % 3

    @pytest.mark.parametrize("names", [("train", "valid", "test"), ("x_train", "x_valid", "x_test")])
    def test_three_parts(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        dataset = self._load(tmp_path, **dict(zip(names, (TABLE[:30], TABLE[30:35], TABLE[35:]), strict=True)))
        assert dataset.info.split == "as in the file"
        np.testing.assert_array_equal(_rows(dataset), TABLE)
        assert len(dataset.valid) == 5

    def test_two_parts_with_labels(self, tmp_path: Path) -> None:
        labels = np.array(["dog", "cat"])[np.arange(50) % 2]
        dataset = self._load(
            tmp_path, train=TABLE[:40], test=TABLE[40:], train_labels=labels[:40], test_labels=labels[40:]
        )
        assert "a tenth of the training rows, by chance with seed 0" in dataset.info.split
        assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (36, 4, 10)
        assert dataset.info.class_names == ("cat", "dog")
        assert np.asarray(dataset.test.y).tolist() == [1, 0] * 5

    def test_class_that_only_one_part_has(self, tmp_path: Path) -> None:
        dataset = self._load(
            tmp_path, x_train=TABLE[:40], y_train=np.full(40, 7), x_test=TABLE[40:], y_test=np.full(10, 3)
        )
        assert dataset.info.class_names == ("3", "7")
        assert set(np.asarray(dataset.train.y)) == {1}
        assert set(np.asarray(dataset.test.y)) == {0}

    def test_supports_of_the_parts_are_joined(self, tmp_path: Path) -> None:
        grey = np.full((12, 4, 4), 9, np.uint8)
        dataset = self._load(tmp_path, train=grey, valid=grey * 0, test=grey)
        assert str(dataset.info.support) == "levels:256"
        real = self._load(tmp_path, train=TABLE, test=np.zeros((3, 3)))
        assert str(real.info.support) == "real"
        assert real.test.x.dtype == np.float64

    def test_chosen_arrays(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", images=IMAGES, kind=np.arange(50) % 2, person=np.arange(50))
        dataset = data.load(tmp_path / "x.npz", label="kind", drop=["person"])
        assert dataset.info.class_names == ("0", "1")
        rows, labels = data.read(tmp_path / "x.npz", label="kind", drop=["person"])
        np.testing.assert_array_equal(rows, IMAGES)
        np.testing.assert_array_equal(np.asarray(labels), np.arange(50) % 2)
        with pytest.raises(DataError, match=r"x\.npz holds images \(50, 6, 5\), kind \(50,\), person \(50,\), but x"):
            data.load(tmp_path / "x.npz")
        with pytest.raises(DataError, match=r"x\.npz has no array colour: it holds images"):
            data.load(tmp_path / "x.npz", label="colour")

    @pytest.mark.parametrize(
        ("arrays", "why"),
        [
            ({"x": IMAGES, "y": np.zeros(49)}, r"has 50 rows but labels of shape \(49,\)"),
            ({"x": IMAGES, "y": np.zeros((50, 1))}, r"labels of shape \(50, 1\)"),
            ({"x": IMAGES, "y": np.linspace(0, 1, 50)}, "labels are classes, but one is 0.0204"),
            ({"train": IMAGES, "test": IMAGES[:, 1:]}, "rows of different shapes"),
            ({"train": IMAGES[:5], "test": IMAGES}, "has 5 training rows, but at least 10"),
            ({"train": IMAGES, "valid": IMAGES}, "but x .* or train and test"),
            ({}, "holds no arrays"),
        ],
    )
    def test_refused(self, tmp_path: Path, arrays: dict[str, Any], why: str) -> None:
        with pytest.raises(DataError, match=why):
            self._load(tmp_path, **arrays)

    def test_parts_cannot_be_read_as_one(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", train=TABLE, test=TABLE)
        with pytest.raises(DataError, match="holds the parts train, test, but one set of rows is needed"):
            data.read(tmp_path / "x.npz")

    def test_missing_labels(self, tmp_path: Path) -> None:
        labels = np.arange(50) % 2 * 3.0
        labels[::5] = np.nan
        dataset = self._load(tmp_path, x=TABLE, y=labels)
        assert dataset.info.class_names == ("0", "3")
        codes = [np.asarray(split.y) for split in (dataset.train, dataset.valid, dataset.test)]
        assert np.bincount(np.concatenate(codes) + 1).tolist() == [10, 20, 20]


class TestIdx:
    DATA = b"\0\0\x08\3" + bytes([0, 0, 0, 50, 0, 0, 0, 6, 0, 0, 0, 5]) + IMAGES.tobytes()

    @pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "train-images.idx3-ubyte", "x.idx"])
    def test_read(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(gzip.compress(self.DATA) if name.endswith("gz") else self.DATA)
        rows, labels = data.read(tmp_path / name)
        np.testing.assert_array_equal(rows, IMAGES)
        assert labels is None
        assert data.load(tmp_path / name).info.name == name.split(".")[0]

    def test_truncated(self, tmp_path: Path) -> None:
        (tmp_path / "x.idx").write_bytes(self.DATA[:-1])
        with pytest.raises(CorruptedError, match="header says 1,500 bytes of values, but it has 1,499"):
            data.load(tmp_path / "x.idx")


class TestRead:
    def test_map_takes_no_memory(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", TABLE)
        rows, _ = data.read(tmp_path / "x.npy", mmap=True)
        assert isinstance(rows, np.memmap)
        assert not rows.flags.writeable
        np.testing.assert_array_equal(rows, TABLE)
        np.save(tmp_path / "x.npy", np.zeros(3))
        with pytest.raises(DataError, match="rows are needed"):
            data.read(tmp_path / "x.npy", mmap=True)

    def test_only_npy_is_mapped(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", TABLE)
        with pytest.raises(DataError, match=r"only \.npy files can be memory-mapped, but x\.npz came"):
            data.read(tmp_path / "x.npz", mmap=True)

    @pytest.mark.parametrize("name", ["x.txt", "x.smi", "x", "x.gz", "x.h5"])
    def test_unknown_kinds(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("hello")
        for read in (data.load, data.read):
            with pytest.raises(DataError, match=rf"{name} cannot be read as data: give \.npy, \.npz, \.csv"):
                read(tmp_path / name)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"x\.npy does not exist: check the path"):
            data.read(tmp_path / "x.npy")

"""The built-in data sets: facts about them that are known from elsewhere, and what is said when one is not here."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from latentia import data
from latentia.errors import DataError

NeedsData = Callable[[str], Path]

NAMES = [
    "digits",
    "mnist",
    "mnist_static",
    "fashion_mnist",
    "omniglot",
    "frey_faces",
    "cifar10_jpeg",
    "faces_expression",
]


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty LATENTIA_DATA and an empty cache."""
    monkeypatch.setenv("LATENTIA_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def _check(dataset: data.Dataset, rows: tuple[int, int, int]) -> None:
    info = dataset.info
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == rows
    for split in (dataset.train, dataset.valid, dataset.test):
        assert split.x.shape[1:] == info.event_shape
        assert split.x.dtype == np.uint8
        assert split.x.flags.writeable  # torch.from_numpy warns about others
        info.support.check(split.x)
        if info.class_names is None:
            assert split.y is None
        else:
            assert split.y is not None
            assert split.y.dtype == np.int64
            assert split.y.shape == (len(split),)
    assert info.licence
    assert info.citation.startswith("@")
    assert info.citation.count("{") == info.citation.count("}")
    assert "{'" not in info.citation  # an accent of TeX that lost its backslash
    assert info.homepage.startswith("http")
    assert "{seed}" not in info.split


class TestDigits:
    def test_facts(self) -> None:
        from sklearn.datasets import load_digits

        dataset = data.load("digits")
        _check(dataset, (1437, 180, 180))
        assert str(dataset.info.support) == "levels:17"
        assert dataset.info.class_names == tuple("0123456789")
        assert dataset.info.split == "80/10/10 by chance with seed 0; no split was published"
        # The same rows with the same labels, none lost and none twice.
        splits = (dataset.train, dataset.valid, dataset.test)
        found = np.concatenate([np.column_stack([s.x.reshape(-1, 64), np.asarray(s.y)]) for s in splits])
        bunch = load_digits()
        expected = np.column_stack([bunch.data, bunch.target])
        np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])

    def test_seed_decides(self) -> None:
        first, again, other = data.load("digits"), data.load("digits"), data.load("digits", seed=1)
        np.testing.assert_array_equal(first.test.x, again.test.x)
        assert first.info == again.info
        assert first.info.fingerprint != other.info.fingerprint
        assert other.info.split.startswith("80/10/10 by chance with seed 1")
        with pytest.raises(DataError, match="seed is -1, but it must be at least 0"):
            data.load("digits", seed=-1)

    def test_other_support(self) -> None:
        dataset = data.load("digits", support="real")
        assert str(dataset.info.support) == "real"
        assert dataset.train.x.dtype == np.float32
        assert dataset.train.info.support == dataset.test.info.support
        with pytest.raises(DataError, match=r"the train part of digits has values from 0 to 16 .* allows only 0 and 1"):
            data.load("digits", support="binary")

    def test_columns_make_no_sense_here(self) -> None:
        with pytest.raises(DataError, match="label and drop are for files, but digits is a built-in data set"):
            data.load("digits", label="y")


class TestRealData:
    def test_mnist(self, needs_data: NeedsData) -> None:
        needs_data("mnist")
        dataset = data.load("mnist", download=False)
        _check(dataset, (50_000, 10_000, 10_000))
        assert dataset.info.event_shape == (28, 28)
        train, valid, test = (np.asarray(s.y) for s in (dataset.train, dataset.valid, dataset.test))
        assert train[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]  # published: the first labels of both files
        assert test[:5].tolist() == [7, 2, 1, 0, 4]
        counts = np.bincount(np.concatenate([train, valid]))
        assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        mean = np.concatenate([dataset.train.x, dataset.valid.x]).mean() / 255
        assert abs(mean - 0.1307) < 5e-5  # the figure that everybody normalises with

    def test_mnist_loads_at_once(self, needs_data: NeedsData) -> None:
        needs_data("mnist")
        start = time.process_time()
        data.load("mnist", download=False)
        assert time.process_time() - start < 2.0

    def test_mnist_static(self, needs_data: NeedsData) -> None:
        needs_data("mnist_static")
        dataset = data.load("mnist_static")
        _check(dataset, (50_000, 10_000, 10_000))
        assert str(dataset.info.support) == "binary"
        # A sample of MNIST: as much ink on average; the outer frame is empty, the middle is not.
        assert abs(dataset.test.x.mean() - 0.1325) < 0.002
        assert dataset.train.x[:, [0, 27]][:, :, [0, 27]].max() == 0
        assert dataset.train.x[:, 0].mean() < 1e-4
        assert dataset.train.x[:, 12:16, 12:16].mean() > 0.4

    def test_omniglot(self, needs_data: NeedsData) -> None:
        needs_data("omniglot")
        dataset = data.load("omniglot")
        _check(dataset, (17_352, 1_928, 13_180))
        assert dataset.info.class_names is not None
        assert len(dataset.info.class_names) == 50
        train, valid, test = (set(np.asarray(s.y).tolist()) for s in (dataset.train, dataset.valid, dataset.test))
        assert train == valid
        assert len(train) == 30
        assert len(test) == 20
        assert not train & test
        known = {dataset.info.class_names[label] for label in test}
        assert {"Angelic", "Kannada", "ULOG"} <= known  # published as evaluation alphabets
        assert 0.05 < dataset.train.x.mean() < 0.15  # ink is 1

    def test_frey_faces(self, needs_data: NeedsData) -> None:
        needs_data("frey_faces")
        dataset = data.load("frey_faces")
        _check(dataset, (1_573, 196, 196))
        rows = np.concatenate([s.x for s in (dataset.train, dataset.valid, dataset.test)])
        assert (rows.min(), rows.max()) == (8, 238)

    def test_cifar10_jpeg(self, needs_data: NeedsData) -> None:
        needs_data("cifar10_jpeg")
        dataset = data.load("cifar10_jpeg")
        _check(dataset, (2_700, 300, 600))
        assert dataset.info.event_shape == (32, 32, 3)
        assert np.bincount(np.asarray(dataset.test.y)).tolist() == [60] * 10

    def test_faces_expression(self, needs_data: NeedsData) -> None:
        folder = needs_data("faces_expression")
        dataset = data.load("faces_expression")
        rows = (len(dataset.train), len(dataset.valid), len(dataset.test))
        assert sum(rows) == 4000
        assert 320 <= rows[1] <= 320 + 163  # the most pictures of one person
        _check(dataset, rows)
        # Nobody appears in two parts. Rows are told by their bytes.
        with np.load(folder / "faces_64x64.npz") as arrays:
            person = dict(zip((x.tobytes() for x in arrays["train_images"]), arrays["train_person"], strict=True))
        people = [{int(person[x.tobytes()]) for x in split.x} for split in (dataset.train, dataset.valid)]
        assert not people[0] & people[1]

    @pytest.mark.parametrize("name", ["mnist_static", "omniglot", "frey_faces", "cifar10_jpeg", "faces_expression"])
    def test_another_file_under_the_name_is_refused(self, needs_data: NeedsData, nothing_here: Path, name: str) -> None:
        (file,) = [file.name for file in _source(name).files]
        folder = nothing_here / "mine" / name
        folder.mkdir(parents=True)
        np.savez(folder / file, other=np.zeros(3))
        with pytest.raises(DataError, match=r"\.npz holds other, but .* are needed"):
            data.load(name)


def _source(name: str) -> data.Source:
    from latentia.data import registry

    source = registry.find(name)
    assert source is not None
    return source


class TestNotHere:
    def test_names(self) -> None:
        assert data.names()[: len(NAMES)] == NAMES

    @pytest.mark.parametrize("name", ["mnist_static", "omniglot", "frey_faces", "cifar10_jpeg", "faces_expression"])
    def test_one_sentence_says_which_file_goes_where(self, nothing_here: Path, name: str) -> None:
        with pytest.raises(DataError) as caught:
            data.load(name)
        text = str(caught.value)
        assert (
            f"the data set {name} is not here: put {_source(name).files[0].name} into {nothing_here}/mine/{name}/"
            in text
        )
        assert "\n" not in text
        assert text.endswith(")")  # and what is in the file

    def test_without_the_variable_it_is_named(self, nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LATENTIA_DATA")
        expected = r"set LATENTIA_DATA to a folder of yours and put freyfaces\.npz into \$LATENTIA_DATA/frey_faces/ \("
        with pytest.raises(DataError, match=expected):
            data.load("frey_faces")

    def test_download_can_be_forbidden(self, nothing_here: Path) -> None:
        with pytest.raises(DataError, match=r"mnist is not here: put train-images-idx3-ubyte\.gz, .* into"):
            data.load("mnist", download=False)
        assert not (nothing_here / "cache").exists()

    def test_file_of_another_set_under_the_same_name(self, nothing_here: Path) -> None:
        """MNIST and Fashion-MNIST call their files the same: a swap must not go unseen."""
        folder = nothing_here / "mine" / "mnist"
        folder.mkdir(parents=True)
        (folder / "train-images-idx3-ubyte.gz").write_bytes(b"fashion")
        expected = r"train-images-idx3-ubyte\.gz is not the published file \(its sha256 differs\)"
        with pytest.raises(DataError, match=expected):
            data.load("mnist", download=False)

    def test_unknown_name(self) -> None:
        with pytest.raises(
            DataError, match=r"no data set or file mnits: did you mean mnist\? Known are digits, mnist,"
        ):
            data.load("mnits")
        with pytest.raises(DataError, match=r"no data set or file zzz: known are digits, .*or give a path"):
            data.load("zzz")
        with pytest.raises(DataError, match=r"a/mnist\.npz does not exist: check the path"):
            data.load("a/mnist.npz")

    def test_list(self, nothing_here: Path) -> None:
        rows = {row.name: row for row in data.describe()}
        assert list(rows)[: len(NAMES)] == NAMES
        assert rows["digits"] == data.Row(
            "digits", "8 × 8", "levels:17", "1,437 / 180 / 180", True, "comes with scikit-learn"
        )
        assert rows["cifar10_jpeg"].shape == "32 × 32 × 3"
        assert not rows["mnist"].present
        assert rows["mnist"].where == "downloaded at first use from ossci-datasets.s3.amazonaws.com"
        assert rows["omniglot"].where.startswith(f"put omniglot_28x28.npz into {nothing_here}/mine/omniglot/")
        (nothing_here / "mine" / "omniglot").mkdir(parents=True)
        (nothing_here / "mine" / "omniglot" / "omniglot_28x28.npz").write_bytes(b"")
        row = {row.name: row for row in data.describe()}["omniglot"]
        assert (row.present, row.where) == (True, str(nothing_here / "mine" / "omniglot"))

    def test_a_name_is_given_once(self) -> None:
        with pytest.raises(DataError, match="the name 'digits' is taken"):
            data.register(_source("digits"))


def test_importing_data_loads_nothing_heavy() -> None:
    heavy = ["torch", "sklearn", "pandas", "pooch", "PIL", "requests"]
    code = f"import sys, latentia.data; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""Tables: which columns are taken, what the labels become, and the traps of .csv files."""

from __future__ import annotations

import builtins
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from latentia import data
from latentia.errors import DataError, StorageError

FRAME = pd.DataFrame(
    {
        "length": np.linspace(0.1, 5.0, 20),
        "count": np.arange(20),
        "wild": np.arange(20) % 3 == 0,
        "kind": ["fox", "owl"] * 10,
    }
)


def _write(path: Path, frame: pd.DataFrame = FRAME) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["animals.csv", "animals.csv.gz", "animals.parquet", "ANIMALS.CSV"])
def test_columns_labels_and_names(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path / name)
    dataset = data.load(path, label="kind", drop=["wild"])
    assert dataset.info.feature_names == ("length", "count")
    assert dataset.info.class_names == ("fox", "owl")
    assert dataset.info.name == name.split(".")[0]
    assert dataset.info.event_shape == (2,)
    assert str(dataset.info.support) == "real"
    rows = np.concatenate([split.x for split in (dataset.train, dataset.valid, dataset.test)])
    labels = np.concatenate([np.asarray(split.y) for split in (dataset.train, dataset.valid, dataset.test)])
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 1])], FRAME[["length", "count"]].to_numpy())  # bit for bit
    np.testing.assert_array_equal(labels, rows[:, 1] % 2)


@pytest.mark.parametrize("name", ["animals.csv", "animals.parquet"])
def test_read_gives_a_frame_and_raw_labels(tmp_path: Path, name: str) -> None:
    rows, labels = data.read(_write(tmp_path / name), label="kind")
    assert isinstance(rows, pd.DataFrame)
    pd.testing.assert_frame_equal(rows, FRAME[["length", "count", "wild"]])
    assert np.asarray(labels).tolist() == FRAME["kind"].tolist()


def test_numbers_are_read_exactly(tmp_path: Path) -> None:
    """pandas' default parser is off by one unit in the last place for some numbers."""
    values = np.random.default_rng(0).normal(size=(2000, 1)) * 10.0 ** np.random.default_rng(1).integers(
        -300, 300, (2000, 1)
    )
    (tmp_path / "x.csv").write_text("a\n" + "\n".join(repr(float(value)) for value in values[:, 0]) + "\n")
    rows, _ = data.read(tmp_path / "x.csv")
    np.testing.assert_array_equal(np.asarray(rows), values)


def test_truth_values_make_a_binary_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": FRAME["wild"], "b": (FRAME["count"] % 2).astype(int)})
    dataset = data.load(_write(tmp_path / "x.csv", frame))
    assert str(dataset.info.support) == "binary"
    assert dataset.train.x.dtype == np.uint8


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_missing_numbers_stay_and_missing_labels_are_minus_one(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame(
        {
            "a": [1.5, None, 3.0, 4.0] * 5,
            "b": pd.array([1, 2, None, 4] * 5, "Int64"),
            "c": pd.array([1, 2, 3, 4] * 5, "Int64"),
            "d": pd.array([True, False, None, True] * 5, "boolean"),
            "y": ["u", "v", None, "v"] * 5,
        }
    )
    if name == "x.csv":
        frame = frame.drop(columns="d")  # text with an empty cell is not known to be truth values
    path = _write(tmp_path / name, frame)
    rows, labels = data.read(path, label="y")
    assert isinstance(rows, pd.DataFrame)
    assert rows.isna().sum().to_dict() == {"a": 5, "b": 5, "c": 0, **({"d": 5} if "d" in frame else {})}
    assert all(isinstance(kind, np.dtype) for kind in rows.dtypes)
    assert np.asarray(labels)[:4].tolist() == ["u", "v", None, "v"]
    dataset = data.load(path, label="y")
    assert dataset.info.class_names == ("u", "v")
    codes = np.concatenate([np.asarray(split.y) for split in (dataset.train, dataset.valid, dataset.test)])
    assert np.bincount(codes + 1).tolist() == [5, 5, 10]


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([3, 1, 10] * 7, ("1", "3", "10")),
        ([True, False, True] * 7, ("False", "True")),
        ([1.0, 2.0, None] * 7, ("1", "2")),
    ],
)
def test_labels_that_are_numbers(tmp_path: Path, values: list[Any], classes: tuple[str, ...]) -> None:
    dataset = data.load(_write(tmp_path / "x.csv", pd.DataFrame({"a": np.arange(21.0), "y": values})), label="y")
    assert dataset.info.class_names == classes
    for x, code in zip(dataset.train.x[:, 0], np.asarray(dataset.train.y), strict=True):
        value = values[int(x)]
        assert code == (-1 if value is None else sorted({v for v in values if v is not None}).index(value))


def test_text_is_refused_with_the_column_and_a_value(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv")
    expected = r"column kind of x\.csv holds text \(for example 'fox'\), but only numbers can be modelled: name such"
    with pytest.raises(DataError, match=expected):
        data.load(path)
    FRAME.assign(other="x", third="y").to_csv(path, index=False)
    with pytest.raises(
        DataError, match="can be modelled; nor do other, third hold numbers: name such columns in drop, or"
    ):
        data.load(path)
    (tmp_path / "y.csv").write_text("a,b\n" + "1,2\n" * 10 + "1,?\n")
    with pytest.raises(DataError, match=r"column b of y\.csv holds text \(for example '\?'\)"):
        data.load(tmp_path / "y.csv")


@pytest.mark.parametrize(
    "values", [pd.date_range("2026-01-01", periods=20), pd.Categorical(["a", "b"] * 10), [[1]] * 20]
)
def test_other_types_are_refused(tmp_path: Path, values: Any) -> None:
    frame = pd.DataFrame({"a": range(20), "b": values})
    with pytest.raises(DataError, match=r"column b of x\.parquet holds"):
        data.load(_write(tmp_path / "x.parquet", frame))


def test_column_of_nothing_but_missing_values_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n" + "1,\n2,\n" * 10)
    rows, _ = data.read(tmp_path / "x.csv")
    assert np.isnan(np.asarray(rows)[:, 1]).all()


def test_unknown_column(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv")
    with pytest.raises(
        DataError, match=r"x\.csv has no column knd: did you mean kind\? It has length, count, wild, kind"
    ):
        data.load(path, label="knd")
    with pytest.raises(DataError, match=r"has no column zzz: It has length"):
        data.load(path, drop=["zzz"])
    with pytest.raises(DataError, match="20 rows of 0 columns left"):
        data.load(path, drop=["length", "count", "wild"], label="kind")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no table separated by commas"),
        ("a;b\n1;2\n", "seems to be separated by ';': save it separated by commas"),
        ("a\tb\n1\t2\n", "seems to be separated by tabs"),
        ("1.5,2\n3,4\n", "the first line of x.csv holds numbers only, but the names of the columns are needed"),
        (",a\n0,1\n", "column 1 of x.csv has no name .*save the table with index=False"),
        ("a,a\n0,1\n", "two columns of x.csv are named a"),
        ("a,b\n1,2\n1,2,3\n", "is no table separated by commas: .*line 3"),
        ("a,b\n1,2,3\n1,2,3\n", "is no table separated by commas"),
        ("a,b\n", "has 0 rows of 2 columns"),
        ('a,b\n1,"2\n', "is no table separated by commas"),
    ],
)
def test_traps_of_csv(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=why):
        data.load(tmp_path / "x.csv")


def test_encodings(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("é,b\n".encode("utf-8-sig") + b"1,2\n" * 20)
    assert data.load(tmp_path / "x.csv").info.feature_names == ("é", "b")
    (tmp_path / "x.csv").write_bytes("é,b\n".encode("latin1") + b"1,2\n" * 20)
    with pytest.raises(DataError, match=r"x\.csv is not UTF-8 text: save it as UTF-8"):
        data.load(tmp_path / "x.csv")


def test_names_of_columns_are_safe_to_show(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('"a\x1b[2J",b\n' + "1,2\n" * 20)
    assert data.load(tmp_path / "x.csv").info.feature_names == ("a\\x1b[2J", "b")


def test_a_web_address_is_no_path() -> None:
    with pytest.raises(DataError, match="does not exist: check the path"):
        data.load("http://127.0.0.1:9/x.csv")


class TestParquet:
    @pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"hello"])
    def test_damaged(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.parquet").write_bytes(content)
        with pytest.raises(DataError, match=r"x\.parquet is no \.parquet file or is damaged"):
            data.load(tmp_path / "x.parquet")

    def test_bomb(self, tmp_path: Path) -> None:
        """A column of one value a hundred million times over takes a few kilobytes on the disk."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        block = pa.table({"a": pa.array(np.zeros(10_000_000))})
        with pq.ParquetWriter(tmp_path / "x.parquet", block.schema, compression="zstd") as writer:
            for _ in range(10):
                writer.write_table(block)
        assert (tmp_path / "x.parquet").stat().st_size < 500_000
        with pytest.raises(DataError, match=r"x\.parquet unpacks to about 800,000,000 bytes, but at most 256,000,000"):
            data.load(tmp_path / "x.parquet")

    def test_saved_index_is_no_column(self, tmp_path: Path) -> None:
        FRAME.set_index("kind").to_parquet(tmp_path / "x.parquet")
        assert data.load(tmp_path / "x.parquet").info.feature_names == ("length", "count", "wild")


def test_without_pandas_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path / "x.csv")
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r'reading x\.csv needs pandas: pip install "latentia\[tables\]"'):
        data.load(path)


def test_gzip_bomb(tmp_path: Path) -> None:
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 70_000_000))
    with pytest.raises(StorageError, match="holds more than 256,000,000 bytes when unpacked"):
        data.load(tmp_path / "x.csv.gz")

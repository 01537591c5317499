"""Files of any size: rows come and go in chunks, and an output is whole or not there."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from latentia.cli.inputs import Rows, read_rows, rows_per_chunk
from latentia.cli.outputs import output, write_array, write_pictures
from latentia.data import Support
from latentia.errors import ConfigError, DataError, StorageError
from tests.cli.commands import environment

_PEAK = """
import resource, sys
from latentia.cli import main
small, *arguments = sys.argv[1:]
assert main([small if word == "LARGE" else word for word in arguments]) == 0
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert main([sys.argv[1].replace("small", "large") if word == "LARGE" else word for word in arguments]) == 0
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_memory_does_not_grow_with_the_file(verb: str, fitted: Path, tmp_path: Path) -> None:
    """150,000 rows are 77 MB as they lie in the file, or as they are written; a tenth of that is allowed."""
    shape, dtype = ((150_000, 2), np.float32) if verb == "decode" else ((150_000, 8, 8), np.float64)
    np.save(tmp_path / "small.npy", np.zeros((25_000, *shape[1:]), dtype))
    np.save(tmp_path / "large.npy", np.zeros(shape, dtype))
    out = tmp_path / "out.npy"
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(tmp_path / "small.npy"), verb, str(fitted), "LARGE", "--overwrite",
         f"--out={out}", "--quiet", "--json" ],
        capture_output=True, env=environment(), timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert len(np.load(out, mmap_mode="r")) == len(np.load(tmp_path / "large.npy", mmap_mode="r"))
    assert float(done.stdout.decode().splitlines()[-1]) < 8


def test_rows_come_in_order_whatever_the_layout(tmp_path: Path) -> None:
    values = np.arange(60, dtype=">i2").reshape(10, 3, 2)
    for order in ("C", "F"):
        path = tmp_path / f"{order}.npy"
        np.save(path, np.asarray(values, order=order))
        rows = read_rows(path, None, ())
        assert len(rows) == 10
        for size in (1, 3, 10, 99):
            chunks = list(rows.chunks(size))
            assert all(len(chunk) <= size for chunk in chunks)
            np.testing.assert_array_equal(np.concatenate(chunks), values)
    np.testing.assert_array_equal(np.concatenate(list(Rows(values).chunks(4))), values)


def test_tables_stay_tables(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    path = tmp_path / "t.csv"
    path.write_text("a,b,kind\n1,2,x\n3,4,y\n5,6,x\n")
    rows = read_rows(path, "kind", ("b",))
    chunks = list(rows.chunks(2))
    assert all(isinstance(chunk, pd.DataFrame) for chunk in chunks)
    assert [list(chunk["a"]) for chunk in chunks] == [[1, 3], [5]]
    assert list(chunks[0].columns) == ["a"]


def test_no_rows_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 8)))
    np.save(tmp_path / "scalar.npy", np.float64(3))
    for name in ("none.npy", "scalar.npy"):
        with pytest.raises(DataError, match="holds no rows"):
            read_rows(tmp_path / name, None, ())
    with pytest.raises(DataError, match="there is no file"):
        read_rows(tmp_path / "nothing.npy", None, ())


def test_chunks_are_bounded_in_rows_and_bytes() -> None:
    assert rows_per_chunk(64) == 10_000
    assert rows_per_chunk(3 * 256 * 256) * 3 * 256 * 256 * 4 <= 32 << 20
    assert rows_per_chunk(10**12) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_arrays_are_written_as_numpy_would(dtype: type, tmp_path: Path) -> None:
    values: np.ndarray = np.random.default_rng(0).normal(size=(7, 3, 2)).astype(dtype)
    write_array(tmp_path / "x.npy", [values[:4], values[4:]], 7, lambda _: [])
    np.save(tmp_path / "y.npy", values)
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_tables_read_back_to_the_same_numbers(dtype: type, tmp_path: Path) -> None:
    values: np.ndarray = (np.random.default_rng(0).normal(size=(5, 2)) * 100).astype(dtype)
    write_array(tmp_path / "x.csv", [values[:2], values[2:]], 5, lambda count: [f"c{i}" for i in range(count)])
    assert (tmp_path / "x.csv").read_text().startswith("c0,c1\n")
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "x.csv", delimiter=",", skiprows=1, dtype=dtype), values)


def test_an_output_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "x.npy"

    def write_half(failure: BaseException) -> None:
        with output(path) as file:
            file.write(b"half")
            raise failure

    with pytest.raises(StorageError, match="the disk is full; nothing was changed"):
        write_half(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(KeyboardInterrupt):
        write_half(KeyboardInterrupt())
    with pytest.raises(StorageError, match="needs 3 rows, but 2 came"):
        write_array(path, [np.zeros((2, 2))], 3, lambda _: [])
    assert list((tmp_path / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"), output(tmp_path / "file" / "x.npy"):
        pass


def test_a_picture_of_ten_thousand(tmp_path: Path) -> None:
    from PIL import Image

    items = np.zeros((10_000, 8, 8), dtype=np.uint8)
    items[-1] = 1
    path = tmp_path / "x.png"
    write_pictures(path, items, Support("binary"))
    with Image.open(path) as picture:
        assert picture.size == (899, 899)
        assert picture.getpixel((898, 898)) == 255
        assert picture.getpixel((0, 0)) == 0
        assert picture.getpixel((8, 8)) == 128  # the gap
    with pytest.raises(ConfigError, match="10,001 images of 8 × 8 are too many"):
        write_pictures(path, np.zeros((10_001, 8, 8)), Support("binary"))
    with pytest.raises(ConfigError, match="rows of shape 5 are no images"):
        write_pictures(path, np.zeros((2, 5)), Support("real"))


def test_colour_pictures(tmp_path: Path) -> None:
    from PIL import Image

    items = np.zeros((3, 2, 4, 3), dtype=np.uint8)
    items[1, 0, 0] = (255, 0, 51)
    write_pictures(tmp_path / "x.png", items, Support("levels", 256))
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.mode == "RGB"
        zoom = picture.size[0] // (2 * 4 + 1)
        colours = {
            picture.getpixel((x, y)) for x in range(0, picture.size[0], zoom) for y in range(0, picture.size[1], zoom)
        }
    assert colours == {(0, 0, 0), (255, 0, 51), (128, 128, 128)}

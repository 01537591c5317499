"""Faults 32, 33 and 34: array files that lie, explode or hold code are refused before memory is taken."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentia.errors import CorruptedError, StorageError
from latentia.storage import default_cap, read_idx, read_inflated, read_npy, read_npz

ARRAYS = [
    np.arange(12, dtype=np.uint8).reshape(3, 4),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.arange(12, dtype=">i4").reshape(3, 2, 2),
    np.array([True, False]),
    np.array(["a", "né"]),
    np.array([b"a", b"bc"]),
    np.array(3.5),
    np.zeros((0, 4), np.float32),
    np.array([1 + 2j]),
]


@contextmanager
def _little_memory(limit: int = 20_000_000) -> Iterator[None]:
    """Fail if more memory than this is taken, even for a moment; NumPy reports its arrays to tracemalloc."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def _npy(shape: str, descr: str = "'<f8'", data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + size + header + data


class TestNpy:
    @pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
    @pytest.mark.parametrize("mmap", [False, True])
    def test_returns_what_was_saved(self, tmp_path: Path, array: np.ndarray[Any, Any], mmap: bool) -> None:
        np.save(tmp_path / "x.npy", array)
        found = read_npy(tmp_path / "x.npy", mmap=mmap)
        np.testing.assert_array_equal(found, array, strict=False)
        assert found.shape == array.shape
        if not mmap:
            assert found.dtype == array.dtype.newbyteorder("=")
            assert found.flags.writeable
        elif array.size and array.ndim:
            assert isinstance(found, np.memmap)
            assert not found.flags.writeable

    def test_header_that_claims_four_terabytes(self, tmp_path: Path) -> None:
        (tmp_path / "x.npy").write_bytes(_npy("(500000000000,)", data=bytes(80)))
        for mmap in (False, True):
            expected = r"x\.npy is cut off: its header says 4,000,000,000,000 bytes of values, but it has 80"
            with _little_memory(), pytest.raises(CorruptedError, match=expected):
                read_npy(tmp_path / "x.npy", mmap=mmap)

    @pytest.mark.parametrize(
        "shape", ["(-1,)", "(2, -5)", f"({2**70},)", "(1.5,)", "('a',)", "3", "(" + "1," * 40 + ")", "(True,)"]
    )
    def test_shapes_that_are_none(self, tmp_path: Path, shape: str) -> None:
        (tmp_path / "x.npy").write_bytes(_npy(shape, data=bytes(80)))
        with pytest.raises(StorageError, match=r"x\.npy"):
            read_npy(tmp_path / "x.npy")

    @pytest.mark.parametrize("data", [bytes(79), bytes(81), b""])
    def test_file_of_another_length(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "x.npy").write_bytes(_npy("(10,)", data=data))
        with pytest.raises(CorruptedError, match=f"header says 80 bytes of values, but it has {len(data)}"):
            read_npy(tmp_path / "x.npy")

    @pytest.mark.parametrize("length", [0, 3, 6, 8, 9, 40])
    def test_header_cut_off(self, tmp_path: Path, length: int) -> None:
        (tmp_path / "x.npy").write_bytes(_npy("(10,)", data=bytes(80))[:length])
        with pytest.raises(StorageError, match=r"x\.npy is no \.npy file that can be read"):
            read_npy(tmp_path / "x.npy")

    def test_header_of_a_gigabyte_or_nested_deeply(self, tmp_path: Path) -> None:
        long = _npy("(1,)", version=b"\x02\x00").replace(b"(1,)", b"(" + b"1, " * 10_000 + b")")
        long = long[:8] + struct.pack("<I", len(long) - 12) + long[12:]
        deep = _npy("(" * 5000 + ")" * 5000)
        lying = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**30) + b"{}"
        for content in (long, deep, lying):
            (tmp_path / "x.npy").write_bytes(content)
            with _little_memory(), pytest.raises(StorageError, match=r"no \.npy file that can be read"):
                read_npy(tmp_path / "x.npy")

    def test_header_is_never_evaluated(self, tmp_path: Path) -> None:
        canary = tmp_path / "canary"
        (tmp_path / "x.npy").write_bytes(_npy(f"(open({str(canary)!r}, 'w').write('x'),)"))
        with pytest.raises(StorageError):
            read_npy(tmp_path / "x.npy")
        assert not canary.exists()

    def test_python_objects_and_other_types(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(StorageError, match=r"holds Python objects, .*would run code: save it with a numeric type"):
            read_npy(tmp_path / "x.npy")
        np.save(tmp_path / "x.npy", np.zeros(1, [("a", "f4"), ("b", object)]), allow_pickle=True)
        with pytest.raises(StorageError, match="holds Python objects"):
            read_npy(tmp_path / "x.npy")
        for array in (np.zeros(1, [("a", "f4")]), np.array(["2026-01-01"], "M8[D]"), np.zeros(1, "V4")):
            np.save(tmp_path / "x.npy", array)
            with pytest.raises(StorageError, match="but only numbers, truth values and strings are read"):
                read_npy(tmp_path / "x.npy")

    def test_cap(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.zeros(100))
        with pytest.raises(StorageError, match="holds 800 bytes, but at most 799 are allowed"):
            read_npy(tmp_path / "x.npy", max_bytes=799)
        assert read_npy(tmp_path / "x.npy", max_bytes=800).shape == (100,)
        assert read_npy(tmp_path / "x.npy", max_bytes=799, mmap=True).shape == (100,)

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"x\.npy cannot be read: No such file"):
            read_npy(tmp_path / "x.npy")


class TestNpz:
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_returns_what_was_saved(self, tmp_path: Path, save: Callable[..., None]) -> None:
        save(tmp_path / "x.npz", **{f"a{index}": array for index, array in enumerate(ARRAYS)})
        found = read_npz(tmp_path / "x.npz")
        assert list(found) == [f"a{index}" for index in range(len(ARRAYS))]
        for array, expected in zip(found.values(), ARRAYS, strict=True):
            np.testing.assert_array_equal(array, expected)
            assert array.shape == expected.shape

    def test_bomb_is_refused_before_anything_is_unpacked(self, tmp_path: Path) -> None:
        """1 GB of zeros in a file of 1 MB, and again with 2 × 600 MB, each alone under the cap."""
        path = tmp_path / "x.npz"
        for sizes in ([10**9], [600 * 10**6, 600 * 10**6]):
            with zipfile.ZipFile(path, "w") as archive:
                for index in range(len(sizes)):
                    info = zipfile.ZipInfo(f"a{index}.npy")
                    info.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(info, b"x")
            _claim(path, sizes)
            with _little_memory(), pytest.raises(StorageError, match=f"unpacks to {sum(sizes):,} bytes, but at most"):
                read_npz(path)

    def test_cap_of_the_sum_can_be_changed(self, tmp_path: Path) -> None:
        np.savez_compressed(tmp_path / "x.npz", a=np.zeros(10_000), b=np.zeros(10_000))
        with pytest.raises(StorageError, match=r"unpacks to 160,256 bytes, but at most 160,000 .*pass max_bytes="):
            read_npz(tmp_path / "x.npz", max_bytes=160_000)
        assert len(read_npz(tmp_path / "x.npz", max_bytes=160_256)) == 2

    def test_member_that_lies_about_its_size(self, tmp_path: Path) -> None:
        """The directory says 1,000 bytes, the stream holds 100 MB: no more than was said is unpacked."""
        path = tmp_path / "x.npz"
        content = _npy("(13107200,)", data=bytes(8 * 13_107_200))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", content)
        del content
        _claim(path, [1000])
        with (
            _little_memory(),
            pytest.raises(CorruptedError, match=r"Bad CRC-32|header says 104,857,600 bytes of values, but it has"),
        ):
            read_npz(path)

    def test_very_many_members(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            for index in range(1001):
                archive.writestr(f"{index}.npy", b"")
        with pytest.raises(StorageError, match="holds 1,001 arrays, but at most 1,000 are allowed"):
            read_npz(tmp_path / "x.npz")

    def test_directory_of_a_million_members_is_not_read(self, tmp_path: Path) -> None:
        entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0) + b"a.npy"
        directory = entry * 1_000_000
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), 0, 0)
        (tmp_path / "x.npz").write_bytes(directory + end)
        del directory
        with _little_memory(), pytest.raises(StorageError, match="too large: it lists too many arrays"):
            read_npz(tmp_path / "x.npz")

    @pytest.mark.parametrize("name", ["a.pkl", "a.txt", "a/", "a.npy/"])
    def test_members_that_are_no_arrays(self, tmp_path: Path, name: str) -> None:
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("x.npy", _npy("(1,)", data=bytes(8)))
            archive.writestr(name, b"")
        with pytest.raises(StorageError, match=r"holds a.*, but only plain \.npy arrays are read from a \.npz file"):
            read_npz(tmp_path / "x.npz")

    def test_pickled_objects_inside(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", a=np.zeros(1), b=np.array([{}], dtype=object))
        with pytest.raises(StorageError, match=r"b in .*x\.npz holds Python objects"):
            read_npz(tmp_path / "x.npz")

    def test_two_arrays_of_one_name(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("a.npy", _npy("(1,)", data=bytes(8)))
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr("a.npy", _npy("(1,)", data=bytes(8)))
        with pytest.raises(CorruptedError, match="two arrays named a"):
            read_npz(tmp_path / "x.npz")

    @pytest.mark.parametrize("length", [0, 10, 150, -30, -1])
    def test_cut_off(self, tmp_path: Path, length: int) -> None:
        np.savez(tmp_path / "x.npz", a=np.arange(20))
        content = (tmp_path / "x.npz").read_bytes()
        (tmp_path / "x.npz").write_bytes(content[:length])
        with pytest.raises(StorageError, match=r"x\.npz is (damaged or )?no \.npz file"):
            read_npz(tmp_path / "x.npz")

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_flipped_byte(self, tmp_path: Path, save: Callable[..., None]) -> None:
        save(tmp_path / "x.npz", a=np.random.default_rng(0).random(10_000))
        content = bytearray((tmp_path / "x.npz").read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(CorruptedError, match="is damaged or"):
            read_npz(tmp_path / "x.npz")


def _claim(path: Path, sizes: list[int]) -> None:
    """Write other sizes into the directory of an archive."""
    content = bytearray(path.read_bytes())
    position = -1
    for size in sizes:
        position = content.index(b"PK\1\2", position + 1)
        content[position + 24 : position + 28] = struct.pack("<I", size)
    path.write_bytes(content)


def _idx(array: np.ndarray[Any, Any], code: int) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


class TestIdx:
    @pytest.mark.parametrize(
        ("code", "kind"), [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
    )
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_every_type(self, tmp_path: Path, code: int, kind: str, pack: Callable[[bytes], bytes]) -> None:
        array = np.arange(-6, 18).reshape(2, 3, 4).astype(kind)
        (tmp_path / "x").write_bytes(pack(_idx(array, code)))
        found = read_idx(tmp_path / "x")
        np.testing.assert_array_equal(found, array)
        assert found.dtype == np.dtype(kind)
        assert found.flags.writeable

    def test_several_streams_and_padding(self, tmp_path: Path) -> None:
        """``gzip`` files may be joined, and tapes pad them with zeros."""
        data = _idx(np.arange(100, dtype=np.uint8), 8)
        (tmp_path / "x").write_bytes(gzip.compress(data[:50]) + bytes(7) + gzip.compress(data[50:]) + bytes(1000))
        np.testing.assert_array_equal(read_idx(tmp_path / "x"), np.arange(100))

    @pytest.mark.parametrize(
        "head", [b"", b"\0\0\x08", b"\0\0\x07\1", b"\0\0\x08\0", b"PK\3\4", b"\1\0\x08\1", b"\x89PNG\r\n"]
    )
    def test_wrong_magic(self, tmp_path: Path, head: bytes) -> None:
        (tmp_path / "x").write_bytes(head)
        with pytest.raises(StorageError, match=f"x is no idx file: it begins with {head[:4].hex(' ') or 'nothing'}"):
            read_idx(tmp_path / "x")

    @pytest.mark.parametrize("cut", [1, 5, 12])
    def test_truncated(self, tmp_path: Path, cut: int) -> None:
        data = _idx(np.arange(12, dtype=np.uint8).reshape(3, 4), 8)
        (tmp_path / "x").write_bytes(data[:-cut])
        expected = f"x is cut off: its header says 12 bytes of values, but it has {12 - cut}"
        with pytest.raises(CorruptedError, match=expected):
            read_idx(tmp_path / "x")
        (tmp_path / "x").write_bytes(data + bytes(cut))
        with pytest.raises(CorruptedError, match=f"header says 12 bytes of values, but it has {12 + cut}"):
            read_idx(tmp_path / "x")

    def test_header_cut_off(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"\0\0\x08\3\0\0\0\1")
        with pytest.raises(CorruptedError, match="16 bytes of header expected, 8 found"):
            read_idx(tmp_path / "x")

    def test_header_that_claims_too_much(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"\0\0\x0e\4" + b"\xff" * 16)
        with _little_memory(), pytest.raises(CorruptedError, match="is cut off: its header says 2"):
            read_idx(tmp_path / "x")

    @pytest.mark.parametrize("cut", [1, 8, 9, 40])
    def test_gzip_cut_off(self, tmp_path: Path, cut: int) -> None:
        content = gzip.compress(_idx(np.random.default_rng(0).integers(0, 255, 1000, np.uint8), 8))
        (tmp_path / "x").write_bytes(content[:-cut])
        with pytest.raises(CorruptedError, match="x is cut off: its gzip stream ends early"):
            read_idx(tmp_path / "x")

    @pytest.mark.parametrize("position", [-1, -8, 30])
    def test_gzip_damaged(self, tmp_path: Path, position: int) -> None:
        content = bytearray(gzip.compress(_idx(np.random.default_rng(0).integers(0, 255, 1000, np.uint8), 8)))
        content[position] ^= 0xFF
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(CorruptedError, match=r"x is (damaged|cut off)"):
            read_idx(tmp_path / "x")

    def test_gzip_bomb(self, tmp_path: Path) -> None:
        """300 MB of zeros in 0.3 MB: more than 500 times the size of the file, and more than 256 MB."""
        pack = zlib.compressobj(9, zlib.DEFLATED, 31)
        with (tmp_path / "x").open("wb") as file:
            for _ in range(300):
                file.write(pack.compress(bytes(10**6)))
            file.write(pack.flush())
        size = (tmp_path / "x").stat().st_size
        assert size < 0.4e6
        assert default_cap(size) == 256_000_000
        with (
            _little_memory(400_000_000),
            pytest.raises(StorageError, match="holds more than 256,000,000 bytes"),
        ):
            read_idx(tmp_path / "x")
        with _little_memory(4_000_000), pytest.raises(StorageError, match="holds more than 1,000 bytes when unpacked"):
            read_idx(tmp_path / "x", max_bytes=1000)


def test_cap_rule() -> None:
    assert default_cap(1) == 256_000_000
    assert default_cap(1_000_000) == 500_000_000
    assert default_cap(10**9) == 4_000_000_000


def test_plain_files_are_limited_on_request_only(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_inflated(tmp_path / "x") == b"12345"
    assert read_inflated(tmp_path / "x", max_bytes=5) == b"12345"
    with pytest.raises(StorageError, match="holds more than 4 bytes"):
        read_inflated(tmp_path / "x", max_bytes=4)


def test_all_of_numpys_header_versions(tmp_path: Path) -> None:
    for version in ((1, 0), (2, 0), (3, 0)):
        with io.BytesIO() as stream:
            np.lib.format.write_array(stream, np.arange(3), version=version)
            (tmp_path / "x.npy").write_bytes(stream.getvalue())
        np.testing.assert_array_equal(read_npy(tmp_path / "x.npy"), [0, 1, 2])


def _npy_bytes(array: np.ndarray[Any, Any]) -> bytes:
    with io.BytesIO() as stream:
        np.save(stream, array)
        return stream.getvalue()


def _npz_bytes(save: Callable[..., None], *arrays: np.ndarray[Any, Any]) -> bytes:
    with io.BytesIO() as stream:
        save(stream, *arrays)
        return stream.getvalue()


SAMPLE = np.arange(600, dtype=np.int16).reshape(20, 30)
SOUND: dict[str, tuple[Callable[[Path], object], bytes]] = {
    "npy": (read_npy, _npy_bytes(SAMPLE)),
    "npz": (read_npz, _npz_bytes(np.savez, SAMPLE, SAMPLE[:3])),
    "compressed npz": (read_npz, _npz_bytes(np.savez_compressed, SAMPLE, SAMPLE[:3])),
    "idx": (read_idx, _idx(SAMPLE, 0x0B)),
    "idx.gz": (read_idx, gzip.compress(_idx(SAMPLE, 0x0B))),
}


@pytest.mark.parametrize("kind", SOUND)
def test_any_damage_is_one_of_our_errors(tmp_path: Path, kind: str) -> None:
    """400 random damages: bytes changed, cut out, doubled or put in. Reading succeeds or refuses, never more."""
    read, sound = SOUND[kind]
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        data = bytearray(sound)
        for _ in range(int(rng.integers(1, 4))):
            # Half of the damage goes where headers and directories are.
            ends = [int(rng.integers(0, 80)), len(data) - 1 - int(rng.integers(0, 180))]
            position = int(rng.choice([*ends, *rng.integers(0, len(data), 2)]))
            position = min(max(position, 0), len(data) - 1)
            match rng.integers(0, 4):
                case 0 | 1:
                    data[position] = int(rng.integers(0, 256))
                case 2:
                    del data[position : position + int(rng.integers(1, 20))]
                case _:
                    data[position:position] = rng.bytes(int(rng.integers(1, 20)))
        (tmp_path / "x").write_bytes(data)
        try:
            read(tmp_path / "x")
        except StorageError:
            refused += 1
    assert refused > 200

"""Fault 37 and 38: JSON with limits, names that are safe to show; fault 35: pickles are refused."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from latentia.errors import CorruptedError, StorageError
from latentia.storage import parse_json, read_idx, read_json, read_npy, read_npz, refuse_pickle, show


def test_json_is_read(tmp_path: Path) -> None:
    content = {"a": [1, -2.5, True, None, "é\n"], "b": {"c": {}}}
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert read_json(tmp_path / "x.json") == content


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no valid JSON"),
        ("{", "no valid JSON"),
        ("{'a': 1}", "no valid JSON"),
        ("[NaN]", "NaN is not allowed"),
        ("[Infinity]", "Infinity is not allowed"),
        ("[-Infinity]", "-Infinity is not allowed"),
        ("[1e400]", "the number 1e400 is out of range"),
        ("[-1e999]", "out of range"),
        ("1" * 5000, "no valid JSON"),
        ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "the key 'b' stands there twice"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CorruptedError, match=rf"x\.json is no valid JSON: .*{'' if why == 'no valid JSON' else why}"):
        read_json(tmp_path / "x.json")


def test_json_depth() -> None:
    assert parse_json(b"[" * 32 + b"]" * 32, "x") is not None
    for depth in (33, 100_000):
        with pytest.raises(CorruptedError, match="x is nested more than 32 levels deep"):
            parse_json(b"[" * depth + b"]" * depth, "x")
        with pytest.raises(CorruptedError, match="x is nested more than 32 levels deep"):
            parse_json(b'{"a":' * depth + b"1" + b"}" * depth, "x")
    with pytest.raises(CorruptedError, match="more than 2 levels"):
        parse_json(b"[[[]]]", "x", max_depth=2)


def test_json_of_many_keys_is_fast() -> None:
    text = json.dumps({str(number): number for number in range(50_000)}).encode()
    start = time.process_time()
    assert len(parse_json(text, "x")) == 50_000
    assert time.process_time() - start < 2.0


def test_json_size_and_encoding(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'"' + b"a" * 98 + b'"')
    assert len(read_json(tmp_path / "x.json", max_bytes=100)) == 98
    with pytest.raises(StorageError, match=r"x\.json is larger than 99 bytes"):
        read_json(tmp_path / "x.json", max_bytes=99)
    (tmp_path / "x.json").write_bytes(b'"\xff"')
    with pytest.raises(CorruptedError, match="no valid JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(StorageError, match="cannot be read"):
        read_json(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é ✓", "plain é ✓"),
        ("a\nb\t", "a\\nb\\t"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\x9b2J", "\\x9b2J"),
        ("\udcff", "\\udcff"),
        ("x" * 201, "x" * 90 + "…" + "x" * 90),
    ],
)
def test_names_are_safe_to_show(text: str, shown: str) -> None:
    assert show(text) == shown


class _Canary:
    """A pickle of this makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def _torch_file(canary: _Canary, new: bool) -> bytes:
    with io.BytesIO() as stream:
        torch.save(canary, stream, _use_new_zipfile_serialization=new)
        return stream.getvalue()


class TestPickles:
    def _files(self, tmp_path: Path) -> dict[str, bytes]:
        canary = _Canary(tmp_path / "canary")
        files = {f"protocol{protocol}": pickle.dumps(canary, protocol) for protocol in range(6)}
        return {**files, "torch": _torch_file(canary, True), "old-torch": _torch_file(canary, False)}

    @pytest.mark.parametrize("suffix", [".pt", ".pkl", ".ckpt", ".joblib", ".npy", ".npz", ".csv", "-idx3-ubyte", ""])
    def test_every_kind_is_refused_under_every_name(self, tmp_path: Path, suffix: str) -> None:
        for name, content in self._files(tmp_path).items():
            path = tmp_path / f"{name}{suffix}"
            path.write_bytes(content)
            with pytest.raises(StorageError, match=r"is a pickle, which runs code .*convert it in the program"):
                refuse_pickle(path)
            for read in (read_npy, read_npz, read_idx):
                with pytest.raises(StorageError, match="is a pickle"):
                    read(path)
        assert not (tmp_path / "canary").exists()

    def test_the_canary_would_sing(self, tmp_path: Path) -> None:
        pickle.loads(self._files(tmp_path)["protocol4"])
        assert (tmp_path / "canary").exists()

    def test_joblib_and_compressed_pickles_by_their_names(self, tmp_path: Path) -> None:
        content = pickle.dumps(_Canary(tmp_path / "canary"))
        for name in ("x.joblib", "x.pkl.gz", "X.PKL.GZ", "x.pickle", "x.dill", "x.pth"):
            (tmp_path / name).write_bytes(gzip.compress(content))
            with pytest.raises(StorageError, match="is a pickle"):
                refuse_pickle(tmp_path / name)

    def test_advice_says_how_to_convert(self, tmp_path: Path) -> None:
        (tmp_path / "model.ckpt").write_bytes(b"")
        with pytest.raises(StorageError, match=r"safetensors\.torch\.save_file\(model\.state_dict\(\)"):
            refuse_pickle(tmp_path / "model.ckpt")
        (tmp_path / "data.pkl").write_bytes(b"")
        with pytest.raises(StorageError, match=r"numpy\.save\('data\.npy', array\)"):
            refuse_pickle(tmp_path / "data.pkl")

    @pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"I1\n", b"cos\nsystem\n", b"\x93NUMPY\x01\x00."])
    def test_other_files_pass(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.csv").write_bytes(content)
        refuse_pickle(tmp_path / "x.csv")

    def test_archives_of_arrays_pass(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("a.npy", b"")
        refuse_pickle(tmp_path / "x.npz")
        refuse_pickle(tmp_path / "missing")
        refuse_pickle(tmp_path)

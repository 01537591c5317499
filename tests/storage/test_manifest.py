"""Faults 4, 5 and 36: a damaged or malicious folder is refused and the file is named."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from latentia.errors import CorruptedError, StorageError
from latentia.storage import Manifest, open_folder, verify_folder, write_files

DATA = bytes(range(256)) * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path / "model", {"config.json": b"{}", "model.safetensors": DATA})
    return tmp_path / "model"


def _refused(folder: Path, match: str) -> None:
    """Expect both ways of reading to refuse the folder with the same words."""
    with pytest.raises(CorruptedError, match=match):
        verify_folder(folder)
    with pytest.raises(CorruptedError, match=match):
        open_folder(folder).read("model.safetensors", 10**6)


@pytest.mark.parametrize("position", [0, 511, 1023])
@pytest.mark.parametrize("bit", [0, 7])
def test_one_flipped_bit(folder: Path, position: int, bit: int) -> None:
    data = bytearray(DATA)
    data[position] ^= 1 << bit
    (folder / "model.safetensors").write_bytes(data)
    _refused(folder, r"model\.safetensors is damaged: its content differs .*use an earlier checkpoint or a copy")


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"\0"])
def test_another_length(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    _refused(folder, rf"model\.safetensors is damaged: it has {len(data):,} bytes, but the manifest says 1,024")


def test_missing_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    _refused(folder, r"model\.safetensors is missing")


def test_symbolic_link(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere")
    _refused(folder, r"model\.safetensors is a symbolic link, which is not opened")


def test_hard_link(folder: Path) -> None:
    os.link(folder / "model.safetensors", folder.parent / "elsewhere")
    _refused(folder, r"model\.safetensors is shared with another name \(a hard link\)")


def test_pipe_does_not_block(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    _refused(folder, r"model\.safetensors is no regular file")


def test_folder_in_the_place_of_a_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    _refused(folder, r"model\.safetensors is no regular file")


def test_file_that_becomes_a_pipe_between_look_and_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "model.safetensors"
    real = os.open

    def swapped(name: Any, *args: Any, **kwargs: Any) -> int:
        if Path(name) == path:
            path.unlink()
            os.mkfifo(path)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(CorruptedError, match="no regular file"):
        open_folder(folder).read("model.safetensors", 10**6)


@pytest.mark.parametrize("link", ["manifest.json", ".latentia-pending"])
def test_linked_manifest_or_pending_folder(folder: Path, tmp_path: Path, link: str) -> None:
    write_files(tmp_path / "evil", {"model.safetensors": b"evil"})
    if link == "manifest.json":
        (folder / link).unlink()
        (folder / link).symlink_to(tmp_path / "evil" / "manifest.json")
        with pytest.raises(CorruptedError, match=r"manifest\.json is a symbolic link"):
            open_folder(folder)
    else:
        (folder / link).symlink_to(tmp_path / "evil")
        assert open_folder(folder).read("model.safetensors", 10**6) == DATA


def _write_manifest(folder: Path, files: Any, **other: Any) -> None:
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "files": files, **other}))


GOOD = {"size": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "name",
    ["../secret", "..", "/etc/passwd", "a/../../b", "C:\\x", "a\0b", "~/x", ".hidden", "manifest.json", "a\x1b[2J"],
)
def test_names_outside_of_the_folder(folder: Path, name: str) -> None:
    _write_manifest(folder, {name: GOOD})
    with pytest.raises(CorruptedError, match="only plain file names inside the folder are allowed") as caught:
        open_folder(folder)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        [],
        None,
        {"size": -1, "sha256": "0" * 64},
        {"size": True, "sha256": "0" * 64},
        {"size": 1.0, "sha256": "0" * 64},
        {"size": 1, "sha256": "0" * 63},
        {"size": 1, "sha256": "G" * 64},
        {"size": 1, "sha256": 0},
    ],
)
def test_entries_that_say_nothing(folder: Path, entry: Any) -> None:
    _write_manifest(folder, {"a": entry})
    with pytest.raises(CorruptedError, match=r"manifest\.json is damaged: the entry of a needs a size and a sha256"):
        open_folder(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "files": []}', "\xff", "NaN"])
def test_manifest_that_is_none(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text, encoding="latin1")
    with pytest.raises(CorruptedError, match=r"manifest\.json is (damaged|no valid JSON)"):
        open_folder(folder)


def test_manifest_of_a_newer_version(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format": 2, "files": {}}')
    with pytest.raises(
        StorageError, match="has format 2, but this version of latentia reads format 1: update latentia"
    ):
        open_folder(folder)


def test_manifest_that_lists_very_many_files(folder: Path) -> None:
    _write_manifest(folder, {f"f{number}": GOOD for number in range(1001)})
    with pytest.raises(CorruptedError, match="lists 1001 files, but at most 1000"):
        open_folder(folder)
    _write_manifest(folder, {f"f{number}": GOOD for number in range(100_000)})
    with pytest.raises(CorruptedError, match=r"manifest\.json is larger than 1,048,576 bytes"):
        open_folder(folder)


@pytest.mark.parametrize("count", [100, pytest.param(100_000, marks=pytest.mark.slow)])
def test_unlisted_files_are_never_opened(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """However many unlisted files cost nothing, and the traps among them are not stepped on."""
    os.mkfifo(folder / "trap")  # opening it would block for ever
    (folder / "pickle.pkl").symlink_to("/dev/zero")
    for number in range(count):
        os.close(os.open(folder / f"f{number}", os.O_CREAT))
    opened = []
    real = os.open

    def logged(name: Any, *args: Any, **kwargs: Any) -> int:
        opened.append(Path(name).name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", logged)
    start = time.process_time()
    verify_folder(folder)
    assert time.process_time() - start < 1.0
    assert opened == ["manifest.json", "config.json", "model.safetensors"]
    shutil.rmtree(folder)


def test_read_refuses_unlisted_and_large_files_before_opening(folder: Path) -> None:
    (folder / "extra").write_bytes(b"x")
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    opened = open_folder(folder)
    with pytest.raises(StorageError, match=r"extra is not listed .*: it lists config\.json, model\.safetensors"):
        opened.read("extra", 100)
    with pytest.raises(StorageError, match="has 1,024 bytes, but at most 1,023 are allowed"):
        opened.read("model.safetensors", 1023)


def test_a_place_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"holds no saved model or checkpoint: it has no manifest\.json"):
        open_folder(tmp_path)
    with pytest.raises(StorageError, match="does not exist, but the folder of a saved model or run is needed"):
        open_folder(tmp_path / "x")
    (tmp_path / "x").write_text("")
    with pytest.raises(StorageError, match="is a file, but the folder of a saved model or run is needed"):
        open_folder(tmp_path / "x")


def test_a_manifest_is_the_same_text_for_the_same_files(folder: Path) -> None:
    manifest = open_folder(folder).manifest
    assert (folder / "manifest.json").read_bytes() == manifest.to_bytes()
    assert Manifest.from_bytes(manifest.to_bytes(), "m") == manifest
    assert Manifest(dict(reversed(list(manifest.files.items())))).to_bytes() == manifest.to_bytes()

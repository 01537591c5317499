"""What is written, in which order, and what happens when the disk says no."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from latentia.errors import CorruptedError, StorageError
from latentia.storage import check_writable, open_folder, prune, verify_folder, write_files, write_folder

# FIPS 180-2, appendix B.1
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("write", [write_files, write_folder])
def test_manifest_says_size_and_sha256(tmp_path: Path, write: Callable[..., None]) -> None:
    folder = tmp_path / "runs" / "x"
    write(folder, {"a.bin": b"abc", "b.bin": lambda file: file.write(b"abc")})
    entry = {"size": 3, "sha256": ABC}
    expected = {"format": 1, "files": {"a.bin": entry, "b.bin": entry}}
    assert json.loads((folder / "manifest.json").read_text()) == expected
    assert _names(folder) == {"a.bin", "b.bin", "manifest.json"}
    assert open_folder(folder).read("b.bin", 3) == b"abc"


def test_a_writer_may_seek_back(tmp_path: Path) -> None:
    def patched(file: BinaryIO) -> None:
        file.write(b"?bc")
        file.seek(0)
        file.write(b"a")

    write_files(tmp_path, {"a.bin": patched})
    assert verify_folder(tmp_path).files["a.bin"].sha256 == ABC


def test_unnamed_files_stay_and_stay_listed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_files(tmp_path, {"a": b"1", "b": b"2"})
    write_files(tmp_path, {"b": b"3"})
    assert list(verify_folder(tmp_path).files) == ["a", "b"]
    assert open_folder(tmp_path).read("b", 9) == b"3"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_without_manifest_files_are_replaced_and_not_listed(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"1"})
    write_files(tmp_path, {"report.html": b"old"}, manifest=False)
    write_files(tmp_path, {"report.html": b"new"}, manifest=False)
    assert list(verify_folder(tmp_path).files) == ["a"]
    assert (tmp_path / "report.html").read_bytes() == b"new"
    with pytest.raises(StorageError, match=r"a is listed in manifest\.json: it must be written with its manifest"):
        write_files(tmp_path, {"a": b"2"}, manifest=False)
    verify_folder(tmp_path)


def test_a_target_that_is_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "a").symlink_to(tmp_path / "precious")
    write_files(folder, {"a": b"1"})
    assert (tmp_path / "precious").read_text() == "precious"
    assert open_folder(folder).read("a", 9) == b"1"


def test_whole_folder_is_never_overwritten_while_intact(tmp_path: Path) -> None:
    folder = tmp_path / "step-000000001"
    write_folder(folder, {"a": b"1"})
    with pytest.raises(StorageError, match="already exists and is intact"):
        write_folder(folder, {"a": b"2"})
    assert open_folder(folder).read("a", 9) == b"1"
    write_folder(folder, {"a": b"3"}, replace=True)
    assert open_folder(folder).read("a", 9) == b"3"
    (folder / "a").write_bytes(b"4")
    write_folder(folder, {"a": b"5"})  # a damaged one gives way
    assert open_folder(folder).read("a", 9) == b"5"
    assert _names(tmp_path) == {"step-000000001"}


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a/b", ".hidden", "", "..", "a\nb", "manifest.json", "a" * 300])
@pytest.mark.parametrize("write", [write_files, write_folder])
def test_only_plain_names_are_written(tmp_path: Path, write: Callable[..., None], name: str) -> None:
    with pytest.raises(CorruptedError, match="only plain file names"):
        write(tmp_path / "x", {name: b""})
    assert _names(tmp_path) == set()


@pytest.mark.parametrize("write", [write_files, write_folder])
def test_everything_is_on_the_disk_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., None]
) -> None:
    events: list[tuple[str, int]] = []
    fsync, rename = os.fsync, os.rename

    def logged_fsync(descriptor: int) -> None:
        events.append(("fsync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def logged_rename(source: Any, target: Any) -> None:
        inodes = [path.stat().st_ino for path in (Path(source), *sorted(Path(source).rglob("*")))]
        assert {("fsync", inode) for inode in inodes} <= set(events)  # files, manifest and the folder that lists them
        rename(source, target)
        events.append(("rename", Path(target).parent.stat().st_ino))

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "rename", logged_rename)
    write(tmp_path / "x", {"a": b"1", "b": b"2"})
    renames = [position for position, event in enumerate(events) if event[0] == "rename"]
    assert len(renames) == 1
    assert ("fsync", events[renames[0]][1]) in events[renames[0] :]  # and the new name is brought to the disk after it


def test_files_are_moved_after_the_new_set_counts_and_the_manifest_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def logged_fsync(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == tmp_path.stat().st_ino:
            events.append("fsync")
        fsync(descriptor)

    def logged_rename(source: Any, target: Any) -> None:
        events.append(f"rename {Path(target).name}")
        rename(source, target)

    def logged_replace(source: Any, target: Any) -> None:
        events.append(f"move {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "rename", logged_rename)
    monkeypatch.setattr(os, "replace", logged_replace)
    write_files(tmp_path, {"z": b"1", "a": b"2"})
    # Without the first fsync a power cut could undo the rename and keep the moves.
    assert events == ["rename .latentia-pending", "fsync", "move a", "move z", "move manifest.json", "fsync"]


def _full(file: BinaryIO) -> None:
    file.write(b"x" * 1000)
    raise OSError(errno.ENOSPC, "No space left on device")


def _really_full(file: BinaryIO) -> None:
    file.write(b"x" * 1000)
    file.flush()
    with Path("/dev/full").open("wb", buffering=0) as device:
        device.write(b"x")


@pytest.mark.parametrize("writer", [_full, pytest.param(_really_full, id="/dev/full")])
@pytest.mark.parametrize("manifest", [True, False])
def test_disk_full_keeps_the_previous_files(tmp_path: Path, manifest: bool, writer: Callable[[BinaryIO], None]) -> None:
    if writer is _really_full and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    write_files(tmp_path, {"a": b"old", "b": b"old"}, manifest=manifest)
    with pytest.raises(StorageError, match=r"^disk full: .*MB needed in .*the previous content is kept"):
        write_files(tmp_path, {"a": b"new", "b": writer}, manifest=manifest)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert _names(tmp_path) == ({"a", "b", "manifest.json"} if manifest else {"a", "b"})


def test_disk_full_leaves_no_half_checkpoint(tmp_path: Path) -> None:
    write_folder(tmp_path / "step-1", {"a": b"old"})
    with pytest.raises(StorageError, match=r"^disk full"):
        write_folder(tmp_path / "step-2", {"a": b"new", "b": _full})
    assert _names(tmp_path) == {"step-1"}
    verify_folder(tmp_path / "step-1")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs the command mount")
    if done.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_real_full_disk_keeps_the_previous_checkpoint(small_disk: Path) -> None:
    parent = small_disk / "checkpoints"
    write_folder(parent / "step-1", {"a": b"1" * 1_000_000})
    expected = r"^disk full: 6\.0 MB needed in .*checkpoints, but 3\.\d MB are free; the previous content is kept"
    with pytest.raises(StorageError, match=expected):
        write_folder(parent / "step-2", {"a": b"2" * 6_000_000})
    assert _names(parent) == {"step-1"}
    verify_folder(parent / "step-1")
    write_files(small_disk / "model", {"a": b"1" * 1_000_000})
    with pytest.raises(StorageError, match=r"^disk full: more than"):
        write_files(small_disk / "model", {"a": lambda file: file.write(b"2" * 6_000_000)})
    assert open_folder(small_disk / "model").read("a", 1_000_000) == b"1" * 1_000_000
    with pytest.raises(StorageError, match=r"^disk full: 50\.0 MB needed"):
        check_writable(small_disk, needed_bytes=50_000_000)


def test_an_error_of_the_writer_itself_passes_through(tmp_path: Path) -> None:
    def broken(file: BinaryIO) -> None:
        raise ZeroDivisionError

    write_files(tmp_path, {"a": b"old"})
    with pytest.raises(ZeroDivisionError):
        write_files(tmp_path, {"a": broken})
    assert open_folder(tmp_path).read("a", 9) == b"old"
    assert _names(tmp_path) == {"a", "manifest.json"}


def test_check_writable_makes_the_folder_and_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "runs" / "x")
    assert _names(tmp_path / "runs" / "x") == set()


def test_check_writable_refuses_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(StorageError, match=r"cannot write to .*x: .*choose another folder"):
        check_writable(tmp_path / "x")
    with pytest.raises(StorageError, match=r"cannot write to .*choose another folder"):
        check_writable(tmp_path / "x" / "y")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_check_writable_refuses_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StorageError, match=f"cannot write to .*: {os.strerror(code)}; choose another folder"):
        check_writable(tmp_path)


def test_check_writable_refuses_a_folder_without_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere: the permission of a folder means nothing to it")
    tmp_path.chmod(0o555)
    with pytest.raises(StorageError, match="Permission denied"):
        check_writable(tmp_path)
    tmp_path.chmod(0o755)


# --- what is somebody else's ------------------------------------------------------------------------------------------

STRANGERS = (
    ".tmp-editor",
    ".old-photos",
    ".pending",
    ".tmp-1-0123abcd",
    ".latentia-tmp-mine",
    ".latentia-tmp-1-0123abcde",
    ".latentia-old-x-0123abcd",
)


def _strangers(folder: Path) -> None:
    for name in STRANGERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "letter.txt").write_text("dear")


def _assert_untouched(folder: Path) -> None:
    for name in STRANGERS:
        assert (folder / name / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("manifest", [True, False])
def test_hidden_folders_of_others_stay(tmp_path: Path, manifest: bool) -> None:
    _strangers(tmp_path)
    write_files(tmp_path, {"a": b"1"}, manifest=manifest)
    write_folder(tmp_path / "step-1", {"a": b"1"})
    prune(tmp_path)
    check_writable(tmp_path)
    _assert_untouched(tmp_path)
    assert not (tmp_path / "letter.txt").exists()


def test_a_file_beside_the_manifest_is_written_without_clearing_up(tmp_path: Path) -> None:
    write_files(tmp_path / "new", {"a": b"2"})
    write_files(tmp_path / "x", {"a": b"1"})
    (tmp_path / "new").rename(tmp_path / "x" / ".latentia-pending")
    (tmp_path / "x" / ".latentia-tmp-1-0123abcd").mkdir()
    write_files(tmp_path / "x", {"report.html": b""}, manifest=False)
    assert {".latentia-pending", ".latentia-tmp-1-0123abcd"} < _names(tmp_path / "x")
    with pytest.raises(StorageError, match="a is listed"):
        write_files(tmp_path / "x", {"a": b"3"}, manifest=False)
    assert open_folder(tmp_path / "x").read("a", 9) == b"2"


@pytest.mark.parametrize(
    "files",
    [
        {"letter.txt": "dear"},
        {"letter.txt": "dear", "manifest.json": '{"name": "a web page"}'},
        {"letter.txt": "dear", "manifest.json": '{"format": 1, "files": {}}'},
    ],
)
def test_a_pending_folder_that_no_write_of_ours_made_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    pending = tmp_path / ".latentia-pending"
    pending.mkdir()
    for name, text in files.items():
        (pending / name).write_text(text)
    with pytest.raises(StorageError, match=r"\.latentia-pending .*move it away"):
        write_files(tmp_path, {"a": b"1"})
    assert {path.name: path.read_text() for path in pending.iterdir()} == files
    assert _names(tmp_path) == {".latentia-pending"}

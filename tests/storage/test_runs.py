"""What is taken for a run of ours and removed with it, and what of other people's stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from latentia.errors import StorageError
from latentia.storage import (
    check_replaceable,
    holds_model,
    holds_training,
    remove_run,
    visible,
    write_files,
    write_folder,
)

MODEL = {"config.json": b"{}", "model.safetensors": b"w", "README.md": b"card"}
ROW = json.dumps({"epoch": 1, "step": 9, "train": {"elbo": -1.0}}) + "\n"


def _run(folder: Path) -> None:
    """Make a whole run: checkpoints, metrics, model, report and record."""
    for step in (9, 18):
        write_folder(folder / "checkpoints" / f"step-{step:09d}", {"state.json": b"{}", "model.safetensors": b"w"})
    (folder / "metrics.jsonl").write_text(ROW)
    for name in ("report.html", "run.json"):
        (folder / name).write_text("")
    write_files(folder, MODEL)


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_known_and_goes_whole(tmp_path: Path) -> None:
    _run(tmp_path)
    assert holds_model(tmp_path)
    assert holds_training(tmp_path)
    remove_run(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("manifest.json", '{"name": "My page", "icons": []}'),
        ("manifest.json", '{"format": 1, "files": {}}'),
        ("metrics.jsonl", '{"loss": 0.5}\n'),
        ("metrics.jsonl", "loss 0.5\n"),
        ("checkpoints/last.ckpt", "torch"),
        ("checkpoints/step-000000100/weights.pt", "torch"),
        ("config.json", "{}"),
        ("model.safetensors", "somebody's weights"),
        ("README.md", "my thesis"),
    ],
)
def test_files_of_others_with_our_names_are_no_run(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert not holds_model(tmp_path)
    assert not holds_training(tmp_path)
    remove_run(tmp_path)  # even if it is asked to
    assert path.read_text() == text


def test_a_run_beside_files_of_others_goes_alone(tmp_path: Path) -> None:
    strangers = {
        "notes.txt": b"mine",
        "checkpoints/best.ckpt": b"mine",
        "checkpoints/step-7-copy/model.safetensors": b"mine",
        "checkpoints/step-5/weights.pt": b"mine",
        ".tmp-editor/draft": b"mine",
        "seed-photos/1.png": b"mine",
    }
    for name, content in strangers.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    _run(tmp_path)
    remove_run(tmp_path)
    assert _content(tmp_path) == strangers


def test_only_listed_files_of_a_model_go(tmp_path: Path) -> None:
    write_files(tmp_path, {name: MODEL[name] for name in ("config.json", "model.safetensors")})
    (tmp_path / "README.md").write_text("my own")
    remove_run(tmp_path)
    assert _content(tmp_path) == {"README.md": b"my own"}


def test_a_damaged_checkpoint_goes_with_its_run_and_a_link_is_not_followed(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    _run(run)
    (run / "checkpoints" / "step-000000018" / "manifest.json").write_text("")
    _run(other)
    (run / "checkpoints" / "step-000000027").symlink_to(other / "checkpoints" / "step-000000018")
    before = _content(other)
    remove_run(run)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000000027"]
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "checkpoints").symlink_to(other / "checkpoints")
    assert not holds_training(linked)
    remove_run(linked)
    assert _content(other) == before


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / ".latentia-tmp-1-0123abcd").mkdir(parents=True)
    assert holds_training(tmp_path)
    (tmp_path / "lock").touch()
    assert visible(tmp_path) == {"checkpoints"}
    (tmp_path / "notes.txt").touch()
    assert not holds_training(tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    assert holds_training(tmp_path)
    remove_run(tmp_path)
    assert visible(tmp_path) == {"notes.txt"}


def test_a_model_is_written_over_a_model_only(tmp_path: Path) -> None:
    check_replaceable(tmp_path)
    check_replaceable(tmp_path / "absent")
    write_files(tmp_path, MODEL)
    check_replaceable(tmp_path)
    for name in ("README.md", "config.json", "model.safetensors", "manifest.json"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_text("{}")
        with pytest.raises(StorageError, match=rf"{name} is not a file of a model saved there, so it is not replaced"):
            check_replaceable(folder)

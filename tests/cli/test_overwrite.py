"""``fit --overwrite`` and ``--resume`` in folders of other tools: refused before anything is removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from latentia.cli import runs
from latentia.storage import write_files, write_folder
from tests.cli.commands import run

FIT = ("fit", "ppca", "digits", "--set", "latent_dim=2", "--no-baselines", "--no-report", "-q")


def _content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "metrics.jsonl",
        "model.safetensors",
        "run.json",
        "seeds.json",
        "checkpoints/step-000000100/weights.pt",
        "seed-photos/report.html",
        "seed-1/report.html",
    ],
)
def test_a_folder_of_another_tool_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text('{"theirs": 1}')
    outcome = run(*FIT, "--out", tmp_path, "--overwrite")
    assert outcome.code == 1
    assert "holds no run" in outcome.stderr
    assert _content(tmp_path) == {name: '{"theirs": 1}'}


def test_seeds_go_and_folders_with_similar_names_stay(tmp_path: Path) -> None:
    for name in ("seed-1", "seed-2", "seed-photos", "seed-3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.html").write_text(name)
    write_files(tmp_path / "seed-1", {"config.json": b"{}", "model.safetensors": b""})
    write_folder(tmp_path / "seed-2" / "checkpoints" / "step-1", {"state.json": b"{}"})
    summary = {"estimator": "vae", "data": "digits", "seeds": [], "summary": {}}
    (tmp_path / "seeds.json").write_text(json.dumps(summary))
    runs.check_run_folder(tmp_path, resume=False, overwrite=True)
    runs.remove_run(tmp_path)
    assert _content(tmp_path) == {f"{name}/report.html": name for name in ("seed-photos", "seed-3")}


def test_a_readme_in_the_way_is_told_before_the_fit(fitted: Path, tmp_path: Path) -> None:
    shutil.copytree(fitted / "checkpoints", tmp_path / "checkpoints")
    (tmp_path / "README.md").write_text("my own")
    outcome = run(*FIT, "--out", tmp_path, "--overwrite")
    assert outcome.code == 1
    assert "README.md is not a file of a model saved there" in " ".join(outcome.stderr.split())
    assert (tmp_path / "README.md").read_text() == "my own"
    assert (tmp_path / "checkpoints").is_dir()

"""Where a model may be saved: over a model, and never over anybody's own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import latentia as lt
from latentia.errors import StorageError
from tests.estimators.cases import levels, vae


@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors", "manifest.json"])
def test_files_of_a_project_are_not_replaced(tmp_path: Path, name: str) -> None:
    model = vae(max_epochs=1).fit(levels((30, 4, 4)))
    (tmp_path / name).write_text("# my own project")
    with pytest.raises(StorageError, match=rf"{name} is not a file of a model saved there.*choose another folder"):
        model.save(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "# my own project"}


def test_a_model_is_saved_over_a_model_and_into_its_run(tmp_path: Path) -> None:
    x = levels((30, 4, 4))
    model = vae(max_epochs=1, run_dir=tmp_path).fit(x)
    model.save(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    other = vae(max_epochs=2).fit(x)
    other.save(tmp_path)
    np.testing.assert_array_equal(lt.load(tmp_path, device="cpu").score_samples(x), other.score_samples(x))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_run_without_a_saved_model_says_how_to_go_on(tmp_path: Path) -> None:
    vae(max_epochs=1, run_dir=tmp_path).fit(levels((30, 4, 4)))
    with pytest.raises(StorageError, match=r"a run that has not ended.*--resume"):
        lt.load(tmp_path)

"""What earlier versions wrote is read by this one: models with the same scores, checkpoints with the same state.

The files lie in ``tests/golden/<version>``, made by ``tools/make_golden.py`` of that version and never again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import latentia as lt
from latentia.storage import holds_model, holds_training, latest_folder, verify_folder
from latentia.training.checkpoint import read_state
from tools import make_golden

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir())
MOST_BYTES = 300_000


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest) -> Path:
    return GOLDEN / str(request.param)


def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "expected.json").read_text())
    return content


def test_the_first_version_has_golden_files() -> None:
    assert "0.1.0" in VERSIONS


def test_every_file_is_intact_and_small(golden: Path) -> None:
    folders = [golden / "model", *(golden / "run" / "checkpoints").iterdir()]
    assert len(folders) == 2
    for folder in folders:
        listed = verify_folder(folder).files
        assert {path.name for path in folder.iterdir()} == {*listed, "manifest.json"}
    assert sum(path.stat().st_size for path in golden.rglob("*") if path.is_file()) < MOST_BYTES


def test_a_saved_model_scores_as_it_did(golden: Path) -> None:
    want = expected(golden)
    model = lt.load(golden / "model", device="cpu")
    rows = np.array(want["rows"], dtype=np.uint8)
    np.testing.assert_allclose(model.score_samples(rows), want["score_samples"], rtol=1e-5)
    np.testing.assert_allclose(model.transform(rows), want["mean"], rtol=1e-5, atol=1e-5)
    assert model.history_[-1]["train"]["elbo"] == pytest.approx(want["train_elbo"], rel=1e-12)
    assert (model.latent_dim, model.hidden, model.likelihood_name_) == (2, (8,), "binomial")


def test_a_checkpoint_is_read(golden: Path) -> None:
    want = expected(golden)
    assert holds_training(golden / "run")
    assert holds_model(golden / "model")
    folder, problems = latest_folder(golden / "run" / "checkpoints")
    assert folder is not None
    assert problems == []
    state = read_state(folder, 100_000)
    assert state.numbers["position"]["step"] == want["step"]
    assert state.history[-1]["train"]["elbo"] == pytest.approx(want["train_elbo"], rel=1e-12)
    assert set(state.tensors) == {"model", "best", "optim", "terms"}
    module = lt.load(golden / "model", device="cpu").module_
    assert all((value == state.tensors["best"][name]).all() for name, value in module.state_dict().items())


def test_a_run_is_resumed(golden: Path, tmp_path: Path) -> None:
    shutil.copytree(golden / "run", tmp_path / "run")
    model = make_golden.estimator(run_dir=tmp_path / "run", run_mode="resume-force", max_epochs=2)
    model.fit(lt.data.load("digits").train)
    assert model.n_iter_ == 2
    assert model.history_[0]["train"]["elbo"] == pytest.approx(expected(golden)["train_elbo"], rel=1e-12)
    assert model.history_[1]["train"]["elbo"] > model.history_[0]["train"]["elbo"]


def test_the_script_makes_what_is_tested(tmp_path: Path) -> None:
    make_golden.make(tmp_path / "made")
    made, kept = ({str(p.relative_to(f)) for p in f.rglob("*")} for f in (tmp_path / "made", GOLDEN / lt.__version__))
    assert made == kept

"""A stopped fit that is resumed is the fit that was never stopped: the same bytes in model.safetensors."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import latentia as lt
from latentia.errors import Interrupted, ResumeError
from tests.estimators.cases import Array, levels, raised, vae

stop_at = float("inf")


def schedule(epoch: float) -> float:
    """Fall from 1 to 1/10; on the way, in the middle of an epoch, send the signal that a scheduler sends."""
    global stop_at
    if epoch >= stop_at:
        stop_at = float("inf")
        os.kill(os.getpid(), signal.SIGTERM)
    return float(10.0 ** -(epoch / 8.0))


@pytest.fixture(autouse=True)
def _no_stop() -> None:
    global stop_at
    stop_at = float("inf")


def data() -> tuple[Array, Array]:
    return levels((70, 6, 6)), levels((20, 6, 6), seed=3)


def estimator(folder: Path | None, **changes: Any) -> lt.VAE:
    """Everything that has a state: dynamic binarisation, an average, a schedule, warm-up, patience, several samples."""
    settings: dict[str, Any] = {
        "binarize": "dynamic",
        "ema_decay": 0.9,
        "learning_rate_schedule": schedule,
        "learning_rate": 2e-2,
        "kl_warmup_epochs": 3,
        "patience": 3,
        "num_samples": 2,
        "batch_size": 8,
        "max_epochs": 8,
        "run_dir": folder,
    }
    return vae(**{**settings, **changes})


def sha256(model: Any, folder: Path) -> str:
    model.save(folder)
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def rows_of(model: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in model.history_]


@pytest.mark.parametrize("stops", [[0.01], [2.4], [4.85], [1.3, 1.31, 5.5]])
def test_resumed_from_the_middle_of_an_epoch_is_the_same_to_the_bit(stops: list[float], tmp_path: Path) -> None:
    global stop_at
    x, valid = data()
    expected = estimator(None).fit(x, X_valid=valid)
    run = tmp_path / "run"
    for i, stop in enumerate(stops):
        stop_at = stop
        model = estimator(run, run_mode="resume" if i else "new")
        with pytest.raises(Interrupted) as caught:
            model.fit(x, X_valid=valid)
        assert caught.value.exit_code == 75
        assert np.isfinite(model.score_samples(x[:3])).all()  # stopped, and usable
        assert len(model.history_) in (int(stop), int(stop + 0.15))  # the last step of an epoch ends it
    resumed = estimator(run, run_mode="resume").fit(x, X_valid=valid)
    assert sha256(resumed, run) == sha256(expected, tmp_path / "expected")
    assert rows_of(resumed) == rows_of(expected)
    assert (resumed.best_epoch_, resumed.n_iter_) == (expected.best_epoch_, expected.n_iter_)
    np.testing.assert_array_equal(resumed.score_samples(x), expected.score_samples(x))
    np.testing.assert_array_equal(lt.load(run, device="cpu").score_samples(x), expected.score_samples(x))


def test_a_run_without_a_seed_of_its_own_is_resumed_with_the_seed_it_had(tmp_path: Path) -> None:
    global stop_at
    x, _ = data()
    stop_at = 2.4
    first = estimator(tmp_path / "run", random_state=None, num_threads=1)
    with pytest.raises(Interrupted):
        first.fit(x)  # its validation rows are a draw of that seed as well
    resumed = estimator(tmp_path / "run", random_state=None, num_threads=1, run_mode="resume").fit(x)
    assert resumed.seed_ == first.seed_
    assert rows_of(resumed)[:2] == rows_of(first)
    assert resumed.n_iter_ > 2


def test_a_finished_run_may_be_prolonged(tmp_path: Path) -> None:
    x, valid = data()
    estimator(tmp_path / "run", max_epochs=3).fit(x, X_valid=valid)
    longer = estimator(tmp_path / "run", max_epochs=6, run_mode="resume").fit(x, X_valid=valid)
    expected = estimator(None, max_epochs=6).fit(x, X_valid=valid)
    assert sha256(longer, tmp_path / "a") == sha256(expected, tmp_path / "b")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"latent_dim": 3}, "config.latent_dim: 2 → 3"),
        ({"hidden": (8,)}, "config.hidden"),
        ({"beta": 0.5}, "beta"),
        ({"learning_rate": 1e-2}, "learning_rate"),
        ({"binarize": "static"}, "config.binarize"),
        ({"random_state": 1}, "seed"),
        ({"likelihood": "categorical"}, "config.likelihood.name"),
        ({"network": "linear"}, "config.network"),
        ({"ema_decay": None}, "ema_decay"),
    ],
)
def test_resuming_with_something_else_is_refused_with_the_difference(
    changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    x, valid = data()
    estimator(tmp_path / "run", max_epochs=1).fit(x, X_valid=valid)
    model = estimator(tmp_path / "run", run_mode="resume", **changes)
    assert named in raised(lambda: model.fit(x, X_valid=valid), ResumeError)
    assert not hasattr(model, "module_")


def test_another_version_is_resumed_only_by_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, valid = data()
    estimator(tmp_path / "run", max_epochs=1).fit(x, X_valid=valid)
    monkeypatch.setattr("latentia.__version__", "9.9.9")
    message = raised(lambda: estimator(tmp_path / "run", run_mode="resume").fit(x, X_valid=valid), ResumeError)
    assert "run_mode='resume-force' in Python, or --resume --force in the shell" in message
    forced = estimator(tmp_path / "run", run_mode="resume-force", random_state=None, num_threads=1, max_epochs=3)
    assert forced.fit(x, X_valid=valid).n_iter_ == 3
    assert forced.history_[0]["epoch"] == 1
    assert forced.seed_ == estimator(None, max_epochs=1).fit(x, X_valid=valid).seed_  # of the run, not a new one


def test_resuming_with_other_rows_is_refused(tmp_path: Path) -> None:
    x, valid = data()
    estimator(tmp_path / "run", max_epochs=1).fit(x, X_valid=valid)
    for rows, held in [(x[::-1], valid), (x, valid[::-1]), (x[:-1], valid), (x, None)]:
        model = estimator(tmp_path / "run", run_mode="resume")
        assert "data" in raised(lambda m=model, r=rows, h=held: m.fit(r, X_valid=h), ResumeError)  # type: ignore[misc]


def test_a_folder_with_something_in_it_is_neither_taken_nor_harmed(tmp_path: Path) -> None:
    x, valid = data()
    estimator(tmp_path / "run", max_epochs=1).fit(x, X_valid=valid).save(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    assert "not empty" in raised(lambda: estimator(tmp_path / "run").fit(x, X_valid=valid), ValueError)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == before
    replaced = estimator(tmp_path / "run", max_epochs=2, run_mode="overwrite").fit(x, X_valid=valid)
    assert replaced.n_iter_ == 2
    assert not (tmp_path / "run" / "config.json").exists()

"""A resumed run ends with the same weights, bit for bit, as one that was never stopped."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from latentia.errors import ResumeError
from latentia.training import (
    EpochEnd,
    Inputs,
    Linear,
    Player,
    RunFolder,
    Settings,
    Terms,
    TrainingResult,
    adam,
    train,
)
from tests.training.cases import (
    EVERYTHING,
    NOISE,
    TinyVAE,
    assert_same,
    grey,
    sha256,
    steps_of,
    train_tiny,
    without_seconds,
)


@pytest.fixture(scope="module")
def whole() -> tuple[TinyVAE, TrainingResult]:
    """The run that was never stopped."""
    return train_tiny()


def stop_after(monkeypatch: pytest.MonkeyPatch, calls: int, number: signal.Signals = signal.SIGINT) -> None:
    """Send this process a signal in the call of the loss with that number, counted in micro-batches."""
    count = 0
    loss = TinyVAE.loss

    def counted(self: TinyVAE, rows: Any, inputs: Any) -> Any:
        nonlocal count
        count += 1
        if count == calls:
            os.kill(os.getpid(), number)
        return loss(self, rows, inputs)

    monkeypatch.setattr(TinyVAE, "loss", counted)


def test_the_uninterrupted_run_uses_everything(whole: tuple[TinyVAE, TrainingResult]) -> None:
    """The comparisons below would prove little if the best epoch were the last, or clipping and average idle."""
    _, result = whole
    assert (result.stopped, result.steps, result.epochs, result.best_epoch) == ("patience", 78, 6, 4)
    parts: list[dict[str, Any]] = [{}, {"ema_decay": None}, {"clip_norm": None}, {"learning_rate_schedule": None}]
    assert len({sha256(train_tiny(**part)[0]) for part in parts}) == 4


def test_a_run_folder_changes_no_number(tmp_path: Path, whole: tuple[TinyVAE, TrainingResult]) -> None:
    with RunFolder(tmp_path / "run") as run:
        model, result = train_tiny(run=run)
    assert_same(model, result, whole)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rows == result.history
    assert steps_of(tmp_path / "run") == [65, 78]


@pytest.mark.parametrize("calls", [1, 7, 38, 39, 40, 120, 227])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_in_the_middle_of_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[TinyVAE, TrainingResult], calls: int, number: Any
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch, RunFolder(tmp_path) as run:
        stop_after(patch, calls, number)
        _, stopped = train_tiny(run=run, checkpoint_seconds=3600)
    assert signal.getsignal(number) is before
    assert stopped.stopped == "signal"
    assert stopped.interrupted is not None
    assert stopped.interrupted.exit_code == (130 if number == signal.SIGINT else 75)
    assert str(tmp_path) in str(stopped.interrupted)
    # A batch of 8 has 3 micro-batches, the last of an epoch (5 rows) 2: an epoch is 38 calls, and the step is finished.
    epoch, rest = divmod(calls - 1, 38)
    assert stopped.steps == epoch * 13 + rest // 3 + 1
    assert steps_of(tmp_path) == sorted({0, stopped.steps})
    with RunFolder(tmp_path, "resume") as run:
        model, result = train_tiny(run=run, checkpoint_seconds=3600)
    assert_same(model, result, whole)


def test_stopped_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[TinyVAE, TrainingResult]
) -> None:
    mode: Any = "new"
    for _ in range(60):
        with monkeypatch.context() as patch, RunFolder(tmp_path, mode) as run:
            stop_after(patch, 8)
            model, result = train_tiny(run=run)
        mode = "resume"
        if result.stopped != "signal":
            break
    assert_same(model, result, whole)
    with RunFolder(tmp_path, "resume") as run:  # a run that is done stays as it is
        model, result = train_tiny(run=run)
    assert_same(model, result, whole)


def test_a_callback_stop_goes_on_and_patience_stays(tmp_path: Path, whole: tuple[TinyVAE, TrainingResult]) -> None:
    with RunFolder(tmp_path / "a") as run:
        _, result = train_tiny(run=run, callbacks=[lambda event: event.epoch == 2])
    assert result.stopped == "callback"
    with RunFolder(tmp_path / "a", "resume") as run:
        model, result = train_tiny(run=run)
    assert_same(model, result, whole)
    calls: list[EpochEnd] = []
    first, ended = _falling(tmp_path / "b", "new", calls)
    again, resumed = _falling(tmp_path / "b", "resume", calls)
    assert (ended.stopped, resumed.stopped, len(calls)) == ("patience", "patience", 3)
    assert sha256(first) == sha256(again)


def _falling(folder: Path, mode: Any, calls: list[EpochEnd]) -> tuple[TinyVAE, TrainingResult]:
    """Train with a score that falls from the first epoch on."""
    model = TinyVAE()
    player = Player("vae", model, model.loss, adam(0.05), NOISE, {"beta": Linear(0.1, 1, 4)})

    def validate(rows: Tensor, inputs: Inputs) -> Terms:
        return {"score": torch.full((len(rows),), -float(len(calls)))}

    with RunFolder(folder, mode) as run:
        result = train(
            [player], grey(20, 1), module=model, settings=replace(EVERYTHING, monitor="score", max_epochs=9),
            valid=grey(5, 2), validate=validate, callbacks=[calls.append], run=run,
        )  # fmt: skip
    return model, result


def test_a_run_can_be_prolonged(tmp_path: Path, whole: tuple[TinyVAE, TrainingResult]) -> None:
    with RunFolder(tmp_path) as run:
        train_tiny(run=run, max_epochs=2)
    with RunFolder(tmp_path, "resume") as run:
        model, result = train_tiny(run=run)
    assert_same(model, result, whole)


def test_two_players_with_their_own_pace_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def two(run: RunFolder | None, stop: int | None = None) -> tuple[str, TrainingResult]:
        with monkeypatch.context() as patch:
            if stop is not None:
                stop_after(patch, stop)
            one, other = TinyVAE(0), TinyVAE(1)
            both = nn.ModuleList([one, other])
            beta = {"beta": Linear(0.1, 1, 4)}
            players = [
                Player("one", one, one.loss, adam(0.05), NOISE, beta),
                Player("other", other, other.loss, lambda p: SGD(p, lr=0.01, momentum=0.9), NOISE, beta, every=3),
            ]
            settings = Settings(4, 8, 3, precision="float64", num_threads=1, ema_decay=0.9)
            result = train(players, grey(50, 1), module=both, settings=settings, run=run)
            return sha256(both), result

    final, result = two(None)
    for stop in (3, 6, 13):
        folder = tmp_path / str(stop)
        with RunFolder(folder) as run:
            assert two(run, stop)[1].stopped == "signal"
        with RunFolder(folder, "resume") as run:
            resumed_final, resumed = two(run)
        assert resumed_final == final
        assert without_seconds(resumed) == without_seconds(result)


def test_skipped_steps_and_their_row_counts_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = TinyVAE.loss

    def sometimes_bad(self: TinyVAE, rows: Any, inputs: Any) -> Any:
        value, terms = loss(self, rows, inputs)
        # A property of the noise, so that the same steps are bad in both runs.
        return (value * torch.nan if inputs["epsilon"][0, 0] > 1.2 else value), terms

    monkeypatch.setattr(TinyVAE, "loss", sometimes_bad)
    whole = train_tiny(micro_batch_size=None)
    assert whole[1].skipped_steps > 3
    for calls in (2, 9, 20, 50):
        with monkeypatch.context() as patch, RunFolder(tmp_path / str(calls)) as run:
            stop_after(patch, calls)
            train_tiny(run=run, micro_batch_size=None)
        with RunFolder(tmp_path / str(calls), "resume") as run:
            model, result = train_tiny(run=run, micro_batch_size=None)
        assert_same(model, result, whole)


# --- what must not have changed -------------------------------------------------------------------------------------


def resumed_with(folder: Path, force: bool = False, **changes: Any) -> tuple[TinyVAE, TrainingResult]:
    if not folder.exists():
        with RunFolder(folder) as run:
            train_tiny(run=run, max_epochs=1, config={"latent_dim": 3, "network": {"hidden": [8, 8]}})
    config = changes.pop("config", {"latent_dim": 3, "network": {"hidden": (8, 8)}})
    with RunFolder(folder, "resume", force=force) as run:
        return train_tiny(run=run, config=config, **changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"config": {"latent_dim": 4, "network": {"hidden": [8, 8]}}}, "config.latent_dim: 3 → 4"),
        ({"config": {"latent_dim": 3}}, r'config.network: \{"hidden": \[8, 8\]\} → \(absent\)'),
        ({"batch_size": 16}, "settings.batch_size: 8 → 16"),
        ({"seed": 4}, "settings.seed: 3 → 4"),
        ({"learning_rate": 0.1}, "players.vae.optimizer.lr: 0.2 → 0.1"),
        ({"learning_rate_schedule": None}, r'settings.learning_rate_schedule: "WarmUp\(epochs=0.5, .*… → null'),
        ({"rows": grey(101, seed=9)}, 'data.fingerprint: "[0-9a-f]{64}" → "[0-9a-f]{64}"|data.fingerprint: .*…'),
        ({"rows": grey(100, seed=1)}, r"data.rows: \[101, 12\] → \[100, 12\]"),
    ],
)
def test_a_changed_run_is_refused_with_the_differences(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ResumeError, match=f"made with other settings or data:\n(.*\n)*  {line}\n"):
        resumed_with(tmp_path / "run", **changes)
    with pytest.raises(ResumeError, match="made with other settings or data"):
        resumed_with(tmp_path / "run", force=True, **changes)
    assert resumed_with(tmp_path / "run")[1].epochs == 6  # nothing was lost by trying


def test_another_version_is_refused_unless_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resumed_with(tmp_path / "run", max_epochs=1)
    monkeypatch.setattr("latentia.__version__", "9.9.9")
    with pytest.raises(ResumeError, match=r'environment|latentia: ".*" → "9.9.9"\n.*use force'):
        resumed_with(tmp_path / "run")
    assert resumed_with(tmp_path / "run", force=True)[1].epochs == 6


def test_the_number_of_threads_is_kept(tmp_path: Path) -> None:
    _, result = resumed_with(tmp_path / "run", num_threads=None)
    assert result.num_threads == 1
    with pytest.raises(ResumeError, match="num_threads: 1 → 2"):
        resumed_with(tmp_path / "run", num_threads=2, max_epochs=7)

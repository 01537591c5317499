"""Signals, threads and the progress bar."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from latentia.training import RunFolder, calibrate, threads
from latentia.training.progress import Progress
from latentia.training.signals import StopSignals
from tests.training.cases import TinyVAE, sha256, train_tiny


def interrupt_at(monkeypatch: pytest.MonkeyPatch, *calls: int) -> None:
    count, loss = 0, TinyVAE.loss

    def counted(self: TinyVAE, rows: Any, inputs: Any) -> Any:
        nonlocal count
        count += 1
        if count in calls:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, rows, inputs)

    monkeypatch.setattr(TinyVAE, "loss", counted)


def test_ctrl_c_without_a_run_folder_ends_training_with_a_usable_module(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(monkeypatch, 100)
    model, result = train_tiny()
    assert (result.stopped, result.epochs, result.steps) == ("signal", 2, 34)
    assert result.interrupted is not None
    assert result.interrupted.exit_code == 130
    assert "saved" not in str(result.interrupted)
    assert result.weights_epoch == result.best_epoch == 2
    monkeypatch.undo()
    until_then, _ = train_tiny(max_epochs=2)
    assert sha256(model) == sha256(until_then)


def test_a_second_ctrl_c_stops_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 98, 99)  # both within one step of three micro-batches
        with pytest.raises(KeyboardInterrupt), RunFolder(tmp_path) as run:
            train_tiny(run=run)
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "lock").exists()
    with RunFolder(tmp_path, "resume") as run:
        model, _ = train_tiny(run=run)
    assert sha256(model) == sha256(train_tiny()[0])


def test_handlers_are_left_alone_where_they_cannot_or_should_not_be_set() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with StopSignals(terminate=True) as signals:  # a signal that is ignored stays ignored
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals.received is None
        with StopSignals(terminate=False):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    outcome: list[str] = []
    worker = threading.Thread(target=lambda: outcome.append(train_tiny(max_epochs=1)[1].stopped))
    worker.start()
    worker.join(60)
    assert outcome == ["max_epochs"]


def test_calibration_takes_more_threads_only_if_they_are_clearly_faster() -> None:
    now, cost = 0.0, {1: 1.0, 2: 1.0}

    def step() -> None:
        nonlocal now
        now += cost[torch.get_num_threads()]

    before = torch.get_num_threads()
    for two, chosen in [(0.5, 2), (0.89, 2), (0.91, 1), (6.0, 1)]:
        cost[2] = two
        assert calibrate(step, (1, 2), clock=lambda: now) == chosen
    assert torch.get_num_threads() == before


def test_calibration_leaves_the_run_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, _ = train_tiny(max_epochs=2)
    monkeypatch.setattr("latentia.training.loop.calibrate", lambda step, candidates: [step() for _ in range(5)] and 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    measured, result = train_tiny(max_epochs=2, num_threads=None)
    assert result.num_threads == 1
    assert sha256(measured) == sha256(fixed)


def test_threads_are_restored_after_an_error() -> None:
    before = torch.get_num_threads()
    inside = []

    def fail() -> None:
        with threads(before + 1):
            inside.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == [before + 1]
    assert torch.get_num_threads() == before


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_bar_shows_epoch_terms_and_time_left_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress(True, epochs=4, batches=10) as bar:
        bar.steps(1, 5)
        bar.epoch({"epoch": 2, "train": {"kl": [1.0, 2.0]}, "valid": {"elbo": -101.25}})
    shown = terminal.getvalue()
    assert "epoch 3/4" in shown
    assert "valid  elbo -101.2" in shown
    assert "left" in shown
    quiet = Terminal()
    monkeypatch.setattr(sys, "stderr", quiet)
    with Progress(False, epochs=4, batches=10) as bar:
        bar.epoch({"epoch": 2, "train": {"kl": [1.0, 2.0]}})
    assert quiet.getvalue() == ""


def test_training_does_not_import_rich_without_a_terminal() -> None:
    code = "import latentia.training, sys; raise SystemExit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

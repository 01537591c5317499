"""Real signals to a real fit, and what ``--resume`` makes of it; several seeds as several processes."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import latentia
from latentia import storage
from latentia.cli.seeds import spread
from tests.cli.commands import Outcome, environment, run

SMALL = ["--set=latent_dim=2", "--set=hidden=32", "--set=num_importance_samples=8", "--seed=3", "--no-report"]


def weights(folder: Path) -> str:
    return storage.open_folder(folder).manifest.files["model.safetensors"].sha256


def start(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "latentia", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())


def wait_for_epochs(folder: Path, epochs: int, alive: Callable[[], bool]) -> None:
    metrics = folder / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < epochs:
        assert alive()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def in_a_process(number: int, epochs: int, folder: Path, *arguments: object) -> Outcome:
    """Send the signal to a process of its own after so many epochs."""
    process = start(*arguments)
    wait_for_epochs(folder, epochs, lambda: process.poll() is None)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    return Outcome(process.returncode, stdout.decode(), stderr.decode())


def in_this_process(number: int, epochs: int, folder: Path, *arguments: object) -> Outcome:
    """Send the signal to the process of the tests, from another thread."""

    def send() -> None:
        wait_for_epochs(folder, epochs, lambda: True)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return run(*arguments)
    finally:
        sender.join()


def test_a_stopped_fit_is_resumed_to_the_same_weights(tmp_path: Path) -> None:
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    fit = ["fit", "vae", "digits", *SMALL, "--set=max_epochs=60", "--no-baselines"]
    epochs = 0
    for number, code, interrupted in ((signal.SIGTERM, 75, in_a_process), (signal.SIGINT, 130, in_this_process)):
        outcome = interrupted(number, epochs + 3, stopped, *fit, "--out", stopped, "--resume")
        assert outcome.code == code, outcome.stderr
        assert outcome.stdout == ""
        assert "resume" in outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert not (stopped / "model.safetensors").exists()
        epochs = (stopped / "metrics.jsonl").read_bytes().count(b"\n")
        assert 0 < epochs < 60
    shown = run("info", stopped, "--json").json
    assert shown["model"] == "none yet"
    assert shown["fitted to"] == "digits"
    assert run(*fit, "--out", stopped, "--resume", "-q").code == 0
    assert run(*fit, "--out", whole, "-q").code == 0
    assert weights(stopped) == weights(whole)
    assert len(latentia.load(stopped).history_) == 60


def test_resume_of_nothing_starts_and_of_another_run_is_refused(own_copy: Path, tmp_path: Path) -> None:
    outcome = run("fit", "vae", "digits", *SMALL, "--set=max_epochs=1", "--out", tmp_path / "new", "--resume")
    assert outcome.code == 0
    assert "there is nothing to resume in" in outcome.stderr
    before = weights(own_copy)
    outcome = run("fit", "vae", "digits", *SMALL, "--set=latent_dim=2", "--set=beta=3", "--out", own_copy, "--resume")
    assert outcome.code == 2  # latent_dim twice
    outcome = run("fit", "vae", "digits", *SMALL, "--set=beta=3", "--out", own_copy, "--resume")
    assert outcome.code == 1
    assert "beta" in outcome.stderr
    assert weights(own_copy) == before


def test_seeds_run_as_processes_and_a_failure_is_named(fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "seeds"
    out.mkdir()
    (out / "seed-5").write_text("in the way")
    fit = ["fit", "vae", "digits", *SMALL, "--set=max_epochs=3", "--out", out, "--seeds", 3, "--json"]
    assert run(*fit).code == 2  # not empty
    outcome = run(*fit, "--resume")
    assert outcome.code == 1
    assert "error: seed 5 failed (exit code 1): " in outcome.stderr
    assert "seed-5' is a file" in outcome.stderr
    document = outcome.json
    assert [row["seed"] for row in document["seeds"]] == [3, 4]
    assert weights(out / "seed-3") == weights(fitted)  # the same as typed by hand
    assert weights(out / "seed-4") != weights(fitted)
    values = [row["log_prob"] for row in document["seeds"]]
    assert document["summary"]["log_prob"]["mean"] == pytest.approx(np.mean(values), abs=1e-9)
    assert document["summary"]["log_prob"]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert json.loads((out / "seeds.json").read_text())["summary"] == document["summary"]
    assert len(json.loads((out / "seed-3" / "run.json").read_text())["evaluations"]) == 3
    assert (
        len(json.loads((out / "seed-4" / "run.json").read_text())["evaluations"]) == 1
    )  # baselines need no second fit
    assert run("verify", out, "--json").json["intact"]
    assert run("info", out, "--json").json["seeds"] == ["seed-3", "seed-4"]


def test_a_seed_that_does_not_beat_the_baseline_counts_among_the_numbers(tmp_path: Path) -> None:
    fit = ["fit", "ppca", "digits", "--out", tmp_path / "run", "--no-report", "--seeds", 2, "--beat-baseline", "1e9"]
    outcome = run(*fit, "--json")
    assert outcome.code == 1
    assert "error: seed 0 failed (exit code 1): PPCA lies" in outcome.stderr
    assert "at least 1e+09 above it were asked for" in outcome.stderr
    assert [row["seed"] for row in outcome.json["seeds"]] == [0, 1]


def test_mean_and_standard_deviation() -> None:
    assert spread([1.0, 2.0, 6.0]) == (3.0, math.sqrt(7.0))
    assert spread([4.0, None]) == (4.0, None)
    assert spread([None]) == (None, None)


@pytest.mark.slow
def test_stopping_the_parent_stops_every_seed(tmp_path: Path) -> None:
    out = tmp_path / "seeds"
    process = start("fit", "vae", "digits", *SMALL, "--set=max_epochs=5000", "--out", out, "--seeds", 2)
    for seed in (3, 4):
        wait_for_epochs(out / f"seed-{seed}", 2, lambda: process.poll() is None)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75
    assert b"the same command with --resume goes on with every seed" in stderr
    for seed in (3, 4):
        with storage.RunLock(out / f"seed-{seed}") as lock:  # nobody holds it any more
            assert lock.recovered is None

"""Processes stopped by signals or killed at any instant: the resumed run ends bit for bit as if nothing had been."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from latentia.storage import verify_folder
from latentia.training import RunFolder, TrainingResult
from tests.training.cases import TinyVAE, assert_same, steps_of, train_tiny
from tests.training.child import work

context = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module")
def whole() -> tuple[TinyVAE, TrainingResult]:
    """The run that was never stopped."""
    return train_tiny()


@pytest.fixture(scope="module", autouse=True)
def _server() -> None:
    """Let children be forked from a process that has imported everything once: a start takes milliseconds."""
    context.set_forkserver_preload(["tests.training.child"])


def start(folder: Path, checkpoint_steps: int = 5, pace: float = 0.0, max_epochs: int = 8) -> ForkServerProcess:
    process = context.Process(target=work, args=(folder, checkpoint_steps, pace, max_epochs))
    process.start()
    return process


def wait_for_step(folder: Path, step: int, process: ForkServerProcess) -> None:
    end = time.monotonic() + 60
    while not any(found >= step for found in steps_of(folder)) and process.is_alive():
        assert time.monotonic() < end, f"no checkpoint of step {step} within a minute"
        time.sleep(0.001)


def resume(folder: Path, whole: tuple[TinyVAE, TrainingResult], max_epochs: int = 8) -> None:
    with RunFolder(folder, "resume") as run:
        model, result = train_tiny(run=run, checkpoint_seconds=3600, max_epochs=max_epochs)
    assert_same(model, result, whole)
    for one in (folder / "checkpoints").iterdir():
        verify_folder(one)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_process_stopped_by_a_signal_exits_with_its_code(
    tmp_path: Path, whole: tuple[TinyVAE, TrainingResult], number: signal.Signals, code: int
) -> None:
    process = start(tmp_path / "run", pace=0.3)
    wait_for_step(tmp_path / "run", 5, process)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == code
    assert not (tmp_path / "run/lock").exists()
    resume(tmp_path / "run", whole)


def kill_between_steps(folder: Path, step: int, whole: tuple[TinyVAE, TrainingResult]) -> None:
    process = start(folder, pace=0.05)
    wait_for_step(folder, step, process)
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    resume(folder, whole)


@pytest.mark.parametrize("step", [0, 20, 40, 65])
def test_killed_between_steps(tmp_path: Path, whole: tuple[TinyVAE, TrainingResult], step: int) -> None:
    kill_between_steps(tmp_path / "run", step, whole)


@pytest.mark.slow
@pytest.mark.parametrize("step", range(5, 66, 3))
def test_killed_between_many_steps(tmp_path: Path, whole: tuple[TinyVAE, TrainingResult], step: int) -> None:
    kill_between_steps(tmp_path / "run", step, whole)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_killed_while_checkpoints_are_written(tmp_path: Path, seed: int) -> None:
    """A checkpoint after every step: nearly all of the time goes into writing, and so most kills fall into that.

    At least ten kills, and more until one has hit a write: a machine may be so slow that the first ones do not.
    """
    whole = train_tiny(max_epochs=2)
    instants, unfinished, turn = random.Random(seed), 0, 0
    last = whole[1].steps - 1
    while turn < 10 or (unfinished == 0 and turn < 50):
        folder = tmp_path / f"run-{turn}"
        process = start(folder, checkpoint_steps=1, max_epochs=2)
        wait_for_step(folder, instants.randrange(last), process)
        time.sleep(instants.uniform(0.0, 0.01))
        process.kill()
        process.join(60)
        unfinished += any(path.name.startswith(".") for path in (folder / "checkpoints").iterdir())
        resume(folder, whole, max_epochs=2)
        turn += 1
    assert unfinished >= 1  # the test has met what it is about

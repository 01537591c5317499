"""The folder of a run: who may write to it, what happens when it is damaged, what it holds."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latentia.errors import ConfigError, CorruptedError, RunLockedError, StorageError
from latentia.storage import verify_folder, write_files
from latentia.training import RunFolder, TrainingResult
from latentia.training.checkpoint import State, difference, write_state
from tests.training.cases import TinyVAE, assert_same, steps_of, train_tiny


@pytest.fixture(scope="module")
def whole() -> tuple[TinyVAE, TrainingResult]:
    """The run that was never stopped."""
    return train_tiny()


# --- what is in it --------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_safetensors_and_json(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        train_tiny(run=run, max_epochs=2, config={"latent_dim": 3})
        assert (tmp_path / "lock").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "metrics.jsonl"]
    folder = tmp_path / "checkpoints" / "step-000000026"
    names = ["best", "ema", "model", "optim", "terms"]
    files = sorted([*(f"{name}.safetensors" for name in names), "history.jsonl", "state.json"])
    assert sorted(verify_folder(folder).files) == files
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files, "manifest.json"])
    state = json.loads((folder / "state.json").read_text())
    assert (state["format"], state["step"], state["samples_seen"], state["seed"]) == (1, 26, 202, 3)
    assert state["position"]["epoch"] == 2
    assert state["made_from"]["config"] == {"latent_dim": 3}
    assert state["environment"]["num_threads"] == 1
    assert len(state["config_hash"]) == 64
    assert all(not path.read_bytes().startswith((b"\x80", b"PK")) for path in folder.iterdir())


def test_the_two_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    seen: list[list[int]] = []
    with RunFolder(tmp_path) as run:
        train_tiny(run=run, max_epochs=4, callbacks=[lambda event: seen.append(steps_of(tmp_path))])
    assert seen == [[0], [0, 13], [13, 26], [26, 39]]
    assert steps_of(tmp_path) == [39, 52]


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"checkpoint_seconds": 3600.0}, [0, 26]),
        ({"checkpoint_seconds": 3600.0, "checkpoint_steps": 10}, [20, 26]),
        ({"checkpoint_seconds": 3600.0, "checkpoint_steps": 13}, [13, 26]),
        ({"checkpoint_seconds": 0.0}, [13, 26]),
        # With 101 steps an epoch there are looks at the clock inside it too, at steps 32, 64 and 96 of each.
        ({"checkpoint_seconds": 3600.0, "batch_size": 1}, [0, 202]),
        ({"checkpoint_seconds": 0.0, "batch_size": 1}, [197, 202]),
    ],
)
def test_how_often_checkpoints_are_written(tmp_path: Path, settings: dict[str, Any], kept: list[int]) -> None:
    with RunFolder(tmp_path) as run:
        train_tiny(run=run, max_epochs=2, **settings)
    assert steps_of(tmp_path) == kept


# --- who may write to it --------------------------------------------------------------------------------------------


def test_a_used_folder_needs_a_decision(tmp_path: Path, whole: tuple[TinyVAE, TrainingResult]) -> None:
    with RunFolder(tmp_path / "run") as run:
        train_tiny(run=run, max_epochs=1)
    with (
        pytest.raises(ConfigError, match=r"is not empty .*: resume, overwrite, or choose another"),
        RunFolder(tmp_path / "run"),
    ):
        pass
    (tmp_path / "run" / "mine.txt").write_text("kept")
    with RunFolder(tmp_path / "run", "overwrite") as run:
        assert sorted(path.name for path in run.path.iterdir()) == ["checkpoints", "lock", "mine.txt"]
        model, result = train_tiny(run=run)
    assert_same(model, result, whole)


def test_what_is_no_run_is_neither_overwritten_nor_resumed(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("my own")
    with pytest.raises(ConfigError, match="holds no run, so it is not overwritten"), RunFolder(tmp_path, "overwrite"):
        pass
    with pytest.raises(ConfigError, match="holds no run to resume"), RunFolder(tmp_path, "resume"):
        pass
    with pytest.raises(ConfigError, match="nothing to resume"), RunFolder(tmp_path / "absent", "resume"):
        pass
    mode: Any = "append"
    with pytest.raises(ConfigError, match="'append'; choose 'new', 'resume' or 'overwrite'"):
        RunFolder(tmp_path, mode)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("manifest.json", '{"name": "My page"}'),
        ("metrics.jsonl", '{"loss": 1.0}\n'),
        ("checkpoints/last.ckpt", "theirs"),
        ("checkpoints/step-000000100/weights.pt", "theirs"),
    ],
)
def test_a_folder_of_another_tool_is_left_alone(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    (tmp_path / "README.md").write_text("my own")
    for mode in ("overwrite", "resume"):
        chosen: Any = mode
        with pytest.raises(ConfigError, match="holds no run"), RunFolder(tmp_path, chosen):
            pytest.fail("a folder of another tool was taken")
    found = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {name: text, "README.md": "my own"}


def test_metrics_of_another_tool_beside_a_model_are_not_replaced(tmp_path: Path) -> None:
    write_files(tmp_path, {"config.json": b"{}", "model.safetensors": b""})
    (tmp_path / "metrics.jsonl").write_text('{"loss": 1.0}\n')
    with pytest.raises(ConfigError, match=r"metrics\.jsonl is no file of a run"), RunFolder(tmp_path, "overwrite"):
        pytest.fail("a folder of another tool was taken")
    assert (tmp_path / "metrics.jsonl").read_text() == '{"loss": 1.0}\n'


def test_a_run_that_died_before_its_first_checkpoint_starts(
    tmp_path: Path, whole: tuple[TinyVAE, TrainingResult]
) -> None:
    (tmp_path / "checkpoints" / ".latentia-tmp-1-0123abcd").mkdir(parents=True)
    (tmp_path / "metrics.jsonl").touch()
    (tmp_path / "lock").touch()
    with RunFolder(tmp_path, "resume") as run:
        model, result = train_tiny(run=run)
    assert_same(model, result, whole)


def test_what_a_killed_process_left_behind_goes(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        train_tiny(run=run, max_epochs=1)
    for name in (".latentia-tmp-1-0123abcd", ".latentia-old-1-0123abcd"):
        (tmp_path / "checkpoints" / name).mkdir()
    with RunFolder(tmp_path, "resume") as run:
        train_tiny(run=run, max_epochs=1)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000000000", "step-000000013"]


def test_a_folder_must_be_open(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not open: use it as `with RunFolder"):
        train_tiny(run=RunFolder(tmp_path / "run"))


def hold(folder: Path, ready: Any, done: Any) -> None:
    with RunFolder(folder):
        ready.set()
        done.wait(60)


def test_a_second_process_is_refused_by_name(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / "run", ready, done))
    process.start()
    try:
        assert ready.wait(60)
        for mode in ("new", "resume", "overwrite"):
            chosen: Any = mode
            with (
                pytest.raises(RunLockedError, match=f"in use by process {process.pid} on "),
                RunFolder(tmp_path / "run", chosen),
            ):
                pass
    finally:
        done.set()
        process.join(60)
    with RunFolder(tmp_path / "run", "resume"):
        pass


def test_a_folder_that_cannot_be_written_fails_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"), RunFolder(tmp_path / "file" / "run"):
        pytest.fail("a folder inside a file was opened")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if not os.access(locked, os.W_OK):  # the superuser may write anyway
        with pytest.raises(StorageError, match="locked"), RunFolder(locked):
            pytest.fail("a read-only folder was opened")
    locked.chmod(stat.S_IRWXU)


def test_a_config_must_be_json(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        for wrong in ({"network": object()}, {"rate": float("nan")}):
            with pytest.raises(ConfigError, match="config must be JSON"):
                train_tiny(run=run, config=wrong)
    assert steps_of(tmp_path) == []


def test_a_full_disk_keeps_the_former_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[TinyVAE, TrainingResult]
) -> None:
    """The room `storage` tests a disk that is really full; here it fails in the middle of the third checkpoint."""
    count = 0

    def full(folder: Path, state: State) -> None:
        nonlocal count
        count += 1
        if count > 2:
            raise StorageError("disk full: 1.0 MB needed, the previous content is kept")
        write_state(folder, state)

    with monkeypatch.context() as patch, RunFolder(tmp_path) as run:
        patch.setattr("latentia.training.run.write_state", full)
        with pytest.raises(StorageError, match="disk full"):
            train_tiny(run=run)
    assert steps_of(tmp_path) == [0, 13]
    with RunFolder(tmp_path, "resume") as run:
        model, result = train_tiny(run=run)
    assert_same(model, result, whole)


def test_differences_are_readable() -> None:
    before = {"a": 1, "b": {"c": [1, 2], "d": None}, "gone": "x", "long": "y" * 100}
    now = {"a": 2, "b": {"c": [1, 3], "d": None}, "new": True, "long": "z" * 100}
    assert difference(before, now) == [
        "a: 1 → 2",
        "b.c: [1, 2] → [1, 3]",
        'gone: "x" → (absent)',
        f'long: "{"y" * 56}… → "{"z" * 56}…',
        "new: (absent) → true",
    ]


# --- damage ---------------------------------------------------------------------------------------------------------


def damage_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optim.safetensors", "best.safetensors", "state.json", "manifest.json"]
)
@pytest.mark.parametrize("harm", [damage_a_byte, truncate, empty, Path.unlink])
def test_a_damaged_newest_checkpoint_falls_back_one_and_says_so(
    tmp_path: Path, whole: tuple[TinyVAE, TrainingResult], name: str, harm: Callable[[Path], None]
) -> None:
    with RunFolder(tmp_path) as run:
        train_tiny(run=run, max_epochs=3)
    assert steps_of(tmp_path) == [26, 39]
    harm(tmp_path / "checkpoints/step-000000039" / name)
    said = rf"step-000000039 is passed over: .*{name}.*Going on from step-000000026"
    with pytest.warns(UserWarning, match=said), RunFolder(tmp_path, "resume") as run:
        model, result = train_tiny(run=run)
    assert_same(model, result, whole)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]


def test_without_an_intact_checkpoint_a_run_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as run:
        train_tiny(run=run, max_epochs=2)
    for folder in (tmp_path / "checkpoints").iterdir():
        empty(folder / "model.safetensors")
    with pytest.raises(CorruptedError, match=r"No checkpoint in .* is intact: .*model\.safetensors"), \
            RunFolder(tmp_path, "resume") as run:  # fmt: skip
        train_tiny(run=run)


def test_the_newest_is_the_one_with_the_most_steps_of(tmp_path: Path, whole: tuple[TinyVAE, TrainingResult]) -> None:
    """A clock that moved back makes the older folder look newer."""
    with RunFolder(tmp_path) as run:
        train_tiny(run=run, max_epochs=3)
    os.utime(tmp_path / "checkpoints/step-000000039", (1, 1))
    with RunFolder(tmp_path, "resume") as run:
        state = run.load(10_000)
    assert state is not None
    assert state.numbers["step"] == 39

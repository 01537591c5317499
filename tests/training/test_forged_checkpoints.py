"""A checkpoint whose manifest is right and whose content is not: told by name, never a raw exception."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from latentia.errors import CorruptedError, LatentiaError, ResumeError
from latentia.estimators.attempts import read_resumed
from latentia.storage import open_folder, write_folder
from latentia.training import RunFolder
from latentia.training.checkpoint import read_state
from latentia.training.position import _POSITION, Position
from tests.training.cases import train_tiny

REMOVE: Any = object()
PATHS = [
    (path, value)
    for path, values in {
        "step": [REMOVE, -1, 1.5, "9", None, True, 2**80],
        "seed": [REMOVE, None, "3", 1.5],
        "position": [REMOVE, None, [], {}],
        "position.step": [REMOVE, 27, "26"],
        "position.epoch": [REMOVE, -1, "2", 7],
        "position.batch": [REMOVE, 13, -1, 0.5],
        "position.best_value": [REMOVE, "high", []],
        "position.best_epoch": [REMOVE, 0, "1"],
        "position.without_better": [REMOVE, None],
        "position.skipped_before": [REMOVE, "0"],
        "position.seconds": [REMOVE, None, -1.0],
        "position.epoch_seconds": [REMOVE, {}],
        "position.stopped": [REMOVE, "bored", ["signal"], 1],
        "position.history": [[]],
        "position.__class__": ["Position"],
        "players": [REMOVE, [], {}, {"other": {"skipped": 0, "consecutive": 0}}, {"vae": None}],
        "players.vae.skipped": [REMOVE, -1, None],
        "players.vae.consecutive": [REMOVE, "0"],
        "optimizer_values": [REMOVE, [], None],
        "made_from": [REMOVE, None, [], {}],
        "made_from.settings": [REMOVE, None, []],
        "made_from.settings.micro_batch_size": [REMOVE, 0, "3"],
        "environment": [REMOVE, None, [], {}],
        "environment.num_threads": [REMOVE, None, 0, "1"],
    }.items()
    for value in values
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    with RunFolder(folder) as run:
        train_tiny(run=run, max_epochs=2)
    return folder / "checkpoints" / "step-000000026"


def forged(whole: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write the checkpoint with other content and a manifest that fits it, as the only one of a run."""
    opened = open_folder(whole)
    files = {name: opened.read(name, 1 << 24) for name in opened.manifest.files}
    change(files)
    write_folder(target / "checkpoints" / whole.name, files)
    (target / "metrics.jsonl").write_text('{"epoch": 1, "step": 13, "train": {}}\n')
    return target


def resume(folder: Path) -> None:
    with RunFolder(folder, "resume") as run:
        train_tiny(run=run)


def test_the_copy_itself_is_resumed(whole: Path, tmp_path: Path) -> None:
    resume(forged(whole, tmp_path, lambda files: None))
    assert read_resumed(tmp_path) is not None


def test_every_field_of_a_position_is_checked() -> None:
    assert {*_POSITION, "history"} == {one.name for one in dataclasses.fields(Position)}


@pytest.mark.parametrize(("path", "value"), PATHS)
def test_a_state_that_no_run_writes(whole: Path, tmp_path: Path, path: str, value: Any) -> None:
    def change(files: dict[str, bytes]) -> None:
        state = inner = json.loads(files["state.json"])
        *above, last = path.split(".")
        for name in above:
            inner = inner[name]
        if value is REMOVE:
            del inner[last]
        else:
            inner[last] = value
        files["state.json"] = json.dumps(state).encode()

    folder = forged(whole, tmp_path, change)
    with pytest.raises((CorruptedError, ResumeError)) as caught:
        resume(folder)
    assert path.split(".")[-1] in str(caught.value) or "position" in str(caught.value) or "players" in str(caught.value)
    if path.startswith(("seed", "made_from")):
        with pytest.raises(CorruptedError, match=r"state\.json"):
            read_resumed(folder)


def tensors(name: str, change: Callable[[dict[str, Tensor]], object]) -> Callable[[dict[str, bytes]], None]:
    def changed(files: dict[str, bytes]) -> None:
        content = load(files[f"{name}.safetensors"])
        change(content)
        files[f"{name}.safetensors"] = save(content)

    return changed


CHANGES: dict[str, Callable[[dict[str, bytes]], Any]] = {
    "no weights": lambda files: files.pop("model.safetensors"),
    "no optimiser": lambda files: files.pop("optim.safetensors"),
    "no sums": lambda files: files.pop("terms.safetensors"),
    "no average": lambda files: files.pop("ema.safetensors"),
    "no history": lambda files: files.pop("history.jsonl"),
    "no state": lambda files: files.pop("state.json"),
    "no safetensors": lambda files: files.update({"model.safetensors": b"PK\x03\x04" * 9}),
    "empty weights": tensors("model", dict.clear),
    "other weights": tensors("model", lambda content: content.update({"encoder.weight": torch.zeros(2, 2)})),
    "other average": tensors("ema", lambda content: content.update({"encoder.weight": torch.zeros(2, 2)})),
    "empty best": tensors("best", dict.clear),
    "other best": tensors("best", lambda content: content.update({"encoder.weight": torch.zeros(2, 2)})),
    "other moments": tensors(
        "optim", lambda content: content.update({name: torch.zeros(2, 2) for name in content if "exp_avg" in name})
    ),
    "empty sums": tensors("terms", dict.clear),
    "history of texts": lambda files: files.update({"history.jsonl": b'"a"\n"b"\n'}),
    "history of lists": lambda files: files.update({"history.jsonl": b'{"train": []}\n{"valid": 1}\n'}),
    "short history": lambda files: files.update({"history.jsonl": files["history.jsonl"].splitlines(True)[0]}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_files_that_no_run_writes(whole: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    folder = forged(whole, tmp_path, change)
    with pytest.raises(LatentiaError) as caught:
        resume(folder)
    assert isinstance(caught.value, (OSError, ResumeError))


def test_the_state_of_a_run_is_read(whole: Path) -> None:
    assert read_state(whole, 10_000).numbers["position"]["epoch"] == 2

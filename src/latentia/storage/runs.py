"""What in a folder is a run of ours, and its removal: everything that is not recognised stays.

A person may point a run at a folder that is already used for something else, by other tools with the same names
(``checkpoints/``, ``manifest.json``, ``README.md``). So a run is known by what only we write, and only that goes.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from latentia.errors import StorageError
from latentia.storage.atomic import is_leftover, sweep
from latentia.storage.folders import numbered
from latentia.storage.manifest import MANIFEST, PENDING, Manifest, has_manifest, open_folder
from latentia.storage.text import parse_json, show

__all__ = [
    "CHECKPOINTS",
    "METRICS",
    "MODEL",
    "check_replaceable",
    "holds_model",
    "holds_training",
    "remove_run",
    "visible",
]

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
MODEL = ("config.json", "model.safetensors", "README.md")  # listed in the manifest of a saved model
_BESIDE = ("report.html", "run.json", "seeds.json")  # of a run, in no manifest
_NEEDED = {"config.json", "model.safetensors"}  # a manifest that lists both is that of a saved model
_STATE = {"state.json", "history.jsonl", MANIFEST}
_MAX_LINE = 1 << 24


def holds_model(folder: str | Path) -> bool:
    """Return whether a folder holds a saved model: a manifest of ours that lists its files (which may be damaged)."""
    return set(_listed(Path(folder)).files) >= _NEEDED


def holds_training(folder: str | Path) -> bool:
    """Return whether a folder holds a training run: a checkpoint or metrics of ours, or one that has not got so far."""
    folder = Path(folder)
    if any("state.json" in _listed(step).files for step in _steps(folder)):
        return True
    if _is_metrics(folder / METRICS):
        return True
    # Killed before its first checkpoint: nothing but what we left empty or half written.
    checkpoints = folder / CHECKPOINTS
    if not checkpoints.is_dir() or checkpoints.is_symlink() or not all(map(is_leftover, _names(checkpoints))):
        return False
    return _is_empty(folder / METRICS) or visible(folder) == {CHECKPOINTS}


def visible(folder: str | Path) -> set[str]:
    """Return the names in a folder, but for the lock of a run and what a killed writer left."""
    return {name for name in _names(Path(folder)) if name not in ("lock", PENDING) and not is_leftover(name)}


def check_replaceable(folder: str | Path, names: Iterable[str] = MODEL) -> None:
    """Refuse to write a saved model over files that are not those of a saved model.

    Raises
    ------
    StorageError
        If a name is taken that no manifest of ours lists, or if the manifest is none of ours.
    """
    folder = Path(folder)
    listed = _listed(folder).files
    for name in (MANIFEST, *names):
        path = folder / name
        is_ours = bool(listed) if name == MANIFEST else name in listed
        if not is_ours and (path.exists() or path.is_symlink()):
            raise StorageError(
                f"{show(path)} is not a file of a model saved there, so it is not replaced: choose another folder, or "
                "move it away"
            )


def remove_run(folder: str | Path) -> None:
    """Remove the run and the saved model in a folder, and nothing else.

    Gone are: checkpoints, metrics of ours, the manifest and what it lists of a saved model, report and records beside
    it, and what killed writers left. Only the one that holds the folder's lock may call this.
    """
    folder = Path(folder)
    listed = _listed(folder).files
    has_begun = holds_training(folder)
    checkpoints, metrics = folder / CHECKPOINTS, folder / METRICS
    if listed:
        # The manifest goes first: a run half removed is no model any more.
        for name in (MANIFEST, *(name for name in MODEL if name in listed)):
            _unlink(folder / name)
        pending = folder / PENDING
        if pending.is_dir() and not pending.is_symlink() and has_manifest(pending):
            shutil.rmtree(pending)
    for step in _steps(folder):
        if _listed(step).files or all(name in _STATE or name.endswith(".safetensors") for name in _names(step)):
            shutil.rmtree(step)
    sweep(folder)
    if checkpoints.is_dir() and not checkpoints.is_symlink():
        sweep(checkpoints)
        if not _names(checkpoints):
            checkpoints.rmdir()
    if _is_metrics(metrics) or (has_begun and _is_empty(metrics)):
        _unlink(metrics)
    for name in _BESIDE:
        _unlink(folder / name)


def _listed(folder: Path) -> Manifest:
    """Return the manifest of a folder; an empty one where there is none of ours."""
    try:
        return open_folder(folder).manifest
    except StorageError:
        return Manifest({})


def _steps(folder: Path) -> list[Path]:
    checkpoints = folder / CHECKPOINTS
    return [] if checkpoints.is_symlink() else numbered(checkpoints, "step-")


def _is_metrics(path: Path) -> bool:
    """Return whether a file begins with a row of metrics."""
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as file:
        line = file.readline(_MAX_LINE)
    if not line.endswith(b"\n"):  # torn: the process was killed while it wrote its first row
        return line.startswith(b'{"epoch": ')
    try:
        row = parse_json(line, "metrics")
    except StorageError:
        return False
    return isinstance(row, dict) and row.keys() >= {"epoch", "step", "train"}


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == 0


def _names(folder: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return [entry.name for entry in folder.iterdir()]
    return []


def _unlink(path: Path) -> None:
    if path.is_file() or path.is_symlink():
        path.unlink()

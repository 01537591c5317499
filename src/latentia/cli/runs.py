"""The folder of a run: whether it may be used, and how an old run in it is removed."""

from __future__ import annotations

import re
from pathlib import Path

from latentia import storage
from latentia.cli.exits import UsageError
from latentia.cli.records import read_record
from latentia.errors import StorageError

__all__ = ["SEEDS", "check_run_folder", "has_run", "remove_run", "remove_seeds"]

SEEDS = "seeds.json"


def check_run_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless the person said what to do with it.

    Raises
    ------
    UsageError
        If both or neither option is given for a folder that is not empty.
    StorageError
        If it is a file, or is to be replaced but holds no run.
    """
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other: choose one")
    if out.exists() and not out.is_dir():
        raise StorageError(f"{str(out)!r} is a file: --out needs a folder")
    if not storage.visible(out) or resume:
        return
    if not overwrite:
        raise UsageError(
            f"{str(out)!r} is not empty: add --resume to go on with the run in it, --overwrite to replace it, "
            "or choose another --out"
        )
    if not _is_run(out) and not _seeds(out):
        raise StorageError(f"{str(out)!r} holds no run: --overwrite removes runs only, choose another --out")


def has_run(out: Path) -> bool:
    """Return whether there is a run that training can go on from or replace."""
    return storage.holds_training(out)


def remove_seeds(out: Path) -> None:
    """Remove the runs of several seeds inside a folder, and their summary."""
    (out / SEEDS).unlink(missing_ok=True)
    for seed in _seeds(out):
        remove_run(seed)
        if not any(seed.iterdir()):
            seed.rmdir()


def remove_run(out: Path) -> None:
    """Remove the files of a run, and nothing else, while no other process holds it."""
    with storage.RunLock(out):
        remove_seeds(out)
        storage.remove_run(out)


def _is_run(out: Path) -> bool:
    """Return whether a folder holds anything that only we write: a model, a training run or a record."""
    if storage.holds_model(out) or storage.holds_training(out):
        return True
    try:
        if read_record(out) is not None:
            return True
        summary = storage.read_json(out / SEEDS)
    except StorageError:  # none, or another's
        return False
    return isinstance(summary, dict) and summary.keys() >= {"estimator", "data", "seeds", "summary"}


def _seeds(out: Path) -> list[Path]:
    """Return the folders of several seeds' runs, and those that a refused fit left empty."""
    found = [path for path in out.glob("seed-*") if re.fullmatch(r"seed-[0-9]+", path.name)]
    folders = [path for path in found if path.is_dir() and not path.is_symlink()]
    return [path for path in folders if not any(path.iterdir()) or _is_run(path)]

"""The folder of a run: whether it may be used, and how an old run in it is removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from latentia import storage
from latentia.cli.exits import UsageError
from latentia.cli.records import RUN
from latentia.errors import StorageError

__all__ = ["SEEDS", "check_run_folder", "has_run", "remove_run", "remove_seeds"]

SEEDS = "seeds.json"
_FILES = {"config.json", "model.safetensors", "README.md", "metrics.jsonl", "report.html", storage.MANIFEST, RUN, SEEDS}
_FOLDERS = {"checkpoints"}
_SIGNS = {RUN, SEEDS, "metrics.jsonl", "checkpoints", "model.safetensors"}  # at least one is in every run


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
    inside = {entry.name for entry in out.iterdir()} - {"lock"} if out.is_dir() else set()
    if not inside or resume:
        return
    if not overwrite:
        raise UsageError(
            f"{str(out)!r} is not empty: add --resume to go on with the run in it, --overwrite to replace it, "
            "or choose another --out"
        )
    if not inside & _SIGNS and not any(name.startswith("seed-") for name in inside):
        raise StorageError(f"{str(out)!r} holds no run: --overwrite removes runs only, choose another --out")


def has_run(out: Path) -> bool:
    """Return whether there is a run that training can go on from or replace."""
    return any((out / name).exists() for name in ("metrics.jsonl", "checkpoints"))


def remove_seeds(out: Path) -> None:
    """Remove the runs of several seeds inside a folder, and their summary."""
    (out / SEEDS).unlink(missing_ok=True)
    for seed in out.glob("seed-*"):
        if seed.is_dir() and not seed.is_symlink():
            remove_run(seed)
            if not any(seed.iterdir()):
                seed.rmdir()


def remove_run(out: Path) -> None:
    """Remove the files of a run, and nothing else, while no other process holds it."""
    with storage.RunLock(out):
        remove_seeds(out)
        # The manifest goes first: a run half removed is no model any more.
        for name in sorted(_FILES, key=lambda name: name != storage.MANIFEST):
            (out / name).unlink(missing_ok=True)
        for name in _FOLDERS | {
            entry.name for entry in out.iterdir() if entry.name.startswith((".tmp-", ".old-", ".pending"))
        }:
            folder = out / name
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)

"""Folders numbered by step: which is the newest that is intact, and which may go."""

from __future__ import annotations

import re
from pathlib import Path

from latentia.errors import StorageError
from latentia.storage.atomic import retire, sweep
from latentia.storage.manifest import open_folder, verify_folder

__all__ = ["latest_folder", "prune"]


def latest_folder(parent: str | Path, prefix: str = "step-") -> tuple[Path | None, list[str]]:
    """Find the newest intact folder among those named prefix + step (``step-000000100``).

    Newest means the highest number, never the latest time: clocks move back.

    Parameters
    ----------
    parent
        The folder that holds them; it may be missing.
    prefix
        What stands before the number.

    Returns
    -------
    folder
        The newest whose manifest verifies, or None.
    problems
        One sentence for each newer folder that was passed over, to be told to the user.
    """
    problems = []
    for folder in numbered(Path(parent), prefix):
        try:
            verify_folder(folder)
        except StorageError as error:
            problems.append(f"{folder.name} is passed over: {error}")
        else:
            return folder, problems
    return None, problems


def prune(parent: str | Path, keep: int = 2, prefix: str = "step-") -> list[Path]:
    """Remove old numbered folders, but only once the newest ones are known to be intact.

    The newest is verified in full, the others that count as kept by their manifests and sizes; damaged folders do not
    count. What writers that were killed left behind goes too. Only the one writer of the folder may call this.

    Parameters
    ----------
    parent
        The folder that holds them.
    keep
        How many intact folders stay, at least 1.
    prefix
        What stands before the number.

    Returns
    -------
    removed
        The folders that are gone.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}, but at least 1 folder must be kept")
    parent = Path(parent)
    folders = numbered(parent, prefix)
    kept = 0
    removed = []
    for folder in folders:
        if kept == keep:
            retire(folder)
            removed.append(folder)
            continue
        try:
            if kept == 0:
                verify_folder(folder)
            else:
                open_folder(folder).check_sizes()
        except StorageError:
            continue  # damaged: it neither counts nor is it in the way
        kept += 1
    if parent.is_dir():
        sweep(parent)
    return removed


def numbered(parent: Path, prefix: str) -> list[Path]:
    """Return the folders named prefix + digits, highest number first; links do not count."""
    pattern = re.compile(re.escape(prefix) + r"[0-9]{1,18}")
    if not parent.is_dir():
        return []
    found = [p for p in parent.iterdir() if pattern.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
    return sorted(found, key=lambda p: (int(p.name[len(prefix) :]), p.name), reverse=True)

"""What lies in a model or run folder, told from its text files alone: neither torch nor scikit-learn is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from latentia import storage
from latentia.cli import console
from latentia.cli.exits import FAILURE, OK
from latentia.cli.records import read_record
from latentia.errors import StorageError

__all__ = ["info", "verify"]

_CONFIG, _CARD, _REPORT = "config.json", "README.md", "report.html"
_MAX_BYTES = 1 << 20


def info(path: Path, *, card: bool, json: bool) -> int:
    """Print what is known of a model: settings, data, numbers, checkpoints; with `card` its model card."""
    found = _describe(path)
    if card:
        text = storage.open_folder(path).read(_CARD, _MAX_BYTES).decode("utf-8", "replace")
        if not json:
            console.print_text(text)
            return OK
        found["card"] = text
    if json:
        console.print_json(found)
    else:
        console.print_table(("what", "value"), [(name, _text(value)) for name, value in _flat(found)])
    return OK


def verify(path: Path, *, json: bool) -> int:
    """Check every listed file of a folder, and of the checkpoints and seeds inside it."""
    folders = list(_folders(path))
    if not folders:
        storage.open_folder(path)  # says why there is nothing to verify
    files = [result for folder in folders for result in _verified(folder)]
    problems = [result["problem"] for result in files if result["problem"]]
    if json:
        console.print_json({"intact": not problems, "files": files})
    else:
        rows = [(r["folder"], r["file"], f"{r['bytes']:,}", "damaged" if r["problem"] else "intact") for r in files]
        console.print_table(("folder", "file", "bytes", "state"), rows, right=("bytes",))
    for problem in problems:
        console.error(problem)
    return FAILURE if problems else OK


def _describe(path: Path) -> dict[str, Any]:
    """Gather what the text files say; a run that has not come to its model yet has checkpoints only."""
    found: dict[str, Any] = {"folder": str(path)}
    checkpoints = [folder.name for folder in _checkpoints(path)]
    record = read_record(path)
    try:
        opened = storage.open_folder(path)
    except StorageError:
        if not checkpoints and record is None and not _seeds(path):
            raise
        found["model"] = "none yet"
    else:
        if _CONFIG in opened.manifest.files:
            found |= storage.parse_json(opened.read(_CONFIG, _MAX_BYTES), storage.show(path / _CONFIG))
        found["files"] = {name: entry.size for name, entry in opened.manifest.files.items()}
    if record is not None:
        found["fitted to"] = record.source.data
        found["evaluations"] = list(record.evaluations)
    if checkpoints:
        found["checkpoints"] = checkpoints
    if _seeds(path):
        found["seeds"] = [folder.name for folder in _seeds(path)]
    if (path / _REPORT).is_file():
        found["report"] = str(path / _REPORT)
    return found


def _verified(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        opened = storage.open_folder(folder)
    except StorageError as failure:
        yield {"folder": str(folder), "file": storage.MANIFEST, "bytes": 0, "problem": str(failure)}
        return
    for name, entry in opened.manifest.files.items():
        problem = None
        try:
            opened.verify(name)
        except StorageError as failure:
            problem = str(failure)
        yield {"folder": str(folder), "file": name, "bytes": entry.size, "problem": problem}


def _folders(path: Path) -> Iterator[Path]:
    """Yield the folder itself if it has a manifest, its checkpoints, and those of the seeds inside."""
    if any((path / inner / storage.MANIFEST).exists() for inner in ("", ".pending")):
        yield path
    yield from _checkpoints(path)
    for seed in _seeds(path):
        yield from _folders(seed)


def _checkpoints(path: Path) -> list[Path]:
    return _inside(path / "checkpoints", "step-*")


def _seeds(path: Path) -> list[Path]:
    return _inside(path, "seed-*")


def _inside(path: Path, pattern: str) -> list[Path]:
    return sorted(folder for folder in path.glob(pattern) if folder.is_dir() and not folder.is_symlink())


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                yield from _flat(item, f"{prefix}{name}.{item.get('name', index)}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    if isinstance(value, list):
        shown = ", ".join(_text(item) for item in value[:20])
        return f"{shown}, … ({len(value)} in all)" if len(value) > 20 else shown
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)

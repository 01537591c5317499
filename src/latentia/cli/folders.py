"""What lies in a model or run folder, told from its text files alone: neither torch nor scikit-learn is imported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from latentia import storage
from latentia.cli import console
from latentia.cli.exits import FAILURE, OK
from latentia.cli.records import read_record
from latentia.errors import CorruptedError, StorageError

__all__ = ["describe", "info", "verify"]

_CONFIG, _CARD, _REPORT = "config.json", "README.md", "report.html"
_MAX_CARD_BYTES = 1 << 20
_MAX_CONFIG_BYTES = 64 << 20


def info(path: Path, *, card: bool, json: bool) -> int:
    """Print what is known of a model: settings, data, numbers, checkpoints; with `card` its model card."""
    found = describe(path)
    if card:
        text = storage.open_folder(path).read(_CARD, _MAX_CARD_BYTES).decode("utf-8", "replace")
        if not json:
            console.print_text(text)
            return OK
        found["card"] = text
    if json:
        console.print_json(found)
    else:
        console.print_table(("what", "value"), list(_rows(found)))
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


def describe(path: Path) -> dict[str, Any]:
    """Gather what the text files say; a run that has not come to its model yet has checkpoints only."""
    found: dict[str, Any] = {"folder": str(path)}
    checkpoints, seeds, record = _checkpoints(path), _seeds(path), read_record(path)
    try:
        opened = storage.open_folder(path)
    except StorageError:
        if not checkpoints and not seeds and record is None:
            raise
        found["model"] = "none yet" if checkpoints or not seeds else "one for each seed"
    else:
        what = storage.show(path / _CONFIG)
        found |= _model(storage.parse_json(opened.read(_CONFIG, _MAX_CONFIG_BYTES), what), what)
        found["files"] = {name: entry.size for name, entry in opened.manifest.files.items()}
    if record is not None and record.evaluations and "estimator" in found:
        found["evaluations"] = list(record.evaluations)
    if record is not None:
        found["fitted to"] = record.source.data
    if checkpoints:
        found["checkpoints"] = [folder.name for folder in checkpoints]
    if seeds:
        found["seeds"] = [folder.name for folder in seeds]
    if (path / _REPORT).is_file():
        found["report"] = str(path / _REPORT)
    return found


def _model(config: Any, what: str) -> dict[str, Any]:
    """Choose from a model's configuration what a person wants to know."""
    try:
        fitted, preprocessing = config["fitted"], config["preprocessing"]
        return {
            "estimator": config["estimator"],
            "written by": f"latentia {config['latentia']}",
            "settings": dict(config["parameters"]),
            "data": {
                name: fitted["info_"][name]
                for name in ("name", "n_train", "licence", "split", "fingerprint")
                if fitted["info_"].get(name) is not None
            },
            "support": ":".join(str(part) for part in preprocessing["support"].values() if part is not None),
            "event shape": preprocessing["event_shape"],
            "likelihood": fitted["likelihood_name_"],
            "epochs": len(fitted["history_"]),
            "numbers in the weights": sum(math.prod(shape) for shape in config["weights"].values()),
            "evaluations": [item for item in fitted.get("evaluations_", []) if isinstance(item, Mapping)],
        }
    except (KeyError, TypeError, AttributeError) as failure:
        raise CorruptedError(f"{what} is not one that Latentia wrote: {failure!r}") from None


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
    if storage.has_manifest(path):
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


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Turn what is known into lines; whatever a file says is shown as text."""
    for name, value in found.items():
        if name == "evaluations":
            for item in value:
                error = item.get("standard_error")
                shown = console.number(item.get("log_prob")) + (f" ± {console.number(error)}" if error else "")
                yield f"log p(x) of {item.get('name')}", f"{shown} nats on {item.get('n')} rows; {item.get('kind')}"
        elif isinstance(value, Mapping):
            yield from ((f"{name}: {inner}", _text(content)) for inner, content in value.items())
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)

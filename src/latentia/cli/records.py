"""``run.json``: what a run was fitted to and which numbers came out, beside the model and never read by ``load``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latentia import storage
from latentia.cli.console import finite
from latentia.errors import CorruptedError

__all__ = ["RUN", "Record", "Source", "read_record", "weights_digest", "write_json"]

RUN = "run.json"
_FORMAT = 1
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Source:
    """How the data were asked for, so that the same test rows can be read again."""

    data: str
    path: str | None = None  # absolute, where `data` is a path
    label: str | None = None
    drop: tuple[str, ...] = ()
    support: str | None = None
    split_seed: int = 0


@dataclass(frozen=True)
class Record:
    """The content of ``run.json``."""

    estimator: str
    source: Source
    fingerprint: str | None = None
    features: tuple[str, ...] | None = None  # the columns of a table, in the order of the model
    evaluations: Sequence[Mapping[str, Any]] = ()  # the model first, then the baselines, on the test split
    comparisons: Sequence[Mapping[str, Any]] = ()
    seconds: float | None = None
    diagnosis: Mapping[str, Any] | None = None  # with the sha256 of the weights that it was made of

    def write(self, folder: Path) -> None:
        """Replace the record of a run folder."""
        content = asdict(self)
        if self.diagnosis is None:
            del content["diagnosis"]  # the first release knew of none
        write_json(folder, RUN, {"format": _FORMAT, **content})


def write_json(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Replace a JSON file of a run folder that belongs to no manifest."""
    text = json.dumps(finite(content), indent=2, allow_nan=False) + "\n"
    storage.write_files(folder, {name: text.encode()}, manifest=False)


def read_record(folder: Path) -> Record | None:
    """Read the record of a run folder, or None where there is none.

    Raises
    ------
    CorruptedError
        If it is not what :meth:`Record.write` writes.
    """
    path = folder / RUN
    if not path.is_file():
        return None
    content = storage.read_json(path)
    problem = CorruptedError(f"{storage.show(path)} is no record of a run: fit again, or give --data")
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise problem
    try:
        source = content.pop("source")
        features = content.pop("features", None)
        record = Record(
            source=Source(**{**source, "drop": tuple(source["drop"])}),
            features=None if features is None else tuple(map(str, features)),
            **content,
        )
    except (TypeError, KeyError):
        raise problem from None
    texts = (record.estimator, record.source.data)
    rows = [*record.evaluations, *record.comparisons, *([] if record.diagnosis is None else [record.diagnosis])]
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(row, dict) for row in rows):
        raise problem
    return record


def weights_digest(folder: Path) -> str:
    """Return the sha256 of the weights of the model in a folder, by which a record knows what it is of."""
    return storage.open_folder(folder).manifest.files[_WEIGHTS].sha256

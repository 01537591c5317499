"""``compare``: several runs in one table, from what was recorded of them, and on one page of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from latentia import storage
from latentia.cli.console import note, print_json, print_text
from latentia.cli.exits import OK, UsageError
from latentia.cli.folders import describe
from latentia.cli.inputs import load_model, load_source
from latentia.cli.outputs import check_output
from latentia.cli.scoring import print_evaluations
from latentia.errors import DataError, StorageError

__all__ = ["compare"]

_NUMBERS = (
    "n", "num_samples", "log_prob", "standard_error", "bits_per_dim", "elbo", "elbo_standard_error", "rate",
    "distortion", "active_units", "latent_dim", "num_parameters",
)  # fmt: skip


@dataclass(frozen=True)
class _Run:
    """A run, the data it was fitted to, and its numbers on their test split."""

    folder: Path
    data: str
    fingerprint: str
    evaluation: Mapping[str, Any]


def compare(folders: Sequence[Path], page: Path | None, *, overwrite: bool, json: bool) -> int:
    """Print one table for each data set, and write the page where one is asked for."""
    if page is not None:
        check_output(page, (".html",), overwrite=overwrite)
    runs = [run for folder in folders for run in _read(folder)]
    if not runs:
        raise DataError("none of these folders holds a fitted model: name folders that latentia fit wrote")
    groups: dict[str, list[_Run]] = {}
    for run in runs:
        groups.setdefault(run.fingerprint, []).append(run)
    if page is not None:
        if len(groups) > 1:
            names = ", ".join(sorted({group[0].data for group in groups.values()}))
            raise DataError(f"the runs were fitted to different data ({names}): a page compares runs of the same data")
        _write_page(runs, page)
    if json:
        print_json({"runs": [_document(run) for run in runs], "page": page})
        return OK
    for group in groups.values():
        print_evaluations([_as_evaluation(run) for run in group], title=f"{group[0].data}, test split")
    if page is not None:
        print_text(f"page: {page}")
    return OK


def _read(folder: Path) -> Iterator[_Run]:
    """Yield the run of a folder, or those of the seeds in it; what has no model yet is left out with a note."""
    known = describe(folder)
    if "estimator" not in known:
        for seed in known.get("seeds", []):
            yield from _read(folder / seed)
        if not known.get("seeds"):
            note(f"{folder} is left out: it has no model yet")
        return
    evaluations = known["evaluations"] or [_evaluate(folder)]
    data, settings = known["data"], known["settings"]
    evaluation = {"latent_dim": settings.get("latent_dim"), **evaluations[0]}
    yield _Run(folder, str(data.get("name")), str(data.get("fingerprint")), evaluation)


def _evaluate(folder: Path) -> Mapping[str, Any]:
    """Evaluate a model that was saved without its numbers."""
    model = load_model(folder, None)
    evaluation: Mapping[str, Any] = model.evaluate(load_source(folder, model).test.x).to_json()
    return evaluation


def _as_evaluation(run: _Run) -> Any:
    """Make of a record what the table takes; a file may say anything, so only numbers count as numbers."""
    given = run.evaluation
    numbers = {name: given.get(name) if isinstance(given.get(name), int | float) else None for name in _NUMBERS}
    if numbers["log_prob"] is None:
        raise StorageError(f"{storage.show(run.folder)} records no log p(x): evaluate it again")
    per_dimension = given.get("kl_per_dimension")
    return SimpleNamespace(
        **numbers,
        name=f"{run.folder.name} ({given.get('name')})",
        kind=str(given.get("kind")),
        kl_per_dimension=per_dimension if isinstance(per_dimension, list) else None,
    )


def _document(run: _Run) -> dict[str, Any]:
    return {"run": run.folder, "data": run.data, "fingerprint": run.fingerprint, **run.evaluation}


def _write_page(runs: Sequence[_Run], page: Path) -> None:
    from latentia import report

    if len(runs) < 2:
        raise UsageError("a page needs at least two runs: name more folders, or see latentia report")
    models = [load_model(run.folder, None) for run in runs]
    names = [run.folder.name for run in runs]
    keys = names if len(set(names)) == len(names) else [str(run.folder) for run in runs]
    note("drawing the page")
    report.compare(dict(zip(keys, models, strict=True)), page, split=load_source(runs[0].folder, models[0]).test)

"""``report``: the page of a fitted model, after a fit or later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentia.cli.console import note, print_json, print_text
from latentia.cli.exits import OK
from latentia.cli.inputs import load_model, load_source
from latentia.cli.records import read_record, weights_digest

if TYPE_CHECKING:
    from latentia.data import Dataset

__all__ = ["PAGE", "report", "write_page"]

PAGE = "report.html"


def report(run: Path, out: Path | None, device: str | None, *, json: bool) -> int:
    """Write the report of a run from its model and its test split."""
    model = load_model(run, device)
    dataset = load_source(run, model)
    page = write_page(model, dataset, out if out is not None else run / PAGE, diagnosis=_diagnosis(run))
    if json:
        print_json({"report": page})
    else:
        print_text(str(page))
    return OK


def write_page(
    model: Any,
    dataset: Dataset,
    path: Path,
    *,
    evaluation: Any = None,
    baselines: Sequence[Any] = (),
    diagnosis: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page with its pictures; the numbers of the model are computed where they are not given."""
    from latentia import report as pages

    note("drawing the report")
    return pages.write(model, dataset.test, path, baselines, evaluation=evaluation, diagnosis=diagnosis)


def _diagnosis(run: Path) -> Mapping[str, Any] | None:
    """Return the diagnosis in the record of a run, if it is one of the weights that are there now."""
    record = read_record(run)
    if record is None or record.diagnosis is None:
        return None
    if record.diagnosis.get("weights") != weights_digest(run):
        note(f"the diagnosis in {run} is of other weights, and left out: run latentia diagnose again")
        return None
    return record.diagnosis

"""``diagnose``: every ruler on the same rows, in tables, in pictures, and in the run's record for its report."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentia.cli.chosen_rows import choose
from latentia.cli.console import note, print_json, print_table, print_text
from latentia.cli.exits import OK
from latentia.cli.inputs import load_model
from latentia.cli.outputs import check_folder, write_figures
from latentia.cli.progress import stage_progress
from latentia.cli.records import read_record, weights_digest, write_json
from latentia.errors import ConfigError, StorageError

__all__ = ["diagnose"]

STAGES = 6
DOCUMENT = "diagnosis.json"
PICTURES = ("ladder", "gaps", "parts")


def diagnose(
    run: Path,
    where: str,
    count: int,
    label: str | None,
    drop: tuple[str, ...],
    device: str | None,
    out: Path | None,
    *,
    num_samples: int,
    num_chains: int,
    num_temperatures: int,
    num_leapfrog_steps: int,
    overwrite: bool,
    json: bool,
) -> int:
    """Diagnose a model, say what was found, and keep it in the record of the run."""
    check_folder(out, [DOCUMENT, *(f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg"))], overwrite)
    model = load_model(run, device)
    if not hasattr(model, "diagnose"):
        raise ConfigError(
            f"{str(run)!r} is a {type(model).__name__}, which has no learned posterior to diagnose: its log p(x) comes "
            "from a formula, see latentia evaluate"
        )
    rows = choose(run, model, where, count, label, drop)
    note(f"diagnosing on {rows.words}")
    with stage_progress(STAGES) as progress:
        diagnosis = model.diagnose(
            rows.x,
            num_samples=num_samples,
            num_chains=num_chains,
            num_temperatures=num_temperatures,
            num_leapfrog_steps=num_leapfrog_steps,
            progress=progress,
        )
    from latentia.report import diagnosis as shown

    document = shown.document(diagnosis, model.evaluate(rows.x, num_samples=num_samples), rows.words)
    found = shown.read(document)
    kept = _keep(run, document)
    if out is not None:
        write_json(out, DOCUMENT, document)
        write_figures(out, _figures(found))
    if json:
        print_json({"run": run, **document, "kept": kept, "out": out})
        return OK
    _print(found, diagnosis.health)
    if out is not None:
        print_text(f"pictures: {out}")
    if kept:
        note(f"next: latentia report {shlex.quote(str(run))} draws it into the report")
    return OK


def _keep(run: Path, document: dict[str, Any]) -> bool:
    """Add a diagnosis to the record of a run; say why where that is not possible."""
    record = read_record(run)
    if record is None:
        note(f"{run} has no record to keep the diagnosis in: it was not fitted by latentia fit")
        return False
    try:
        replace(record, diagnosis={**document, "weights": weights_digest(run)}).write(run)
    except StorageError as failure:
        note(f"the diagnosis could not be kept in the run: {failure}")
        return False
    return True


def _figures(found: Any) -> dict[str, Any]:
    from latentia.report import plots

    drawn = (plots.bound_ladder(found), plots.bound_gaps(found), plots.elbo_parts(found.parts))
    return dict(zip(PICTURES, drawn, strict=True))


def _print(found: Any, health: Any) -> None:
    from latentia.report import wording

    tables = (
        ("Bounds on log p(x)", wording.ladder_table(found)),
        ("What the ELBO lacks", wording.gap_table(found)),
        ("What the ELBO is made of", wording.parts_table(found.parts)),
    )
    for title, table in tables:
        numbers = [name for name in table.header if "nats" in name]
        print_table(table.header, table.rows, title=f"{title}: {found.rows}", right=numbers)
    print_text(wording.information_note(found.parts))
    print_text(wording.verdict(health))
    for doubt in wording.doubts(found):
        print_text(f"To be read with care: {doubt}")

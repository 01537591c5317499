"""``evaluate``: every number there is about a model, on rows that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latentia.cli.console import note, print_json, print_table, stdout
from latentia.cli.exits import OK
from latentia.cli.inputs import load_model, load_source, match_columns, read_rows
from latentia.cli.progress import row_progress

__all__ = ["evaluate", "print_evaluations"]

_WIDE = 130  # columns of a terminal that shows every number
_DISPENSABLE = {"rate, nats", "distortion, nats", "parameters"}
_TEXTS = {"model", "log p(x) is"}


def evaluate(
    run: Path,
    samples: int | None,
    data_name: str | None,
    label: str | None,
    drop: tuple[str, ...],
    device: str | None,
    precision: str = "float32",
    *,
    json: bool,
) -> int:
    """Evaluate a model on the test split of its own data, or on other data."""
    model = load_model(run, device)
    what, rows = _rows(run, model, data_name, label, drop)
    note(f"evaluating on {what}")
    with row_progress(len(rows)) as progress:
        evaluation = model.evaluate(rows, num_samples=samples, precision=precision, progress=progress)
    if json:
        print_json({"run": run, "rows": what, **evaluation.to_json()})
    else:
        print_evaluations([evaluation], title=what)
    return OK


def _rows(run: Path, model: Any, data_name: str | None, label: str | None, drop: tuple[str, ...]) -> tuple[str, Any]:
    import numpy as np

    from latentia import data

    if data_name is None:
        dataset = load_source(run, model)
        return f"the test split of {dataset.info.name}", dataset.test.x
    if data_name in data.names() or not Path(data_name).exists():
        return f"the test split of {data_name}", data.load(data_name).test.x
    rows = match_columns(read_rows(Path(data_name), label, drop, run), model, run).content
    return f"all rows of {data_name}", rows if hasattr(rows, "iloc") else np.array(rows)  # off the disk


def print_evaluations(evaluations: Sequence[Any], *, title: str) -> None:
    """Print the table of numbers, the same as on the page; a narrow terminal gets the columns that matter most."""
    from latentia.report.tables import numbers_table

    table = numbers_table(evaluations)
    narrow = stdout().width < _WIDE
    kept = [index for index, name in enumerate(table.header) if not (narrow and name in _DISPENSABLE)]
    header = [table.header[index] for index in kept]
    rows = [[row[index] for index in kept] for row in table.rows]
    print_table(header, rows, title=title, right=[name for name in header if name not in _TEXTS])

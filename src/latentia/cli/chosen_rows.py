"""A few rows that a costly command looks at: a seeded choice from a split, a data set or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentia.cli.inputs import load_source, match_columns, read_rows

__all__ = ["SPLITS", "ChosenRows", "choose", "choose_from"]

SPLITS = ("train", "valid", "test")
SEED = 0


@dataclass(frozen=True)
class ChosenRows:
    """Rows in a form that the model takes, and which they are."""

    x: Any
    words: str


def choose(run: Path, model: Any, where: str, count: int, label: str | None, drop: tuple[str, ...]) -> ChosenRows:
    """Choose rows for a model.

    Parameters
    ----------
    run, model
        The folder, and the model in it.
    where
        A split of the data that it was fitted to, the name of a data set (its test split), or a path (all its rows).
    count
        How many, at most.
    label, drop
        For a table.

    Raises
    ------
    DataError
        If there are no such data.
    """
    from latentia import data

    if where in SPLITS:
        dataset = load_source(run, model)
        return choose_from(getattr(dataset, where).x, f"{where} rows of {dataset.info.name}", count)
    if where in data.names() or not Path(where).exists():
        return choose_from(data.load(where).test.x, f"test rows of {where}", count)
    return choose_from(
        match_columns(read_rows(Path(where), label, drop, run), model, run).content, f"rows of {where}", count
    )


def choose_from(x: Any, what: str, count: int) -> ChosenRows:
    """Choose `count` rows of `x` with a fixed seed, in their order; all of them where there are no more."""
    import numpy as np

    from latentia.report.selection import choose_rows

    total = len(x)
    if count >= total:
        return ChosenRows(x if hasattr(x, "iloc") else np.array(x), f"all {total:,} {what}")
    rows = choose_rows(total, count, SEED)
    chosen = x.iloc[rows] if hasattr(x, "iloc") else np.asarray(x[rows])
    return ChosenRows(chosen, f"{count:,} of the {total:,} {what}, chosen with seed {SEED}")

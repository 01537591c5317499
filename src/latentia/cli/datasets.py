"""``data list`` and ``data info``: what is known by name, and what a file would be taken for."""

from __future__ import annotations

from dataclasses import asdict

from latentia.cli.console import one_line, print_json, print_table
from latentia.cli.exits import OK

__all__ = ["show", "show_all"]


def show_all(*, json: bool) -> int:
    """List the data sets known by name."""
    from latentia import data

    rows = data.describe()
    if json:
        print_json([asdict(row) for row in rows])
    else:
        columns = ("name", "shape", "support", "rows (train / valid / test)", "here", "where")
        cells = [(r.name, r.shape, r.support, r.rows, "yes" if r.present else "no", r.where) for r in rows]
        print_table(columns, cells)
    return OK


def show(name: str, label: str | None, drop: tuple[str, ...], *, json: bool) -> int:
    """Load a data set and say what is in it; nothing is downloaded."""
    from latentia import data

    dataset = data.load(name, label=label, drop=drop, download=False)
    splits = {"train": dataset.train, "valid": dataset.valid, "test": dataset.test}
    known = {**dataset.info.to_json(), "rows": {split: len(rows) for split, rows in splits.items()}}
    if json:
        print_json(known)
        return OK
    info = dataset.info
    rows = {
        "name": info.name,
        "rows": " / ".join(f"{len(split):,} {part}" for part, split in splits.items()),
        "event shape": " × ".join(map(str, info.event_shape)),
        "support": info.support,
        "type": dataset.train.x.dtype,
        "classes": ", ".join(info.class_names) if info.class_names else "none",
        "features": ", ".join(info.feature_names) if info.feature_names else "none",
        "split": info.split,
        "description": one_line(info.description),
        "licence": info.licence,
        "homepage": info.homepage,
        "fingerprint": info.fingerprint,
        "citation": one_line(info.citation),
    }
    print_table(("what", "value"), [row for row in rows.items() if str(row[1])])
    return OK

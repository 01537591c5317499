"""``sample``, ``encode``, ``decode``, ``reconstruct``, ``score``: from rows to rows, in chunks of constant memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentia.cli.console import note, number, print_json, print_table
from latentia.cli.exits import OK
from latentia.cli.inputs import load_model, match_columns, read_rows, rows_per_chunk
from latentia.cli.outputs import check_output, write_array, write_pictures
from latentia.cli.progress import row_progress
from latentia.errors import ConfigError
from latentia.report.contracts import drawn_support

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["apply", "sample", "score"]

_METHODS = {"encode": "transform", "decode": "inverse_transform", "reconstruct": "reconstruct"}
_TABLES = (".npy", ".csv")
_PICTURES = (*_TABLES, ".png")


def sample(run: Path, out: Path, count: int, seed: int, device: str | None, *, overwrite: bool, json: bool) -> int:
    """Draw the samples that ``model.sample`` gives for this seed, block by block."""
    check_output(out, _PICTURES, overwrite=overwrite)
    model = load_model(run, device)
    if out.suffix.lower() == ".png":
        write_pictures(out, model.sample(count, random_state=seed), drawn_support(model))
    else:
        write_array(out, model.sample_blocks(count, seed), count, _columns(model, "decode"))
    return _wrote(out, count, json=json)


def apply(
    verb: str,
    run: Path,
    file: Path,
    out: Path,
    label: str | None,
    drop: tuple[str, ...],
    device: str | None,
    *,
    overwrite: bool,
    json: bool,
) -> int:
    """Write what a verb makes of the rows of a file."""
    check_output(out, _TABLES if verb == "encode" else _PICTURES, overwrite=overwrite)
    rows = read_rows(file, label, drop, run if verb != "decode" else None)
    model = load_model(run, device)
    rows = match_columns(rows, model, run) if verb != "decode" else rows
    method = _method(model, verb, run)
    if out.suffix.lower() == ".png":
        import numpy as np

        items = np.concatenate([method(chunk) for chunk in rows.chunks(_chunk(model))])
        write_pictures(out, items, drawn_support(model))
    else:
        write_array(out, map(method, rows.chunks(_chunk(model))), len(rows), _columns(model, verb))
    return _wrote(out, len(rows), json=json)


def score(
    run: Path,
    file: Path,
    out: Path | None,
    samples: int | None,
    label: str | None,
    drop: tuple[str, ...],
    device: str | None,
    *,
    overwrite: bool,
    json: bool,
) -> int:
    """Print the mean of log p(x) with its standard error, and write a value a row where that is asked for."""
    if out is not None:
        check_output(out, _TABLES, overwrite=overwrite)
    rows = read_rows(file, label, drop, run)
    model = load_model(run, device)
    rows = match_columns(rows, model, run)
    sums = [0, 0.0, 0.0]  # n, mean, sum of squared distances from it (Welford, by chunks)

    def scored(progress: Callable[[int], None] | None) -> Iterator[Array]:
        for chunk in rows.chunks(_chunk(model)):
            before = sums[0]
            done = None if progress is None else (lambda i, before=before: progress(before + i))
            values = model.evaluate(chunk, num_samples=samples, progress=done).per_row
            _accumulate(sums, values)
            yield values

    with row_progress(len(rows)) as progress:
        if out is not None:
            write_array(out, scored(progress), len(rows), lambda _: ["log_prob"])
        else:
            for _ in scored(progress):
                pass
    count, mean, squares = sums
    error = math.sqrt(squares / (count - 1) / count) if count > 1 else None
    if json:
        print_json({"n": count, "log_prob": mean, "standard_error": error, "unit": "nats", "out": out})
    else:
        shown = number(mean) + (f" ± {number(error)}" if error is not None else "")
        print_table(("rows", "mean log p(x), nats"), [(f"{count:,}", shown)], right=("rows", "mean log p(x), nats"))
        if out is not None:
            note(f"wrote {out}")
    return OK


def _accumulate(sums: list[Any], values: Array) -> None:
    added, mean = len(values), float(values.mean(dtype="float64"))
    total, shift = sums[0] + added, mean - sums[1]
    sums[2] += float(((values.astype("float64") - mean) ** 2).sum()) + shift**2 * sums[0] * added / total
    sums[1] += shift * added / total
    sums[0] = total


def _chunk(model: Any) -> int:
    return rows_per_chunk(math.prod(model.event_shape_))


def _method(model: Any, verb: str, run: Path) -> Callable[[Any], Array]:
    method: Callable[[Any], Array] | None = getattr(model, _METHODS[verb], None)
    if method is None:
        raise ConfigError(f"the model in {str(run)!r} is a {type(model).__name__}, which has no latents to {verb}")
    return method


def _columns(model: Any, verb: str) -> Callable[[int], list[str]]:
    """Return the function that names so many columns: the model's own names where they fit."""
    attribute = "get_feature_names_out" if verb == "encode" else "feature_names_in_"
    own = getattr(model, attribute, None)
    names = list(own() if callable(own) else own) if own is not None else []
    letter = "z" if verb == "encode" else "x"
    return lambda count: names if len(names) == count else [f"{letter}{index}" for index in range(count)]


def _wrote(out: Path, count: int, *, json: bool) -> int:
    if json:
        print_json({"out": out, "rows": count})
    else:
        note(f"wrote {count:,} rows to {out}")
    return OK

"""``gradients``: what estimators of a gradient are worth, for a fitted model or one that has not been trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentia.cli import helping
from latentia.cli.chosen_rows import SPLITS, ChosenRows, choose, choose_from
from latentia.cli.console import note, print_json, print_table, print_text
from latentia.cli.exits import OK, UsageError
from latentia.cli.inputs import load_model
from latentia.cli.outputs import check_folder, write_figures
from latentia.cli.progress import stage_progress
from latentia.cli.records import write_json
from latentia.cli.settings import assign, settings_of
from latentia.errors import ConfigError
from latentia.estimators import registry

__all__ = ["Request", "gradients", "sample_counts"]

DOCUMENT = "gradients.json"
_CLOSED = "fitted in closed form: it has no gradient to estimate, choose a vae"


@dataclass(frozen=True)
class Request:
    """What was asked for: a run, or with `fresh` an estimator and data."""

    what: str
    data: str | None
    fresh: bool
    assignments: tuple[str, ...]
    where: str
    count: int
    samples: tuple[int, ...]
    repeats: int
    seed: int
    split_seed: int
    support: str | None
    label: str | None
    drop: tuple[str, ...]
    device: str | None
    out: Path | None
    overwrite: bool
    json: bool


def gradients(request: Request) -> int:
    """Measure, print the tables, and write pictures where they are asked for."""
    parts = ("encoder", "decoder", "prior")
    names = [f"{part}.{kind}" for part in parts for kind in ("png", "svg")]
    check_folder(request.out, [DOCUMENT, *names], overwrite=request.overwrite)
    model, rows, words = _untrained(request) if request.fresh else _fitted(request)
    from latentia.estimators.gradients import gradients as measure
    from latentia.report import plots, wording

    note(f"measuring gradients of {words} on {rows.words}")
    with stage_progress(len(set(request.samples))) as progress:
        table = measure(model, rows.x, sample_counts=request.samples, repeats=request.repeats, progress=progress)
    document = {"model": words, "on": rows.words, **table.to_json()}
    there = [part for part in parts if table.select(part=part)]
    if request.out is not None:
        write_json(request.out, DOCUMENT, document)
        write_figures(request.out, {part: plots.gradient_curves(table, part=part) for part in there})
    if request.json:
        print_json({**document, "out": request.out})
        return OK
    print_text(f"{words}, {rows.words}: {request.repeats:,} gradients of each, L decoder passes a row")
    for part in there:
        shown = wording.gradient_table(table, part)
        title = f"{part}: variance of the gradient (signal-to-noise ratio) by samples L"
        print_table(shown.header, shown.rows, title=title, right=shown.header[1:])
    for sentence in wording.gradient_findings(table):
        print_text(sentence)
    if request.out is not None:
        print_text(f"pictures: {request.out}")
    return OK


def sample_counts(text: str) -> tuple[int, ...]:
    """Return the numbers in a text such as "1,2,4"; UsageError for anything else."""
    try:
        counts = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise UsageError(f"--samples takes whole numbers from 1, such as 1,2,4,8,16, got {text!r}")
    return counts


def _fitted(request: Request) -> tuple[Any, ChosenRows, str]:
    fresh = [("a data set", request.data), ("--set", request.assignments), ("--support", request.support)]
    given = [name for name, value in fresh if value]
    if given:
        raise UsageError(f"{given[0]} goes with --fresh: a fitted model has its own, and --on chooses its rows")
    run = Path(request.what)
    model = load_model(run, request.device)
    if not hasattr(model, "diagnose"):
        raise ConfigError(f"{request.what!r} is a {type(model).__name__}, {_CLOSED}")
    rows = choose(run, model, request.where, request.count, request.label, request.drop)
    return model, rows, f"the model in {request.what}"


def _untrained(request: Request) -> tuple[Any, ChosenRows, str]:
    if request.what not in registry.names():
        raise UsageError(f"there is no estimator {request.what!r}: known are {', '.join(registry.names())}")
    if request.data is None:
        raise UsageError("--fresh needs an estimator and data: latentia gradients --fresh vae digits")
    if request.where not in SPLITS:
        raise UsageError(f"--on takes {', '.join(SPLITS[:-1])} or {SPLITS[-1]} with --fresh, got {request.where!r}")
    cls = registry.get(request.what)
    if not hasattr(cls, "diagnose"):
        raise ConfigError(f"{request.what} is {_CLOSED}")
    settings = settings_of(cls)
    arguments = assign(request.assignments, {}, settings, helping.FLAGS) | {"random_state": request.seed}
    if request.device is not None:
        arguments["device"] = request.device
    from latentia import data
    from latentia.estimators.gradients import untrained

    dataset = data.load(
        request.data, support=request.support, label=request.label, drop=request.drop, seed=request.split_seed
    )
    model = untrained(arguments, dataset.train)
    part = getattr(dataset, request.where)
    rows = choose_from(part.x, f"{request.where} rows of {dataset.info.name}", request.count)
    return model, rows, f"an untrained {request.what}"

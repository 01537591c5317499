"""``fit``: from a name and data to a folder with a model, its numbers and its report."""

from __future__ import annotations

import contextlib
import shlex
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from latentia import storage
from latentia.cli import baselines, helping, records, reporting, runs, seeds
from latentia.cli.console import error, note, print_json, print_text
from latentia.cli.exits import FAILURE, INTERRUPTED, OK, TERMINATED, UsageError, nearest
from latentia.cli.progress import row_progress
from latentia.cli.scoring import print_evaluations
from latentia.cli.settings import Setting, assign, read_config, settings_of
from latentia.errors import Interrupted
from latentia.estimators import registry
from latentia.estimators.limits import check_parameters

if TYPE_CHECKING:
    from latentia.data import Dataset

__all__ = ["Request", "fit"]

_STOPPED = "stopped: the same command with --resume goes on where the last checkpoint was written"


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    name: str
    data: str
    assignments: tuple[str, ...]
    config: Path | None
    out: Path | None
    resume: bool
    force: bool
    overwrite: bool
    seed: int
    split_seed: int
    device: str | None
    label: str | None
    drop: tuple[str, ...]
    support: str | None
    report: bool
    baselines: bool
    beat_baseline: float | None
    json: bool
    quiet: bool

    @property
    def folder(self) -> Path:
        """Where the run goes."""
        return self.out if self.out is not None else Path("runs") / f"{Path(self.data).stem}-{self.name}"

    @property
    def source(self) -> records.Source:
        """How the data were asked for."""
        is_path = Path(self.data).exists()
        path = str(Path(self.data).resolve()) if is_path else None
        return records.Source(self.data, path, self.label, self.drop, self.support, self.split_seed)


def fit(request: Request, *, num_seeds: int | None) -> int:
    """Fit, evaluate, save and report; with `num_seeds` so many times, each in a process of its own."""
    _check_words(request)
    if request.force and not request.resume:
        raise UsageError("--force goes with --resume: add it, or leave --force out")
    runs.check_run_folder(request.folder, resume=request.resume, overwrite=request.overwrite)
    cls, arguments = _estimator(request)
    if num_seeds is not None:
        storage.check_writable(request.folder)
        return seeds.fit_seeds(request, num_seeds)
    with _resumable():
        return _fit_one(request, cls, arguments)


def _estimator(request: Request) -> tuple[type[Any], dict[str, Any]]:
    """Return the class, and its arguments after every check that the command line allows."""
    cls = registry.get(request.name)
    settings = settings_of(cls)
    config = read_config(request.config) if request.config is not None else {}
    arguments = assign(request.assignments, config, settings, helping.FLAGS)
    arguments |= _from_flags(request, settings)
    missing = [name for name, setting in settings.items() if setting.required and name not in arguments]
    if missing:
        raise UsageError(f"{request.name} needs a value for {', '.join(missing)}: add --set {missing[0]}=…")
    limits = getattr(cls, "_limits", {})  # what the estimator would refuse is refused before the data are read
    check_parameters(cls.__name__, arguments, {name: limits[name] for name in arguments if name in limits})
    return cls, arguments


def _check_words(request: Request) -> None:
    """Refuse unknown names before anything slow is imported, and before a folder is made."""
    from latentia import data

    if not request.name:
        raise UsageError(f"fit needs an estimator: one of {', '.join(registry.names())}; see latentia fit --help")
    if request.name not in registry.names():
        hint = nearest(request.name, registry.names())
        raise UsageError(f"there is no estimator {request.name!r}: {hint}known are {', '.join(registry.names())}")
    if not request.data:
        raise UsageError(f"fit needs data: a path, or one of {', '.join(data.names())}")
    if request.data not in data.names() and not Path(request.data).exists():
        data.load(request.data)  # says what is known, and what is nearest


def _from_flags(request: Request, settings: Mapping[str, Setting]) -> dict[str, Any]:
    if request.device is not None and "device" not in settings:
        raise UsageError(f"{request.name} runs on the CPU only: leave --device out")
    has_run = runs.has_run(request.folder)
    resume = "resume-force" if request.force else "resume"
    wanted = {
        "random_state": request.seed,
        "run_dir": str(request.folder),
        "run_mode": resume if request.resume and has_run else "overwrite" if request.overwrite and has_run else "new",
        "verbose": 0 if request.quiet else 1,
        "device": request.device,
    }
    return {name: value for name, value in wanted.items() if name in settings and value is not None}


def _fit_one(request: Request, cls: type[Any], arguments: dict[str, Any]) -> int:
    from latentia import data

    start = time.monotonic()
    source, out = request.source, request.folder
    dataset = data.load(
        request.data, support=request.support, label=request.label, drop=request.drop, seed=request.split_seed
    )
    _tell_data(dataset)
    storage.check_writable(out)
    storage.check_replaceable(out)
    # What can be refused is refused before anything is removed: by the estimator itself if it keeps a run folder.
    keeps_run = "run_mode" in arguments
    if request.overwrite and keeps_run and not runs.has_run(out):
        runs.remove_run(out)
    if request.resume and not runs.has_run(out):
        note(f"there is nothing to resume in {out}: starting anew")
    record = records.Record(request.name, source, dataset.info.fingerprint, dataset.info.feature_names)
    try:
        model = cls(**arguments).fit(dataset.train)
    except Interrupted:
        record.write(out)
        raise
    if request.overwrite:
        runs.remove_seeds(out) if keeps_run else runs.remove_run(out)
    model.save(out)
    note("evaluating on the test split")
    with row_progress(len(dataset.test)) as progress:
        evaluation = model.evaluate(dataset.test.x, progress=progress)
    others = baselines.evaluate_baselines(model, dataset, request.seed) if request.baselines else []
    comparisons = baselines.compare(evaluation, others)
    model.evaluations_ = [{**evaluation.to_json(), "on": f"{dataset.info.name}, test split"}]
    model.save(out)  # again, with the numbers on its card
    record = replace(
        record,
        evaluations=[item.to_json() for item in (evaluation, *others)],
        comparisons=[comparison.to_json() for comparison in comparisons],
        seconds=time.monotonic() - start,
    )
    record.write(out)
    page = out / reporting.PAGE if request.report else None
    if page is not None:
        reporting.write_page(model, dataset, page, evaluation=evaluation, baselines=others)
    _print_results(request, record, [evaluation, *others], comparisons, page)
    return _judge(request, comparisons)


def _tell_data(dataset: Dataset) -> None:
    info = dataset.info
    rows = f"{len(dataset.train):,} training, {len(dataset.valid):,} validation and {len(dataset.test):,} test rows"
    note(f"{info.name}: {rows} of {' × '.join(map(str, info.event_shape))}, support {info.support}")


def _print_results(
    request: Request, record: records.Record, evaluations: list[Any], comparisons: list[Any], page: Path | None
) -> None:
    out = request.folder
    if request.json:
        print_json({**asdict(record), "seed": request.seed, "out": out, "report": page})
        return
    print_evaluations(evaluations, title=f"{record.source.data}, test split")
    for comparison in comparisons:
        print_text(str(comparison))
    print_text(f"model:  {out}")
    if page is not None:
        print_text(f"report: {page}")
    note(f"next: latentia sample {shlex.quote(str(out))} -n 64 --out samples.png")


def _judge(request: Request, comparisons: list[baselines.Comparison]) -> int:
    """Return the exit code: the baseline must be beaten where that was asked for."""
    if request.beat_baseline is None:
        return OK
    if not comparisons:
        error("--beat-baseline needs the baselines, and none could be fitted")
        return FAILURE
    if not comparisons[0].standard_errors >= request.beat_baseline:  # NaN beats nothing
        error(f"{comparisons[0]}: at least {request.beat_baseline:g} above it were asked for")
        return FAILURE
    return OK


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C outside of training, which has its own handling, into the exit of a run to be resumed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(_STOPPED, TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(_STOPPED, INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)

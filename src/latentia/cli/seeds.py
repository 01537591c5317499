"""``fit --seeds N``: the same fit with several seeds, each in a process of one thread, as many at a time as cores.

Several one-thread processes are faster than one process with several threads, and each gives the same numbers as the
same fit typed by hand.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from latentia.cli.console import error, note, number, one_line, print_json, print_table
from latentia.cli.exits import FAILURE, INTERRUPTED, OK, TERMINATED
from latentia.cli.records import write_json
from latentia.cli.runs import SEEDS, remove_run
from latentia.errors import Interrupted

if TYPE_CHECKING:
    from latentia.cli.fitting import Request

__all__ = ["fit_seeds", "spread"]

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_POLL_SECONDS = 0.05
_SUMMARISED = ("log_prob", "elbo", "bits_per_dim", "active_units")


@dataclass
class _Child:
    """One process, and where its output goes."""

    seed: int
    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def result(self) -> dict[str, Any] | None:
        """Return what the process printed, None if that is not all; the reason of a failure is told.

        A fit that is whole but does not beat the baseline has both.
        """
        output, messages = (self._text(stream) for stream in (self.stdout, self.stderr))
        if self.process.returncode not in {OK, TERMINATED, INTERRUPTED}:
            last = next((line for line in reversed(messages.splitlines()) if line.strip()), "it said nothing")
            how = f"exit code {self.process.returncode}"
            error(f"seed {self.seed} failed ({how}): {last.removeprefix('error: ')}")
        try:
            content = json.loads(output)
        except ValueError:
            return None
        return content if isinstance(content, dict) and content.get("evaluations") else None

    @staticmethod
    def _text(stream: IO[bytes]) -> str:
        with stream:
            stream.seek(0)
            return stream.read().decode("utf-8", "replace")


@dataclass
class _Fleet:
    """The processes that run now, how many failed, and the signal that was passed on to them."""

    running: list[_Child] = field(default_factory=list)
    failed: int = 0
    stopped_by: signal.Signals | None = None

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """Let every process finish its step, save and leave."""
        self.stopped_by = signal.Signals(number)
        for child in self.running:
            if child.process.poll() is None:
                child.process.send_signal(number)


def fit_seeds(request: Request, num_seeds: int) -> int:
    """Run all seeds, print the mean and the standard deviation over them, and name those that failed."""
    if request.overwrite:
        remove_run(request.folder)
    seeds = range(request.seed, request.seed + num_seeds)
    limit = min(num_seeds, _cores())
    note(f"fitting seeds {seeds[0]} to {seeds[-1]}, {limit} at a time, one thread each, in {request.folder}/seed-…")
    fleet = _Fleet()
    before = {number: signal.signal(number, fleet.pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        results = _run_all(fleet, request, list(seeds), limit)
    finally:
        for child in fleet.running:  # none, unless something of our own went wrong
            child.process.terminate()
        for number, handler in before.items():
            signal.signal(number, handler)
    if fleet.stopped_by is not None:
        code = TERMINATED if fleet.stopped_by == signal.SIGTERM else INTERRUPTED
        raise Interrupted("stopped: the same command with --resume goes on with every seed", code)
    _summarise(request, results)
    return OK if len(results) == num_seeds and not fleet.failed else FAILURE


def _run_all(fleet: _Fleet, request: Request, waiting: list[int], limit: int) -> dict[int, dict[str, Any]]:
    first = waiting[0]
    results = {}
    while fleet.running or (waiting and fleet.stopped_by is None):
        while waiting and len(fleet.running) < limit and fleet.stopped_by is None:
            seed = waiting.pop(0)
            fleet.running.append(_start(request, seed, baselines=request.baselines and seed == first))
        time.sleep(_POLL_SECONDS)
        for child in [child for child in fleet.running if child.process.poll() is not None]:
            fleet.running.remove(child)
            result = child.result()
            fleet.failed += child.process.returncode != OK
            if result is not None:
                results[child.seed] = result
                note(f"seed {child.seed} is done")
    return dict(sorted(results.items()))


def _start(request: Request, seed: int, *, baselines: bool) -> _Child:
    stdout, stderr = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child ended
    process = subprocess.Popen(
        [sys.executable, "-m", "latentia", *_arguments(request, seed, baselines=baselines)],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, **_ONE_THREAD},
        start_new_session=True,  # a Ctrl-C at the terminal comes through `pass_on`, once
    )
    return _Child(seed, process, stdout, stderr)


def _arguments(request: Request, seed: int, *, baselines: bool) -> list[str]:
    """Return the command line of one seed."""
    arguments = ["fit", "--json", "--quiet", f"--seed={seed}", f"--split-seed={request.split_seed}"]
    arguments.append(f"--out={request.folder / f'seed-{seed}'}")
    arguments += [f"--set={assignment}" for assignment in request.assignments]
    arguments += [f"--drop={column}" for column in request.drop]
    options = {"config": request.config, "device": request.device, "label": request.label, "support": request.support}
    arguments += [f"--{name}={value}" for name, value in options.items() if value is not None]
    arguments += ["--resume"] if request.resume else []
    arguments += ["--force"] if request.force else []
    arguments.append("--report" if request.report else "--no-report")
    if baselines and request.beat_baseline is not None:
        arguments.append(f"--beat-baseline={request.beat_baseline}")
    arguments.append("--baselines" if baselines else "--no-baselines")
    return [*arguments, "--", request.name, request.data]


def _summarise(request: Request, results: dict[int, dict[str, Any]]) -> None:
    rows = {seed: result["evaluations"][0] for seed, result in results.items()}
    summary = {name: spread([row.get(name) for row in rows.values()]) for name in _SUMMARISED}
    content = {
        "estimator": request.name,
        "data": request.data,
        "seeds": [{"seed": seed, "out": result["out"], **rows[seed]} for seed, result in results.items()],
        "summary": {name: {"mean": mean, "sd": sd} for name, (mean, sd) in summary.items()},
    }
    if request.folder.is_dir():
        write_json(request.folder, SEEDS, content)
    if request.json:
        print_json({"out": request.folder, **content})
        return
    cells = [[str(seed), *(number(row.get(name), _digits(name)) for name in _SUMMARISED)] for seed, row in rows.items()]
    means = [_mean_text(name, *summary[name]) for name in _SUMMARISED]
    header = ("seed", "log p(x), nats", "ELBO, nats", "bits/dim", "active units")
    title = f"{request.name} on {one_line(request.data)}, test split"
    print_table(header, [*cells, ["mean ± sd", *means]], title=title, right=header)


def _mean_text(name: str, mean: float | None, sd: float | None) -> str:
    shown = number(mean, _digits(name))
    return shown if sd is None else f"{shown} ± {number(sd, _digits(name))}"


def _digits(name: str) -> int:
    return 3 if name == "bits_per_dim" else 2


def spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Return the mean and the sample standard deviation (n − 1); None where there are too few values."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None, None
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

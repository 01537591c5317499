"""What the benchmarks share: workers in processes of their own, medians, targets, and where the figures go.

Times are CPU-seconds of a worker's process (user and system, all threads), so that a busy machine disturbs them less;
contenders take turns, and a figure is the median over the turns.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "bench" / "results"

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
INTRODUCTION = """# Benchmarks

Each section is written by the command under its title, and its raw figures are in `bench/results/`. Absolute figures
belong to the machine that ran the command, and are lower where other processes shared its cache and memory (the spread
tells); ratios, which were taken in one interleaved run, carry over. How to run them is said in `bench/README.md`.
"""


def run_worker(module: str, contender: str, options: Mapping[str, Any], python: str = sys.executable) -> dict[str, Any]:
    """Run one contender in a process of its own and return the JSON object on its last line."""
    command = [python, "-m", module, "--worker", contender, "--options", json.dumps(dict(options))]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"contender {contender!r} of {module} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


@dataclass
class Contender:
    """One row of a table."""

    name: str
    label: str
    python: str = sys.executable
    results: list[dict[str, Any]] = field(default_factory=list)

    def median(self, key: str) -> float:
        """Median over the turns."""
        return statistics.median(float(result[key]) for result in self.results)

    def spread(self, key: str) -> float:
        """Half the range over the turns, as a share of the median."""
        values = [float(result[key]) for result in self.results]
        return (max(values) - min(values)) / 2 / self.median(key)


def interleave(module: str, contenders: Sequence[Contender], turns: int, options: Mapping[str, Any]) -> None:
    """Let every contender have its turn, `turns` times round; say on standard error how far it is."""
    for turn in range(turns):
        for contender in contenders:
            begun = time.monotonic()
            contender.results.append(run_worker(module, contender.name, options, contender.python))
            took = time.monotonic() - begun
            print(f"turn {turn + 1}/{turns}  {contender.label:45s} {took:6.1f} s", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Target:
    """What a ratio or a size should be."""

    what: str
    value: float
    limit: float
    at_least: bool = True
    unit: str = "×"

    @property
    def met(self) -> bool:
        """Whether the value is on the right side of its limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def cells(self) -> list[str]:
        """Return the cells of its row."""
        sign = "≥" if self.at_least else "≤"
        return [
            self.what,
            f"{self.value:.2f} {self.unit}",
            f"{sign} {self.limit:g} {self.unit}",
            "✓" if self.met else "✗",
        ]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a markdown table, the first column to the left, the others to the right."""
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def target_table(targets: Sequence[Target]) -> list[str]:
    """Return the table of targets and whether they are met."""
    if not targets:
        return []
    return ["", *table(["target", "measured", "wanted", "met"], [target.cells() for target in targets])]


def machine() -> dict[str, Any]:
    """Describe what the figures depend on, without naming the machine."""
    import torch

    return {
        "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def publish(name: str, title: str, command: str, body: Sequence[str], data: Mapping[str, Any]) -> None:
    """Write a section of docs/benchmarks.md, between its markers, and the raw figures beside it."""
    where = machine()
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    note = f"`{command}` on {where['processor']}; Python {where['python']}, torch {where['torch']}."
    section = "\n".join([begin, f"## {title}", "", note, "", *body, end])
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else INTRODUCTION
    if begin in text:
        before, rest = text.split(begin, 1)
        text = before + section + rest.split(end, 1)[1]
    else:
        text = text.rstrip("\n") + "\n\n" + section + "\n"
    PAGE.write_text(text, encoding="utf-8")
    RESULTS.mkdir(exist_ok=True)
    content = {"command": command, "machine": where, **data}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print("\n".join(body))


def parser(description: str | None, turns: int) -> argparse.ArgumentParser:
    """Return the arguments that every benchmark takes."""
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    made.add_argument("--turns", type=int, default=turns, help="turns per contender, of which the median is taken")
    made.add_argument(
        "--pythae-python",
        type=lambda path: str(Path(path).absolute()),
        help="interpreter of an environment with Pythae (see bench/README.md)",
    )
    made.add_argument("--worker", help=argparse.SUPPRESS)
    made.add_argument("--options", type=json.loads, default={}, help=argparse.SUPPRESS)
    return made


def shown_command(module: str) -> str:
    """Return the command as it was typed, with the rival's interpreter left out."""
    words = sys.argv[1:]
    for i, word in enumerate(words):
        if word == "--pythae-python" and i + 1 < len(words):
            words = [*words[: i + 1], "PATH", *words[i + 2 :]]
        elif word.startswith("--pythae-python="):
            words = [*words[:i], "--pythae-python=PATH", *words[i + 1 :]]
    return " ".join(["python -m", module, *words])


def pythae_reason(python: str | None) -> str | None:
    """Return why Pythae cannot take part, or None if it can."""
    if python is None:
        return "Pythae was left out: no --pythae-python was given."
    done = subprocess.run([python, "-c", "import pythae.models"], capture_output=True, check=False)
    return None if done.returncode == 0 else "Pythae was left out: it cannot be imported by the given --pythae-python."


def to_json(contenders: Sequence[Contender], targets: Sequence[Target]) -> dict[str, Any]:
    """Return the raw figures."""
    return {
        "turns": {contender.label: contender.results for contender in contenders},
        "targets": [{**vars(target), "met": target.met} for target in targets],
    }


class Memory:
    """Memory of this process, in MB: anonymous pages (its own), and all resident ones (with mapped files)."""

    def __init__(self) -> None:
        self.own, self.resident = self.now()

    @staticmethod
    def now() -> tuple[float, float]:
        """Return the two sizes now."""
        fields = {}
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("RssAnon", "VmRSS"):
                fields[name] = float(rest.split()[0]) / 1024
        return fields["RssAnon"], fields["VmRSS"]

    @contextlib.contextmanager
    def watch(self) -> Iterator[Memory]:
        """Keep the largest sizes seen while the block runs, looked at every 10 ms, over those at its start."""
        start, stop = self.now(), threading.Event()
        peak = list(start)

        def look() -> None:
            while not stop.wait(0.01):
                peak[:] = [max(pair) for pair in zip(peak, self.now(), strict=True)]

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield self
        finally:
            stop.set()
            watcher.join()
            peak[:] = [max(pair) for pair in zip(peak, self.now(), strict=True)]
            self.own, self.resident = (high - low for high, low in zip(peak, start, strict=True))


def cpu_seconds(function: Callable[[], object]) -> float:
    """Return the CPU-seconds that a call takes."""
    begun = time.process_time()
    function()
    return time.process_time() - begun

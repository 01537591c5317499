"""Do the tests notice? Flip one sign, axis or reduction at a time, and demand that the named tests fail.

A test that passes whatever the formula says is worth nothing. `tools/mutations.toml` lists small wrong edits of the
package (a file below src, the exact old text, the new text) with the tests that must notice each. For every one, this
script edits a temporary copy of `src` (never the working tree), puts the copy first on PYTHONPATH and runs the tests.
Exit code 0: every mutation was noticed. 1: some survived; they are listed. 2: the list itself is wrong (an old text
that no longer occurs exactly once, tests that do not exist or that fail without any mutation).

    python tools/mutate.py                      all of them
    python tools/mutate.py --only normal        those whose file, note or text contains "normal"
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

TIMEOUT = 120.0  # seconds for the tests of one mutation
PRELOAD = "torch torch.distributed.tensor scipy.stats scipy.integrate"
NOTICED, SURVIVED, BROKEN = "noticed", "SURVIVED", "BROKEN"


class ListError(Exception):
    """The list of mutations does not fit the code."""


@dataclass(frozen=True)
class Mutation:
    """One wrong edit: in `file` (below src), `old` becomes `new`; the `tests` must fail."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    note: str

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.file}: {self.note or f'{old}  ->  {new}'}"

    def apply(self, source: Path) -> None:
        """Edit the file below `source`; ListError unless the old text occurs exactly once."""
        path = source / self.file
        if not path.is_file():
            raise ListError(f"stale mutation: there is no {self.file} ({self})")
        text = path.read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            raise ListError(f"stale mutation: the old text occurs {count} times, not once: {self}\n    {self.old!r}")
        if self.old == self.new:
            raise ListError(f"not a mutation: old and new text are the same: {self}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()  # Python compares times in seconds and sizes: an edit may change neither


def read_list(path: Path) -> list[Mutation]:
    """Read the mutations; each `[[group]]` names the file and the tests that its `edits` share."""
    with path.open("rb") as file:
        groups = tomllib.load(file)["group"]
    return [
        Mutation(
            group["file"], edit["old"], edit["new"], tuple(edit.get("tests", group["tests"])), edit.get("note", "")
        )
        for group in groups
        for edit in group["edits"]
    ]


def start_tests(root: Path, folder: Path, tests: Sequence[str]) -> int:
    """Fork a process that runs pytest at `root` with `folder`/src before the installed package; its process number.

    A fork has torch and pytest imported already (see `main`), which takes longer than most tests; the package that is
    tested it has not.
    """
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    with (folder / "log").open("w") as log:
        os.setpgid(0, 0)  # so that whatever the tests start can be stopped with them
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os.chdir(root)
        os.environ["PYTHONPATH"] = str(folder / "src")  # for what the tests start
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder)  # failures of a mutant teach nothing later
        sys.path.insert(0, str(folder / "src"))
        code = 70  # should pytest itself not end well
        try:
            unneeded = ("cacheprovider", "xdist", "hypothesispytest")
            options = ["-x", "-q", "--tb=short", *(f"-pno:{plugin}" for plugin in unneeded)]
            code = int(pytest.main([*options, *tests]))
        except BaseException:  # noqa: BLE001 - whatever it is, this process is a fork and must end here
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def wait_for_one(deadlines: dict[int, float]) -> tuple[int, int]:
    """Wait until one of the processes ends or its time is up; its number and exit code (-1: stopped)."""
    while True:
        for process, deadline in deadlines.items():
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                return process, os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                os.killpg(process, signal.SIGKILL)
                os.waitpid(process, 0)
                return process, -1
        time.sleep(0.01)


def run_tests(root: Path, folder: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run the tests once, with `folder`/src; exit code and output."""
    _, code = wait_for_one({start_tests(root, folder, tests): time.monotonic() + 3 * TIMEOUT})
    return code, (folder / "log").read_text(errors="replace")


def try_all(
    root: Path, pristine: Path, mutations: Sequence[Mutation], jobs: int
) -> Iterator[tuple[Mutation, str, str]]:
    """Try mutations, `jobs` at a time; each as it is done, with its outcome and the output where that matters."""
    waiting = list(reversed(mutations))
    running: dict[int, tuple[Mutation, Path]] = {}
    deadlines: dict[int, float] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutation = waiting.pop()
            folder = Path(tempfile.mkdtemp(dir=pristine.parent))
            shutil.copytree(pristine, folder / "src")
            mutation.apply(folder / "src")
            process = start_tests(root, folder, mutation.tests)
            running[process], deadlines[process] = (mutation, folder), time.monotonic() + TIMEOUT
        process, code = wait_for_one(deadlines)
        del deadlines[process]
        mutation, folder = running.pop(process)
        output = (folder / "log").read_text(errors="replace")
        shutil.rmtree(folder)
        if code == 1:
            yield mutation, NOTICED, ""
        elif code == 0:
            yield mutation, SURVIVED, output
        else:
            reason = f"no end after {TIMEOUT:.0f} s" if code == -1 else f"exit code {code}, where failing tests give 1"
            yield mutation, BROKEN, f"{output}\n{reason}"


def check_list(root: Path, pristine: Path, mutations: Sequence[Mutation]) -> None:
    """Refuse a list with stale entries, and tests that do not see the copy or fail without a mutation."""
    if not mutations:
        raise ListError("no mutation to try")
    problems = []
    for mutation in mutations:
        with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
            copy = Path(folder) / mutation.file
            copy.parent.mkdir(parents=True)
            if (pristine / mutation.file).is_file():
                shutil.copy(pristine / mutation.file, copy)
            try:
                mutation.apply(Path(folder))
            except ListError as error:
                problems.append(str(error))
        problems += [
            f"no such test file: {test} ({mutation})"
            for test in mutation.tests
            if not (root / test.split("::")[0]).is_file()
        ]
    if problems:
        raise ListError("\n".join(problems))
    packages = sorted({Path(mutation.file).parts[0] for mutation in mutations})
    for package in packages:
        seen = subprocess.run(
            [sys.executable, "-c", f"import {package}; print({package}.__file__)"],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(pristine)},
            capture_output=True,
            text=True,
        ).stdout.strip()
        if not Path(seen).is_relative_to(pristine):
            raise ListError(f"the copy is not what the tests would import: {package} comes from {seen or 'nowhere'}")
    tests = list(dict.fromkeys(test for mutation in mutations for test in mutation.tests))
    code, output = run_tests(root, pristine.parent, tests)
    if code != 0:
        raise ListError(f"the tests fail without any mutation (exit code {code}):\n{output}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutations and say what came of it."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Do the tests notice small wrong edits of the package?")
    parser.add_argument("--root", type=Path, default=here.parent, help="the folder with src and tests")
    parser.add_argument("--list", type=Path, default=here / "mutations.toml", help="the list of mutations")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--preload", default=PRELOAD, help="modules that the tests need, imported once")
    parser.add_argument("--only", default="", help="only mutations whose file, note or text contains this")
    options = parser.parse_args(arguments)

    start = time.monotonic()
    everything = read_list(options.list)
    mutations = [m for m in everything if options.only in f"{m} {m.old} {m.new}"]
    for module in options.preload.split():
        importlib.import_module(module)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        pristine = Path(folder).resolve() / "src"
        shutil.copytree(options.root / "src", pristine, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
        try:
            check_list(options.root, pristine, mutations)
        except ListError as error:
            print(error, file=sys.stderr)
            return 2
        for mutation, outcome, output in try_all(options.root, pristine, mutations, options.jobs):
            outcomes.append(outcome)
            print(f"{outcome:9} {mutation}", flush=True)
            if outcome != NOTICED:
                print("\n".join(f"    {line}" for line in output.strip().splitlines()[-12:]), flush=True)
    counts = {outcome: outcomes.count(outcome) for outcome in (NOTICED, SURVIVED, BROKEN)}
    print(
        f"{len(outcomes)} mutations in {time.monotonic() - start:.0f} s: {counts[NOTICED]} noticed, "
        f"{counts[SURVIVED]} survived, {counts[BROKEN]} broken"
    )
    return 0 if counts[NOTICED] == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

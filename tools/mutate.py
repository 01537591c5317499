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
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 120.0  # seconds for the tests of one mutation
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


def run_tests(root: Path, source: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run pytest at `root` with `source` in front of the installed package; exit code (-1: time is up) and output."""
    environment = os.environ | {
        "PYTHONPATH": str(source),
        "OMP_NUM_THREADS": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(source.parent / "hypothesis"),  # failures of a mutant teach nothing later
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--tb=short",
        *tests,
    ]
    try:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return -1, f"no end after {TIMEOUT:.0f} s"
    return done.returncode, done.stdout + done.stderr


def try_mutation(root: Path, pristine: Path, mutation: Mutation) -> tuple[str, str]:
    """Apply one mutation to a copy of its own and run its tests; the outcome, and pytest's output where it matters."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        source = Path(folder) / "src"
        shutil.copytree(pristine, source)
        mutation.apply(source)
        code, output = run_tests(root, source, mutation.tests)
    if code == 1:
        return NOTICED, ""
    return (SURVIVED, output) if code == 0 else (BROKEN, f"exit code {code}, where failing tests give 1\n{output}")


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
    code, output = run_tests(root, pristine, tests)
    if code != 0:
        raise ListError(f"the tests fail without any mutation (exit code {code}):\n{output}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutations and say what came of it."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Do the tests notice small wrong edits of the package?")
    parser.add_argument("--root", type=Path, default=here.parent, help="the folder with src and tests")
    parser.add_argument("--list", type=Path, default=here / "mutations.toml", help="the list of mutations")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--only", default="", help="only mutations whose file, note or text contains this")
    options = parser.parse_args(arguments)

    start = time.monotonic()
    everything = read_list(options.list)
    mutations = [m for m in everything if options.only in f"{m} {m.old} {m.new}"]
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        pristine = Path(folder).resolve() / "src"
        shutil.copytree(options.root / "src", pristine, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
        try:
            check_list(options.root, pristine, mutations)
        except ListError as error:
            print(error, file=sys.stderr)
            return 2
        outcomes = []
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            attempts = pool.map(lambda mutation: try_mutation(options.root, pristine, mutation), mutations)
            for mutation, (outcome, output) in zip(mutations, attempts, strict=True):
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

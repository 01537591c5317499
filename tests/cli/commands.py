"""Commands run in this process or in one of their own, with their exit code and what they printed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from latentia.cli import main
from latentia.estimators import registry

__all__ = ["Outcome", "environment", "register_dummies", "run", "spawn"]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Return the one document on stdout; fails on anything else, and on a number that is not finite."""

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} on stdout")

        return json.loads(self.stdout, parse_constant=refuse)


def run(*arguments: object) -> Outcome:
    """Run ``latentia`` with these arguments in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = main([str(argument) for argument in arguments])
    return Outcome(code, stdout.getvalue(), stderr.getvalue())


def environment(**changes: str) -> dict[str, str]:
    """Return an environment for a process of its own: one thread, and no settings of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LATENTIA_", "COLUMNS"))}
    return {**kept, "OMP_NUM_THREADS": "1", **changes}


def spawn(*arguments: object, cwd: Path | None = None, **changes: str) -> Outcome:
    """Run ``python -m latentia`` with these arguments in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "latentia", *map(str, arguments)],
        capture_output=True,
        cwd=cwd,
        env=environment(**changes),
        timeout=120,
        check=False,
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def register_dummies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register estimators that the command line has never heard of, for one test."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    registry.register("dummy", "tests.cli.dummy_estimator:Dummy", "One Gaussian for everything.")
    registry.register("refusing", "tests.cli.dummy_estimator:Refusing", "Takes no data.")
    registry.register("needy", "tests.cli.dummy_estimator:Needy", "Wants a target.")

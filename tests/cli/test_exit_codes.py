"""How commands end: exit codes, one line on stderr, one document on stdout, and what is never imported."""

from __future__ import annotations

import resource
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import latentia
from latentia import cli
from latentia.cli import folders, running
from latentia.errors import Interrupted
from tests.cli.commands import environment, register_dummies, run, spawn


@pytest.fixture
def _dummies(monkeypatch: pytest.MonkeyPatch) -> None:
    register_dummies(monkeypatch)


COMMANDS = (
    "", "fit", "evaluate", "diagnose", "gradients", "sample", "encode", "decode", "reconstruct", "score", "compare",
    "report", "info", "verify", "doctor", "data", "data list", "data info", "reproduce",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_values_and_gives_flags_none(command: str) -> None:
    shown = run(*command.split(), "--help").stdout
    assert "--help" in shown
    for kind in ("<bool>", "<int>", "<int range>", "<float>", "<float range>", "<text>"):
        assert kind not in shown


def test_version_and_help() -> None:
    assert run("--version").stdout == f"latentia {latentia.__version__}\n"
    for arguments in ([], ["--help"], ["-h"], ["data"], ["fit", "--help"], ["compare", "-h"]):
        outcome = run(*arguments)
        assert (outcome.code, outcome.stderr) == (0, "")
        assert "Usage: latentia" in outcome.stdout
    for command in COMMANDS:
        assert command.partition(" ")[0] in run("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fti"], "No such command 'fti'. Did you mean 'fit'?"),
        (["info"], "Missing argument 'PATH'"),
        (["sample", "x", "--number", "0", "--out", "a.npy"], "'--number'"),
        (["info", "x", "y"], "unexpected extra argument"),
        (["fit", "--colour"], "No such option: --colour"),
        (["fit", "vae", "digits", "--seed", "-1"], "'--seed'"),
    ],
)
def test_a_command_typed_wrongly_ends_with_2_and_one_line(arguments: list[str], sentence: str) -> None:
    outcome = run(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert sentence in outcome.stderr
    assert outcome.stderr.startswith("error: ")
    assert outcome.stderr.count("\n") == 1
    assert "--help)" in outcome.stderr


@pytest.mark.usefixtures("_dummies")
@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        ("DataError", 1, "error: no way\n"),
        ("RunLockedError", 1, "error: no way\n"),
        ("DivergedError", 1, "error: no way\n"),
        ("Interrupted", 75, "error: no way\n"),
        ("ValueError", 1, "error: no (LATENTIA_DEBUG=1 shows the traceback)\n"),
        ("KeyError", 1, "error: KeyError: 'no\\nway' (LATENTIA_DEBUG=1 shows the traceback)\n"),
        ("MemoryError", 1, "error: out of memory: use a smaller batch_size, fewer importance samples or fewer rows\n"),
        ("KeyboardInterrupt", 130, "the same command with --resume"),
    ],
)
def test_every_error_has_its_code_and_one_line(error: str, code: int, shown: str, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'sentence = "no\\nway"\nerror = "{error}"\n')
    outcome = run("fit", "refusing", "digits", "--config", config, "--out", tmp_path / "run", "--json", "-q")
    assert outcome.code == code
    assert outcome.stdout == ""
    assert outcome.stderr.endswith(shown) if shown.startswith("error") else shown in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert "Traceback" not in outcome.stderr


@pytest.mark.usefixtures("_dummies")
def test_the_traceback_is_shown_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["fit", "refusing", "digits", "--out", tmp_path / "run", "-q"]
    assert "Traceback" not in run(*arguments).stderr
    assert "raise (getattr(errors, self.error" in run("--debug", *arguments).stderr
    assert "Traceback" not in run(*arguments).stderr  # for that one command only
    monkeypatch.setenv("LATENTIA_DEBUG", "1")
    assert "Traceback (most recent call last)" in run(*arguments).stderr


def test_a_system_error_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied", "secret\x1b[31m.npy")

    monkeypatch.setattr(folders, "info", refuse)
    outcome = run("info", "x")
    assert (outcome.code, outcome.stderr) == (1, "error: Permission denied: 'secret\\x1b[31m.npy'\n")


def test_ctrl_c_outside_of_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "info", interrupt)
    outcome = run("info", "x")
    assert (outcome.code, outcome.stderr) == (130, "error: stopped by Ctrl-C\n")


def test_warnings_and_log_records_are_notes_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    def speak(*_: object, **__: object) -> int:
        warnings.warn("the newest\ncheckpoint is damaged", UserWarning, stacklevel=1)
        logging.getLogger("latentia.training").info("going on\x1b[0m")
        return 0

    monkeypatch.setattr(folders, "info", speak)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        outcome = run("info", "x")
    assert outcome.stderr == "warning: the newest checkpoint is damaged\ngoing on\\x1b[0m\n"
    assert logging.getLogger("latentia").handlers == []


def test_interrupted_carries_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> int:
        raise Interrupted("stopped after step 3", 130)

    monkeypatch.setattr(folders, "info", interrupt)
    assert run("info", "x").code == 130
    assert running.run(["info", "x"]) == 130
    assert cli.main(["info", "x"]) == 130


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    assert spawn("--version").stdout == f"latentia {latentia.__version__}\n"
    outcome = spawn("info", tmp_path / "nothing")
    assert outcome.code == 1
    assert "does not exist, but the folder of a saved model or run is needed" in outcome.stderr


_NOT_IMPORTED = """
import contextlib, io, sys
from latentia.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    code = main(sys.argv[2:])
unwanted = sorted(set(sys.argv[1].split(",")) & set(sys.modules))
sys.exit(f"exit code {code}, imported {unwanted}" if code or unwanted else 0)
"""


@pytest.mark.parametrize(
    ("unwanted", "arguments"),
    [
        ("torch,sklearn,numpy,scipy,pandas,matplotlib,pydantic", ["--help"]),
        ("torch,sklearn,numpy,scipy,pandas,matplotlib", ["--version"]),
        ("torch,sklearn,numpy,scipy,pandas,matplotlib", ["fit", "--help"]),
        ("torch,sklearn,scipy,pandas,matplotlib", ["info", "RUN"]),
        ("torch,sklearn,scipy,pandas,matplotlib", ["verify", "RUN"]),
        ("torch", ["data", "list"]),
    ],
)
def test_what_a_command_does_not_import(unwanted: str, arguments: list[str], fitted: Path) -> None:
    words = [str(fitted) if word == "RUN" else word for word in arguments]
    done = subprocess.run(
        [sys.executable, "-c", _NOT_IMPORTED, unwanted, *words],
        capture_output=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_help_is_quick() -> None:
    """The bar is 0.4 CPU-seconds, median of five."""
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert spawn("--help").code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert sorted(costs)[2] < 0.4

"""What is in the repository: no paths of anybody's machine, short files, and set-up files that parse."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 500  # lines of one Python file

# Folders in which machines keep people's files. Written so that this file does not match itself.
FOLDERS = ("work", "root", "home", "opt", "Users", "mnt")
PERSONAL = re.compile(rf"(?<![\w.\-/<>:])/(?:{'|'.join(FOLDERS)})/[\w.]|[A-Za-z]:\\Users\\|\bfile:///\w")


def _tracked() -> list[Path]:
    try:
        done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines()]


def test_no_path_or_name_of_a_machine() -> None:
    host = socket.gethostname()
    found = []
    for path in _tracked():
        if not path.is_file() or path.suffix in {".png", ".npz", ".safetensors", ".gz", ".parquet"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if PERSONAL.search(line) or (len(host) >= 8 and host in line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


def test_the_pattern_knows_a_path_when_it_sees_one() -> None:
    for folder in FOLDERS:
        assert PERSONAL.search(f'open("/{folder}/data/x.npy")')
    assert PERSONAL.search("file:" + "///srv/wheels")
    assert not PERSONAL.search("https://example.org/home/page")
    assert not PERSONAL.search("src/work/x")


def test_no_python_file_is_long() -> None:
    lengths = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in _tracked() if path.suffix == ".py"}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_no_pickle_in_the_package() -> None:
    """Nothing that we write or read is a pickle; `torch.load` and `joblib` are pickles too."""
    pickles = r"\bimport (pickle|joblib|dill|shelve)\b|\bpickle\.loads?\(|allow_pickle=True"
    pattern = re.compile(pickles + r"|(?<![.\w])torch\.(load|save)\(")  # safetensors.torch has a load and a save too
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "src").rglob("*.py")
        for line in path.read_text().splitlines()
        if pattern.search(line)
    ]
    assert found == []


def test_make_lists_its_targets() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split()
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == phony


def test_ci_script_parses_and_runs_every_check() -> None:
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & 0o111, "not executable"
    subprocess.run(["bash", "-n", str(script)], check=True)
    for target in ("lint", "test", "test-slow", "demo", "build"):
        assert re.search(rf"^.*make .*\b{target}$", script.read_text(), re.MULTILINE), target

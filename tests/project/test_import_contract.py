"""The stairs run one way: the contract is the table of docs/design.md, covers every room, and catches wrong imports."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/latentia"
ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
LINTER = Path(sys.executable).with_name("lint-imports")


def _table() -> dict[str, set[str]]:
    """Room -> rooms it may import, as docs/design.md says."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", (ROOT / "docs/design.md").read_text(), re.MULTILINE)
    return {room: ROOMS - {room} if may == "everything" else set(re.findall(r"`(\w+)`", may)) for room, may in rows}


def _contracts() -> list[dict[str, list[str]]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts: list[dict[str, list[str]]] = config["tool"]["importlinter"]["contracts"]
    return contracts


def test_the_table_lists_every_room() -> None:
    assert set(_table()) == ROOMS


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_the_contract_forbids_what_the_table_does_not_allow(room: str) -> None:
    forbidden = {
        target.removeprefix("latentia.")
        for contract in _contracts()
        if f"latentia.{room}" in contract["source_modules"]
        for target in contract["forbidden_modules"]
        if target.startswith("latentia.")
    }
    assert forbidden - {room} == ROOMS - {room} - _table()[room]


INSIDE = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "cli")


@pytest.mark.parametrize("path", INSIDE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_goes_through_the_front_door(path: Path) -> None:
    """`import latentia` reaches every room lazily, where no contract sees it; only the command line may."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write latentia.… in full"
            if node.module == "latentia":
                names = {alias.name for alias in node.names}
                assert names <= ROOMS | {"errors", "citations", "__version__"}, f"line {node.lineno}: {names}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "latentia":
            assert node.attr == "__version__", f"line {node.lineno}: latentia.{node.attr}"
        elif isinstance(node, ast.Import):
            assert all(alias.asname is None for alias in node.names if alias.name == "latentia"), f"line {node.lineno}"


def _lint(root: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    command = [str(LINTER), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contract."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contract_is_kept(copy: Path) -> None:
    result = _lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "statement"),
    [
        ("objectives", "from latentia.models import vae"),
        ("models", "def late() -> None:\n    import latentia.objectives"),
        ("storage", "import torch"),
        ("networks", "from latentia import distributions"),
        ("estimators", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import latentia.report"),
    ],
)
def test_a_planted_import_is_caught(copy: Path, room: str, statement: str) -> None:
    planted = copy / "src/latentia" / room / "planted.py"
    planted.write_text(f"{statement}\n")
    result = _lint(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"latentia.{room}.planted ->" in result.stdout
    assert "BROKEN" in result.stdout

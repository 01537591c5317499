"""The mutation runner on a package of three lines: it must tell a noticed mutation from a survivor and a stale one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.mutate import Mutation, main, read_list

ROOT = Path(__file__).parents[2]

CODE = """\
def log_mean(a: float, b: float) -> float:
    total = a + b
    return total / 2


def unheld(x: float) -> float:
    return -x
"""

TEST = """\
from thing.code import log_mean

def test_mean():
    assert log_mean(1.0, 5.0) == 3.0
"""


def _project(folder: Path, edits: str, tests: str = "tests/test_code.py", test: str = TEST) -> list[str]:
    (folder / "src/thing").mkdir(parents=True)
    (folder / "src/thing/__init__.py").touch()
    (folder / "src/thing/code.py").write_text(CODE)
    (folder / "tests").mkdir()
    (folder / "tests/test_code.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "list.toml").write_text(
        f'[[group]]\nfile = "thing/code.py"\ntests = ["{tests}"]\nedits = [\n{edits}\n]\n'
    )
    return ["--root", str(folder), "--list", str(folder / "list.toml"), "--preload", ""]


def test_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edits = '  { old = "a + b", new = "a - b" },\n  { old = "total / 2", new = "total", note = "sum, not mean" },'
    assert main(_project(tmp_path, edits)) == 0
    out = capsys.readouterr().out
    assert "2 noticed, 0 survived, 0 broken" in out
    assert "noticed   thing/code.py: a + b  ->  a - b" in out
    assert "sum, not mean" in out
    assert (tmp_path / "src/thing/code.py").read_text() == CODE  # the working tree is never touched


def test_survivor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edits = '  { old = "a + b", new = "a - b" },\n  { old = "return -x", new = "return x" },'
    assert main(_project(tmp_path, edits)) == 1
    out = capsys.readouterr().out
    assert "SURVIVED  thing/code.py: return -x" in out
    assert "1 noticed, 1 survived, 0 broken" in out


def test_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edits = '  { old = "a + b", new = "a - b" },\n  { old = "return -x", new = "return x" },'
    assert main([*_project(tmp_path, edits), "--only", "a + b"]) == 0
    assert "1 mutations" in capsys.readouterr().out


def test_code_that_no_longer_imports_is_not_a_noticed_mutation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_project(tmp_path, '  { old = "a + b", new = "a +" },')) == 1
    assert "0 noticed, 0 survived, 1 broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("edits", "tests", "test", "message"),
    [
        ('  { old = "a * b", new = "a - b" },', "tests/test_code.py", TEST, "occurs 0 times"),
        ('  { old = "return", new = "yield" },', "tests/test_code.py", TEST, "occurs 2 times"),
        ('  { old = "a + b", new = "a + b" },', "tests/test_code.py", TEST, "not a mutation"),
        ('  { old = "a + b", new = "a - b" },', "tests/test_gone.py", TEST, "no such test file: tests/test_gone.py"),
        (
            '  { old = "a + b", new = "a - b" },',
            "tests/test_code.py",
            TEST.replace("3.0", "4.0"),
            "without any mutation",
        ),
        ('  { old = "a + b", new = "a - b" },', "tests/test_code.py", "", "exit code 5"),
        ("", "tests/test_code.py", TEST, "no mutation to try"),
    ],
)
def test_a_wrong_list_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], edits: str, tests: str, test: str, message: str
) -> None:
    assert main(_project(tmp_path, edits, tests, test)) == 2
    assert message in capsys.readouterr().err


def test_same_second_same_size_edit_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "thing"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "code.py").write_text(CODE)
    (folder / "__pycache__/code.cpython-311.pyc").touch()
    (folder / "__pycache__/codec.cpython-311.pyc").touch()
    Mutation("thing/code.py", "a + b", "a - b", (), "").apply(tmp_path)
    assert [file.name for file in (folder / "__pycache__").iterdir()] == ["codec.cpython-311.pyc"]


def test_the_projects_list_is_long_enough_and_names_every_room_with_mathematics() -> None:
    path = ROOT / "tools/mutations.toml"
    mutations = read_list(path)
    assert len(mutations) >= 40
    assert len({(m.file, m.old, m.new) for m in mutations}) == len(mutations)
    rooms = {Path(m.file).parts[1] for m in mutations}
    assert {"distributions", "parts", "models", "objectives", "evaluation"} <= rooms


def test_the_projects_list_fits_the_code(tmp_path: Path) -> None:
    """Whoever changes a line that is mutated must change its mutation, and hears of it here, not in the slow tests."""
    for mutation in read_list(ROOT / "tools/mutations.toml"):
        copy = tmp_path / mutation.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "src" / mutation.file, copy)
        mutation.apply(tmp_path)  # ListError where it is stale
        assert all((ROOT / test.split("::")[0]).is_file() for test in mutation.tests), str(mutation)

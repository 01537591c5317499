"""Fault 11 and the choice of the newest intact checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from latentia.storage import latest_folder, prune, verify_folder, write_folder


def _make(parent: Path, *steps: int) -> None:
    for step in steps:
        write_folder(parent / f"step-{step:09d}", {"state.json": b"%d" % step})


def _damage(parent: Path, step: int) -> None:
    (parent / f"step-{step:09d}" / "state.json").write_bytes(b"?" * len(str(step)))


def _steps(parent: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in parent.glob("step-*"))


def test_newest_is_the_highest_step_whatever_the_clock_says(tmp_path: Path) -> None:
    _make(tmp_path, 9, 1200, 300)
    os.utime(tmp_path / "step-000001200", (0, 0))
    assert latest_folder(tmp_path) == (tmp_path / "step-000001200", [])


def test_numbers_are_compared_as_numbers(tmp_path: Path) -> None:
    write_folder(tmp_path / "step-9", {"a": b""})
    write_folder(tmp_path / "step-10", {"a": b""})
    assert latest_folder(tmp_path)[0] == tmp_path / "step-10"


def test_damaged_ones_are_passed_over_and_told(tmp_path: Path) -> None:
    _make(tmp_path, 1, 2, 3)
    _damage(tmp_path, 3)
    (tmp_path / "step-000000002" / "manifest.json").unlink()
    folder, problems = latest_folder(tmp_path)
    assert folder == tmp_path / "step-000000001"
    assert [problem.split(":")[0] for problem in problems] == [
        f"step-000000003 is passed over: {tmp_path}/step-000000003/state.json is damaged".split(":")[0],
        "step-000000002 is passed over",
    ]
    assert "state.json is damaged: its content differs" in problems[0]
    assert "it has no manifest.json" in problems[1]


def test_nothing_to_find(tmp_path: Path) -> None:
    assert latest_folder(tmp_path / "missing") == (None, [])
    _make(tmp_path, 1)
    _damage(tmp_path, 1)
    folder, problems = latest_folder(tmp_path)
    assert folder is None
    assert len(problems) == 1


def test_links_files_and_other_names_do_not_count(tmp_path: Path) -> None:
    _make(tmp_path, 1)
    write_folder(tmp_path / "elsewhere", {"a": b""})
    (tmp_path / "step-000000009").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "step-000000008").write_text("")
    write_folder(tmp_path / "step-7-copy", {"a": b""})
    write_folder(tmp_path / "best-000000006", {"a": b""})
    assert latest_folder(tmp_path) == (tmp_path / "step-000000001", [])
    assert latest_folder(tmp_path, "best-") == (tmp_path / "best-000000006", [])


@pytest.mark.parametrize(("keep", "left"), [(1, [5]), (2, [4, 5]), (9, [1, 2, 3, 4, 5])])
def test_prune_keeps_the_newest(tmp_path: Path, keep: int, left: list[int]) -> None:
    _make(tmp_path, 1, 2, 3, 4, 5)
    removed = prune(tmp_path, keep)
    assert _steps(tmp_path) == left
    assert sorted(path.name for path in removed) == [f"step-{step:09d}" for step in {1, 2, 3, 4, 5} - set(left)]


def test_prune_counts_intact_folders_only(tmp_path: Path) -> None:
    _make(tmp_path, 1, 2, 3, 4)
    _damage(tmp_path, 4)
    (tmp_path / "step-000000003" / "state.json").unlink()
    prune(tmp_path, 1)
    assert _steps(tmp_path) == [2, 3, 4]
    assert latest_folder(tmp_path)[0] == tmp_path / "step-000000002"
    verify_folder(tmp_path / "step-000000002")


def test_prune_removes_nothing_when_none_is_intact(tmp_path: Path) -> None:
    _make(tmp_path, 1, 2)
    _damage(tmp_path, 1)
    _damage(tmp_path, 2)
    assert prune(tmp_path, 1) == []
    assert _steps(tmp_path) == [1, 2]


def test_prune_clears_what_killed_writers_left(tmp_path: Path) -> None:
    _make(tmp_path, 1)
    for name in (".latentia-tmp-1-0123abcd", ".latentia-old-1-0123abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "big").write_bytes(b"x")
    prune(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


def test_prune_must_keep_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep is 0, but at least 1"):
        prune(tmp_path, 0)

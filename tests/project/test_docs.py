"""Every `python` and `bash` block of the README and docs/ is run, page by page, in order, in an empty folder.

Directives, as HTML comments on the line before a block:
`<!-- slow -->` (anywhere in the page) runs the page with the slow tests;
`<!-- not run: REASON -->` leaves one block out, for what CI does by other means.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- not run: (?P<reason>.+?) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
LANGUAGES = {"python", "bash", "text", "toml", "bibtex"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    line: int
    language: str
    code: str
    reason: str | None


def blocks(text: str) -> list[Block]:
    """Find the fenced blocks of a page, in order."""
    return [
        Block(text.count("\n", 0, match.start("code")), match["language"], match["code"], match["reason"])
        for match in BLOCK.finditer(text)
    ]


def run_page(page: Path, folder: Path) -> int:
    """Run the blocks of a page in `folder`; returns how many were run."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    names: dict[str, object] = {"__name__": "__main__"}
    count = 0
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{block.line}"
        if block.reason is not None or block.language not in {"python", "bash"}:
            continue
        count += 1
        if block.language == "python":
            code = compile("\n" * block.line + block.code, str(page), "exec")
            with contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(folder):
                exec(code, names)  # our own documentation
        else:
            command = ["bash", "-euo", "pipefail", "-c", block.code]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{where}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return count


def _pages() -> list[object]:
    return [
        pytest.param(
            page, marks=[pytest.mark.slow] if "<!-- slow -->" in page.read_text(encoding="utf-8") else [], id=page.name
        )
        for page in PAGES
    ]


@pytest.mark.parametrize("page", _pages())
def test_blocks_run(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_name_their_language_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks(text):
        assert block.language in LANGUAGES, f"{page.name}:{block.line}: ```{block.language}"
    assert text.count("\n```") + text.startswith("```") == 2 * len(blocks(text)), "a fence that is not closed"
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_readme_opens_with_an_example_that_runs() -> None:
    first, *_ = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    assert first.language == "python"
    assert first.reason is None
    assert len(first.code.strip().splitlines()) <= 12


def test_the_runner_runs_and_fails_where_it_should(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nfrom pathlib import Path\nx = 1\n```\n\n```bash\necho one > file\n```\n\n"
        "<!-- not run: on purpose -->\n```bash\nfalse\n```\n\n"
        "```python\nassert Path('file').read_text() == 'one\\n' and x == 1\n```\n"
    )
    assert run_page(page, tmp_path) == 3
    page.write_text("```bash\ntrue\nfalse\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:1: exit code 1"):
        run_page(page, tmp_path)
    page.write_text("```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError):
        run_page(page, tmp_path)

"""What a user installs: complete packages, consistent versions, pinned dependencies, and no CUDA by accident."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from latentia import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def test_constraints_are_exact_and_neutral() -> None:
    for pin in PINS:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin), f"{pin}: neither builds (+cpu) nor addresses"
    assert len({_name(pin) for pin in PINS}) == len(PINS)


def test_everything_declared_is_pinned_and_every_pin_is_allowed() -> None:
    declared = [
        *PROJECT["project"]["dependencies"],
        *(item for extra in PROJECT["project"]["optional-dependencies"].values() for item in extra),
        *(item for group in PROJECT["dependency-groups"].values() for item in group),
        *PROJECT["build-system"]["requires"],
    ]
    pins = {_name(pin): tuple(int(part) for part in re.findall(r"\d+", pin.split("==")[1])) for pin in PINS}
    for requirement in declared:
        assert _name(requirement) in pins, f"{requirement} is declared but not in constraints.txt"
        lower = re.search(r">=([\d.]+)$", requirement)
        assert lower is not None, f"{requirement}: declare a lower bound"
        assert pins[_name(requirement)] >= tuple(int(part) for part in lower[1].split(".")), requirement


def _resolve(requirements: list[str], folder: Path) -> dict[str, str]:
    """Name -> version of all that these arguments of a dry-run installation bring; skips where no index answers."""
    constraints = str(ROOT / "constraints.txt")
    uv = shutil.which("uv")
    if uv is not None:
        environment = os.environ | {
            "UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")
        }
        command = [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python", sys.executable]
        command += ["--constraints", constraints, *requirements]
    else:
        environment = dict(os.environ)
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report"]
        command += [str(folder / "report.json"), "--constraint", constraints]
        for requirement in requirements:  # uv's spelling -> pip's
            command += {"pyproject.toml": ["."], "--all-extras": []}.get(requirement, [requirement])
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        pytest.skip("the package index did not answer within 240 s")
    if done.returncode != 0:
        if re.search(
            r"error sending request|dns error|Failed to fetch|connection|resolve host|offline", done.stderr, re.I
        ):
            pytest.skip("no package index can be reached")
        if "No module named pip" in done.stderr:
            pytest.skip("neither uv nor pip is installed")
        pytest.fail(done.stderr)
    if uv is not None:
        return {_name(line): line.split("==")[1] for line in done.stdout.split()}
    report = json.loads((folder / "report.json").read_text())
    return {_name(item["metadata"]["name"]): item["metadata"]["version"] for item in report["install"]}


def test_an_installation_of_everything_brings_no_cuda(tmp_path: Path) -> None:
    torch_only = tmp_path / "requirements.txt"
    torch_only.write_text("torch\n")
    arguments = [str(torch_only)] if shutil.which("uv") else ["--requirement", str(torch_only)]
    alone = _resolve(arguments, tmp_path)
    if any(name.startswith("nvidia-") for name in alone):
        pytest.skip(f"no index or folder at hand offers a CPU build of torch {alone['torch']}")
    everything = _resolve(["pyproject.toml", "--all-extras", "--group", "dev"], tmp_path)
    assert everything["torch"] == alone["torch"]
    assert [name for name in everything if name.startswith(("nvidia-", "cuda-", "triton", "torchvision"))] == []
    pinned = {_name(pin): pin.split("==")[1] for pin in PINS}
    resolved = {name: version.split("+")[0] for name, version in everything.items() if name != "latentia"}
    assert resolved.items() <= pinned.items(), "constraints.txt does not name everything"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_wheel_is_the_package(packages: Path) -> None:
    with zipfile.ZipFile(packages / f"latentia-{__version__}-py3-none-any.whl") as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    source = ROOT / "src"
    expected = {
        str(path.relative_to(source))
        for path in (source / "latentia").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert "latentia/py.typed" in names
    assert "latentia = latentia.cli:main" in metadata["entry_points.txt"]
    assert "Classifier: Typing :: Typed" in metadata["METADATA"]
    assert metadata["LICENSE"].startswith("MIT License")


def test_the_source_distribution_can_be_tested(packages: Path) -> None:
    with tarfile.open(packages / f"latentia-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "Makefile",
        "constraints.txt",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "README.md",
        "docs/design.md",
    ):
        assert name in names
    assert {"tests/conftest.py", "tests/tolerance.py", "tools/mutate.py", "tools/mutations.toml"} <= names
    assert not [name for name in names if name.startswith((".venv", "runs", ".git/"))]


def test_one_version_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert "## [Unreleased]" in changelog
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()

"""What this machine offers to Latentia. Every question that cannot be answered is answered with why; nothing fails."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from latentia import __version__
from latentia.cli.console import print_json, print_table
from latentia.cli.exits import OK

__all__ = ["doctor"]

_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "safetensors", "typer", "rich", "matplotlib")
_OPTIONAL = ("pillow", "pooch", "pandas", "pyarrow", "polars")


def doctor(*, json: bool) -> int:
    """Print what there is, and what is missing."""
    answers = {topic: _answer(question) for topic, question in _QUESTIONS.items()}
    if json:
        print_json(answers)
    else:
        print_table(("what", "here"), list(answers.items()))
    return OK


def _answer(question: Callable[[], str]) -> str:
    try:
        return question()
    except Exception as failure:  # noqa: BLE001 - a broken installation is what this command is asked about
        return f"cannot tell: {type(failure).__name__}: {failure}"


def _versions(packages: tuple[str, ...]) -> str:
    def version(package: str) -> str:
        try:
            return f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            return f"{package} missing"

    return ", ".join(version(package) for package in packages)


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.machine()}"


def _threads() -> str:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"torch uses {torch.get_num_threads()} of {cores} cores" + (
        f" (OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']})" if "OMP_NUM_THREADS" in os.environ else ""
    )


def _cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        reason = "this torch is built without it" if torch.version.cuda is None else "no usable device"
        return f"no: {reason}"
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return ", ".join(f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in devices)


def _compiler() -> str:
    for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        if name and shutil.which(name):
            return f"{name}: compile=true can be used"
    return "none: compile=true needs a C++ compiler"


def _data_folder() -> str:
    place = os.environ.get("LATENTIA_DATA")
    if not place:
        return "LATENTIA_DATA is not set: data sets are looked for in the cache, then downloaded where that is possible"
    folder = Path(place)
    if not folder.is_dir():
        return f"{place}: no such folder (from LATENTIA_DATA)"
    inside = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    return f"{place}: {', '.join(inside) or 'empty'}"


def _cache() -> str:
    from latentia.data.locate import cache_folder

    folder = cache_folder()
    if not folder.is_dir():
        return f"{folder}: nothing was downloaded yet"
    inside = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    return f"{folder}: {', '.join(inside) or 'empty'}"


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free
    return f"{free / 2**30:.1f} GiB free in the current folder"


_QUESTIONS: dict[str, Callable[[], str]] = {
    "latentia": lambda: f"{__version__} on {_python()}",
    "executable": lambda: sys.executable,
    "packages": lambda: _versions(_PACKAGES),
    "optional packages": lambda: _versions(_OPTIONAL),
    "threads": _threads,
    "CUDA": _cuda,
    "C++ compiler": _compiler,
    "data folder": _data_folder,
    "cache folder": _cache,
    "disk": _disk,
}

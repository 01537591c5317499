"""Documentation in the code: public names exist and are described, and every example runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path.read_text(encoding="utf-8")
    for path in sorted((SOURCE / "latentia").rglob("*.py"))
    if path.name != "__main__.py"
}


@pytest.mark.parametrize("name", [name for name, text in MODULES.items() if "__all__" in text])
def test_public_names_are_described(name: str) -> None:
    module = importlib.import_module(name)
    for public in module.__all__:
        item = getattr(module, public)  # AttributeError: __all__ promises what is not there
        if not (inspect.isclass(item) or inspect.isroutine(item)):
            continue
        assert inspect.getdoc(item), f"{name}.{public} has no docstring"
        if inspect.isclass(item) and item.__module__.startswith("latentia"):
            for method, member in vars(item).items():
                if not method.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
                    assert inspect.getdoc(getattr(item, method)), f"{name}.{public}.{method} has no docstring"


@pytest.mark.parametrize("name", [name for name, text in MODULES.items() if ">>> " in text])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.testmod(importlib.import_module(name), optionflags=flags, report=True)
    assert results.failed == 0, f"{results.failed} of {results.attempted} examples failed: see the output above"
    assert results.attempted > 0, "the examples are in no docstring that doctest finds"

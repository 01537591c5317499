"""What ``latentia fit --help`` adds for an estimator: its settings, from its signature and docstring."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from latentia.cli.console import print_table
from latentia.cli.exits import OK
from latentia.cli.settings import Setting, settings_of
from latentia.estimators import registry

__all__ = ["FLAGS", "list_estimators", "show_estimator"]

FLAGS: Mapping[str, str] = {
    "random_state": "--seed",
    "run_dir": "--out",
    "run_mode": "--resume, --force or --overwrite",
    "support": "--support",
    "device": "--device",
    "verbose": "--quiet",
}
"""Constructor arguments that have an option of their own, because every estimator means the same by them."""


def list_estimators() -> int:
    """Print the estimators and their summaries."""
    rows = [(name, registry.summary(name)) for name in registry.names()]
    print_table(("NAME", "what it is"), rows, title="Estimators (latentia fit NAME --help shows the settings of one)")
    return OK


def show_estimator(name: str) -> int:
    """Print the settings of an estimator: type, default and meaning of each, and the options that names can have."""
    cls = registry.get(name)
    settings = settings_of(cls)
    print_table(
        ("setting", "type", "default", "meaning"),
        [(_label(setting), setting.type_text, setting.default_text, setting.help) for setting in settings.values()],
        title=f"{name}: {registry.summary(name)} Settings, each as --set setting=value or in --config:",
    )
    options = list(_options(cls))
    if options:
        example = next(
            f"{setting}={word}:{option}={default}" for setting, word, option, default, _ in options if default
        )
        print_table(
            ("setting", "name", "option", "default", "what it may be"),
            options,
            title=f"Options of a name, after a colon and parted by commas, such as --set {example}:",
        )
    return OK


def _options(cls: type[Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield setting, name, option, default and limit, for the settings whose names take options."""
    for setting, limit in getattr(cls, "_limits", {}).items():
        for word, row in getattr(getattr(limit, "kind", None), "table", {}).items():
            for option, allowed in row.allowed.items():
                yield setting, word, option, _default(row, option), str(allowed)


def _default(row: Any, option: str) -> str:
    if option in row.options:
        return str(row.options[option])
    found = inspect.signature(row.part).parameters.get(option)
    return "none" if found is None or found.default in (None, inspect.Parameter.empty) else str(found.default)


def _label(setting: Setting) -> str:
    flag = FLAGS.get(setting.name)
    required = " *" if setting.required else ""
    return f"{setting.name}{required}" if flag is None else f"{setting.name} ({flag})"

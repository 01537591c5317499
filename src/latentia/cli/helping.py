"""What ``latentia fit --help`` adds for an estimator: its settings, from its signature and docstring."""

from __future__ import annotations

from collections.abc import Mapping

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
    """Print the settings of an estimator: type, default and meaning of each."""
    settings = settings_of(registry.get(name))
    print_table(
        ("setting", "type", "default", "meaning"),
        [(_label(setting), str(setting.kinds), setting.default_text, setting.help) for setting in settings.values()],
        title=f"{name}: {registry.summary(name)} Settings, each as --set setting=value or in --config:",
    )
    return OK


def _label(setting: Setting) -> str:
    flag = FLAGS.get(setting.name)
    required = " *" if setting.required else ""
    return f"{setting.name}{required}" if flag is None else f"{setting.name} ({flag})"

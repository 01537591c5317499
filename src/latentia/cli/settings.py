"""An estimator's settings, read from its constructor's signature and docstring, and values given to them.

Nothing here names an estimator: a parameter appears with the type of its annotation, the default of the signature and
the first paragraph of its entry under "Parameters".
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentia.cli.exits import UsageError, nearest
from latentia.cli.kinds import Kinds, kinds_of, matches, parse

__all__ = ["Setting", "assign", "read_config", "settings_of"]

_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True)
class Setting:
    """One parameter of a constructor."""

    name: str
    kinds: Kinds
    default: object
    help: str
    words: tuple[str, ...] = ()  # the names that a text may be, where only these will do

    @property
    def type_text(self) -> str:
        """The type as a person reads it: ``int | none``, or the names to choose from."""
        none = ("none",) if self.words and "None" in self.kinds.scalars else ()
        return " | ".join((*self.words, *none)) or str(self.kinds)

    @property
    def required(self) -> bool:
        """Whether the constructor has no default for it."""
        return self.default is inspect.Parameter.empty

    @property
    def default_text(self) -> str:
        """The default as one would type it."""
        default = self.default
        if self.required:
            return "required"
        if default is None:
            return "none"
        if isinstance(default, bool):
            return str(default).lower()
        if isinstance(default, tuple | list):
            return ",".join(map(str, default))
        return str(default) if isinstance(default, str | int | float) else type(default).__name__


def settings_of(cls: type[Any]) -> dict[str, Setting]:
    """Return the settings of a class by name, in the order of its constructor."""
    documented = _documented(cls)
    scope = vars(sys.modules[cls.__module__])
    return {
        name: Setting(
            name,
            kinds_of(parameter.annotation, parameter.default, scope),
            parameter.default,
            documented.get(name, ""),
            _words(getattr(cls, "_limits", {}).get(name)),
        )
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
    }


def assign(
    assignments: Iterable[str], config: Mapping[str, object], settings: Mapping[str, Setting], flags: Mapping[str, str]
) -> dict[str, object]:
    """Return the constructor arguments that ``--config`` and ``--set`` ask for; ``--set`` wins.

    Parameters
    ----------
    assignments
        Texts ``name=value``.
    config
        Values from a file, typed already.
    settings
        What the estimator takes.
    flags
        Settings that have an option of their own, with its name: they are refused here.

    Raises
    ------
    UsageError
        If a name is unknown, given twice, or its value of the wrong type.
    """
    values: dict[str, object] = {}
    for name, value in config.items():
        setting = _find(name, settings, flags)
        if not matches(value, setting.kinds):
            raise UsageError(f"setting {name} takes {setting.kinds}, got {value!r} in the configuration file")
        if isinstance(value, list) and not setting.kinds.as_list:
            value = tuple(value)
        values[name] = value
    seen: set[str] = set()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise UsageError(f"--set takes name=value, got {assignment!r}")
        setting = _find(name, settings, flags)
        if name in seen:
            raise UsageError(f"--set {name} is given twice: keep one")
        seen.add(name)
        if not setting.kinds.typeable:
            raise UsageError(f"setting {name} takes a Python object and cannot be typed: leave it out, or use Python")
        try:
            values[name] = parse(text, setting.kinds)
        except ValueError:
            raise UsageError(f"setting {name} takes {setting.kinds}, got {text!r}") from None
    return values


def _find(name: str, settings: Mapping[str, Setting], flags: Mapping[str, str]) -> Setting:
    if name in flags:
        raise UsageError(f"setting {name} has an option of its own: use {flags[name]}")
    if name not in settings:
        known = [known for known in settings if known not in flags]
        raise UsageError(f"there is no setting {name!r}: {nearest(name, known)}known are {', '.join(known) or 'none'}")
    return settings[name]


def read_config(path: Path) -> dict[str, object]:
    """Read the settings in a JSON or TOML file: one flat table of names and values.

    Raises
    ------
    UsageError
        If the file is missing, too large, of another kind, or malformed.
    """
    import json
    import tomllib

    try:
        with path.open("rb") as file:
            content = file.read(_CONFIG_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the configuration {str(path)!r} cannot be read: {error.strerror}") from None
    if len(content) > _CONFIG_BYTES:
        raise UsageError(f"the configuration {str(path)!r} is larger than 1 MiB: this is no list of settings")
    suffix = path.suffix.lower()
    if suffix not in {".json", ".toml"}:
        raise UsageError(f"the configuration {str(path)!r} must end in .json or .toml")
    try:
        text = content.decode("utf-8")
        table = tomllib.loads(text) if suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the configuration {str(path)!r} is not valid {suffix[1:].upper()}: {error}") from None
    if not isinstance(table, dict):
        raise UsageError(f"the configuration {str(path)!r} must be one table of names and values")
    return table


def _words(limit: Any) -> tuple[str, ...]:
    """Return the names that an estimator's own limit of an argument knows, where it is a choice among names."""
    table = getattr(limit, "kind", None)
    if table is None:
        return tuple(getattr(limit, "words", ()))
    return (*(("auto",) if table.automatic else ()), *table.table)


def _documented(cls: type[Any]) -> dict[str, str]:
    """Read the first paragraph of every entry under "Parameters", of the class and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        for documentation in (getattr(vars(base).get("__init__"), "__doc__", None), base.__doc__):
            found |= _parameters_section(inspect.cleandoc(documentation or ""))
    return found


def _parameters_section(documentation: str) -> dict[str, str]:
    section = re.search(r"^Parameters\n-{3,}\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", documentation, re.DOTALL | re.MULTILINE)
    found: dict[str, str] = {}
    if section is None:
        return found
    # An entry is a line at the margin ("name" or "name : type", several names by commas) and indented lines below it.
    for entry in re.finditer(r"^(\S[^\n:]*?)[ ]*(?::[^\n]*)?\n((?:[ \t]+[^\n]*\n?|\n)*)", section[1], re.MULTILINE):
        paragraph = inspect.cleandoc(entry[2]).split("\n\n")[0]
        text = re.sub(r":\w+:`~?([^`]*)`|`+([^`]*)`+", lambda match: match[1] or match[2], " ".join(paragraph.split()))
        for name in entry[1].split(","):
            found[name.strip().lstrip("*")] = text
    return found

"""Words at the door: a name with options, such as ``prior="vamp:components=500"``, resolved in one table each.

A string is accepted only here. It becomes a small frozen object that says the same (``latentia.prior("vamp",
components=500)``), which may be passed instead, is saved with a model as JSON, and builds the part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from latentia.errors import ConfigError
from latentia.estimators.limits import Flag, Limit, Number, Whole

__all__ = ["Named", "NamedPart", "Row"]


@dataclass(frozen=True)
class Row:
    """One name of a table: what it builds, the options it fixes, and those a person may give."""

    part: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    allowed: Mapping[str, Limit] = field(default_factory=dict)


@dataclass(frozen=True)
class NamedPart:
    """A part before its shapes are known.

    Parameters
    ----------
    name
        A key of the table.
    options
        Pairs of a name and a value, such as ``("components", 500)``, in the order of their names.
    """

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    what: ClassVar[str]
    table: ClassVar[Mapping[str, Any]]
    automatic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.name not in self.table:
            words = (*(("auto",) if self.automatic else ()), *self.table)
            raise ConfigError(f"{self.what} must be one of {', '.join(map(repr, words))}, got {self.name!r}")
        allowed = self.table[self.name].allowed
        for option, value in self.options:
            if option not in allowed:
                known = f"only {', '.join(map(repr, allowed))}" if allowed else "none"
                raise ConfigError(f"{_words(self)} has no option {option!r}: it has {known}")
            if not allowed[option].allows(value) and not (value is None and allowed[option].optional):
                raise ConfigError(f"{option} of {_words(self)} must be {allowed[option]}, got {value!r}")

    @classmethod
    def of(cls, name: str, **options: Any) -> Self:
        """Return the choice of a name with options."""
        return cls(name, tuple(sorted(options.items())))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the choice that a text such as ``"vamp:components=500"`` stands for; ConfigError if it is none."""
        name, _, rest = text.partition(":")
        options: dict[str, Any] = {}
        allowed: Mapping[str, Limit] = getattr(cls.table.get(name), "allowed", {})
        for item in filter(None, rest.split(",")):
            option, equals, value = (piece.strip() for piece in item.partition("="))
            if not equals:
                raise ConfigError(f"options of {cls.what} {name!r} are written option=value, got {item!r}")
            options[option] = _value(value, allowed.get(option))
        return cls.of(name, **options)

    @classmethod
    def resolve(cls, given: Any) -> Self:
        """Return the choice for a text or for a choice; ConfigError for anything else."""
        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            return cls.parse(given)
        raise ConfigError(f"{cls.what} must be a name or the result of latentia.{cls.what}(…), got {given!r}")

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return what ``to_json`` gave."""
        return cls(content["name"], tuple(sorted(content["options"].items())))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {"name": self.name, "options": dict(self.options)}

    @property
    def values(self) -> dict[str, Any]:
        """Options that the table fixes, overruled by those that were given."""
        return {**self.table[self.name].options, **dict(self.options)}


def _words(choice: NamedPart) -> str:
    return f"a {choice.name} {choice.what.replace('_', ' ')}"


def _value(text: str, limit: Limit | None) -> Any:
    """Read a value as the kind that its limit asks for; a text that is none is left for the limit to refuse."""
    if isinstance(limit, Flag):
        return {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(limit, Whole | Number) and limit.optional and text.lower() == "none":
        return None
    try:
        if isinstance(limit, Whole):
            return int(text)
        return float(text) if isinstance(limit, Number) else text
    except ValueError:
        return text


@dataclass(frozen=True)
class Named:
    """The limit of a constructor's argument that takes a name of a table, with options, or a choice."""

    kind: type[NamedPart]
    optional: bool = False

    def __str__(self) -> str:
        words = (*(("auto",) if self.kind.automatic else ()), *self.kind.table)
        return f"one of {', '.join(map(repr, words))} or the result of latentia.{self.kind.what}(…)"

    def allows(self, value: Any) -> bool:
        """Say whether the value is a choice or names one; bad options are refused with a sentence of their own."""
        if isinstance(value, str):
            if value == "auto" and self.kind.automatic:
                return True
            if value.partition(":")[0] not in self.kind.table:
                return False
            self.kind.parse(value)
            return True
        return isinstance(value, self.kind)

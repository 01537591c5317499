"""The kinds of values that an annotation allows, and values parsed from text by them."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

__all__ = ["Kinds", "kinds_of", "matches", "parse"]


@dataclass(frozen=True)
class Kinds:
    """The values that a parameter takes, as far as they can be typed."""

    scalars: frozenset[str] = frozenset()  # of "None", "bool", "int", "float", "str"
    choices: tuple[object, ...] = ()  # of Literal
    items: Kinds | None = None  # of a tuple or list
    as_list: bool = False  # whether a sequence becomes a list rather than a tuple

    @property
    def typeable(self) -> bool:
        """Whether anything but None can be typed."""
        return bool(self.scalars - {"None"} or self.choices or self.items)

    def __or__(self, other: Kinds) -> Kinds:
        """Either of the two."""
        return Kinds(
            self.scalars | other.scalars,
            tuple(dict.fromkeys(self.choices + other.choices)),
            self.items or other.items,
            self.as_list or other.as_list,
        )

    def __str__(self) -> str:
        """Write the type as a person reads it: ``int | none``, ``float,float,…``."""
        if not self.typeable:
            return "Python only"
        parts: list[str] = [name for name in ("bool", "int", "float") if name in self.scalars]
        parts += [str(choice) for choice in self.choices]
        if "str" in self.scalars:
            parts.append("text")
        if self.items:
            parts.append(f"{self.items},{self.items},…")
        if "None" in self.scalars:
            parts.append("none")
        return " | ".join(parts)


# --- from annotations -------------------------------------------------------------------------------------------------

_SCALARS = {"None": "None", "NoneType": "None", "bool": "bool", "int": "int", "float": "float", "str": "str"}
_SCALARS |= {"Integral": "int", "Real": "float", "Path": "str", "PathLike": "str"}
_ANYTHING = Kinds(frozenset({"None", "bool", "int", "float", "str"}))
_TUPLES = {"tuple", "Tuple"}
_LISTS = {"list", "List", "Sequence", "Iterable", "Collection"}


def kinds_of(annotation: object, default: object, scope: Mapping[str, object]) -> Kinds:
    """Read the kinds that an annotation allows.

    Parameters
    ----------
    annotation
        An object, or the text that postponed evaluation leaves. It is read, never executed: names that exist for type
        checkers only do no harm.
    default
        What tells the kind where there is no annotation.
    scope
        The names of the annotation's module, in which aliases are looked up.
    """
    if annotation is inspect.Parameter.empty:
        return (
            Kinds(frozenset({type(default).__name__})) if isinstance(default, bool | int | float | str) else _ANYTHING
        )
    return _from_object(annotation, scope)


def _from_object(annotation: object, scope: Mapping[str, object]) -> Kinds:
    alias = getattr(annotation, "__value__", None)  # Python 3.12's "type X = …"
    if alias is not None:
        return _from_object(alias, scope)
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    try:
        return _from_tree(ast.parse(text.strip(), mode="eval").body, scope)
    except SyntaxError:
        return Kinds()


def _from_tree(tree: ast.expr, scope: Mapping[str, object]) -> Kinds:
    match tree:
        case ast.Constant(value=None):
            return Kinds(frozenset({"None"}))
        case ast.Constant(value=str(text)):
            return _from_object(text, scope)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _from_tree(left, scope) | _from_tree(right, scope)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            if name in _SCALARS:
                return Kinds(frozenset({_SCALARS[name]}))
            if name in {"Any", "object"}:
                return _ANYTHING
            if name in _TUPLES | _LISTS:
                return Kinds(items=Kinds(frozenset({"str"})), as_list=name in _LISTS)
            alias = scope.get(name)
            return Kinds() if alias is None or isinstance(alias, type) else _from_object(alias, scope)
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            if name == "Literal":
                return Kinds(choices=tuple(part.value for part in parts if isinstance(part, ast.Constant)))
            if name == "Annotated":
                return _from_tree(parts[0], scope)
            kinds = [_from_tree(part, scope) for part in parts]  # an ellipsis allows nothing by itself
            either = reduce(or_, kinds, Kinds())
            if name in {"Union", "Optional"}:
                return either | (Kinds(frozenset({"None"})) if name == "Optional" else Kinds())
            if name in _TUPLES | _LISTS and either.typeable:
                return Kinds(items=either, as_list=name in _LISTS)
    return Kinds()


# --- values -----------------------------------------------------------------------------------------------------------

_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off"}


def parse(text: str, kinds: Kinds) -> object:
    """Return the value that a text stands for; the narrowest kind that fits wins.

    Raises
    ------
    ValueError
        If no kind fits.
    """
    lowered = text.strip().lower()
    if "None" in kinds.scalars and lowered in {"none", "null"}:
        return None
    if "bool" in kinds.scalars:
        if lowered in _TRUE or (lowered == "1" and "int" not in kinds.scalars):
            return True
        if lowered in _FALSE or (lowered == "0" and "int" not in kinds.scalars):
            return False
    if "int" in kinds.scalars and re.fullmatch(r"[+-]?\d+(_\d+)*", lowered):
        return int(lowered)
    if "float" in kinds.scalars:
        try:
            value = float(lowered)
        except ValueError:
            pass
        else:
            if math.isfinite(value):
                return value
    for choice in kinds.choices:
        if text == str(choice):
            return choice
    if kinds.items is not None:
        inner = re.fullmatch(r"\((.*)\)|\[(.*)\]", text.strip())
        if inner or "," in text:
            body = text if inner is None else next(group for group in inner.groups() if group is not None)
            return _sequence((parse(item.strip(), kinds.items) for item in body.split(",") if item.strip()), kinds)
    if "str" in kinds.scalars:
        return text
    if kinds.items is not None and lowered:  # one item needs no comma where nothing else could be meant
        return _sequence([parse(text, kinds.items)], kinds)
    raise ValueError(text)


def _sequence(items: Iterable[object], kinds: Kinds) -> object:
    return list(items) if kinds.as_list else tuple(items)


def matches(value: object, kinds: Kinds) -> bool:
    """Whether a value from a typed file (JSON, TOML) fits as it is; an int counts as a float."""
    if isinstance(value, list | tuple):
        return kinds.items is not None and all(matches(item, kinds.items) for item in value)
    if value in kinds.choices or ("None" in kinds.scalars and value is None):
        return True
    if isinstance(value, float) and not math.isfinite(value):
        return False
    name = type(value).__name__
    return name in kinds.scalars or (name == "int" and "float" in kinds.scalars)

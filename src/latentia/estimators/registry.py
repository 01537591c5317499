"""The names under which estimators are known, without importing any of them.

Importing this module imports neither torch nor scikit-learn: an entry holds the place of a class as text, and `get`
imports it when somebody asks. The command line is generated from what stands here.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from dataclasses import dataclass
from typing import Any

from latentia.errors import ConfigError

__all__ = ["get", "names", "register", "signature", "summary"]


@dataclass(frozen=True)
class _Entry:
    target: str  # "module:Class"
    summary: str


_entries: dict[str, _Entry] = {}


def register(name: str, target: str, summary: str) -> None:
    """Make an estimator known by name.

    Parameters
    ----------
    name
        What a person types: lower-case letters, digits and hyphens.
    target
        Where the class lies, as ``"module:Class"``; imported when it is first needed.
    summary
        One sentence for lists and help texts.

    Raises
    ------
    ConfigError
        If the name or the target is malformed, or the name stands for another class already.

    Examples
    --------
    >>> register("gaussian", "your_package.models:Gaussian", "One Gaussian for everything.")
    >>> summary("gaussian")
    'One Gaussian for everything.'
    >>> del _entries["gaussian"]
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ConfigError(
            f"estimator name {name!r} is not usable: write lower-case letters and digits joined by hyphens"
        )
    module, colon, attribute = target.partition(":")
    if not (colon and module and attribute.isidentifier()):
        raise ConfigError(f"estimator target {target!r} is not usable: write 'package.module:Class'")
    known = _entries.get(name)
    if known is not None and known.target != target:
        raise ConfigError(f"estimator name {name!r} already stands for {known.target}: choose another name")
    _entries[name] = _Entry(target, summary)


def names() -> tuple[str, ...]:
    """Return all registered names, in the order of registration."""
    return tuple(_entries)


def summary(name: str) -> str:
    """Return the sentence that an estimator was registered with; ConfigError if the name is unknown."""
    return _find(name).summary


def get(name: str) -> type[Any]:
    """Return the class behind a name, imported now.

    Raises
    ------
    ConfigError
        If the name is unknown (the nearest one is offered), or its target holds no such class.
    """
    entry = _find(name)
    module_name, _, attribute = entry.target.partition(":")
    found = getattr(importlib.import_module(module_name), attribute, None)
    if not isinstance(found, type):
        raise ConfigError(f"estimator {name!r} is registered as {entry.target}, but there is no such class")
    return found


def signature(name: str) -> inspect.Signature:
    """Return the constructor's signature without ``self``; imports the class."""
    return inspect.signature(get(name))


def _find(name: str) -> _Entry:
    try:
        return _entries[name]
    except KeyError:
        near = difflib.get_close_matches(name.lower(), _entries, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"there is no estimator {name!r}: {hint}known are {', '.join(_entries)}") from None


register("vae", "latentia.estimators.vae:VAE", "Variational autoencoder: a deep generative model with an encoder.")
register(
    "ppca", "latentia.estimators.ppca:PPCA", "Probabilistic PCA: linear, Gaussian, in closed form, exact log p(x)."
)
register(
    "independent-pixels",
    "latentia.estimators.independent_pixels:IndependentPixels",
    "One distribution per pixel or column and no latent variables: the baseline.",
)

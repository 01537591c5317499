"""What the shell offers behind the tabulator key."""

from __future__ import annotations

__all__ = ["data_names", "estimators"]


def estimators(incomplete: str) -> list[tuple[str, str]]:
    """Return the estimators that begin so, with their summaries."""
    from latentia.estimators import registry

    return [(name, registry.summary(name)) for name in registry.names() if name.startswith(incomplete)]


def data_names(incomplete: str) -> list[str]:
    """Return the data sets that begin so."""
    from latentia import data

    return [name for name in data.names() if name.startswith(incomplete)]

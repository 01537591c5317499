"""The numbers as plain rows of text, the same for the page and for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from latentia.errors import ConfigError
from latentia.report.text import clean, plain_number, with_error

if TYPE_CHECKING:
    from latentia.evaluation import Evaluation

__all__ = ["NumbersTable", "describe_kind", "numbers_table", "paired_sentence"]

ABSENT = "–"


class NumbersTable(NamedTuple):
    """A header and rows of cells, all of them plain text of one line."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def numbers_table(evaluations: Iterable[Evaluation], names: Sequence[str] | None = None) -> NumbersTable:
    """Put evaluations side by side, one row each, in the order given.

    Values that carry a standard error are written `value ± error`, to the digits the error allows. A column that
    applies to none of the models is left out; a cell that does not apply holds an en dash.

    Parameters
    ----------
    evaluations
        What `evaluate` returned, at least one. All on the same rows, or the comparison is between data sets.
    names
        What to call them; the evaluations' own names when not given.

    Returns
    -------
    NumbersTable
        `.header` and `.rows`; log p(x), ELBO, rate and distortion in nats per row of data.

    Raises
    ------
    ConfigError
        When there is nothing to show, or not one name for each.
    """
    items = list(evaluations)
    called = [item.name for item in items] if names is None else list(names)
    if len(called) != len(items):
        raise ConfigError(f"a table of {len(items)} evaluations needs as many names: got {len(called)}")
    if not items:
        raise ConfigError("a table of numbers needs at least one evaluation: got none")
    columns: list[tuple[str, list[str]]] = [
        ("model", [clean(name, 60) for name in called]),
        ("log p(x), nats", [joined(item.log_prob, item.standard_error) for item in items]),
        ("bits/dim", [plain_number(item.bits_per_dim, 3) for item in items]),
        ("ELBO, nats", [joined(item.elbo, item.elbo_standard_error) for item in items]),
        ("rate, nats", [plain_number(item.rate, 2) for item in items]),
        ("distortion, nats", [plain_number(item.distortion, 2) for item in items]),
        ("active units", [active(item) for item in items]),
        ("parameters", [f"{item.num_parameters:,}" for item in items]),
        ("log p(x) is", [describe_kind(item) for item in items]),
    ]
    kept = [(title, cells) for title, cells in columns if any(cell != ABSENT for cell in cells)]
    return NumbersTable(
        header=tuple(title for title, _ in kept),
        rows=tuple(zip(*(cells for _, cells in kept), strict=True)),
    )


def describe_kind(evaluation: Evaluation) -> str:
    """Say what the log p(x) is, with the number of importance samples where it is estimated from some."""
    kind = clean(evaluation.kind)
    samples = evaluation.num_samples
    return kind if samples is None else f"{kind}, K = {samples:,}"


def paired_sentence(own: Evaluation, other: Evaluation, names: tuple[str, str] | None = None) -> str:
    """Say how far one model lies above another on the same rows; nothing where these were not kept or have no value.

    The standard error is that of the paired differences: rows that are hard for both do not count against either.
    """
    if len(own.per_row) != len(other.per_row) or len(own.per_row) < 2:
        return ""
    from latentia.evaluation import paired_difference

    difference, uncertainty = paired_difference(own, other)
    if math.isnan(difference):
        return ""
    value, spread = with_error(abs(difference), uncertainty)
    called = zip((own, other), names or (own.name, other.name), strict=True)
    side = "above" if difference >= 0 else "below"
    error = "" if spread is None else f" ± {spread}"
    first, second = (f"{clean(name)}{'’s bound' if 'bound' in item.kind else ''}" for item, name in called)
    return f"{first} lies {value}{error} nats {side} {second}."


def joined(value: float | None, error: float | None) -> str:
    """`-61.23 ± 0.35`."""
    if value is None:
        return ABSENT
    shown, spread = with_error(value, error)
    return shown if spread is None else f"{shown} ± {spread}"


def active(item: Evaluation) -> str:
    """`17 of 20`; without the total where nobody tells it: one KL for all dimensions together is no dimension."""
    if item.active_units is None:
        return ABSENT
    total = getattr(item, "latent_dim", None)
    if total is None and item.kl_per_dimension is not None and len(item.kl_per_dimension) > 1:
        total = len(item.kl_per_dimension)
    return str(item.active_units) if total is None else f"{item.active_units} of {total}"

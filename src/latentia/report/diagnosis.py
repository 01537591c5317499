"""What `diagnose` found, as plain values: the same from the estimator's object and from a run folder's JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from latentia.errors import CorruptedError
from latentia.report.text import clean, plain_number, with_error

if TYPE_CHECKING:
    from latentia.estimators.diagnosis import Diagnosis
    from latentia.evaluation import ElboDecomposition, Evaluation

__all__ = ["Found", "Parts", "Quantity", "Rung", "document", "parts_of", "read"]


SMALLEST_ERROR = 0.01  # nats, written to two digits; nobody asks for more


class Quantity(NamedTuple):
    """A mean over rows and its standard error, in nats; None where that is not known."""

    value: float
    error: float | None

    def __str__(self) -> str:
        """Write it to the digits that its error allows, three decimals at most: `-61.23 ± 0.35`."""
        if self.error is not None and 0 < self.error < SMALLEST_ERROR:
            return f"{plain_number(self.value, 3)} ± {max(self.error, 0.001):.3f}"
        shown, spread = with_error(self.value, self.error)
        return shown if spread is None else f"{shown} ± {spread}"


@dataclass(frozen=True)
class Rung:
    """One bound on the ladder.

    Attributes
    ----------
    name, kind
        What it is called, and what it is.
    level
        Mean over the rows.
    below
        How far it lies below the best estimate, a mean of differences row by row: its error is not that of the level.
    trusted
        Whether its sample was large enough to mean anything.
    """

    name: str
    kind: str
    level: Quantity
    below: Quantity
    trusted: bool = True

    @property
    def shown(self) -> str:
        """Write the level to the digits that its distance from the best estimate deserves, two decimals at most."""
        return with_error(self.level.value, max(self.below.error or 0.0, 0.1))[0]


@dataclass(frozen=True)
class Parts:
    """The evidence lower bound of n rows, taken apart; parts that the posteriors do not have are None.

    ``saturated`` says that the mutual information is that of so few rows, not of the data.
    """

    n: int
    elbo: Quantity
    reconstruction: Quantity
    mutual_information: Quantity
    marginal_kl: Quantity
    total_correlation: Quantity | None
    dimension_wise_kl: Quantity | None
    saturated: bool

    @property
    def largest_information(self) -> float:
        """Log n: what the mutual information of n rows with z cannot exceed."""
        return math.log(self.n)


@dataclass(frozen=True)
class Found:
    """A diagnosis to be shown.

    Attributes
    ----------
    rows
        Which rows, in words.
    n
        How many.
    rungs
        From the loosest bound by kind to the tightest.
    untrusted
        Rows for which Monte Carlo over the prior is not to be trusted.
    best
        The best estimate of log p(x).
    elbo, lacking
        The encoder's bound, and how far it lies below the best estimate.
    family
        Of the posterior: "diagonal", "full" or "other".
    amortisation, approximation
        What the encoder loses against the best member of its family, and what that one still loses; None for another
        family, whose best member is not known.
    num_simulated, lower, upper, gap
        Of rows that the model generated: how many, bounds on their log p(x) from both sides, and the gap between them.
    parts
        Of the bound.
    """

    rows: str
    n: int
    rungs: tuple[Rung, ...]
    untrusted: int
    best: Quantity
    elbo: Quantity
    lacking: Quantity
    family: str
    amortisation: Quantity | None
    approximation: Quantity | None
    num_simulated: int
    lower: Quantity
    upper: Quantity
    gap: Quantity
    parts: Parts


def document(diagnosis: Diagnosis, evaluation: Evaluation, rows: str) -> dict[str, Any]:
    """Return a diagnosis as JSON values, with the differences that only the values of single rows tell.

    Parameters
    ----------
    diagnosis
        Of the rows.
    evaluation
        Of the same rows, with as many importance samples.
    rows
        Which rows they are, in words.
    """
    import numpy as np

    from latentia.evaluation import Mean

    per_row = {
        "prior": diagnosis.prior.log_prob, "importance": evaluation.per_row, "annealed": diagnosis.annealed.log_prob
    }  # fmt: skip
    with np.errstate(invalid="ignore"):  # the mean of infinite values has no error
        below = {name: Mean.of(diagnosis.gaps.log_prob - values) for name, values in per_row.items()}
        content = diagnosis.to_json()
    content["prior"]["untrusted"] = int(diagnosis.prior.untrusted.sum())
    content["importance"] = {
        "log_prob": evaluation.log_prob,
        "log_prob_standard_error": evaluation.standard_error,
        "num_samples": evaluation.num_samples,
        "effective_sample_size": evaluation.effective_sample_size,
    }
    content["bidirectional"]["n"] = len(diagnosis.bidirectional.lower)
    for name, mean in below.items():
        content[name] |= {"below": _finite(mean.value), "below_standard_error": _finite(mean.standard_error)}
    return {"rows": rows, **content}


def read(content: Mapping[str, Any]) -> Found:
    """Return what `document` wrote.

    Raises
    ------
    CorruptedError
        Where a number is missing or none.
    """
    try:
        return _read(content)
    except (KeyError, TypeError, ValueError) as failure:
        raise CorruptedError(
            f"this is no diagnosis that Latentia wrote ({clean(repr(failure), 80)}): run latentia diagnose again"
        ) from None


def _read(content: Mapping[str, Any]) -> Found:
    prior, annealed, gaps, both = (content[name] for name in ("prior", "annealed", "gaps", "bidirectional"))
    n, few = _whole(content["n"]), _whole(prior["untrusted"])
    family = gaps["family"]
    known = family in ("diagonal", "full")
    bound, expected = "lower bound", "lower bound in expectation"
    rungs = [
        _rung("Monte Carlo over the prior", expected, prior, "log_prob", "below", trusted=not few),
        _rung("ELBO", bound, gaps, "amortised", "inference_gap"),
        _rung("ELBO, best diagonal q", bound, gaps, "diagonal", "approximation_gap_diagonal"),
        _rung("ELBO, best full q", bound, gaps, "full", "approximation_gap_full"),
        _rung("importance sampling", expected, content["importance"], "log_prob", "below"),
        _rung("annealed importance sampling", expected, annealed, "log_prob", "below"),
    ]
    return Found(
        rows=str(content["rows"]),
        n=n,
        rungs=tuple(rung for rung in rungs if rung is not None),
        untrusted=few,
        best=_quantity(gaps, "log_prob"),
        elbo=_quantity(gaps, "amortised"),
        lacking=_quantity(gaps, "inference_gap"),
        family=family,
        amortisation=_quantity(gaps, "amortisation_gap") if known else None,
        approximation=_quantity(gaps, f"approximation_gap_{family}") if known else None,
        num_simulated=_whole(both["n"]),
        lower=_quantity(both, "lower"),
        upper=_quantity(both, "upper"),
        gap=_quantity(both, "gap"),
        parts=_parts(n, content["decomposition"]),
    )


def _rung(
    name: str, kind: str, content: Mapping[str, Any], level: str, below: str, *, trusted: bool = True
) -> Rung | None:
    """Return a rung; None where its mean is infinite, which JSON has no number for."""
    at, under = _perhaps(content, level), _perhaps(content, below)
    return None if at is None or under is None else Rung(name, kind, at, under, trusted)


def parts_of(decomposition: ElboDecomposition) -> Parts:
    """Return the parts of the bound as plain values."""
    return _parts(len(decomposition.reconstruction), decomposition.to_json())


def _parts(n: int, content: Mapping[str, Any]) -> Parts:
    return Parts(
        n=n,
        elbo=_quantity(content, "elbo"),
        reconstruction=_quantity(content, "reconstruction"),
        mutual_information=_quantity(content, "mutual_information"),
        marginal_kl=_quantity(content, "marginal_kl"),
        total_correlation=_perhaps(content, "total_correlation"),
        dimension_wise_kl=_perhaps(content, "dimension_wise_kl"),
        saturated=content["saturated"] is True,
    )


def _perhaps(content: Mapping[str, Any], name: str) -> Quantity | None:
    return None if content.get(name) is None else _quantity(content, name)


def _quantity(content: Mapping[str, Any], name: str) -> Quantity:
    spread = content.get(f"{name}_standard_error")
    return Quantity(_number(content[name]), None if spread is None else _number(spread))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(value)
    return float(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _whole(value: Any) -> int:
    number = _number(value)
    if number != int(number) or number < 0:
        raise TypeError(value)
    return int(number)

"""The table in which the name of an objective is resolved."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from latentia.errors import ConfigError
from latentia.estimators.choices import NamedPart, Row
from latentia.estimators.limits import Choice, Number, Whole
from latentia.objectives import (
    DEPENDS_ON_BATCH,
    Result,
    beta_tc,
    ciwae,
    elbo,
    iwae,
    iwae_dreg,
    miwae,
    mmd_elbo,
    piwae,
    score_function_elbo,
)

__all__ = ["OBJECTIVES", "ObjectiveChoice", "objective"]


@dataclass(frozen=True)
class _Row(Row):
    value: str = "elbo"
    weighs_divergence: bool = False


_OUTER = {"outer": Whole(1, 100_000)}
_WEIGHT = Number(0.0, math.inf)
_NATS = Number(0.0, math.inf, optional=True)

OBJECTIVES: dict[str, _Row] = {
    "elbo": _Row(
        elbo,
        allowed={"free_bits": _NATS, "capacity": _NATS, "capacity_epochs": Whole(1, 10_000_000)},
        weighs_divergence=True,
    ),
    "iwae": _Row(iwae, value="iwae"),
    "iwae_dreg": _Row(iwae_dreg, value="iwae"),
    "miwae": _Row(miwae, {"outer": 2}, _OUTER, value="miwae"),
    "ciwae": _Row(ciwae, {"weight": 0.5}, {"weight": Number(0.0, 1.0)}, value="ciwae"),
    "piwae": _Row(piwae, {"outer": 2}, _OUTER, value="iwae"),
    "score_function": _Row(
        score_function_elbo,
        {"baseline": "leave_one_out"},
        {"baseline": Choice(("none", "mean", "leave_one_out"))},
    ),
    "beta_tc": _Row(
        beta_tc,
        allowed={"alpha": _WEIGHT, "gamma": _WEIGHT},
        weighs_divergence=True,
    ),
    "mmd": _Row(
        mmd_elbo,
        {"weight": 10.0, "kernel": "imq"},
        {"weight": _WEIGHT, "kernel": Choice(("imq", "rbf"))},
        weighs_divergence=True,
    ),
}


class ObjectiveChoice(NamedPart):
    """A bound before its model is known; what ``objective="…"`` stands for.

    Parameters
    ----------
    name
        A key of ``OBJECTIVES``.
    options
        Pairs of a name and a value; see ``objective``.
    """

    what = "objective"
    table = OBJECTIVES

    @property
    def row(self) -> _Row:
        """The row of the table."""
        return OBJECTIVES[self.name]

    def draws(self, num_samples: int) -> int:
        """Return how many samples of z a row takes."""
        return num_samples * int(self.values.get("outer", 1))

    @property
    def whole_batches(self) -> bool:
        """Whether the rows of a batch are compared with each other, so that micro-batches would be other steps."""
        return self.row.part in DEPENDS_ON_BATCH or self.values.get("baseline") == "mean"

    def bound(self, num_samples: int, dataset_size: int) -> Callable[..., Result]:
        """Return the function (model, rows, **noise and weights) → Result that training maximises.

        Parameters
        ----------
        num_samples
            Samples of z behind each bound: L, or the inner K.
        dataset_size
            Training rows N, for estimates of the aggregated posterior.
        """
        options = {name: value for name, value in self.values.items() if name not in ("capacity", "capacity_epochs")}
        if "outer" in options:
            options["num_outer"] = options.pop("outer")
        if self.row.part is beta_tc:
            options["dataset_size"] = dataset_size
        return functools.partial(self.row.part, num_samples=num_samples, **options)

    def plain_bound(self, num_samples: int) -> Callable[..., Result]:
        """Return the function of the bound that is reported, without weights: what validation looks at."""
        if self.row.value == "elbo":
            return functools.partial(elbo, num_samples=num_samples)
        if self.row.value == "iwae":
            return functools.partial(iwae, num_samples=self.draws(num_samples))
        return self.bound(num_samples, 0)

    def check(self, *, num_samples: int, weighs_divergence: bool) -> None:
        """Refuse what makes no sense together.

        Raises
        ------
        ConfigError
            With the argument to change.
        """
        if weighs_divergence and not self.row.weighs_divergence:
            raise ConfigError(
                f"objective={self.name!r} has no divergence to weigh: leave beta and kl_warmup_epochs out"
            )
        baseline = self.values.get("baseline")
        if baseline == "leave_one_out" and num_samples < 2:
            raise ConfigError(
                "the leave_one_out baseline is the mean of a row's other samples: choose num_samples of at least 2, "
                'or objective="score_function:baseline=mean"'
            )
        if self.values.get("capacity") is not None and self.values.get("free_bits") is not None:
            raise ConfigError("free_bits and capacity both say how many nats z may carry: give one of them")
        if self.values.get("capacity_epochs") and self.values.get("capacity") is None:
            raise ConfigError("capacity_epochs says how long the capacity takes to grow: give a capacity too")

    def check_batches(self, num_rows: int, batch_size: int) -> None:
        """Refuse batches of a single row where rows are compared.

        Raises
        ------
        ConfigError
            With the last batch's rows, where that is the short one.
        """
        if not self.whole_batches:
            return
        size = min(batch_size, num_rows)
        if size < 2:
            raise ConfigError(
                f"objective={self.name!r} compares the rows of a batch: choose a batch_size of at least 2"
            )
        if num_rows % size == 1 and self.row.part is not beta_tc:
            raise ConfigError(
                f"objective={self.name!r} compares the rows of a batch, and with {num_rows:,} training rows the last "
                f"batch of {size} would be a single one: choose another batch_size"
            )


def objective(name: str, **options: Any) -> ObjectiveChoice:
    """Return an objective with options, to be passed instead of its name; ConfigError for an option that it lacks.

    Parameters
    ----------
    name
        "elbo"; "iwae" (importance-weighted bound); "iwae_dreg" (the same with doubly reparameterised gradients);
        "miwae", "ciwae", "piwae" (its relatives: Rainforth et al. 2018); "score_function" (the ELBO by the gradient
        that needs no reparameterisation); "beta_tc" (Chen et al. 2018); "mmd" (Zhao et al. 2019).
    **options
        ``free_bits`` (nats per dimension that cost nothing), ``capacity`` (nats at which the divergence is held) and
        ``capacity_epochs`` (over which it grows from 0) of "elbo"; ``outer`` (M sets of ``num_samples``) of "miwae" and
        "piwae"; ``weight`` of "ciwae" (of the ELBO beside the bound) and "mmd"; ``kernel`` of "mmd" ("imq", "rbf");
        ``baseline`` of "score_function" ("none", "mean", "leave_one_out"); ``alpha`` and ``gamma`` of "beta_tc" (its β
        is the estimator's ``beta``).

    Examples
    --------
    >>> objective("elbo", free_bits=0.1)
    ObjectiveChoice(name='elbo', options=(('free_bits', 0.1),))
    """
    return ObjectiveChoice.of(name, **options)

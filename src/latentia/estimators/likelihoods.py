"""The one table in which a likelihood's name is resolved, and in which a likelihood is chosen for a support."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from latentia.data import Support
from latentia.errors import DataError
from latentia.estimators.choices import NamedPart, Row
from latentia.estimators.limits import Choice, Number, Whole
from latentia.parts import (
    BernoulliLikelihood,
    BinomialLikelihood,
    CategoricalLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    DiscretizedLogisticMixtureLikelihood,
    FullGaussianLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    Likelihood,
    LocalAutoregressiveLikelihood,
    LowRankGaussianLikelihood,
    MixedLikelihood,
    NegativeBinomialLikelihood,
    StudentTLikelihood,
)

__all__ = ["LIKELIHOODS", "LikelihoodChoice", "likelihood", "resolve"]

# Reals of any kind can be given a density on all reals, whose samples may then leave the kind.
_REAL = ("real", "unit", "positive")
_MOST_BINOMIAL_LEVELS = 32
MIN_SCALE = 1e-3


@dataclass(frozen=True)
class _Row(Row):
    supports: tuple[str, ...] = ()
    needs_levels: bool = False
    units: str = "plain"
    """What the part is a density of: the data as they are ("plain"), standardised, or their standardised logarithm."""


_POSITIVE = Number(0.0, math.inf, open_low=True)
_FLOOR = {"min_scale": Number(0.0, 1.0, open_low=True)}
_SCALE = Choice(("per_output", "shared", "network"))
# Which likelihoods a column of each kind can be given in a table; the first is the automatic one.
_COLUMNS = {
    "real": Choice(("gaussian", "gaussian_shared", "gaussian_network", "laplace", "student_t")),
    "positive": Choice(("log_normal", "gaussian", "laplace", "student_t")),
    "unit": Choice(("continuous_bernoulli", "gaussian", "laplace", "student_t")),
    "levels": Choice(("binomial", "discretized_logistic", "discretized_logistic_mixture", "categorical")),
}


def _gaussian(variance: str) -> _Row:
    return _Row(GaussianLikelihood, {"variance": variance}, _FLOOR, supports=_REAL, units="standard")


LIKELIHOODS: dict[str, _Row] = {
    "bernoulli": _Row(BernoulliLikelihood, supports=("binary",)),
    "binomial": _Row(BinomialLikelihood, supports=("levels", "binary"), needs_levels=True),
    "categorical": _Row(CategoricalLikelihood, supports=("levels", "categories", "binary"), needs_levels=True),
    "bernoulli_local": _Row(
        LocalAutoregressiveLikelihood,
        {},
        {
            "window": Whole(3, 99),
            "channels": Whole(1, 4096),
            "features": Whole(1, 256),
            "layers": Whole(0, 16),
            "block": Whole(1, 2),
        },
        supports=("binary",),
    ),
    "discretized_logistic": _Row(DiscretizedLogisticLikelihood, supports=("levels",), needs_levels=True),
    "discretized_logistic_mixture": _Row(
        DiscretizedLogisticMixtureLikelihood,
        {"components": 5},
        {"components": Whole(1, 100)},
        supports=("levels",),
        needs_levels=True,
    ),
    "negative_binomial": _Row(NegativeBinomialLikelihood, {}, {"dispersion": _SCALE}, supports=("count",)),
    "gaussian": _gaussian("per_output"),
    "gaussian_shared": _gaussian("shared"),
    "gaussian_network": _gaussian("network"),
    "gaussian_fixed": _Row(
        GaussianLikelihood, {"variance": 1.0}, {"variance": _POSITIVE}, supports=_REAL, units="standard"
    ),
    "gaussian_full": _Row(FullGaussianLikelihood, {}, _FLOOR, supports=_REAL, units="standard"),
    "gaussian_low_rank": _Row(
        LowRankGaussianLikelihood, {"rank": 5}, {"rank": Whole(1, 1000), **_FLOOR}, supports=_REAL, units="standard"
    ),
    "laplace": _Row(LaplaceLikelihood, {}, {"scale": _SCALE, **_FLOOR}, supports=_REAL, units="standard"),
    "student_t": _Row(
        StudentTLikelihood,
        {},
        {"scale": _SCALE, "degrees": Number(2.0, 1e6, open_low=True), **_FLOOR},
        supports=_REAL,
        units="standard",
    ),
    "continuous_bernoulli": _Row(ContinuousBernoulliLikelihood, {}, _FLOOR, supports=("unit",)),
    "log_normal": _Row(GaussianLikelihood, {}, {"variance": _SCALE, **_FLOOR}, supports=("positive",), units="log"),
    "mixed": _Row(MixedLikelihood, {}, {**_COLUMNS, **_FLOOR}, supports=("columns",)),
}


class LikelihoodChoice(NamedPart):
    """A likelihood before its network and shape are known; what ``likelihood="…"`` stands for.

    Parameters
    ----------
    name
        A key of ``LIKELIHOODS``.
    options
        Pairs of a name and a value, such as ``("variance", 0.5)``; see ``likelihood``.
    """

    what = "likelihood"
    table = LIKELIHOODS
    automatic = True

    @property
    def floor(self) -> float | None:
        """Least scale where each element has a learned one of its own, in standardised units."""
        row = LIKELIHOODS[self.name]
        if "min_scale" not in row.allowed or self.name == "gaussian_shared" or "shared" in self.values.values():
            return None
        return float(self.values.get("min_scale", MIN_SCALE))

    @property
    def correlates(self) -> bool:
        """Whether the elements of an item are correlated given the latent vector."""
        return self.name in ("gaussian_full", "gaussian_low_rank")

    def units(self, support: Support) -> tuple[str, ...]:
        """Return what the part is a density of, for each column of a table, else once: see ``Preprocessing.fit``."""
        if self.name == "mixed":
            return tuple(LIKELIHOODS[self.column(part).name].units for part in support.columns or ())
        return (LIKELIHOODS[self.name].units,)

    def column(self, support: Support) -> LikelihoodChoice:
        """Return the likelihood of a column of a table."""
        options = dict(self.options)
        name = options.get(support.kind, _automatic(support))
        takes_floor = "min_scale" in options and "min_scale" in LIKELIHOODS[name].allowed
        return likelihood(name, **({"min_scale": options["min_scale"]} if takes_floor else {}))

    def outputs(self, support: Support, event_shape: Sequence[int]) -> int:
        """Return how many numbers the likelihood needs for an item."""
        return self.build(nn.Identity(), event_shape, support).num_outputs

    def build(self, network: nn.Module, event_shape: Sequence[int], support: Support) -> Likelihood:
        """Return the part on this network, for items of this shape."""
        if self.name == "mixed":
            return self._build_columns(network, support)
        row, options = LIKELIHOODS[self.name], self.values
        if row.needs_levels:
            options["levels"] = 2 if support.kind == "binary" else support.levels
        part: Likelihood = row.part(network, event_shape, **options)
        return part

    def _build_columns(self, network: nn.Module, support: Support) -> MixedLikelihood:
        blocks: dict[Support, list[int]] = {}  # columns of a kind share a block, in the order of the first
        for i, part in enumerate(support.columns or ()):
            blocks.setdefault(part, []).append(i)
        parts = [self.column(part).build(nn.Identity(), (len(at),), part) for part, at in blocks.items()]
        return MixedLikelihood(network, parts, list(blocks.values()))


def likelihood(name: str, **options: Any) -> LikelihoodChoice:
    """Return a likelihood with options, to be passed instead of its name; ConfigError for an option that it lacks.

    Parameters
    ----------
    name
        A key of the table.

        - Masses: "bernoulli"; "bernoulli_local" (binary images whose pixels continue their neighbours); "binomial",
          "categorical", "discretized_logistic", "discretized_logistic_mixture" (grey levels); "negative_binomial"
          (counts).
        - Densities of standardised reals: "gaussian" (one learned variance per element), "gaussian_shared",
          "gaussian_network" (an output of the network), "gaussian_fixed", "gaussian_full" (every covariance an output
          of the network, for at most 128 numbers), "gaussian_low_rank" (some), "laplace", "student_t". They may be
          given "unit" and "positive" data too; their samples then can leave the support.
        - "continuous_bernoulli" for [0, 1] and "log_normal" for positive data: their samples cannot.
        - "mixed" for tables: each column has the likelihood of its kind.
    **options
        ``variance`` of "gaussian_fixed" (of standardised data; 0.5 is squared error with the weight λ = 1/(2·0.5)).
        ``min_scale``, the floor of a learned scale: of standardised data or their logarithm; of [0, 1] itself for
        "continuous_bernoulli". ``components`` of the mixture. ``rank`` of "gaussian_low_rank". ``scale`` of "laplace"
        and "student_t", ``variance`` of "log_normal" and ``dispersion`` of "negative_binomial": "per_output", "shared"
        or "network". ``degrees`` of "student_t": a number above 2; learned if not given. ``real``, ``positive``,
        ``unit`` and ``levels`` of "mixed": the likelihood of columns of this kind. ``window``, ``channels``,
        ``features``, ``layers`` and ``block`` of "bernoulli_local": see ``parts.LocalAutoregressiveLikelihood``.

    Examples
    --------
    >>> likelihood("gaussian_fixed", variance=0.5)
    LikelihoodChoice(name='gaussian_fixed', options=(('variance', 0.5),))
    >>> likelihood("mixed", real="student_t").name
    'mixed'
    """
    return LikelihoodChoice.of(name, **options)


def resolve(choice: str | LikelihoodChoice, support: Support, observed: str) -> LikelihoodChoice:
    """Return the likelihood that fits the support, or refuse the one that does not.

    Parameters
    ----------
    choice
        "auto", a name of the table, or what ``likelihood`` returned.
    support
        Of the data as the model will see them, after any binarisation.
    observed
        A few words on what came, for the error.

    Raises
    ------
    ConfigError
        If the name is unknown.
    DataError
        If the likelihood gives such data no probability.
    """
    if isinstance(choice, str) and choice == "auto":
        return likelihood(_automatic(support))
    resolved = LikelihoodChoice.resolve(choice)
    row = LIKELIHOODS[resolved.name]
    if support.kind in row.supports:
        return resolved
    fitting = _automatic(support)
    if resolved.name == "bernoulli":
        advice = (
            'choose binarize="static", "dynamic" or "threshold" to make them binary, or a likelihood for what they are '
            f"({fitting!r})"
        )
    elif row.supports == _REAL and support.kind != "columns":
        advice = f"choose {fitting!r}, or pass support='real' to score a density instead of a mass"
    else:
        advice = f"choose {fitting!r}, or pass {_REMEDIES[row.supports[0]]}"
    raise DataError(f"a {resolved.name} likelihood does not fit {observed}: {advice}")


_REMEDIES: Mapping[str, str] = {
    "binary": "support='binary' if the values are 0 and 1",
    "levels": "support='levels:K' if the values are whole numbers 0 to K − 1",
    "categories": "support='categories:K' if the values are codes 0 to K − 1",
    "count": "support='count' if the values are whole numbers from 0 on",
    "unit": "support='unit' if the values lie between 0 and 1",
    "positive": "support='positive' if the values lie above 0",
    "real": "support='real' if the columns are alike",
    "columns": "support='columns:…' with the kind of each column",
}


def _automatic(support: Support) -> str:
    if support.kind == "levels":
        return "binomial" if (support.levels or 0) <= _MOST_BINOMIAL_LEVELS else "discretized_logistic"
    return {
        "binary": "bernoulli",
        "categories": "categorical",
        "count": "negative_binomial",
        "unit": "continuous_bernoulli",
        "positive": "log_normal",
        "real": "gaussian",
        "columns": "mixed",
    }[support.kind]

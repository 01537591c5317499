"""The one table in which a likelihood's name is resolved, and in which a likelihood is chosen for a support."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from latentia.data import Support
from latentia.errors import DataError
from latentia.estimators.choices import NamedPart, Row
from latentia.estimators.limits import Number
from latentia.parts import (
    BernoulliLikelihood,
    BinomialLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    Likelihood,
)

__all__ = ["LIKELIHOODS", "LikelihoodChoice", "likelihood", "resolve"]

_REAL = ("real", "unit", "positive")
_MOST_BINOMIAL_LEVELS = 32
MIN_SCALE = 1e-3


@dataclass(frozen=True)
class _Row(Row):
    supports: tuple[str, ...] = ()
    needs_levels: bool = False


_POSITIVE = Number(0.0, math.inf, open_low=True)
_FLOOR = {"min_scale": Number(0.0, 1.0, open_low=True)}

LIKELIHOODS: dict[str, _Row] = {
    "bernoulli": _Row(BernoulliLikelihood, supports=("binary",)),
    "binomial": _Row(BinomialLikelihood, supports=("levels", "binary"), needs_levels=True),
    "categorical": _Row(CategoricalLikelihood, supports=("levels", "categories", "binary"), needs_levels=True),
    "discretized_logistic": _Row(DiscretizedLogisticLikelihood, supports=("levels",), needs_levels=True),
    "gaussian": _Row(GaussianLikelihood, supports=_REAL, options={"variance": "per_output"}, allowed=_FLOOR),
    "gaussian_shared": _Row(GaussianLikelihood, supports=_REAL, options={"variance": "shared"}, allowed=_FLOOR),
    "gaussian_network": _Row(GaussianLikelihood, supports=_REAL, options={"variance": "network"}, allowed=_FLOOR),
    "gaussian_fixed": _Row(
        GaussianLikelihood, supports=_REAL, options={"variance": 1.0}, allowed={"variance": _POSITIVE}
    ),
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
        """Least standard deviation where each element has a learned one of its own, in standardised units."""
        if self.name not in ("gaussian", "gaussian_network"):
            return None
        return float(dict(self.options).get("min_scale", MIN_SCALE))

    def outputs(self, support: Support) -> int:
        """Return how many numbers the likelihood needs for each element."""
        return self.build(nn.Identity(), (1,), support).outputs_per_element

    def build(self, network: nn.Module, event_shape: Sequence[int], support: Support) -> Likelihood:
        """Return the part on this network, for items of this shape."""
        row, options = LIKELIHOODS[self.name], self.values
        if row.needs_levels:
            options["levels"] = 2 if support.kind == "binary" else support.levels
        part: Likelihood = row.part(network, event_shape, **options)
        return part


def likelihood(name: str, **options: Any) -> LikelihoodChoice:
    """Return a likelihood with options, to be passed instead of its name; ConfigError for an option that it lacks.

    Parameters
    ----------
    name
        A key of the table: "bernoulli", "binomial", "categorical", "discretized_logistic", "gaussian" (one learned
        variance per element), "gaussian_shared", "gaussian_network" (an output of the network), "gaussian_fixed".
    **options
        ``variance`` of "gaussian_fixed" (of standardised data; 0.5 is squared error with the weight λ = 1/(2·0.5)),
        ``min_scale`` (floor of the standard deviation of standardised data) of the other Gaussians.

    Examples
    --------
    >>> likelihood("gaussian_fixed", variance=0.5)
    LikelihoodChoice(name='gaussian_fixed', options=(('variance', 0.5),))
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
    if support.kind in LIKELIHOODS[resolved.name].supports:
        return resolved
    if resolved.name == "bernoulli":
        advice = (
            'choose binarize="static", "dynamic" or "threshold" to make them binary, or a likelihood for what they are '
            f"({_automatic(support)!r})"
        )
    elif support.kind in ("levels", "categories", "binary"):
        advice = f"choose {_automatic(support)!r}, or pass support='real' to score a density instead of a mass"
    else:
        advice = (
            f"choose {_automatic(support)!r}, or pass support='levels:K' if the values are whole numbers 0 to K − 1"
        )
    raise DataError(f"a {resolved.name} likelihood does not fit {observed}: {advice}")


def _automatic(support: Support) -> str:
    if support.kind == "binary":
        return "bernoulli"
    if support.kind == "categories":
        return "categorical"
    if support.kind == "levels":
        return "binomial" if (support.levels or 0) <= _MOST_BINOMIAL_LEVELS else "discretized_logistic"
    return "gaussian"

"""The tables in which the names of priors and posteriors are resolved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from latentia.data import Support
from latentia.errors import ConfigError
from latentia.estimators.choices import NamedPart, Row
from latentia.estimators.limits import Whole
from latentia.parts import (
    DiagonalGaussian,
    FlowPosterior,
    FlowPrior,
    FullGaussian,
    LearnedNormal,
    MixtureOfGaussians,
    MixtureOfGaussiansPosterior,
    StandardNormal,
    VampPrior,
)

__all__ = ["FAMILIES", "PRIORS", "FamilyChoice", "PriorChoice", "prior", "variational_family"]

_FLOW = {"transforms": Whole(1, 64), "width": Whole(1, 4096), "bins": Whole(2, 256, optional=True)}

FAMILIES: dict[str, Row] = {
    "diagonal": Row(DiagonalGaussian),
    "full": Row(FullGaussian),
    "mixture": Row(MixtureOfGaussiansPosterior, {"components": 5}, {"components": Whole(1, 1000)}),
    "flow": Row(FlowPosterior, {}, _FLOW),
}

PRIORS: dict[str, Row] = {
    "standard": Row(StandardNormal),
    "learned": Row(LearnedNormal),
    "mixture": Row(MixtureOfGaussians, {"components": 10}, {"components": Whole(1, 100_000)}),
    "vamp": Row(VampPrior, {"components": 500}, {"components": Whole(1, 100_000)}),
    "flow": Row(FlowPrior, {}, _FLOW),
}


class FamilyChoice(NamedPart):
    """An approximate posterior before its network is known; what ``variational_family="…"`` stands for.

    Parameters
    ----------
    name
        A key of ``FAMILIES``.
    options
        Pairs of a name and a value; see ``variational_family``.
    """

    what = "variational_family"
    table = FAMILIES

    def outputs(self, latent_dim: int) -> int:
        """Return how many numbers the encoder's network must give."""
        part: Any = FAMILIES[self.name].part
        return int(part.outputs(latent_dim, **self.values))

    def build(self, network: nn.Module, latent_dim: int) -> nn.Module:
        """Return the part on this network."""
        part: nn.Module = FAMILIES[self.name].part(network, latent_dim, **self.values)
        return part


class PriorChoice(NamedPart):
    """A prior before its dimension is known; what ``prior="…"`` stands for.

    Parameters
    ----------
    name
        A key of ``PRIORS``.
    options
        Pairs of a name and a value; see ``prior``.
    """

    what = "prior"
    table = PRIORS

    def build(self, latent_dim: int, encoder: nn.Module, event_shape: Sequence[int], support: Support) -> nn.Module:
        """Return the part; the VampPrior's pseudo-inputs are zeros, to be set where training begins."""
        options = self.values
        if self.name != "vamp":
            part: nn.Module = PRIORS[self.name].part(latent_dim, **options)
            return part
        if support.kind not in ("binary", "levels", "real", "unit", "positive"):
            raise ConfigError(
                f"a vamp prior needs pseudo-inputs that are numbers, and the data have the support {str(support)!r}: "
                'choose prior="mixture"'
            )
        top = {"binary": 1.0, "levels": float((support.levels or 2) - 1)}.get(support.kind)
        low = None if top is None else 0.0
        return VampPrior(encoder, torch.zeros(options["components"], *event_shape), low, top)


def prior(name: str, **options: Any) -> PriorChoice:
    """Return a prior with options, to be passed instead of its name; ConfigError for an option that it lacks.

    Parameters
    ----------
    name
        "standard" (N(0, I)), "learned" (a diagonal Gaussian), "mixture" (of diagonal Gaussians), "vamp" (the mixture of
        the posteriors of learned pseudo-inputs: Tomczak and Welling 2018) or "flow" (a normalising flow; needs zuko).
    **options
        ``components`` of "mixture" and "vamp"; ``transforms``, ``width`` (of the hidden layers) and ``bins`` (of
        splines, in place of affine maps) of "flow".

    Examples
    --------
    >>> prior("vamp", components=100)
    PriorChoice(name='vamp', options=(('components', 100),))
    """
    return PriorChoice.of(name, **options)


def variational_family(name: str, **options: Any) -> FamilyChoice:
    """Return an approximate posterior with options; ConfigError for an option that it lacks.

    Parameters
    ----------
    name
        "diagonal" (Gaussian), "full" (Gaussian with every covariance, by its Cholesky factor), "mixture" (of diagonal
        Gaussians) or "flow" (a normalising flow; needs zuko).
    **options
        ``components`` of "mixture"; ``transforms``, ``width`` (of the hidden layers) and ``bins`` (of splines, in
        place of affine maps) of "flow".

    Examples
    --------
    >>> variational_family("mixture", components=3)
    FamilyChoice(name='mixture', options=(('components', 3),))
    """
    return FamilyChoice.of(name, **options)

"""The friendly door: scikit-learn's verbs over the models. Imported late, so that names cost nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentia.estimators.independent_pixels import IndependentPixels
    from latentia.estimators.latent_parts import FamilyChoice, PriorChoice, prior, variational_family
    from latentia.estimators.likelihoods import LikelihoodChoice, likelihood
    from latentia.estimators.objectives import ObjectiveChoice, objective
    from latentia.estimators.ppca import PPCA
    from latentia.estimators.saving import load
    from latentia.estimators.vae import VAE

__all__ = [
    "PPCA",
    "VAE",
    "FamilyChoice",
    "IndependentPixels",
    "LikelihoodChoice",
    "ObjectiveChoice",
    "PriorChoice",
    "likelihood",
    "load",
    "objective",
    "prior",
    "variational_family",
]

_PLACES = {
    "PPCA": "ppca",
    "VAE": "vae",
    "IndependentPixels": "independent_pixels",
    "LikelihoodChoice": "likelihoods",
    "ObjectiveChoice": "objectives",
    "FamilyChoice": "latent_parts",
    "PriorChoice": "latent_parts",
    "likelihood": "likelihoods",
    "objective": "objectives",
    "prior": "latent_parts",
    "variational_family": "latent_parts",
    "load": "saving",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)

"""Latentia: deep latent-variable generative models that one can trust and use.

Fit one to your data, then sample, encode, and score log p(x) in nats::

    import latentia as lt

    digits = lt.data.load("digits")
    vae = lt.VAE(latent_dim=2, random_state=0).fit(digits.train)
    vae.score_samples(digits.test.x)

Every name is imported when it is first used, so that ``import latentia`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentia import (
        data,
        distributions,
        errors,
        estimators,
        evaluation,
        latents,
        models,
        networks,
        objectives,
        parts,
        report,
        storage,
        training,
    )
    from latentia.citations import cite
    from latentia.estimators import (
        PPCA,
        VAE,
        FamilyChoice,
        IndependentPixels,
        LikelihoodChoice,
        ObjectiveChoice,
        PriorChoice,
        likelihood,
        load,
        objective,
        prior,
        variational_family,
    )

__version__ = "0.1.0"

__all__ = [
    "PPCA",
    "VAE",
    "FamilyChoice",
    "IndependentPixels",
    "LikelihoodChoice",
    "ObjectiveChoice",
    "PriorChoice",
    "__version__",
    "cite",
    "data",
    "distributions",
    "errors",
    "estimators",
    "evaluation",
    "latents",
    "likelihood",
    "load",
    "models",
    "networks",
    "objective",
    "objectives",
    "parts",
    "prior",
    "report",
    "storage",
    "training",
    "variational_family",
]

_FROM = {"cite": "citations"} | dict.fromkeys(
    ("PPCA", "VAE", "IndependentPixels", "LikelihoodChoice", "ObjectiveChoice", "FamilyChoice", "PriorChoice"),
    "estimators",
)
_FROM |= dict.fromkeys(("likelihood", "load", "objective", "prior", "variational_family"), "estimators")


def __getattr__(name: str) -> Any:
    if name in _FROM:
        return getattr(importlib.import_module(f"latentia.{_FROM[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"latentia.{name}")
    raise AttributeError(f"module 'latentia' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

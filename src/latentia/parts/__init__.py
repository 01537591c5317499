"""Modules that return a distribution: priors p(z), posteriors q(z | x) and likelihoods p(x | z)."""

from latentia.parts.likelihoods import (
    BernoulliLikelihood,
    BinomialLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    Likelihood,
)
from latentia.parts.posteriors import DiagonalGaussian
from latentia.parts.priors import StandardNormal

__all__ = [
    "BernoulliLikelihood",
    "BinomialLikelihood",
    "CategoricalLikelihood",
    "DiagonalGaussian",
    "DiscretizedLogisticLikelihood",
    "GaussianLikelihood",
    "Likelihood",
    "StandardNormal",
]

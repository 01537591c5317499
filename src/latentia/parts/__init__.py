"""Modules that return a distribution: priors p(z), posteriors q(z | x) and likelihoods p(x | z)."""

from latentia.parts.flows import FlowPosterior, FlowPrior
from latentia.parts.likelihoods import (
    BernoulliLikelihood,
    BinomialLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    Likelihood,
)
from latentia.parts.posteriors import DiagonalGaussian, FullGaussian, MixtureOfGaussiansPosterior
from latentia.parts.priors import LearnedNormal, MixtureOfGaussians, StandardNormal, VampPrior, initial_pseudo_inputs

__all__ = [
    "BernoulliLikelihood",
    "BinomialLikelihood",
    "CategoricalLikelihood",
    "DiagonalGaussian",
    "DiscretizedLogisticLikelihood",
    "FlowPosterior",
    "FlowPrior",
    "FullGaussian",
    "GaussianLikelihood",
    "LearnedNormal",
    "Likelihood",
    "MixtureOfGaussians",
    "MixtureOfGaussiansPosterior",
    "StandardNormal",
    "VampPrior",
    "initial_pseudo_inputs",
]

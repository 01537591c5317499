"""Modules that return a distribution: priors p(z), posteriors q(z | x) and likelihoods p(x | z)."""

from latentia.parts.autoregressive import LocalAutoregressiveLikelihood
from latentia.parts.flows import FlowPosterior, FlowPrior
from latentia.parts.likelihoods import Likelihood, LocationScaleLikelihood
from latentia.parts.likelihoods_correlated import FullGaussianLikelihood, LowRankGaussianLikelihood
from latentia.parts.likelihoods_discrete import (
    BernoulliLikelihood,
    BinomialLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    DiscretizedLogisticMixtureLikelihood,
    NegativeBinomialLikelihood,
)
from latentia.parts.likelihoods_mixed import MixedLikelihood
from latentia.parts.likelihoods_real import (
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    StudentTLikelihood,
)
from latentia.parts.posteriors import DiagonalGaussian, FullGaussian, MixtureOfGaussiansPosterior
from latentia.parts.priors import LearnedNormal, MixtureOfGaussians, StandardNormal, VampPrior, initial_pseudo_inputs

__all__ = [
    "BernoulliLikelihood",
    "BinomialLikelihood",
    "CategoricalLikelihood",
    "ContinuousBernoulliLikelihood",
    "DiagonalGaussian",
    "DiscretizedLogisticLikelihood",
    "DiscretizedLogisticMixtureLikelihood",
    "FlowPosterior",
    "FlowPrior",
    "FullGaussian",
    "FullGaussianLikelihood",
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "LearnedNormal",
    "Likelihood",
    "LocalAutoregressiveLikelihood",
    "LocationScaleLikelihood",
    "LowRankGaussianLikelihood",
    "MixedLikelihood",
    "MixtureOfGaussians",
    "MixtureOfGaussiansPosterior",
    "NegativeBinomialLikelihood",
    "StandardNormal",
    "StudentTLikelihood",
    "VampPrior",
    "initial_pseudo_inputs",
]

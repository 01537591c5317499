"""Densities that torch lacks or computes slowly, and the divergences between them; all in nats."""

from latentia.distributions.autoregressive import AutoregressiveBernoulli
from latentia.distributions.base import FactorisedDistribution, full_precision
from latentia.distributions.columns import Columns
from latentia.distributions.continuous import ContinuousBernoulli, Laplace, StudentT
from latentia.distributions.counts import NegativeBinomial
from latentia.distributions.covariance import LowRankNormal, PrecisionNormal
from latentia.distributions.discrete import Bernoulli, Binomial, Categorical, DiscretizedLogistic
from latentia.distributions.flow import Flow
from latentia.distributions.full_normal import FullNormal
from latentia.distributions.information import Measure, cross_entropy, entropy, jensen_shannon, kl
from latentia.distributions.logistic_mixture import DiscretizedLogisticMixture
from latentia.distributions.mixture import Mixture
from latentia.distributions.normal import DiagonalNormal, UnitNormal, kl_divergence, kl_per_dimension

__all__ = [
    "AutoregressiveBernoulli",
    "Bernoulli",
    "Binomial",
    "Categorical",
    "Columns",
    "ContinuousBernoulli",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "FactorisedDistribution",
    "Flow",
    "FullNormal",
    "Laplace",
    "LowRankNormal",
    "Measure",
    "Mixture",
    "NegativeBinomial",
    "PrecisionNormal",
    "StudentT",
    "UnitNormal",
    "cross_entropy",
    "entropy",
    "full_precision",
    "jensen_shannon",
    "kl",
    "kl_divergence",
    "kl_per_dimension",
]

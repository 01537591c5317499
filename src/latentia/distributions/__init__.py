"""Densities that torch lacks or computes slowly, and the divergences between them; all in nats."""

from latentia.distributions.base import FactorisedDistribution, full_precision
from latentia.distributions.discrete import Bernoulli, Binomial, Categorical, DiscretizedLogistic
from latentia.distributions.flow import Flow
from latentia.distributions.full_normal import FullNormal
from latentia.distributions.mixture import Mixture
from latentia.distributions.normal import DiagonalNormal, UnitNormal, kl_divergence, kl_per_dimension

__all__ = [
    "Bernoulli",
    "Binomial",
    "Categorical",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "FactorisedDistribution",
    "Flow",
    "FullNormal",
    "Mixture",
    "UnitNormal",
    "full_precision",
    "kl_divergence",
    "kl_per_dimension",
]

"""Samples of a variational autoencoder whose marginal is known: linear decoder, so p(x) = N(μ, WWᵀ + σ²I)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from latentia.errors import ConfigError
from latentia.models import VariationalAutoencoder
from latentia.networks import MLP
from latentia.parts import BernoulliLikelihood, DiagonalGaussian, GaussianLikelihood, StandardNormal
from tests.tolerance import assert_mean


@pytest.mark.usefixtures("float64")
def test_samples_follow_the_marginal() -> None:
    """Five standard errors for 3 means and 9 second moments; a new seed fails with probability below 1e-5."""
    torch.manual_seed(0)
    network = nn.Linear(2, 3)
    decoder = GaussianLikelihood(network, (3,), variance=0.49)
    model = VariationalAutoencoder(prior=StandardNormal(2), encoder=DiagonalGaussian(nn.Linear(3, 4)), decoder=decoder)
    draws = model.sample(20_000, generator=torch.Generator().manual_seed(1))
    assert draws.shape == (20_000, 3)
    weight, mean = network.weight.detach().numpy(), network.bias.detach().numpy()
    centred = draws.numpy() - mean
    assert_mean(centred, np.zeros(3))
    assert_mean(centred[:, :, None] * centred[:, None, :], weight @ weight.T + 0.49 * np.eye(3))


def test_prior_and_encoder_of_different_dimensions_are_refused() -> None:
    """One latent dimension would be broadcast against five without a word."""
    with pytest.raises(ConfigError, match="the prior has 5 latent dimensions and the encoder 1"):
        VariationalAutoencoder(
            prior=StandardNormal(5),
            encoder=DiagonalGaussian(MLP(3, [], 2), latent_dim=1),
            decoder=BernoulliLikelihood(MLP(5, [], 3), event_shape=(3,)),
        )

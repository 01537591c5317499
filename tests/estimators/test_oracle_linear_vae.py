"""A linear VAE with one learned variance has PPCA's maximum as its optimum, and an ELBO that is tight there.

Tipping and Bishop 1999; Lucas et al. 2019 ("Don't blame the ELBO!"): with a linear encoder and decoder and a diagonal q
the best ELBO is the maximum of log p(x) itself.
"""

from __future__ import annotations

import numpy as np
import torch

import latentia as lt
from latentia.models import PPCA
from tests.estimators.cases import Array

ROWS, COLUMNS, LATENTS = 300, 6, 2


def linear_gaussian() -> Array:
    rng = np.random.default_rng(0)
    weight = 1.5 * rng.normal(size=(LATENTS, COLUMNS))
    x: Array = rng.normal(size=(ROWS, LATENTS)) @ weight + 0.6 * rng.normal(size=(ROWS, COLUMNS))
    return x + rng.normal(size=COLUMNS)


def gaps(epochs: int) -> tuple[float, float]:
    """Return how far exact log p(x) of the decoder and the reported ELBO are below PPCA's maximum, nats a row."""
    x = linear_gaussian()
    vae = lt.VAE(
        latent_dim=LATENTS,
        network="linear",
        likelihood="gaussian_shared",
        precision="float64",
        validation_fraction=0,
        batch_size=ROWS,
        num_samples=8,
        max_epochs=epochs,
        learning_rate=2e-2,
        learning_rate_schedule="cosine",
        random_state=0,
    ).fit(x)
    standardised = torch.from_numpy((x - x.mean(0)) / x.std(0))
    decoder = vae.module_.decoder.state_dict()
    variance = (2.0 * decoder["log_scale"]).exp()
    marginal = PPCA(decoder["network.layers.0.bias"], decoder["network.layers.0.weight"], variance)
    best = float(PPCA.fit(standardised, LATENTS).log_prob(standardised).mean())
    exact = float(marginal.log_prob(standardised).mean())
    elbo = vae.evaluate(x, num_samples=500).elbo
    assert elbo is not None
    # In the units passed in, every log-density is lower by Σ log sd.
    return best - exact, best - (elbo + float(np.log(x.std(0)).sum()))


def test_a_trained_linear_vae_is_ppca() -> None:
    to_exact, to_elbo = gaps(epochs=800)
    assert 0.0 <= to_exact < 0.01  # nothing linear is above the maximum; the issue allows 0.05
    assert abs(to_elbo) < 0.02  # and 0.1


def test_an_unfinished_one_is_not() -> None:
    """The oracle can tell: after 60 epochs the gap is of another order."""
    to_exact, to_elbo = gaps(epochs=60)
    assert to_exact > 0.2
    assert to_elbo > 0.2

"""Estimators of one gradient agree in the mean, whatever the posterior: paths, scores, and both.

No closed form is needed: two unbiased estimators on the same noise differ by zero in the mean, for every parameter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from latentia.models import VariationalAutoencoder
from latentia.networks import Linear
from latentia.objectives import Result, elbo, iwae, iwae_dreg, score_function_elbo
from latentia.parts import (
    FlowPosterior,
    FullGaussian,
    GaussianLikelihood,
    MixtureOfGaussians,
    MixtureOfGaussiansPosterior,
    StandardNormal,
    VampPrior,
)
from tests.objectives.cases import numbers
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

PIXELS, LATENTS, SAMPLES, ROWS = 3, 2, 3, 40

POSTERIORS: dict[str, Callable[[], nn.Module]] = {
    "full": lambda: FullGaussian(Linear(PIXELS, FullGaussian.outputs(LATENTS)), LATENTS),
    "mixture": lambda: MixtureOfGaussiansPosterior(
        Linear(PIXELS, MixtureOfGaussiansPosterior.outputs(LATENTS, 2)), LATENTS, 2
    ),
    "flow": lambda: FlowPosterior(Linear(PIXELS, FlowPosterior.outputs(LATENTS, 2, 3)), LATENTS, 2, 3),
}
PRIORS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "standard": lambda encoder: StandardNormal(LATENTS),
    "mixture": lambda encoder: MixtureOfGaussians(LATENTS, 2),
    "vamp": lambda encoder: VampPrior(encoder, numbers(2, PIXELS, seed=5), None, None),
}


def _model(posterior: str, prior: str) -> VariationalAutoencoder:
    torch.manual_seed(0)
    encoder = POSTERIORS[posterior]()
    with torch.no_grad():
        for value in encoder.parameters():
            value.add_(0.3 * torch.randn_like(value))
    decoder = GaussianLikelihood(Linear(LATENTS, PIXELS), (PIXELS,), 0.5)
    return VariationalAutoencoder(prior=PRIORS[prior](encoder), encoder=encoder, decoder=decoder).double()


def _difference(
    model: VariationalAutoencoder, one: Callable[..., Result], other: Callable[..., Result], repeats: int
) -> npt.NDArray[np.float64]:
    """Return draws of the difference of two gradients on the same noise, each the mean over equal rows."""
    x = numbers(1, PIXELS, seed=3).expand(ROWS, -1)
    weights = [value for value in model.parameters() if value.requires_grad]
    size = model.encoder(x).noise_size
    torch.manual_seed(1)

    def gradient(objective: Callable[..., Result], noise: Tensor) -> Tensor:
        value = objective(model, x, num_samples=SAMPLES, noise=noise).maximand.mean()
        found = torch.autograd.grad(value, weights, allow_unused=True)
        pairs = zip(found, weights, strict=True)
        return torch.cat([(torch.zeros_like(w) if g is None else g).flatten() for g, w in pairs])

    draws = []
    for _ in range(repeats):
        noise = torch.randn(SAMPLES, ROWS, size)
        draws.append(gradient(one, noise) - gradient(other, noise))
    return torch.stack(draws).numpy()


@pytest.mark.parametrize(
    ("posterior", "prior", "repeats"),
    [
        ("full", "vamp", 300),
        ("mixture", "mixture", 300),
        ("flow", "standard", 200),
    ],
)
def test_double_reparameterisation_agrees_with_the_plain_gradient(posterior: str, prior: str, repeats: int) -> None:
    if posterior == "flow":
        pytest.importorskip("zuko")
    draws = _difference(_model(posterior, prior), iwae_dreg, iwae, repeats)
    assert_mean(draws, 0.0)
    assert float(np.abs(draws).max()) > 1e-3  # they are two estimators


@pytest.mark.parametrize(("posterior", "prior"), [("full", "mixture"), ("mixture", "standard")])
def test_the_score_function_agrees_with_the_path(posterior: str, prior: str) -> None:
    draws = _difference(_model(posterior, prior), score_function_elbo, elbo, 300)
    assert_mean(draws, 0.0)
    assert float(np.abs(draws).max()) > 1e-3

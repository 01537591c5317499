"""Every objective can be traced with its gradient into one graph, and the graph gives the same numbers for other data.

This is how a compiled training step is made: Python may not decide by numbers, only by shapes and flags.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from latentia.models import VariationalAutoencoder
from latentia.networks import MLP
from latentia.objectives import (
    Result,
    beta_tc,
    ciwae,
    elbo,
    iwae,
    iwae_dreg,
    miwae,
    mmd_elbo,
    piwae,
    score_function_elbo,
)
from latentia.parts import (
    BernoulliLikelihood,
    DiagonalGaussian,
    FlowPosterior,
    FullGaussian,
    MixtureOfGaussiansPosterior,
    StandardNormal,
    VampPrior,
)

pytestmark = pytest.mark.usefixtures("float64")

ROWS, PIXELS, LATENTS, SAMPLES = 4, 6, 2, 6

OBJECTIVES: dict[str, Callable[..., Result]] = {
    "elbo": partial(elbo, num_samples=SAMPLES),
    "elbo, free bits": partial(elbo, num_samples=SAMPLES, free_bits=0.1, beta=2.0),
    "elbo, capacity": partial(elbo, num_samples=SAMPLES, capacity=0.5),
    "iwae": partial(iwae, num_samples=SAMPLES),
    "iwae_dreg": partial(iwae_dreg, num_samples=SAMPLES),
    "miwae": partial(miwae, num_outer=2, num_samples=3),
    "ciwae": partial(ciwae, num_samples=SAMPLES),
    "piwae": partial(piwae, num_outer=2, num_samples=3),
    "score function, leave one out": partial(score_function_elbo, num_samples=SAMPLES),
    "score function, mean": partial(score_function_elbo, num_samples=SAMPLES, baseline="mean"),
    "beta_tc": partial(beta_tc, num_samples=SAMPLES, dataset_size=50, beta=4.0),
    "mmd": partial(mmd_elbo, num_samples=SAMPLES, prior_noise=torch.ones(SAMPLES, ROWS, LATENTS, dtype=torch.float64)),
}
POSTERIORS: dict[str, Callable[[], nn.Module]] = {
    "diagonal": lambda: DiagonalGaussian(MLP(PIXELS, [5], 2 * LATENTS)),
    "full": lambda: FullGaussian(MLP(PIXELS, [5], FullGaussian.outputs(LATENTS)), LATENTS),
    "mixture": lambda: MixtureOfGaussiansPosterior(
        MLP(PIXELS, [5], MixtureOfGaussiansPosterior.outputs(LATENTS, 3)), LATENTS, 3
    ),
    "flow": lambda: FlowPosterior(MLP(PIXELS, [5], FlowPosterior.outputs(LATENTS, 2, 4)), LATENTS, 2, 4),
}


class Whole(nn.Module):
    """A model and an objective, called as a training step calls them."""

    def __init__(self, model: VariationalAutoencoder, objective: Callable[..., Result]) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return the loss."""
        return -self.objective(self.model, x, noise=noise).maximand.mean()


def _whole(posterior: str, objective: Callable[..., Result], vamp: bool = False) -> Whole:
    torch.manual_seed(0)
    encoder = POSTERIORS[posterior]()
    prior: nn.Module = StandardNormal(LATENTS)
    if vamp:
        prior = VampPrior(encoder, torch.rand(3, PIXELS), 0.0, 1.0)
    decoder = BernoulliLikelihood(MLP(LATENTS, [5], PIXELS), event_shape=(PIXELS,))
    return Whole(VariationalAutoencoder(prior=prior, encoder=encoder, decoder=decoder).double(), objective)


def _gradients(whole: Whole) -> Callable[[dict[str, Tensor], Tensor, Tensor], dict[str, Tensor]]:
    def step(values: dict[str, Tensor], x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        with torch.enable_grad():
            leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
            found = torch.autograd.grad(functional_call(whole, leaves, (x, noise)), list(leaves.values()))
        return dict(zip(leaves, found, strict=True))

    return step


def _data(whole: Whole, seed: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(ROWS, PIXELS, generator=generator).round()
    size = whole.model.encoder(x).noise_size
    noise = torch.randn(SAMPLES, ROWS, size, generator=generator)
    return {name: value.detach() for name, value in whole.named_parameters()}, x, noise


def _check(whole: Whole) -> None:
    step = _gradients(whole)
    with torch.no_grad():
        graph: Any = make_fx(step)(*_data(whole, 1))
        other = _data(whole, 2)
        traced = graph(*other)
    for name, value in step(*other).items():
        torch.testing.assert_close(traced[name], value)
        assert bool(value.isfinite().all())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name: str) -> None:
    _check(_whole("diagonal", OBJECTIVES[name]))


@pytest.mark.parametrize(
    ("posterior", "name"),
    [
        ("full", "iwae_dreg"),
        ("full", "score function, leave one out"),
        ("mixture", "iwae_dreg"),
        ("mixture", "elbo"),
        ("flow", "piwae"),
    ],
)
def test_posteriors(posterior: str, name: str) -> None:
    if posterior == "flow":
        pytest.importorskip("zuko")
    _check(_whole(posterior, OBJECTIVES[name]))


@pytest.mark.parametrize("name", ["elbo", "iwae_dreg"])
def test_a_prior_made_of_the_encoder(name: str) -> None:
    _check(_whole("diagonal", OBJECTIVES[name], vamp=True))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_half_precision_leaves_bounds_in_full(name: str) -> None:
    whole = _whole("diagonal", OBJECTIVES[name]).float()
    _, x, noise = _data(_whole("diagonal", OBJECTIVES[name]), 1)
    objective = OBJECTIVES[name]
    if name == "mmd":
        objective = partial(mmd_elbo, num_samples=SAMPLES, prior_noise=torch.ones(SAMPLES, ROWS, LATENTS).float())
    with torch.autocast("cpu", torch.bfloat16):
        result = objective(whole.model, x.float(), noise=noise.float())
        result.maximand.mean().backward()
    assert result.value.dtype == result.maximand.dtype == torch.float32
    exact = objective(whole.model, x.float(), noise=noise.float())
    torch.testing.assert_close(result.value, exact.value, rtol=0.05, atol=0.05)
    for parameter in whole.parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())

"""Annealed importance sampling: unbiased weights, and known answers at both ends of its settings."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentia.errors import ConfigError, DataError
from latentia.evaluation import (
    AnnealedEstimates,
    annealed_importance_sampling,
    annealing,
    estimate_log_prob,
    prior_monte_carlo,
)
from latentia.evaluation.annealing import Annealing, Path, Pilots, temperatures
from latentia.evaluation.noise import RowStreams
from latentia.models import VariationalAutoencoder
from latentia.networks import MLP
from latentia.parts import BernoulliLikelihood, DiagonalGaussian, FlowPosterior, FlowPrior, StandardNormal
from tests.evaluation.cases import MixturePrior, Story, generators, hard, linear_gaussian, numbers, shifted, simpson
from tests.tolerance import assert_mean


def test_temperatures_go_from_zero_to_one() -> None:
    assert temperatures(4, "linear") == [0.0, 0.25, 0.5, 0.75, 1.0]
    for count in (1, 2, 7, 1000):
        betas = temperatures(count)
        assert len(betas) == count + 1
        assert (betas[0], betas[-1]) == (0.0, 1.0)
        assert all(a < b for a, b in pairwise(betas))
        np.testing.assert_allclose(betas, 1.0 - np.array(betas[::-1]), atol=1e-12)
    assert temperatures(2)[1] == pytest.approx(0.5)
    sigmoid = 1.0 / (1.0 + np.exp(-4.0 * np.array([-1.0, -0.5])))
    assert temperatures(4)[1] == pytest.approx((sigmoid[1] - sigmoid[0]) / (1.0 - 2.0 * sigmoid[0]))


@pytest.mark.usefixtures("float64")
def test_one_temperature_is_monte_carlo_over_the_start() -> None:
    """From the prior and from q, with the very same draws."""
    model = shifted(linear_gaussian(noise_variance=2.0))
    x = linear_gaussian().mean + numbers(3, 5, seed=2)
    plain = prior_monte_carlo(model, x, num_samples=500, noise=generators(0))
    found = annealed_importance_sampling(model, x, noise=generators(0), num_chains=500, num_temperatures=1)
    np.testing.assert_allclose(found.log_prob, plain.log_prob, rtol=1e-12)
    np.testing.assert_allclose(found.effective_sample_size, plain.effective_sample_size, rtol=1e-9)
    assert np.isnan(found.acceptance).all()
    drawn = [torch.randn(500, 3, generator=generators(0)(i)) for i in range(3)]
    sampled = estimate_log_prob(model, x, num_samples=500, noise=drawn.__getitem__)
    found = annealed_importance_sampling(
        model, x, noise=generators(0), num_chains=500, num_temperatures=1, start="posterior"
    )
    np.testing.assert_allclose(found.log_prob, sampled.log_prob, rtol=1e-12)


@pytest.fixture
def hasty_pilots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pilots take fewer moves than they do at so few temperatures: step sizes only have to be fair."""
    monkeypatch.setattr(annealing, "PILOT_MOVES", 20)
    monkeypatch.setattr(annealing, "PILOT_WARMUP", 15)


@pytest.mark.usefixtures("float64", "hasty_pilots")
@pytest.mark.parametrize(("start", "schedule"), [("prior", "sigmoidal"), ("prior", "linear"), ("posterior", "linear")])
def test_weights_are_unbiased_with_few_temperatures(start: str, schedule: str) -> None:
    """1,000 chains of one row, four temperatures: the mean of w/p(x) is 1 within five standard errors."""
    model = linear_gaussian(noise_variance=2.0)
    x = (model.mean + numbers(1, 5, seed=2)).expand(1000, -1)
    found = annealed_importance_sampling(
        shifted(model, 0.5, -0.2),
        x,
        noise=generators(1),
        num_chains=1,
        num_temperatures=4,
        num_steps=3,
        start=start,
        schedule=schedule,
        rows_per_block=1000,
    )
    ratio = np.exp(found.log_prob - model.log_prob(x).numpy())
    assert_mean(ratio, 1.0)
    assert ratio.std() > 0.05  # or the test would say nothing
    assert 0.4 < found.acceptance.mean() < 0.9


@pytest.mark.usefixtures("float64", "hasty_pilots")
@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_mixture_priors_and_posteriors(start: str) -> None:
    model = MixturePrior(linear_gaussian(noise_variance=1.0))
    x = (model.model.mean + numbers(1, 5, seed=2)).expand(1000, -1)
    found = annealed_importance_sampling(
        model, x, noise=generators(1), num_chains=1, num_temperatures=5, num_steps=3, start=start, rows_per_block=1000
    )
    assert_mean(np.exp(found.log_prob - model.log_prob(x).numpy()), 1.0)


@pytest.mark.usefixtures("float64", "hasty_pilots")
@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_flows_as_prior_and_posterior(start: str) -> None:
    """p(x) by quadrature over two latent dimensions; 1,000 chains of one row."""
    pytest.importorskip("zuko")
    torch.manual_seed(0)
    prior, model = FlowPrior(2, transforms=2, width=8), linear_gaussian(2, noise_variance=1.5)
    encoder = FlowPosterior(nn.Linear(5, 2 * 2 + 8), 2, transforms=2, width=8)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    x = model.mean + numbers(1, 5, seed=2)
    axis, width = torch.linspace(-9.0, 9.0, 301), 18.0 / 300
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    with torch.no_grad():
        joint = prior().log_prob(grid) + model.decoder(grid).log_prob(x)
        marginal = float(simpson(simpson(joint.exp(), width), width).log())
    found = annealed_importance_sampling(
        Story(model.decoder, encoder, prior),
        x.expand(1000, -1),
        noise=generators(1),
        num_chains=1,
        num_temperatures=4,
        num_steps=2,
        start=start,
        rows_per_block=1000,
    )
    assert_mean(np.exp(found.log_prob - marginal), 1.0)
    assert found.log_prob.std() > 0.05


@pytest.mark.usefixtures("float64")
def test_more_temperatures_come_closer_from_below() -> None:
    """Three times the temperatures leave less than half of the error."""
    model = hard(4, noise_variance=0.3)
    x = model.sample(24, generator=torch.Generator().manual_seed(0))
    exact = model.log_prob(x).numpy()
    lacks = []
    for count in (15, 45, 135):
        found = annealed_importance_sampling(
            model, x, noise=generators(0), num_chains=8, num_temperatures=count, num_steps=4
        )
        assert 0.5 < found.acceptance.mean() < 0.9
        lacks.append(float((exact - found.log_prob).mean()))
    assert lacks[0] > 2.0 * lacks[1] > 4.0 * abs(lacks[2])
    assert abs(lacks[2]) < 0.8


@pytest.mark.usefixtures("float64")
def test_an_exact_posterior_as_start_has_no_error() -> None:
    """Every density on the path is the posterior up to a constant, so every weight is p(x)."""
    model = linear_gaussian()
    x = model.mean + numbers(3, 5, seed=2)
    found = annealed_importance_sampling(
        model, x, noise=generators(0), num_chains=4, num_temperatures=6, num_steps=2, start="posterior"
    )
    np.testing.assert_allclose(found.log_prob, model.log_prob(x).numpy(), atol=1e-9)
    np.testing.assert_allclose(found.effective_sample_size, np.full(3, 4.0), rtol=1e-9)


@pytest.mark.usefixtures("float64")
def test_pilots_make_smaller_corrections_once_they_have_settled() -> None:
    """After their warm-up, of one move at each of 1000 temperatures: by 0.2 times the excess of acceptance at most."""
    model = linear_gaussian()
    path = Path(model, numbers(16, 5, seed=2), "prior")
    streams = RowStreams([generators(0)(i) for i in range(16)], path.x)
    pilots = Pilots(path, streams, Annealing())
    steps = torch.stack([pilots(beta) for beta in (0.01, 0.02, 0.03, 0.04)])
    changes = steps.log().diff(dim=0).abs()
    assert float(changes.max()) <= 0.2 * 0.65 + 1e-12
    assert float(changes.min()) > 0.0


def _vae() -> VariationalAutoencoder:
    torch.manual_seed(0)
    decoder = BernoulliLikelihood(MLP(7, [33, 21], 30, activation="tanh"), (5, 6))
    encoder = DiagonalGaussian(MLP((5, 6), [33], 14))
    return VariationalAutoencoder(prior=StandardNormal(7), encoder=encoder, decoder=decoder).eval()


def _images(count: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 2, (count, 5, 6))).float()


@pytest.mark.usefixtures("hasty_pilots")
@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_a_row_does_not_depend_on_the_others_bit_for_bit(start: str) -> None:
    """In single precision, where products of other shapes would round otherwise."""
    model, x = _vae(), _images(21)

    def run(chosen: list[int]) -> AnnealedEstimates:
        return annealed_importance_sampling(
            model,
            x[chosen],
            noise=lambda i: generators(0)(chosen[i]),
            num_chains=6,
            num_temperatures=12,
            num_steps=3,
            start=start,
        )

    whole = run(list(range(21)))
    for chosen in ([20], [3, 17, 0], list(range(20, -1, -1))):
        found = run(chosen)
        assert (found.log_prob == whole.log_prob[chosen]).all()
        assert (found.acceptance == whole.acceptance[chosen]).all()
        assert (found.step_size == whole.step_size[chosen]).all()
    assert len(set(whole.step_size)) == 21  # each row has its own


def test_the_model_is_left_as_it_was() -> None:
    model, x = _vae(), _images(80)
    done: list[int] = []
    model.decoder.get_parameter("network.layers.0.weight").requires_grad_(False)
    before = [parameter.requires_grad for parameter in model.parameters()]
    with torch.inference_mode():
        annealed_importance_sampling(
            model, x, noise=generators(0), num_chains=4, num_temperatures=3, num_steps=1, progress=done.append
        )
    assert done == [64, 80]
    assert [parameter.requires_grad for parameter in model.parameters()] == before
    assert before.count(False) == 1
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.usefixtures("hasty_pilots")
def test_rows_of_whole_numbers_are_annealed_in_the_precision_of_the_model() -> None:
    model, x = _vae(), _images(3)
    settings = {"num_chains": 4, "num_temperatures": 5, "num_steps": 2}
    whole = annealed_importance_sampling(model, x.to(torch.uint8), noise=generators(0), **settings)  # type: ignore[arg-type]  # whole numbers
    reals = annealed_importance_sampling(model, x, noise=generators(0), **settings)  # type: ignore[arg-type]
    assert (whole.log_prob == reals.log_prob).all()


def test_no_gradient_of_the_weights_is_taken() -> None:
    seen = []

    class Layer(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
            seen.append(self.weight.requires_grad)
            return super().forward(input)

    decoder = BernoulliLikelihood(Layer(7, 30), (5, 6))
    story = Story(decoder, DiagonalGaussian(nn.Linear(1, 14)), StandardNormal(7))
    annealed_importance_sampling(story, _images(2), noise=generators(0), num_temperatures=2, num_steps=1)
    assert seen
    assert not any(seen)
    assert decoder.network.weight.requires_grad


@pytest.mark.usefixtures("float64")
def test_chains_that_do_not_move_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annealing, "PILOT_WARMUP", 1)
    monkeypatch.setattr(annealing, "PILOT_MOVES", 1)
    model = linear_gaussian()
    with pytest.warns(UserWarning, match="chains of 3 of 3 rows take fewer than 20% of their moves"):
        annealed_importance_sampling(
            model, numbers(3, 5, seed=2), noise=generators(0), num_chains=32, num_temperatures=2, step_size=90.0
        )


@pytest.mark.usefixtures("float64")
def test_data_without_a_density_are_named() -> None:
    model, x = linear_gaussian(), numbers(20, 5, seed=2)
    x[17, 3] = math.nan
    with pytest.raises(
        DataError, match=r"^log p\(x \| z\) of row 17 is nan where its chains start: the row lies outside"
    ):
        annealed_importance_sampling(model, x, noise=generators(0), num_temperatures=2, rows_per_block=8)


def test_bad_settings_are_refused() -> None:
    model, x = linear_gaussian(), torch.zeros(1, 5)
    for name in ("num_chains", "num_temperatures", "num_steps", "rows_per_block"):
        with pytest.raises(ConfigError, match=f"{name} must be at least 1, got 0"):
            annealed_importance_sampling(model, x, noise=generators(0), **{name: 0})  # type: ignore[arg-type]  # a dictionary of one
    with pytest.raises(ConfigError, match=r"step_size must be a positive number, got -0\.1"):
        annealed_importance_sampling(model, x, noise=generators(0), step_size=-0.1)
    with pytest.raises(ConfigError, match="start must be 'prior' or 'posterior', got 'q'"):
        annealed_importance_sampling(model, x, noise=generators(0), start="q")
    with pytest.raises(ConfigError, match="schedule must be 'sigmoidal' or 'linear', got 'cosine'"):
        annealed_importance_sampling(model, x, noise=generators(0), schedule="cosine")


def test_numbers_as_text_and_as_json() -> None:
    two = np.array([4.0, 6.0])
    found = AnnealedEstimates(np.array([-10.0, -14.0]), two, np.array([0.5, 0.7]), two, Annealing(8, 200))
    assert str(found).splitlines() == [
        "annealed importance sampling of 2 rows: 8 chains, 200 temperatures, 10 leapfrog steps, from the prior",
        "  log p(x)     -12.00 ± 2.00 nats: annealed lower bound",
        "  acceptance   0.60 of the moves",
        "  sample size  5.0 of 8 (effective)",
    ]
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["log_prob"] == -12.0
    assert content["log_prob_standard_error"] == pytest.approx(2.0)
    assert (content["num_chains"], content["schedule"], content["start"]) == (8, "sigmoidal", "prior")

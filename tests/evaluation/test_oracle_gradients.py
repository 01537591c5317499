"""Diagnostics of gradients: on a linear-Gaussian autoencoder whose gradient is known, and on gradients by hand."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentia.errors import ConfigError
from latentia.evaluation import (
    GradientEstimator,
    GradientRow,
    LongRun,
    bound_by_quadrature,
    elbo_estimators,
    gradient_diagnostics,
    iwae_estimators,
)
from latentia.evaluation.gradient_draws import Objective
from latentia.models import PPCA, VariationalAutoencoder
from latentia.networks import MLP, Linear
from latentia.objectives import LatentVariableModel, Result, elbo, iwae, iwae_dreg, miwae, score_function_elbo
from latentia.parts import (
    BernoulliLikelihood,
    DiagonalGaussian,
    FullGaussian,
    GaussianLikelihood,
    MixtureOfGaussiansPosterior,
    StandardNormal,
    VampPrior,
)
from tests.objectives.cases import exact_elbo, exact_iwae, numbers, parameters

pytestmark = pytest.mark.usefixtures("float64")

LATENTS, PIXELS, SIGMA = 2, 4, 0.6


def _linear_gaussian() -> VariationalAutoencoder:
    torch.manual_seed(0)
    return VariationalAutoencoder(
        prior=StandardNormal(LATENTS),
        encoder=DiagonalGaussian(Linear(PIXELS, 2 * LATENTS)),
        decoder=GaussianLikelihood(Linear(LATENTS, PIXELS), (PIXELS,), SIGMA**2),
    ).double()


X = numbers(3, PIXELS, seed=1)


def _closed_form(model: LatentVariableModel, x: Tensor, count: int = 1) -> Tensor:
    """The ELBO of a linear decoder with Gaussian noise, whatever L is."""
    module: Any = model
    q = module.encoder(x)
    weight, bias = module.decoder.network.weight, module.decoder.network.bias
    sigma = module.decoder.log_scale.exp() if hasattr(module.decoder, "log_scale") else torch.tensor(SIGMA)
    residual = x - q.mean @ weight.T - bias
    spread = (weight.square() @ q.variance.T).T
    fit = -0.5 * ((residual.square() + spread) / sigma.square()) - sigma.log() - 0.5 * math.log(2 * math.pi)
    kl = 0.5 * (q.variance + q.mean.square() - 1.0 - q.variance.log())
    bound: Tensor = fit.sum(-1) - kl.sum(-1)
    return bound


def test_quadrature_is_exact_for_a_linear_decoder() -> None:
    model = _linear_gaussian()
    torch.testing.assert_close(bound_by_quadrature(model, X, nodes=2), _closed_form(model, X))
    exact = PPCA(numbers(5, seed=0), numbers(5, 2, seed=1), 0.4)
    rows = numbers(2, 5, seed=2)
    for k in (1, 2):
        torch.testing.assert_close(bound_by_quadrature(exact, rows, num_samples=k), exact.log_prob(rows))


@dataclass
class _One:
    """The model of the objectives' tests, with one set of parameters."""

    values: dict[str, Tensor]

    def __getattr__(self, name: str) -> Any:
        from tests.objectives.cases import LinearGaussian

        return getattr(LinearGaussian({k: v[None] for k, v in self.values.items()}), name)


@pytest.mark.parametrize("num_samples", [1, 2, 3])
def test_quadrature_over_several_samples(num_samples: int) -> None:
    """Against the sum over a full grid of K dimensions, written apart."""
    values, x = parameters(latent_dim=1), torch.tensor([0.8, -1.1])
    found = bound_by_quadrature(_One(values), x[None], num_samples=num_samples, nodes=12)
    torch.testing.assert_close(found[0], exact_iwae(values, x, num_samples, 12))
    if num_samples == 1:
        torch.testing.assert_close(found[0], exact_elbo(values, x))


def test_quadrature_of_a_bent_decoder_agrees_with_a_long_run() -> None:
    torch.manual_seed(0)
    encoder = FullGaussian(MLP(PIXELS, [5], FullGaussian.outputs(LATENTS)), LATENTS)
    decoder = BernoulliLikelihood(MLP(LATENTS, [5], PIXELS, "tanh"), (PIXELS,))
    model = VariationalAutoencoder(prior=StandardNormal(LATENTS), encoder=encoder, decoder=decoder).double()
    x = (X > 0).double()
    with torch.no_grad():
        exact = bound_by_quadrature(model, x, nodes=12)
        torch.testing.assert_close(bound_by_quadrature(model, x, nodes=16), exact, rtol=0.0, atol=5e-5)
        values = elbo(model, x.repeat_interleave(4000, 0)).value.reshape(3, 4000)
    np.testing.assert_allclose(values.mean(1), exact, atol=5 * float(values.std(1).max()) / math.sqrt(4000))


def test_quadrature_refuses_what_it_cannot_do() -> None:
    encoder = MixtureOfGaussiansPosterior(Linear(PIXELS, MixtureOfGaussiansPosterior.outputs(LATENTS, 2)), LATENTS, 2)
    decoder = GaussianLikelihood(Linear(LATENTS, PIXELS), (PIXELS,), 0.5)
    mixture = VariationalAutoencoder(prior=StandardNormal(LATENTS), encoder=encoder, decoder=decoder).double()
    with pytest.raises(ConfigError, match="Mixture chooses among components"):
        bound_by_quadrature(mixture, X)
    with pytest.raises(ConfigError, match=r"12\^8 terms"):
        bound_by_quadrature(_linear_gaussian(), X, num_samples=4)
    with pytest.raises(ConfigError, match="num_samples must be at least 1, got 0"):
        bound_by_quadrature(_linear_gaussian(), X, num_samples=0)
    with pytest.raises(ConfigError, match="nodes must be at least 2, got 1"):
        bound_by_quadrature(_linear_gaussian(), X, nodes=1)


def test_the_lectures_claim_is_visible_and_no_estimator_is_biased() -> None:
    """Score function against path on a linear-Gaussian autoencoder with its exact gradient."""
    table = gradient_diagnostics(
        _linear_gaussian(),
        X,
        elbo_estimators(_closed_form),
        sample_counts=(1, 8),
        repeats=400,
        generator=torch.Generator().manual_seed(0),
    )
    assert len(table.rows) == (3 + 4) * 2  # leave one out needs two samples
    for row in table.rows:
        assert row.reference == "exact"
        assert _deviation(row) < 3
        assert row.decoder_evaluations == row.num_samples
    for count in (1, 8):
        (path,) = table.select(estimator="reparameterised", part="encoder", num_samples=count)
        (score,) = table.select(estimator="score function", part="encoder", num_samples=count)
        assert score.variance > 30 * path.variance
        assert score.signal_to_noise < 0.5 * path.signal_to_noise
        if count > 1:
            (better,) = table.select(estimator="score function, leave one out", part="encoder", num_samples=count)
            assert path.variance < better.variance < 0.7 * score.variance
    one, eight = table.select(estimator="reparameterised", part="decoder")
    assert one.variance / eight.variance == pytest.approx(8.0, rel=0.3)  # the variance of a mean
    assert eight.signal_to_noise / one.signal_to_noise == pytest.approx(math.sqrt(8.0), rel=0.3)


def test_a_biased_estimator_is_found_out() -> None:
    """Half the gradient in the encoder has a bias of half its norm."""

    def halved(model: LatentVariableModel, x: Tensor, **options: Any) -> Result:
        result = elbo(model, x, **options)
        return Result(result.value, surrogate=0.5 * result.value)

    estimators = {
        "halved": GradientEstimator(halved, reference=_closed_form),
        "sound": GradientEstimator(elbo, reference=_closed_form),
    }
    generator = torch.Generator().manual_seed(0)
    table = gradient_diagnostics(
        _linear_gaussian(), X, estimators, sample_counts=(64,), repeats=50, generator=generator
    )
    wrong, _, sound, _ = table.rows
    assert wrong.bias == pytest.approx(0.5 * sound.norm, rel=0.05)
    assert _deviation(wrong) > 10 > 3 > _deviation(sound)


def _deviation(row: GradientRow) -> float:
    """Return the bias in units of its noise."""
    assert row.bias is not None
    assert row.bias_error is not None
    return row.bias / row.bias_error


class _Plain(nn.Module):
    """A parameter of two numbers, whose gradient is what the noise says."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))


@dataclass
class _Stub:
    """Parts whose gradients are written by hand."""

    encoder_part: _Plain
    decoder_part: _Plain

    def prior(self) -> Any:
        return StandardNormal(2)()

    def encoder(self, x: Tensor) -> Any:
        from latentia.distributions import DiagonalNormal

        return DiagonalNormal(torch.zeros(len(x), 2), torch.zeros(len(x), 2))

    def decoder(self, z: Tensor) -> Any:
        return None


def test_the_numbers_are_what_their_names_say() -> None:
    """The gradient of the encoder is (0.2 + ε, 0), ε the mean of the noise over the samples; the decoder's (2, −1)."""
    stub = _Stub(_Plain(), _Plain())
    seen: list[Tensor] = []

    def objective(model: Any, x: Tensor, *, num_samples: int, noise: Tensor) -> Result:
        first = 0.2 + noise[:, 0, 0].mean()
        seen.append(first)
        for _ in range(2):
            model.decoder(noise)
        value = first * stub.encoder_part.weight[0] + stub.decoder_part.weight @ torch.tensor([2.0, -1.0])
        return Result(value.expand(len(x)))

    parts = {"encoder": [stub.encoder_part.weight], "decoder": [stub.decoder_part.weight]}
    by_hand = GradientEstimator(objective, reference=lambda m, x, _: 3.5 * stub.encoder_part.weight.sum())
    table = gradient_diagnostics(
        stub,
        X,
        {"by hand": by_hand},
        sample_counts=(4,),
        repeats=50,
        parts=parts,
        generator=torch.Generator().manual_seed(3),
    )
    encoder, decoder = table.rows
    draws = np.array([float(value) for value in seen])
    assert (encoder.part, encoder.num_parameters, decoder.part) == ("encoder", 2, "decoder")
    assert encoder.norm == pytest.approx(abs(draws.mean()))
    assert encoder.mean_norm == pytest.approx(np.abs(draws).mean())
    assert encoder.variance == pytest.approx(draws.var(ddof=1))
    assert encoder.variance == pytest.approx(0.25, rel=0.5)
    assert encoder.signal_to_noise == pytest.approx(draws.mean() / draws.std(ddof=1))  # the other never varies
    assert encoder.bias == pytest.approx(math.hypot(draws.mean() - 3.5, 3.5))
    assert encoder.bias_error == pytest.approx(draws.std(ddof=1) / math.sqrt(50))
    assert encoder.decoder_evaluations == 2 * 4
    assert decoder.variance == pytest.approx(0.0, abs=1e-20)
    assert math.isnan(decoder.signal_to_noise) or decoder.signal_to_noise > 1e6
    assert decoder.norm == pytest.approx(math.sqrt(5.0))
    assert decoder.bias == pytest.approx(math.sqrt(5.0))


def test_a_long_run_stands_in_for_the_exact_gradient() -> None:
    model, generator, reference = _linear_gaussian(), torch.Generator().manual_seed(0), LongRun(iwae_dreg, 300)
    estimators = {
        "plain": GradientEstimator(iwae, reference=reference),
        "wrong bound": GradientEstimator(elbo, reference=reference),
    }
    table = gradient_diagnostics(model, X, estimators, sample_counts=(32,), repeats=100, generator=generator)
    for row in table.rows:
        assert row.reference == "reference run of 300 gradients"
        assert row.bias_error is not None
        assert row.bias_error > math.sqrt(row.variance / 100)
        assert (_deviation(row) > 5) == (row.estimator == "wrong bound")


def _pairs(model: LatentVariableModel, x: Tensor, *, num_samples: int, noise: Tensor) -> Result:
    """As many bounds with two samples as there is noise for."""
    return miwae(model, x, num_outer=num_samples // 2, num_samples=2, noise=noise)


def test_importance_weighted_bounds_have_a_reference_for_every_number_of_samples() -> None:
    model, generator = _linear_gaussian(), torch.Generator().manual_seed(0)
    estimators: dict[str, GradientEstimator | Objective] = {
        **iwae_estimators(lambda m, x, k: bound_by_quadrature(m, x, num_samples=k, nodes=6)),
        "pairs": GradientEstimator(_pairs, 2, lambda m, x, _: bound_by_quadrature(m, x, num_samples=2, nodes=6)),
        "no reference": iwae,
    }
    table = gradient_diagnostics(model, X, estimators, sample_counts=(1, 2), repeats=300, generator=generator)
    for row in table.rows:
        assert row.decoder_evaluations == row.num_samples
        if row.estimator == "no reference":
            assert (row.bias, row.bias_error, row.reference) == (None, None, None)
        else:
            assert _deviation(row) < 3


def test_parts_are_the_modules_with_parameters_each_parameter_once() -> None:
    encoder = DiagonalGaussian(Linear(PIXELS, 2 * LATENTS))
    decoder = GaussianLikelihood(Linear(LATENTS, PIXELS), (PIXELS,), 0.5)
    prior = VampPrior(encoder, torch.zeros(3, PIXELS), None, None)
    model = VariationalAutoencoder(prior=prior, encoder=encoder, decoder=decoder).double()
    table = gradient_diagnostics(model, X, {"elbo": elbo}, sample_counts=(1,), repeats=2)
    sizes = {row.part: row.num_parameters for row in table.rows}
    assert sizes["encoder"] == PIXELS * 4 + 4
    assert sizes["prior"] == 3 * PIXELS
    assert list(sizes) == ["encoder", "decoder", "prior"]
    assert all(value.grad is None for value in model.parameters())


def test_the_same_generator_gives_the_same_table_also_without_gradients() -> None:
    tables = []
    for _ in range(2):
        with torch.no_grad():
            tables.append(
                gradient_diagnostics(
                    _linear_gaussian(), X, elbo_estimators(_closed_form), sample_counts=(2,), repeats=5,
                    generator=torch.Generator().manual_seed(4),
                )
            )  # fmt: skip
    assert tables[0] == tables[1]
    content = json.loads(json.dumps(tables[0].to_json(), allow_nan=False))
    assert (content["repeats"], content["batch_size"], len(content["rows"])) == (5, 3, 8)
    assert content["rows"][0]["estimator"] == "reparameterised"
    assert content["rows"][0]["bias"] == tables[0].rows[0].bias


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeats": 1}, "repeats of at least 2"),
        ({"sample_counts": ()}, "at least one number of samples"),
        ({"sample_counts": (0, 1)}, "each at least 1"),
        ({"estimators": {}}, "at least one estimator"),
        ({"parts": {"encoder": []}}, "parameters that can be trained"),
        ({"estimators": {"a": GradientEstimator(elbo, reference=LongRun(elbo, 1))}}, "average at least 2 gradients"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"estimators": {"elbo": elbo}, "sample_counts": (1,), "repeats": 2, **changes}
    with pytest.raises(ConfigError, match=message):
        gradient_diagnostics(_linear_gaussian(), X, **arguments)


def test_an_estimator_that_cannot_work_says_so() -> None:
    with pytest.raises(ConfigError, match="num_samples must be at least 2"):
        gradient_diagnostics(_linear_gaussian(), X, {"loo": score_function_elbo}, sample_counts=(1,), repeats=2)

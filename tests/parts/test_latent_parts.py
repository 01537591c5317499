"""Priors and posteriors as modules: what they read, what they save, how they are traced, and what they refuse."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from latentia.distributions import DiagonalNormal, Flow, FullNormal, Mixture, UnitNormal, kl_divergence
from latentia.errors import ConfigError
from latentia.models import VariationalAutoencoder
from latentia.networks import MLP, OneHot
from latentia.objectives import elbo, iwae
from latentia.parts import (
    BernoulliLikelihood,
    DiagonalGaussian,
    FlowPosterior,
    FlowPrior,
    FullGaussian,
    LearnedNormal,
    MixtureOfGaussians,
    MixtureOfGaussiansPosterior,
    StandardNormal,
    VampPrior,
    initial_pseudo_inputs,
)
from tests.parts.latent_cases import HAS_ZUKO, POSTERIORS, PRIORS, Z, raw, stirred

pytestmark = pytest.mark.usefixtures("float64")
needs_zuko = pytest.mark.skipif(not HAS_ZUKO, reason="zuko is not installed")

POSTERIOR_CLASSES: list[tuple[Any, dict[str, int], int]] = [
    (DiagonalGaussian, {}, 2 * 3),
    (FullGaussian, {}, 3 + 6),
    (MixtureOfGaussiansPosterior, {"components": 4}, 4 * (1 + 2 * 3)),
]
if HAS_ZUKO:
    POSTERIOR_CLASSES.append((FlowPosterior, {"transforms": 2, "width": 5}, 2 * 3 + 5))


@pytest.mark.parametrize(("kind", "options", "count"), POSTERIOR_CLASSES)
def test_a_posterior_says_how_many_numbers_it_reads_and_how_much_noise(
    kind: Any, options: dict[str, int], count: int
) -> None:
    assert kind.outputs(3, **options) == count
    part = kind(nn.Identity(), 3, **options)
    assert part.latent_dim == 3
    q = part(torch.zeros(2, count))
    assert (q.batch_shape, q.event_shape, q.noise_size) == ((2,), (3,), 3 + kind.extra_noise)
    with pytest.raises(ConfigError, match=rf"{kind.__name__} needs a network with {count} outputs, got {count + 1}"):
        part(torch.zeros(2, count + 1))
    for argument in ("latent_dim", *options):
        with pytest.raises(ConfigError, match=f"{argument} must be at least 1, got 0"):
            kind.outputs(**{"latent_dim": 3, **options, argument: 0})
        with pytest.raises(ConfigError, match=f"{argument} must be at least 1, got 0"):
            kind(nn.Identity(), **{"latent_dim": 3, **options, argument: 0})


def test_priors_know_their_dimension_and_refuse_none() -> None:
    for prior in (StandardNormal, LearnedNormal, MixtureOfGaussians, *([FlowPrior] if HAS_ZUKO else [])):
        assert prior(3).latent_dim == 3
        assert prior(3)().event_shape == (3,)
        with pytest.raises(ConfigError, match="latent_dim must be at least 1, got 0"):
            prior(0)
    with pytest.raises(ConfigError, match="components must be at least 1, got 0"):
        MixtureOfGaussians(3, 0)


@needs_zuko
def test_flows_refuse_what_makes_no_flow() -> None:
    for argument in ("transforms", "width"):
        with pytest.raises(ConfigError, match=f"{argument} must be at least 1, got 0"):
            FlowPrior(2, **{argument: 0})
    with pytest.raises(ConfigError, match="bins must be at least 2, or None for affine maps, got 1"):
        FlowPosterior(nn.Identity(), 2, bins=1)


def test_full_gaussian_reads_mean_diagonal_and_each_number_below_once() -> None:
    q = FullGaussian(nn.Identity(), 4)(torch.cat([torch.arange(8.0) / 10, torch.arange(6.0) + 1]).unsqueeze(0))
    torch.testing.assert_close(q.mean[0], torch.arange(4.0) / 10)
    torch.testing.assert_close(q.scale_tril[0].diagonal(), (torch.arange(4.0, 8.0) / 10).exp())
    assert torch.equal(q.scale_tril[0].triu(1), torch.zeros(4, 4))
    below = q.scale_tril[0].tril(-1)
    assert sorted(below[below != 0].tolist()) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    one = FullGaussian(nn.Identity(), 1)(torch.tensor([[0.5, math.log(2.0)]]))
    assert one.scale_tril.tolist() == [[[pytest.approx(2.0)]]]


def test_mixture_reads_weights_means_and_log_scales() -> None:
    numbers = torch.arange(2 * (1 + 2 * 3)) / 10
    q = MixtureOfGaussiansPosterior(nn.Identity(), 3, 2)(numbers.unsqueeze(0))
    components = q.components
    assert isinstance(components, DiagonalNormal)
    torch.testing.assert_close(q.log_weights, numbers[:2].log_softmax(-1).unsqueeze(0))
    torch.testing.assert_close(components.loc, numbers[2:8].reshape(1, 2, 3))
    torch.testing.assert_close(components.log_scale, numbers[8:].reshape(1, 2, 3))


def test_learned_priors_start_near_the_standard_normal() -> None:
    unit = UnitNormal(torch.zeros(3))
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(LearnedNormal(3).double()().log_prob(x), unit.log_prob(x))
    torch.manual_seed(0)
    p = MixtureOfGaussians(3, 2000).double()()
    torch.testing.assert_close(p.mean, torch.zeros(3), atol=0.06, rtol=0.0)  # five times ½/√2000
    torch.testing.assert_close(p.variance, torch.ones(3), atol=0.05, rtol=0.0)
    torch.testing.assert_close(p.log_prob(x), unit.log_prob(x), atol=0.3, rtol=0.0)
    assert (p.components.loc.std(0) > 0.4).all()  # no two alike


@needs_zuko
def test_a_flow_reads_the_row_beyond_mean_and_scale() -> None:
    part = stirred(FlowPosterior(nn.Identity(), 3, transforms=2, width=5))
    row = raw(FlowPosterior.outputs(3, width=5)).unsqueeze(0).requires_grad_()
    z = part(row).rsample_from(torch.randn(1, 1, 3, generator=torch.Generator().manual_seed(0)))
    slopes = torch.stack([torch.autograd.grad(z[0, 0, d], row, retain_graph=True)[0][0] for d in range(3)])
    assert (slopes[:, 6:] != 0).all()  # every dimension depends on every number of the context


# 17: an encoder that explodes


class Given(nn.Module):
    """Gives the same numbers for every row, in a type of its own; differentiable."""

    def __init__(self, values: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.values = nn.Parameter(values)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return (self.values + 0.0 * x.sum(-1, keepdim=True)).to(self.dtype)  # 1e6 is infinite in half precision


@pytest.mark.parametrize("value", [1e6, -1e6, 6e4, 1e30])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("objective", [elbo, iwae])
@pytest.mark.parametrize("where", ["diagonal", "below", "both"])
def test_an_exploding_covariance_has_a_finite_bound_and_gradient(
    where: str, objective: Any, dtype: Any, value: float
) -> None:
    numbers = torch.zeros(3 + 6, dtype=torch.float32)
    numbers[3:6] = value if where != "below" else 0.0
    numbers[6:] = value if where != "diagonal" else 0.0
    given = Given(numbers, dtype)
    encoder = FullGaussian(given, 3)
    decoder = BernoulliLikelihood(Given(torch.full((3,), 0.5), dtype), (3,))
    model = VariationalAutoencoder(prior=StandardNormal(3), encoder=encoder, decoder=decoder)
    noise = torch.linspace(-2, 2, 24).reshape(2, 4, 3).float()
    result = objective(model, torch.ones(4, 3).float(), num_samples=2, noise=noise)
    assert result.value.isfinite().all()
    result.maximand.mean().backward()
    gradient = given.values.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    if objective is elbo and value > 0 and torch.tensor(value, dtype=dtype).isfinite():
        assert (gradient[numbers > 0] < 0).all()  # a step uphill leads back, from each of the numbers that exploded
    q = encoder(torch.ones(1, 3))
    assert (q.scale_tril.diagonal(dim1=-2, dim2=-1) > 0).all()
    assert q.scale_tril.abs().max() <= 8104.0


@pytest.mark.parametrize("value", [1e6, -1e6, 1e30])
@pytest.mark.parametrize("name", [name for name in POSTERIORS if name not in ("diagonal", "full")])
def test_other_posteriors_that_explode_stay_finite_too(name: str, value: float) -> None:
    part, count = POSTERIORS[name]()
    assert isinstance(part, MixtureOfGaussiansPosterior | FlowPosterior)
    numbers = torch.zeros(count, dtype=torch.float32)
    numbers[-Z:] = value
    part.network = given = Given(numbers, torch.float32)
    part, size = part.float(), Z + part.extra_noise
    decoder = BernoulliLikelihood(Given(torch.full((3,), 0.5), torch.float32), (3,))
    model = VariationalAutoencoder(prior=StandardNormal(Z), encoder=part, decoder=decoder)
    noise = torch.linspace(-2, 2, 8 * size).reshape(2, 4, size).float()
    result = elbo(model, torch.ones(4, 3).float(), num_samples=2, noise=noise)
    assert result.value.isfinite().all()
    result.value.mean().backward()
    assert given.values.grad is not None
    assert given.values.grad.isfinite().all()


# VampPrior


def _vamp_model() -> Any:
    torch.manual_seed(0)
    encoder = DiagonalGaussian(MLP((2, 3), [7], DiagonalGaussian.outputs(Z)), Z)
    prior = VampPrior(encoder, torch.rand(5, 2, 3), 0.0, 1.0)
    decoder = BernoulliLikelihood(MLP(Z, [7], 6), (2, 3))
    return VariationalAutoencoder(prior=prior, encoder=encoder, decoder=decoder).double()


def test_vamp_prior_is_the_mean_of_the_posteriors_of_its_inputs() -> None:
    model = _vamp_model()
    assert isinstance(model.prior, VampPrior)
    assert model.prior.latent_dim == Z
    x = torch.randn(20, Z, generator=torch.Generator().manual_seed(0))
    each = torch.stack([model.encoder(u).log_prob(x) for u in model.prior.inputs()])
    torch.testing.assert_close(model.prior().log_prob(x), each.logsumexp(0) - math.log(5))
    draws = model.prior().sample((4000,), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.mean(0), model.encoder(model.prior.inputs()).mean.mean(0), atol=0.15, rtol=0.0)


@pytest.mark.parametrize("name", ["diagonal", "full", "mixture of one", "mixture"])
def test_vamp_prior_of_every_gaussian_posterior_is_their_mean(name: str) -> None:
    encoder, count = POSTERIORS[name]()
    inputs = torch.stack([raw(count, seed) for seed in range(4)])
    x = torch.randn(20, Z, generator=torch.Generator().manual_seed(0))
    each = torch.stack([encoder(u).log_prob(x) for u in inputs])
    torch.testing.assert_close(VampPrior(encoder, inputs)().log_prob(x), each.logsumexp(0) - math.log(4))


def test_vamp_prior_has_the_encoders_weights_once() -> None:
    model = _vamp_model()
    names = [name for name in model.state_dict() if not name.startswith("decoder")]
    assert names == [
        "prior.pseudo_inputs",
        *(f"encoder.network.layers.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")),
    ]
    assert [name for name, _ in model.prior.named_parameters()] == ["pseudo_inputs"]
    assert sum(p.numel() for p in model.parameters()) == 5 * 6 + (6 * 7 + 7 + 7 * 4 + 4) + (2 * 7 + 7 + 7 * 6 + 6)
    other = _vamp_model()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.5)
    other.load_state_dict(model.state_dict())
    x = torch.randn(4, Z)
    torch.testing.assert_close(other.prior().log_prob(x), model.prior().log_prob(x))


def test_vamp_prior_and_encoder_stay_tied() -> None:
    """In a copy, on another type, and when the weights are replaced for one call (the compiled step does that)."""
    model = _vamp_model()
    x = torch.randn(4, Z)
    before = model.prior().log_prob(x)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.encoder.parameters():
            parameter.add_(0.3)
    torch.testing.assert_close(model.prior().log_prob(x), before)
    changed = twin.prior().log_prob(x)
    assert not torch.allclose(changed, before)
    torch.testing.assert_close(changed, Mixture(torch.zeros(5), twin.encoder(twin.prior.inputs())).log_prob(x))
    assert model.float().prior().log_prob(x.float()).dtype == torch.float32
    model.double()

    class Density(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Tensor:
            value: Tensor = self.model.prior().log_prob(x)
            return value

    weights = {f"model.{name}": value for name, value in twin.state_dict().items()}
    torch.testing.assert_close(functional_call(Density(), weights, ()), changed)
    torch.testing.assert_close(model.prior().log_prob(x), before, atol=1e-5, rtol=1e-5)  # it went through float32


def test_pseudo_inputs_stay_in_range_and_find_their_way_back() -> None:
    model = _vamp_model()
    prior: Any = model.prior
    with torch.no_grad():
        prior.pseudo_inputs[0] = 3.0
        prior.pseudo_inputs[1] = -2.0
    assert prior.inputs().min() >= 0.0
    assert prior.inputs().max() <= 1.0
    kept = VampPrior(model.encoder, prior.pseudo_inputs.clamp(0.0, 1.0))
    x = torch.randn(4, Z)
    torch.testing.assert_close(prior().log_prob(x), kept().log_prob(x))
    prior.inputs().sum().backward()
    torch.testing.assert_close(prior.pseudo_inputs.grad, torch.ones(5, 2, 3))
    for low, high, lowest, highest in ((None, None, -2.0, 3.0), (0.0, None, 0.0, 3.0), (None, 1.0, -2.0, 1.0)):
        free = VampPrior(model.encoder, torch.tensor([[-2.0, 3.0]]), low, high).inputs()
        assert free.tolist() == [[lowest, highest]]
    value = elbo(model, torch.ones(4, 2, 3), noise=torch.randn(1, 4, Z)).value.sum()
    to_inputs, to_encoder = torch.autograd.grad(value, [prior.pseudo_inputs, model.encoder.network.last_weight])
    assert (to_inputs.flatten(1).abs().sum(1) > 0).all()
    assert to_encoder.any()


def test_pseudo_inputs_start_from_moments_and_noise() -> None:
    mean, stddev = torch.full((2, 3), 0.2), torch.full((2, 3), 0.5)
    inputs = initial_pseudo_inputs(mean, stddev, 4000, 0.0, 1.0, torch.Generator().manual_seed(0))
    assert inputs.shape == (4000, 2, 3)
    assert inputs.min() == 0.0
    assert inputs.max() == 1.0
    free = initial_pseudo_inputs(mean, stddev, 4000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(free.mean(0), mean, atol=0.04, rtol=0.0)
    torch.testing.assert_close(free.std(0), stddev, atol=0.03, rtol=0.0)
    given = torch.rand(3, 2)
    prior = VampPrior(DiagonalGaussian(nn.Linear(2, 4)), given)
    with torch.no_grad():
        prior.pseudo_inputs.zero_()
    assert given.any()  # a copy is learned, not the caller's own tensor


def test_vamp_prior_refuses_what_it_cannot_learn_through() -> None:
    with pytest.raises(ConfigError, match="a network of one-hot codes gives them no gradient"):
        VampPrior(DiagonalGaussian(OneHot(MLP((3, 4), [], 4), 4)), torch.zeros(5, 3))
    for shape in ((0, 3), (3,)):
        with pytest.raises(ConfigError, match=r"pseudo_inputs must have shape \(components, \*event\), got"):
            VampPrior(DiagonalGaussian(MLP(3, [], 4)), torch.zeros(shape))


@needs_zuko
def test_vamp_prior_refuses_a_flow() -> None:
    encoder = FlowPosterior(nn.Identity(), Z, width=4)
    with pytest.raises(ConfigError, match="the encoder gives Flow: use MixtureOfGaussians or FlowPrior"):
        VampPrior(encoder, torch.zeros(3, 2 * Z + 4))()


# Every pair


def _model(prior: str, posterior: str) -> VariationalAutoencoder:
    part, count = POSTERIORS[posterior]()
    part.network = MLP(3, [4], count)
    made = PRIORS[prior]() if not prior.startswith("vamp") else VampPrior(part, torch.rand(4, 3))
    model = VariationalAutoencoder(prior=made, encoder=part, decoder=BernoulliLikelihood(MLP(Z, [], 3), (3,)))
    stirred(model)
    return model


PAIRS: list[Any] = [("standard", posterior) for posterior in POSTERIORS if posterior != "spline flow"]
PAIRS += [(prior, "diagonal") for prior in ("mixture", "vamp", *(["flow"] if HAS_ZUKO else []))] + [("vamp", "full")]
if HAS_ZUKO:
    PAIRS.append(pytest.param("standard", "spline flow", marks=pytest.mark.slow))


@pytest.mark.parametrize(("prior", "posterior"), PAIRS)
def test_a_step_can_be_traced_once_and_repeated(prior: str, posterior: str) -> None:
    """What compiling needs: no branch on a number, weights as inputs; traced with one batch, run on another."""
    torch.manual_seed(0)
    model = _model(prior, posterior)
    size = Z + int(model.encoder.extra_noise)  # type: ignore[arg-type]  # a module's attributes may be anything

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor, noise: Tensor) -> Tensor:
            return (
                iwae(self.model, x, num_samples=2, noise=noise).value.mean()
                + elbo(self.model, x, noise=noise[:1]).value.mean()
            )

    loss = Loss()
    names = [name for name, _ in loss.named_parameters()]

    def step(parameters: list[Tensor], x: Tensor, noise: Tensor) -> list[Tensor]:
        leaves = [value.detach().requires_grad_() for value in parameters]
        with torch.enable_grad():
            value = functional_call(loss, dict(zip(names, leaves, strict=True)), (x, noise))
            gradients = torch.autograd.grad(value, leaves, allow_unused=True)
        return [value.detach(), *(g for g in gradients if g is not None)]

    parameters = [value.detach() for value in loss.parameters()]
    batches = [(torch.bernoulli(torch.full((5, 3), 0.5)), torch.randn(2, 5, size)) for _ in range(2)]
    traced = make_fx(step)([p.clone() for p in parameters], *batches[0])
    moved = [value + 0.1 for value in parameters]
    for expected, found in zip(step(moved, *batches[1]), traced(moved, *batches[1]), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("prior", ["standard", "mixture", "vamp of full covariances", *(["flow"] if HAS_ZUKO else [])])
def test_densities_do_not_lose_precision_under_autocast(prior: str, posterior: str) -> None:
    """Networks may run in bfloat16; draws, densities and divergences of given numbers do not."""
    part, count = POSTERIORS[posterior]()
    stirred(part).float()
    p, row = stirred(PRIORS[prior]()).float(), raw(count).float().unsqueeze(0)

    def values() -> list[Tensor]:
        q, density = part(row.requires_grad_()), p()
        z = q.rsample_from(torch.linspace(-1.5, 1.5, 3 * q.noise_size).reshape(3, 1, -1).float())
        return [z, density.log_prob(z), q.log_prob(z), q.log_prob(z.detach()), q.mean, density.mean]

    expected = values()
    with torch.autocast("cpu", torch.bfloat16):
        found = values()
    for values_ in (expected, found):  # backward passes belong outside of autocast
        values_.append(torch.autograd.grad(values_[1].sum(), row)[0])
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_closed_forms_are_used_where_they_are_known() -> None:
    unit = StandardNormal(Z).double()()
    for name in POSTERIORS:
        part, count = POSTERIORS[name]()
        q = stirred(part)(raw(count).unsqueeze(0))
        if isinstance(q, Flow) or name == "mixture":
            with pytest.raises(NotImplementedError):
                kl_divergence(q, unit)
        else:
            assert kl_divergence(q, unit).shape == (1,)
    assert isinstance(FullGaussian(nn.Identity(), 2)(torch.zeros(1, 5)), FullNormal)

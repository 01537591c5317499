"""Likelihoods against known answers: which output of the network is read as which parameter, in which unit.

The network is the identity, so that the context *is* the network's output.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from latentia.errors import ConfigError
from latentia.parts import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticMixtureLikelihood,
    FullGaussianLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    Likelihood,
    LowRankGaussianLikelihood,
    MixedLikelihood,
    NegativeBinomialLikelihood,
    StudentTLikelihood,
)

pytestmark = pytest.mark.usefixtures("float64")

EVENT, D = (2, 3), 6


def _numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, scale, shape))


FIRST, SECOND = _numbers(4, *EVENT), _numbers(4, *EVENT, seed=1, scale=0.3)
BOTH = torch.cat([FIRST.flatten(1), SECOND.flatten(1)], -1)
X = _numbers(4, *EVENT, seed=2)


def test_laplace_reads_centre_and_log_scale() -> None:
    log_p = LaplaceLikelihood(nn.Identity(), EVENT, scale="network")(BOTH).log_prob(X)
    expected = scipy.stats.laplace.logpdf(X.numpy(), FIRST.numpy(), np.exp(SECOND.numpy())).sum((-1, -2))
    np.testing.assert_allclose(log_p.numpy(), expected, rtol=1e-12)


def test_students_t_reads_centre_and_log_scale_and_learns_degrees_above_two() -> None:
    part = StudentTLikelihood(nn.Identity(), EVENT, scale="network")
    assert part.nu.item() == pytest.approx(10.0)
    with torch.no_grad():
        part.log_excess.fill_(math.log(3.0))
    expected = scipy.stats.t.logpdf(X.numpy(), 5.0, FIRST.numpy(), np.exp(SECOND.numpy())).sum((-1, -2))
    np.testing.assert_allclose(part(BOTH).log_prob(X).detach().numpy(), expected, rtol=1e-12)
    with torch.no_grad():
        part.log_excess.fill_(-1e6)
    assert part.nu.item() == pytest.approx(2.01)
    each = StudentTLikelihood(nn.Identity(), EVENT, degrees="per_output")
    assert each.log_excess.shape == EVENT
    fixed = StudentTLikelihood(nn.Identity(), EVENT, degrees=3.0)
    assert [name for name, _ in fixed.named_parameters()] == ["log_scale"]
    torch.testing.assert_close(fixed(FIRST.flatten(1)).degrees, torch.tensor(3.0))


def test_continuous_bernoulli_reads_slopes_and_holds_them() -> None:
    part = ContinuousBernoulliLikelihood(nn.Identity(), EVENT, min_scale=0.01)
    x = X.sigmoid()
    expected = (x * FIRST - (torch.expm1(FIRST) / FIRST).log()).sum((-1, -2))
    torch.testing.assert_close(part(FIRST.flatten(1)).log_prob(x), expected)
    walls = part(torch.full((D,), 1e9)).log_prob(torch.ones(EVENT))
    assert walls.item() == pytest.approx(D * math.log(100.0))


def test_negative_binomial_reads_log_mean_and_log_inverse_dispersion() -> None:
    part = NegativeBinomialLikelihood(nn.Identity(), EVENT, dispersion="network")
    x = torch.arange(24.0).reshape(4, *EVENT)
    m, r = np.exp(FIRST.numpy()), np.exp(SECOND.numpy())
    expected = scipy.stats.nbinom.logpmf(x.numpy(), r, r / (r + m)).sum((-1, -2))
    np.testing.assert_allclose(part(BOTH).log_prob(x).numpy(), expected, rtol=1e-10)
    shared = NegativeBinomialLikelihood(nn.Identity(), EVENT, dispersion="shared")
    assert shared.log_inverse_dispersion.shape == ()
    torch.testing.assert_close(shared(FIRST.flatten(1)).variance.detach(), torch.from_numpy(m + m**2))


def test_mixture_reads_weights_centres_and_log_scales_in_half_ranges() -> None:
    part = DiscretizedLogisticMixtureLikelihood(nn.Identity(), EVENT, levels=256, components=2)
    weights, centre, log_scale = (_numbers(4, 2, *EVENT, seed=seed, scale=0.4) for seed in (3, 4, 5))
    raw = torch.cat([weights.flatten(1), centre.flatten(1), log_scale.flatten(1)], -1)
    law = scipy.stats.logistic(127.5 * (1 + centre.numpy()), 127.5 * np.exp(log_scale.numpy()))
    cells = weights.softmax(1).numpy() * (law.cdf(100.5) - law.cdf(99.5))
    log_p = part(raw).log_prob(torch.full((4, *EVENT), 100.0))
    np.testing.assert_allclose(log_p.numpy(), np.log(cells.sum(1)).sum((-1, -2)), rtol=1e-9)


def test_full_covariance_is_read_as_means_log_scales_and_rows_of_coefficients() -> None:
    part = FullGaussianLikelihood(nn.Identity(), EVENT)
    assert part.num_outputs == D + D * (D + 1) // 2
    rows = _numbers(4, 15, seed=6)
    p = part(torch.cat([BOTH, rows], -1))
    assert (p.batch_shape, p.event_shape) == ((4,), EVENT)
    t = torch.eye(D).repeat(4, 1, 1)
    at = 0
    for i in range(D):
        for j in range(i):
            t[:, i, j] = rows[:, at]
            at += 1
    precision = t.mT @ torch.diag_embed((-2.0 * SECOND.flatten(1)).exp()) @ t
    for b in range(4):
        law = scipy.stats.multivariate_normal(FIRST[b].flatten().numpy(), np.linalg.inv(precision[b].numpy()))
        assert p.log_prob(X)[b].item() == pytest.approx(law.logpdf(X[b].flatten().numpy()), rel=1e-9)


def test_low_rank_covariance_is_read_as_means_log_scales_and_loadings_in_the_units_of_the_data() -> None:
    part = LowRankGaussianLikelihood(nn.Identity(), EVENT, rank=2)
    loadings = _numbers(4, 2, D, seed=7)
    p = part(torch.cat([BOTH, loadings.flatten(1)], -1))
    covariance = torch.diag_embed((2.0 * SECOND.flatten(1)).exp()) + loadings.mT @ loadings
    torch.testing.assert_close(p.covariance_matrix, covariance)
    law = scipy.stats.multivariate_normal(FIRST[0].flatten().numpy(), covariance[0].numpy())
    assert p.log_prob(X)[0].item() == pytest.approx(law.logpdf(X[0].flatten().numpy()), rel=1e-9)


MEAN = torch.tensor([[0.2, 0.7, 0.4], [0.5, 0.1, 0.9]], dtype=torch.float64)
VARIANCE = torch.tensor([[0.3, 2.0, 0.8], [1.0, 0.5, 0.05]], dtype=torch.float64)
MOMENTS: dict[str, tuple[Callable[[], Likelihood], Tensor, Tensor]] = {
    "Laplace": (lambda: LaplaceLikelihood(nn.Identity(), EVENT, scale="network"), MEAN, VARIANCE),
    "Student's t": (lambda: StudentTLikelihood(nn.Identity(), EVENT, scale="network", degrees=3.0), MEAN, VARIANCE),
    "full": (lambda: FullGaussianLikelihood(nn.Identity(), EVENT), MEAN, VARIANCE),
    "low rank": (lambda: LowRankGaussianLikelihood(nn.Identity(), EVENT, rank=3), MEAN, VARIANCE),
    "negative binomial": (
        lambda: NegativeBinomialLikelihood(nn.Identity(), EVENT, dispersion="network"),
        4 * MEAN,
        4 * MEAN + VARIANCE,
    ),
    "continuous Bernoulli": (lambda: ContinuousBernoulliLikelihood(nn.Identity(), EVENT), MEAN, torch.empty(0)),
    "learned scale": (lambda: LaplaceLikelihood(nn.Identity(), EVENT), MEAN, torch.ones(EVENT, dtype=torch.float64)),
}


@pytest.mark.parametrize(("make", "mean", "variance"), MOMENTS.values(), ids=MOMENTS)
def test_moments_come_back(make: Callable[[], Likelihood], mean: Tensor, variance: Tensor) -> None:
    """The outputs chosen for given moments yield a distribution with these moments (that is how decoders start)."""
    part = make()
    raw = part.raw_from_moments(mean, variance if len(variance) else mean)
    assert raw.shape == (part.num_outputs,)
    fitted = part(raw)
    torch.testing.assert_close(fitted.mean, mean, rtol=1e-9, atol=1e-9)
    if len(variance):
        torch.testing.assert_close(fitted.variance.detach(), variance, rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("components", [1, 2, 5])
def test_moments_of_the_mixture_come_back(components: int) -> None:
    """Centres far from the ends; the unit cells add 1/12 to the variance, which the scales leave room for."""
    part = DiscretizedLogisticMixtureLikelihood(nn.Identity(), EVENT, 256, components)
    mean, variance = 100 + 50 * MEAN, 40 * VARIANCE + 5.0
    p = part(part.raw_from_moments(mean, variance))
    torch.testing.assert_close(p.mean, mean, rtol=0.0, atol=1e-3)
    torch.testing.assert_close(p.variance - 1 / 12, variance + 1 / 12, rtol=0.01, atol=0.0)
    assert len(set(p.components.loc[:, 0, 0].tolist())) == components


def test_scales_have_a_floor_where_they_are_learned() -> None:
    low = torch.cat([FIRST.flatten(1), torch.full((4, D), -50.0)], -1)
    for part in (
        LaplaceLikelihood(nn.Identity(), EVENT, scale="network", min_scale=0.01),
        StudentTLikelihood(nn.Identity(), EVENT, scale="network", min_scale=0.01),
    ):
        torch.testing.assert_close(part(low).log_scale.exp(), torch.full((4, *EVENT), 0.01))
    fixed = LaplaceLikelihood(nn.Identity(), EVENT, scale=1e-5, min_scale=0.01)(FIRST.flatten(1))
    torch.testing.assert_close(fixed.log_scale.exp(), torch.tensor(1e-5))
    full = FullGaussianLikelihood(nn.Identity(), EVENT, min_scale=0.01)(torch.cat([low, torch.zeros(4, 15)], -1))
    torch.testing.assert_close(full.variance, torch.full((4, *EVENT), 1e-4))
    rank = LowRankGaussianLikelihood(nn.Identity(), EVENT, 1, min_scale=0.01)(torch.cat([low, torch.ones(4, D)], -1))
    torch.testing.assert_close(rank.variance, torch.full((4, *EVENT), 1.0001))


EXPLODING: dict[str, tuple[Callable[[], Likelihood], float]] = {
    "Laplace": (lambda: LaplaceLikelihood(nn.Identity(), EVENT, scale="network"), 0.3),
    "Student's t": (lambda: StudentTLikelihood(nn.Identity(), EVENT, scale="network"), 0.3),
    "continuous Bernoulli": (lambda: ContinuousBernoulliLikelihood(nn.Identity(), EVENT), 0.3),
    "negative binomial": (lambda: NegativeBinomialLikelihood(nn.Identity(), EVENT, dispersion="network"), 3.0),
    "mixture": (lambda: DiscretizedLogisticMixtureLikelihood(nn.Identity(), EVENT, 17), 3.0),
    "full": (lambda: FullGaussianLikelihood(nn.Identity(), EVENT), 0.3),
    "low rank": (lambda: LowRankGaussianLikelihood(nn.Identity(), EVENT, 2), 0.3),
}


@pytest.mark.parametrize(("make", "value"), EXPLODING.values(), ids=EXPLODING)
@pytest.mark.parametrize("size", [1.0, 1e3, 1e6, 1e11])
def test_exploding_outputs_have_finite_densities_and_gradients(
    make: Callable[[], Likelihood], value: float, size: float
) -> None:
    """In single precision; random outputs, and all the same of either sign: directions that are parallel."""
    part = make().float()
    rows = torch.randn(50, part.num_outputs, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    rows[0], rows[1] = 1.0, -1.0
    raw = (size * rows).requires_grad_()
    p = part(raw)
    log_p = p.log_prob(torch.full((50, *EVENT), value, dtype=torch.float32))
    assert log_p.isfinite().all()
    assert p.mean.isfinite().all()
    (gradient,) = torch.autograd.grad(log_p.sum(), raw)
    assert gradient.isfinite().all()
    if not isinstance(part, FullGaussianLikelihood):  # whose draws may overflow, and say so
        assert p.sample(generator=torch.Generator().manual_seed(1)).isfinite().all()


def test_half_precision_outputs_are_read_in_single() -> None:
    for make, value in EXPLODING.values():
        part = make().float()
        raw = torch.randn(4, part.num_outputs, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
        x = torch.full((4, *EVENT), value, dtype=torch.float32)
        half = part(raw.bfloat16()).log_prob(x)
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, part(raw.bfloat16().float()).log_prob(x))


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: LaplaceLikelihood(nn.Identity(), EVENT, scale=0.0), r"scale must be 'shared', .* got 0\.0"),
    (
        lambda: LaplaceLikelihood(nn.Identity(), EVENT, min_scale=-1.0),
        r"min_scale must be a positive number, got -1\.0",
    ),
    (lambda: StudentTLikelihood(nn.Identity(), EVENT, degrees=2.0), r"degrees must be .* above 2, got 2\.0"),
    (lambda: StudentTLikelihood(nn.Identity(), EVENT, degrees="network"), r"degrees must be .* got 'network'"),
    (
        lambda: ContinuousBernoulliLikelihood(nn.Identity(), EVENT, 0.0),
        r"min_scale must be a positive number, got 0\.0",
    ),
    (lambda: NegativeBinomialLikelihood(nn.Identity(), EVENT, "none"), r"dispersion must be .* got 'none'"),
    (lambda: DiscretizedLogisticMixtureLikelihood(nn.Identity(), EVENT, 8, 0), "components must be at least 1, got 0"),
    (
        lambda: LowRankGaussianLikelihood(nn.Identity(), EVENT, 0),
        "rank must be from 1 to the number of elements 6, got 0",
    ),
    (lambda: LowRankGaussianLikelihood(nn.Identity(), EVENT, 7), "number of elements 6, got 7"),
    (lambda: FullGaussianLikelihood(nn.Identity(), (28, 28)), r"at most 128 elements.*784.*307,720.*low rank"),
    (lambda: FullGaussianLikelihood(nn.Identity(), EVENT)(BOTH), r"needs a network with 27 outputs .* got 12"),
    (lambda: MixedLikelihood(nn.Identity(), [BernoulliLikelihood(nn.Identity(), (1,))], [[1]]), "every column from 0"),
    (lambda: MixedLikelihood(nn.Identity(), [BernoulliLikelihood(nn.Identity(), (1,))], []), "one of the 1 parts"),
    (lambda: MixedLikelihood(nn.Identity(), [], []), "one of the 0 parts"),
    (
        lambda: MixedLikelihood(nn.Identity(), [BernoulliLikelihood(nn.Identity(), (1,))], [[0, 1]]),
        r"BernoulliLikelihood for items of shape \(1,\) cannot take columns \[0, 1\]",
    ),
    (
        lambda: MixedLikelihood(nn.Identity(), [FullGaussianLikelihood(nn.Identity(), (2,))], [[0, 1]]),
        "FullGaussianLikelihood cannot be a block",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_refusals(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        call()


def _mixed() -> MixedLikelihood:
    reals = GaussianLikelihood(nn.Identity(), (2,), variance="network")
    codes, counts = CategoricalLikelihood(nn.Identity(), (1,), 3), NegativeBinomialLikelihood(nn.Identity(), (1,))
    return MixedLikelihood(nn.Identity(), [reals, codes, counts], [[3, 0], [1], [2]])


def test_mixed_columns_have_slices_of_one_output() -> None:
    part = _mixed()
    assert part.num_outputs == 4 + 3 + 1
    raw = _numbers(5, 8, seed=8)
    x = torch.stack([_numbers(5, seed=9), torch.arange(5.0) % 3, torch.arange(5.0), _numbers(5, seed=10)], -1)
    p = part(raw)
    loc, log_scale, logits, log_mean = raw[:, :2], raw[:, 2:4], raw[:, 4:7], raw[:, 7]
    normal = scipy.stats.norm.logpdf(x[:, [3, 0]].numpy(), loc.numpy(), np.exp(log_scale.numpy()))
    code = logits.log_softmax(-1).gather(-1, x[:, 1:2].long())[:, 0].numpy()
    m = np.exp(log_mean.numpy())
    count = scipy.stats.nbinom.logpmf(x[:, 2].numpy(), 1.0, 1.0 / (1.0 + m))
    expected = np.stack([normal[:, 1], code, count, normal[:, 0]], -1)
    np.testing.assert_allclose(p.log_prob_elements(x).detach().numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(p.log_prob(x).detach().numpy(), expected.sum(-1), rtol=1e-10)


def test_mixed_columns_start_at_their_moments() -> None:
    part = _mixed()
    mean, variance = torch.tensor([1.5, 1.0, 7.0, -2.0]), torch.tensor([0.5, 0.6, 9.0, 2.0])
    p = part(part.raw_from_moments(mean, variance))
    torch.testing.assert_close(p.mean, mean)  # the code 1 is the mode of its three
    torch.testing.assert_close(p.variance[[0, 3]], variance[[0, 3]])


@pytest.mark.parametrize("dispersion", ["per_output", "shared"])
def test_dispersions_start_at_the_moments_of_the_data(dispersion: str) -> None:
    part = NegativeBinomialLikelihood(nn.Identity(), (3,), dispersion=dispersion)
    mean, r = torch.tensor([1.0, 4.0, 10.0]), torch.tensor([2.0, 0.5, 5.0] if dispersion == "per_output" else [2.0] * 3)
    part.start_at_moments(mean, mean + mean.square() / r)
    torch.testing.assert_close(part.log_inverse_dispersion.exp().detach().expand(3), r)
    part.start_at_moments(mean, mean)  # a Poisson's
    torch.testing.assert_close(part.log_inverse_dispersion.exp().detach().expand(3), torch.full((3,), 1000.0))
    table = _mixed()
    table.start_at_moments(torch.full((4,), 4.0), torch.full((4,), 12.0))
    own = dict(table.named_parameters())["parts.2.log_inverse_dispersion"]
    assert own.item() == pytest.approx(math.log(2.0))


def test_parts_of_a_mixed_likelihood_are_trained_and_saved_with_it() -> None:
    part = _mixed()
    assert list(part.state_dict()) == ["parts.2.log_inverse_dispersion"]
    log_p = part(_numbers(5, 8, seed=8)).log_prob(torch.ones(5, 4))
    (gradient,) = torch.autograd.grad(log_p.sum(), list(part.parameters()))
    assert gradient.abs().sum() > 0

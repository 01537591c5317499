"""The baseline under the later likelihoods: closed forms, zero gradients at the optimum, and blocks of columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from latentia.errors import ConfigError
from latentia.models import IndependentPixels
from latentia.networks import Constant
from latentia.parts import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticMixtureLikelihood,
    FullGaussianLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    Likelihood,
    MixedLikelihood,
    NegativeBinomialLikelihood,
    StudentTLikelihood,
)

pytestmark = pytest.mark.usefixtures("float64")

EVENT, D = (2, 3), 6
RANDOM = np.random.default_rng(0)
REALS = torch.from_numpy(RANDOM.standard_t(3.0, (80, *EVENT)) * [1.0, 2.0, 0.5] + 3.0)
COUNTS = torch.from_numpy(RANDOM.negative_binomial(2.0, [0.1, 0.4, 0.3], (80, *EVENT)).astype(float))
HUMPS = torch.from_numpy(RANDOM.choice([2, 3, 11, 12], (80, *EVENT)).astype(float))


@pytest.mark.parametrize("scale", ["shared", "per_output", "network"])
def test_laplace_has_the_median_and_the_mean_deviation_from_it(scale: str) -> None:
    x = REALS[:79]  # an odd number of rows has one median
    model = IndependentPixels(LaplaceLikelihood(Constant(2 * D if scale == "network" else D), EVENT, scale=scale))
    model.fit(x)
    centre = np.median(x.numpy(), axis=0)
    spread = np.abs(x.numpy() - centre).mean(0)
    law = scipy.stats.laplace(centre, spread.mean() if scale == "shared" else spread)
    np.testing.assert_allclose(model.log_prob(x).detach().numpy(), law.logpdf(x.numpy()).sum((-1, -2)), rtol=1e-10)


def _student(degrees: str) -> Callable[[], Likelihood]:
    return lambda: StudentTLikelihood(Constant(D), EVENT, degrees=degrees)


def _counts(dispersion: str, outputs: int) -> Callable[[], Likelihood]:
    return lambda: NegativeBinomialLikelihood(Constant(outputs), EVENT, dispersion=dispersion)


def _humps() -> Likelihood:
    return DiscretizedLogisticMixtureLikelihood(Constant(6 * D), EVENT, levels=15, components=2)


ONE = torch.ones(1, *EVENT, dtype=torch.float64)
EVERY = torch.arange(15.0, dtype=torch.float64).reshape(-1, 1, 1).expand(-1, *EVENT)
# The rows with what they are smoothed by: one count of 1; one observation spread evenly over the levels.
CLIMBED: dict[str, tuple[Callable[[], Likelihood], Tensor, Tensor, float]] = {
    "Student's t, shared degrees": (_student("shared"), REALS, REALS[:0], 0.0),
    "Student's t": (_student("per_output"), REALS, REALS[:0], 0.0),
    "negative binomial": (_counts("per_output", D), COUNTS, ONE, 1.0),
    "negative binomial, shared dispersion": (_counts("shared", D), COUNTS, ONE, 1.0),
    "negative binomial by the network": (_counts("network", 2 * D), COUNTS, ONE, 1.0),
    "mixture": (_humps, HUMPS, EVERY, 1 / 15),
}


@pytest.mark.parametrize(("make", "x", "extra", "weight"), CLIMBED.values(), ids=CLIMBED)
def test_the_gradient_vanishes_at_the_optimum_and_steps_are_worse(
    make: Callable[[], Likelihood], x: Tensor, extra: Tensor, weight: float
) -> None:
    model = IndependentPixels(make())
    model.fit(x)

    def likelihood() -> Tensor:
        total = model.log_prob(x).sum()
        return total + weight * model.log_prob(extra).sum() if len(extra) else total

    best = likelihood()
    parameters = list(model.parameters())
    for gradient in torch.autograd.grad(best, parameters):
        assert gradient.abs().max() < 2e-3  # of a sum over 80 rows
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters:
            kept = parameter.clone()
            for _ in range(5):
                parameter.copy_(kept + 0.05 * torch.randn(kept.shape, generator=generator))
                assert likelihood() < best + 1e-9
            parameter.copy_(kept)
    assert isinstance(model.likelihood.network, Constant)


def test_the_mean_of_counts_is_theirs_with_one_more() -> None:
    model = IndependentPixels(NegativeBinomialLikelihood(Constant(D), EVENT))
    model.fit(COUNTS)
    torch.testing.assert_close(model().mean.detach(), (COUNTS.sum(0) + 1.0) / 81.0, rtol=1e-5, atol=0.0)
    rare = COUNTS.clone()
    rare[:, 0, 0] = 0.0  # a count that never comes: no log p may be infinite
    model.fit(rare)
    assert model.log_prob(COUNTS).isfinite().all()


def test_two_humps_are_better_modelled_by_two_components() -> None:
    """Rows at 2, 3, 11 and 12: log ¼ is the entropy's bound, which one logistic is far from."""
    values = []
    for components in (1, 2):
        model = IndependentPixels(
            DiscretizedLogisticMixtureLikelihood(Constant(3 * components * D), EVENT, 15, components)
        )
        model.fit(HUMPS)
        values.append(model.log_prob(HUMPS).mean().item() / D)
    assert values[0] < np.log(1 / 10)
    assert np.log(1 / 5) < values[1] < np.log(1 / 4) + 0.05


def test_continuous_bernoulli_has_the_mean_of_the_data() -> None:
    x = torch.rand(50, *EVENT, generator=torch.Generator().manual_seed(1)) ** torch.tensor([1.0, 3.0, 9.0])
    model = IndependentPixels(ContinuousBernoulliLikelihood(Constant(D), EVENT))
    model.fit(x)
    torch.testing.assert_close(model().mean.detach(), x.mean(0))


def test_a_table_is_fitted_block_by_block() -> None:
    reals, counts = REALS.flatten(1)[:, :2], COUNTS.flatten(1)[:, :1]
    x = torch.cat([reals[:, :1], counts, (reals[:, 1:] > 3).double(), reals[:, 1:]], 1)
    blocks: list[Likelihood] = [
        GaussianLikelihood(nn.Identity(), (2,)),
        NegativeBinomialLikelihood(nn.Identity(), (1,)),
        BernoulliLikelihood(nn.Identity(), (1,)),
    ]
    model = IndependentPixels(MixedLikelihood(Constant(4), blocks, [[0, 3], [1], [2]]))
    model.fit(x)
    alone: list[tuple[Likelihood, Tensor]] = [
        (GaussianLikelihood(Constant(2), (2,)), reals),
        (NegativeBinomialLikelihood(Constant(1), (1,)), counts),
        (BernoulliLikelihood(Constant(1), (1,)), x[:, 2:3]),
    ]
    expected = torch.zeros(len(x))
    for part, rows in alone:
        one = IndependentPixels(part)
        one.fit(rows)
        expected = expected + one.log_prob(rows).detach()
    torch.testing.assert_close(model.log_prob(x).detach(), expected, rtol=1e-7, atol=1e-7)


def test_correlated_elements_are_refused() -> None:
    part = FullGaussianLikelihood(Constant(27), EVENT)
    with pytest.raises(ConfigError, match="elements under a FullGaussianLikelihood are not independent"):
        IndependentPixels(part).fit(REALS)

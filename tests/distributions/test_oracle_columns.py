"""A row of a table: the sum of its columns' log-probabilities, each column in its place; and traced densities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from latentia.distributions import (
    Categorical,
    Columns,
    ContinuousBernoulli,
    DiagonalNormal,
    DiscretizedLogisticMixture,
    Laplace,
    LowRankNormal,
    NegativeBinomial,
    PrecisionNormal,
    StudentT,
)
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, 1.0, shape))


B = 2
LOC, LOG_SCALE, LOGITS, LOG_MEAN = (
    _numbers(B, 2),
    _numbers(B, 2, seed=1),
    _numbers(B, 1, 3, seed=2),
    _numbers(B, 1, seed=3),
)
REALS = DiagonalNormal(LOC, LOG_SCALE)  # columns 3 and 0, in this order
TABLE = Columns(
    [REALS, Categorical(LOGITS), NegativeBinomial(LOG_MEAN, torch.zeros(1, dtype=torch.float64))],
    [torch.tensor([3, 0]), torch.tensor([2]), torch.tensor([1])],
)


def test_each_column_has_its_own_density() -> None:
    rng = np.random.default_rng(4)
    x = np.stack(
        [rng.normal(size=(5, B)), rng.poisson(2, (5, B)), rng.integers(0, 3, (5, B)), rng.normal(size=(5, B))], -1
    )
    logits = LOGITS.numpy()[:, 0]
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mean = np.exp(LOG_MEAN.numpy()[:, 0])
    loc, scale = LOC.numpy(), np.exp(LOG_SCALE.numpy())
    expected = np.stack(
        [
            scipy.stats.norm.logpdf(x[..., 0], loc[:, 1], scale[:, 1]),
            scipy.stats.nbinom.logpmf(x[..., 1], 1.0, 1.0 / (1.0 + mean)),
            np.log(np.take_along_axis(np.broadcast_to(shares, (5, B, 3)), x[..., 2:3].astype(int), -1))[..., 0],
            scipy.stats.norm.logpdf(x[..., 3], loc[:, 0], scale[:, 0]),
        ],
        -1,
    )
    values = torch.from_numpy(x)
    np.testing.assert_allclose(TABLE.log_prob_elements(values).numpy(), expected, rtol=1e-11)
    np.testing.assert_allclose(TABLE.log_prob(values).numpy(), expected.sum(-1), rtol=1e-11)
    assert (TABLE.batch_shape, TABLE.event_shape) == ((B,), (4,))


def test_samples_and_means_stand_in_their_columns() -> None:
    draws = TABLE.sample((4000,), generator=torch.Generator().manual_seed(0)).numpy()
    assert draws.shape == (4000, B, 4)
    numbers = [0, 1, 3]
    assert_mean(draws[..., numbers], TABLE.mean.numpy()[..., numbers])
    assert_mean((draws - TABLE.mean.numpy())[..., numbers] ** 2, TABLE.variance.numpy()[..., numbers])
    np.testing.assert_array_equal(TABLE.mean[:, 2].numpy(), LOGITS[:, 0].argmax(-1).numpy())  # a code has no mean
    for code in range(3):
        assert_mean(draws[..., 2] == code, LOGITS.softmax(-1)[:, 0, code].numpy())


TRACED: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "continuous Bernoulli": (lambda p, x: ContinuousBernoulli(p).log_prob(x), 4),
    "Laplace": (lambda p, x: Laplace(p, 0.1 * p).log_prob(x), 4),
    "Student's t": (lambda p, x: StudentT(p, 0.1 * p, 2.0 + p.exp()).log_prob(x), 4),
    "negative binomial": (lambda p, x: NegativeBinomial(p, 0.1 * p).log_prob(x.round()), 4),
    "mixture": (
        lambda p, x: DiscretizedLogisticMixture(p, 2.0 * p, 0.1 * p, 5).log_prob((4 * x).round()),
        4,
    ),
    "full": (lambda p, x: PrecisionNormal(p[..., :4], p[..., 4:8], p[..., 8:]).log_prob(x), 14),
    "low rank": (lambda p, x: LowRankNormal(p[..., :4], p[..., 4:8], p[..., 8:].unflatten(-1, (2, 4))).log_prob(x), 16),
    "columns": (
        lambda p, x: Columns(
            [DiagonalNormal(p[..., :2], p[..., :2]), Categorical(p[..., 2:].unsqueeze(-2))],
            [torch.tensor([0, 2]), torch.tensor([1])],
        ).log_prob(x[..., :3].round()),
        4,
    ),
}


@pytest.mark.parametrize(("log_prob", "width"), TRACED.values(), ids=TRACED)
def test_a_traced_step_is_the_ordinary_one(log_prob: Callable[[Tensor, Tensor], Tensor], width: int) -> None:
    """No branch depends on a number: traced with one batch, the graph is right for another."""

    def step(parameters: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        leaf = parameters.detach().requires_grad_()
        value = log_prob(leaf, x).sum()
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    first, other = _numbers(3, width, seed=5), 4.0 * _numbers(3, width, seed=6)
    graph = make_fx(step)(first, torch.rand(3, 4))
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(1))
    for found, expected in zip(graph(other, x), step(other, x), strict=True):
        torch.testing.assert_close(found, expected)

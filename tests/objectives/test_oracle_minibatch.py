"""The N/M estimator over all minibatches that there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from latentia.errors import ConfigError
from latentia.objectives import Result, dataset_bound
from tests.objectives.cases import numbers

pytestmark = pytest.mark.usefixtures("float64")

N = 6


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_over_all_minibatches_the_estimate_is_unbiased_and_so_is_its_error(size: int) -> None:
    values = numbers(N, seed=1)
    estimates = [dataset_bound(values[list(rows)], N) for rows in itertools.combinations(range(N), size)]
    found = np.array([float(estimate.value) for estimate in estimates])
    assert found.mean() == pytest.approx(float(values.sum()))
    squares = np.array([float(estimate.standard_error) ** 2 for estimate in estimates])
    if size == 1:
        assert np.isnan(squares).all()
    else:
        assert squares.mean() == pytest.approx(found.var())


def test_all_rows_are_exact() -> None:
    values = numbers(N, seed=1)
    estimate = dataset_bound(values, N)
    torch.testing.assert_close(estimate.value, values.sum())
    assert float(estimate.standard_error) == 0.0
    assert float(dataset_bound(values[:1], 1).standard_error) == 0.0


def test_a_result_gives_its_values_and_their_gradient() -> None:
    values = numbers(3, seed=1).requires_grad_()
    estimate = dataset_bound(Result(values, surrogate=torch.zeros(3)), 12)
    (slope,) = torch.autograd.grad(estimate.value, values)
    torch.testing.assert_close(slope, torch.full((3,), 4.0))
    assert not estimate.standard_error.requires_grad
    assert math.isfinite(float(estimate.standard_error))


@pytest.mark.parametrize(("shape", "size"), [((7,), 6), ((0,), 6), ((2, 3), 6)])
def test_what_is_no_minibatch_is_refused(shape: tuple[int, ...], size: int) -> None:
    with pytest.raises(ConfigError, match="1 ≤ M ≤ dataset_size = 6"):
        dataset_bound(torch.zeros(shape), size)

"""The band of the statistical tests is itself tested: it lets the truth pass and catches a small bias."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.tolerance import FAILURE_PROBABILITY, SIGMAS, assert_mean


def test_probability_belongs_to_the_width() -> None:
    assert math.erfc(SIGMAS / math.sqrt(2)) == pytest.approx(FAILURE_PROBABILITY, rel=0.01)


def test_truth_passes_and_a_bias_of_six_standard_errors_fails() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(10_000, 2))
    assert_mean(draws, 3.0)
    standard_error = draws.std(axis=0, ddof=1) / math.sqrt(len(draws))
    with pytest.raises(AssertionError, match="standard errors"):
        assert_mean(draws, draws.mean(axis=0) + [0.0, 6.0] * standard_error)


def test_draws_that_do_not_vary_must_be_the_value() -> None:
    assert_mean(np.full(100, 0.1), 0.1)
    with pytest.raises(AssertionError):
        assert_mean(np.full(100, 0.1), 0.1 + 1e-6)


@pytest.mark.parametrize("_", range(2))
def test_global_state_comes_back(_: int) -> None:
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)


@pytest.mark.usefixtures("float64")
def test_float64_on_request() -> None:
    assert torch.zeros(1).dtype == torch.float64

"""The numbers of an evaluation, from estimates of two rows that can be added up by hand."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from latentia.errors import ConfigError
from latentia.evaluation import Evaluation, RowEstimates, paired_difference
from latentia.evaluation.report import EXACT, IMPORTANCE_WEIGHTED, exact_evaluation, sampled_evaluation

ESTIMATES = RowEstimates(
    log_prob=np.array([-10.0, -14.0]),
    reconstruction=np.array([-9.0, -12.0]),
    kl=np.array([[1.5, 0.5], [2.5, 1.5]]),
    effective_sample_size=np.array([3.0, 5.0]),
    posterior_mean=np.array([[1.0, 0.01], [-1.0, -0.01]]),
)


def _sampled(log_jacobian: float = 0.0, discrete_dims: int = 4) -> Evaluation:
    return sampled_evaluation(
        "VAE",
        "binomial",
        ESTIMATES,
        num_samples=8,
        num_parameters=77,
        discrete_dims=discrete_dims,
        log_jacobian=log_jacobian,
        precision="float32",
    )


def test_sampled_by_hand() -> None:
    found = _sampled()
    assert found.kind == IMPORTANCE_WEIGHTED
    assert (found.n, found.num_samples, found.num_parameters) == (2, 8, 77)
    assert found.log_prob == -12.0
    assert found.standard_error == pytest.approx(2.0)  # sd √8 over √2
    assert found.bits_per_dim == pytest.approx(12 / (4 * math.log(2)))
    assert found.rate == 3.0
    assert found.distortion == 10.5
    assert found.elbo == -13.5
    assert found.elbo_standard_error == pytest.approx(2.5)  # −11 and −16
    assert found.kl_per_dimension == [2.0, 1.0]
    assert found.active_units == 1
    assert found.latent_dim == 2
    assert found.effective_sample_size == 4.0
    np.testing.assert_array_equal(found.per_row, ESTIMATES.log_prob)


def test_a_change_of_units_moves_log_p_and_distortion_and_not_the_rate() -> None:
    plain, moved = _sampled(discrete_dims=0), _sampled(log_jacobian=-3.0, discrete_dims=0)
    assert moved.bits_per_dim is None
    assert moved.log_prob == plain.log_prob - 3.0
    assert moved.elbo == -16.5
    assert moved.distortion == 13.5
    assert moved.rate == plain.rate
    assert moved.standard_error == plain.standard_error
    assert moved.elbo == pytest.approx(-(moved.rate or 0.0) - (moved.distortion or 0.0))


def test_exact_by_hand_and_as_json() -> None:
    found = exact_evaluation(
        "PPCA", "gaussian_shared", np.array([-1.0, -3.0]), kind=EXACT, num_parameters=5, discrete_dims=0
    )
    assert (found.log_prob, found.bits_per_dim) == (-2.0, None)
    assert found.standard_error == pytest.approx(1.0)
    assert found.elbo is None
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["log_prob"] == -2.0
    assert "per_row" not in content
    alone = exact_evaluation("PPCA", "x", np.array([-1.0]), kind=EXACT, num_parameters=5, discrete_dims=2)
    assert alone.to_json()["standard_error"] is None  # unknown from a single row, and JSON has no NaN
    assert alone.bits_per_dim == pytest.approx(1 / (2 * math.log(2)))


def _exact(name: str, *rows: float) -> Evaluation:
    return exact_evaluation(name, "gaussian", np.array(rows), kind=EXACT, num_parameters=1, discrete_dims=0)


def test_models_are_compared_on_paired_rows() -> None:
    hard_and_easy = np.array([-10.0, -2000.0, -30.0, -400.0])
    a, b = _exact("a", *(hard_and_easy + np.arange(1.0, 5.0))), _exact("b", *hard_and_easy)
    assert paired_difference(a, b) == pytest.approx((2.5, math.sqrt(5 / 3 / 4)))
    assert paired_difference(b, a) == pytest.approx((-2.5, math.sqrt(5 / 3 / 4)))
    assert paired_difference(a, a) == (0.0, 0.0)


def test_a_comparison_without_a_value_has_no_error() -> None:
    one = paired_difference(_exact("a", 3.0), _exact("b", 1.0))
    assert one[0] == 2.0
    assert math.isnan(one[1])
    nan, inf = _exact("nan", 1.0, math.nan), np.array([1.0, -math.inf])
    assert all(map(math.isnan, paired_difference(nan, _exact("b", 1.0, 2.0))))
    lost = dataclasses.replace(_exact("a", 1.0, 2.0), per_row=inf)
    difference, error = paired_difference(_exact("b", 1.0, 2.0), lost)
    assert difference == math.inf
    assert math.isnan(error)
    assert all(map(math.isnan, paired_difference(lost, lost)))
    with pytest.raises(ConfigError, match="a has 1 rows and b has 2: evaluate both on the same rows"):
        paired_difference(_exact("a", 1.0), _exact("b", 1.0, 2.0))

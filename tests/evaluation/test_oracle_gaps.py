"""Inference gaps on a linear-Gaussian model, where the best posterior of each family has a closed form."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from latentia.errors import ConfigError
from latentia.evaluation import InferenceGaps, inference_gaps
from tests.evaluation.cases import MixturePrior, generators, linear_gaussian, numbers, shifted

pytestmark = pytest.mark.usefixtures("float64")

MODEL = linear_gaussian()
X = MODEL.mean + numbers(6, 5, seed=2)


def _precision() -> torch.Tensor:
    precision: torch.Tensor = torch.linalg.inv(MODEL.encoder(X).covariance_matrix[0])
    return precision


def _best_diagonal_gap() -> float:
    """KL of the best diagonal Gaussian to a Gaussian of precision Λ: ½ (Σ log Λᵢᵢ − log det Λ)."""
    return 0.5 * float(_precision().diagonal().log().sum() - torch.logdet(_precision()))


def _gap(shift: float, log_scale: float) -> float:
    """KL(N(m + shift, e^(2 log_scale) I)‖N(m, Λ⁻¹))."""
    offset, variance = torch.full((3,), shift), math.exp(2.0 * log_scale)
    trace = variance * float(_precision().trace())
    return (
        0.5 * (trace + float(offset @ _precision() @ offset) - 3.0 - float(torch.logdet(_precision())))
        - 3.0 * log_scale
    )


def test_gaps_have_their_exact_values() -> None:
    """Within 0.1 nats, which 4,000 samples of the wrong posterior allow; the full Gaussian's within 0.001."""
    found = inference_gaps(shifted(MODEL), X, noise=generators(0), num_steps=400, num_samples=4000)
    exact = MODEL.log_prob(X).numpy()
    assert _gap(0.3, -0.6) > 2.0 * _best_diagonal_gap() > 0.5
    assert found.family == "diagonal"
    np.testing.assert_allclose(found.full, exact, atol=1e-3)
    np.testing.assert_allclose(found.log_prob, exact, atol=1e-3)
    np.testing.assert_allclose(found.diagonal, exact - _best_diagonal_gap(), atol=0.04)
    np.testing.assert_allclose(found.amortised, exact - _gap(0.3, -0.6), atol=0.2)
    np.testing.assert_allclose(found.approximation_gap_diagonal, np.full(6, _best_diagonal_gap()), atol=0.04)
    np.testing.assert_allclose(found.approximation_gap_full, np.zeros(6), atol=1e-3)
    amortisation = found.amortisation_gap
    assert amortisation is not None
    np.testing.assert_allclose(amortisation, np.full(6, _gap(0.3, -0.6) - _best_diagonal_gap()), atol=0.2)
    np.testing.assert_allclose(found.inference_gap, amortisation + found.approximation_gap_diagonal, rtol=1e-12)
    assert (found.amortised < found.diagonal).all()
    assert (found.diagonal < found.full).all()
    assert found.effective_sample_size == pytest.approx(np.full(6, 4000.0), rel=1e-3)


def test_an_exact_encoder_has_no_gaps_and_is_not_made_worse() -> None:
    found = inference_gaps(MODEL, X, noise=generators(0), num_steps=200, num_samples=50)
    assert found.family == "full"
    np.testing.assert_allclose(found.amortised, MODEL.log_prob(X).numpy(), atol=1e-9)
    np.testing.assert_allclose(found.inference_gap, np.zeros(6), atol=1e-9)
    amortisation = found.amortisation_gap
    assert amortisation is not None
    assert np.abs(amortisation).max() < 1e-3


def test_the_best_estimate_of_log_p_may_be_given() -> None:
    given = MODEL.log_prob(X).numpy() + 1.0
    found = inference_gaps(shifted(MODEL), X, noise=generators(0), num_steps=5, num_samples=20, log_prob=given)
    np.testing.assert_array_equal(found.log_prob, given)
    np.testing.assert_allclose(found.inference_gap, given - found.amortised)


def test_the_amortisation_gap_of_another_family_is_not_known() -> None:
    model = MixturePrior(MODEL)
    found = inference_gaps(model, X[:2], noise=generators(0), num_steps=300, num_samples=2000)
    assert found.family == "other"
    assert found.amortisation_gap is None
    assert "not known for this family" in str(found)
    assert "amortisation_gap" not in found.to_json()
    exact = model.log_prob(X[:2]).numpy()
    np.testing.assert_allclose(found.log_prob, exact, atol=0.1)
    assert (found.full > found.amortised).all()
    assert (found.full < exact + 0.01).all()


def test_bounds_are_compared_on_the_same_noise() -> None:
    """Posteriors that optimisation has left alone have equal bounds, sample by sample."""
    model = shifted(MODEL)
    found = inference_gaps(model, X, noise=generators(0), num_steps=1, num_samples=20, learning_rate=1e-12)
    np.testing.assert_allclose(found.diagonal, found.amortised, atol=1e-9)
    np.testing.assert_allclose(found.full, found.amortised, atol=1e-9)
    assert np.abs(found.amortised - (MODEL.log_prob(X).numpy() - _gap(0.3, -0.6))).min() > 1e-3


def test_a_row_does_not_depend_on_the_others() -> None:
    settings: dict[str, Any] = {"num_steps": 8, "num_samples": 10}
    done: list[int] = []
    whole = inference_gaps(shifted(MODEL), X, noise=generators(0), progress=done.append, **settings)
    assert done == [6]
    alone = inference_gaps(shifted(MODEL), X[4:5], noise=lambda _: generators(0)(4), **settings)
    for name in ("amortised", "diagonal", "full", "log_prob"):
        assert getattr(alone, name)[0] == getattr(whole, name)[4]


def test_an_optimisation_that_fails_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="below the amortised posteriors they contain, so the optimisation failed"):
        inference_gaps(MODEL, X, noise=generators(0), num_steps=3, num_samples=100, learning_rate=5.0)


def test_numbers_as_text_and_as_json() -> None:
    a, b = np.array([-12.0, -14.0]), np.ones(2)
    found = InferenceGaps(a, a + b, a + 2 * b, a + 3 * b, 7 * b, family="diagonal", num_samples=9, num_steps=5)
    assert str(found).splitlines() == [
        "inference gaps of 2 rows, in nats",
        "  L[q]             -13.00 ± 1.00: the encoder's bound",
        "  L[q* diagonal]   -12.00 ± 1.00: the best diagonal Gaussian of each row",
        "  L[q* full]       -11.00 ± 1.00: the best Gaussian of each row",
        "  log p(x)         -10.00 ± 1.00",
        "  amortisation     1.00 ± 0.00: what the encoder loses",
        "  approximation    2.00 ± 0.00 (diagonal), 1.00 ± 0.00 (full): what the family loses",
    ]
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (content["inference_gap"], content["amortisation_gap"], content["approximation_gap_full"]) == (3.0, 1.0, 1.0)
    assert content["approximation_gap_diagonal_standard_error"] == 0.0


def test_bad_input_is_refused() -> None:
    for name, least in (("num_steps", 1), ("samples_per_step", 1), ("num_samples", 2)):
        with pytest.raises(ConfigError, match=f"{name} must be at least {least}, got 0"):
            inference_gaps(MODEL, X, noise=generators(0), **{name: 0})  # type: ignore[arg-type]  # a dictionary of one
    with pytest.raises(ConfigError, match="learning_rate must be a positive number, got 0"):
        inference_gaps(MODEL, X, noise=generators(0), learning_rate=0.0)
    with pytest.raises(ConfigError, match=r"log_prob must have shape \(6,\), one entry a row, got \(5,\)"):
        inference_gaps(MODEL, X, noise=generators(0), log_prob=np.zeros(5))

"""Gradients of an estimator's model: at the weights that training begins with, or ends with, and unbiased at both."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import latentia as lt
from latentia.errors import ConfigError
from latentia.estimators.gradients import gradients, untrained
from tests.estimators.cases import QUICK, binary, levels, raised, table, vae


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"variational_family": "full", "prior": "vamp:components=3"},
        {"binarize": "dynamic"},
        {"network": "linear", "initialisation": "xavier"},
    ],
)
def test_an_untrained_model_has_the_weights_that_training_begins_with(settings: dict[str, Any]) -> None:
    x = levels((60, 4, 4))
    begun = vae(**settings, max_epochs=1, learning_rate=1e-30).fit(x)  # steps that move nothing
    fresh = untrained({**QUICK, **settings}, x)
    ours, theirs = fresh.module_.state_dict(), begun.module_.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-28)
    assert fresh.n_iter_ == 0
    assert not fresh.module_.training


def test_no_estimator_is_biased_and_the_score_function_is_noisy() -> None:
    x = binary((60, 4, 4))
    fresh = untrained({**QUICK, "hidden": (8,), "precision": "float64"}, x)
    found = gradients(fresh, x[:8], sample_counts=(4, 2, 4), repeats=100)
    assert (found.repeats, found.batch_size) == (100, 8)
    names = list(dict.fromkeys(row.estimator for row in found.rows))
    assert names[0] == "reparameterised"
    assert len(names) == 6
    assert len(found.rows) == 6 * 2 * 2  # estimators, numbers of samples, encoder and decoder
    assert [row.num_samples for row in found.select(estimator="score function", part="encoder")] == [2, 4]
    for row in found.rows:
        assert row.bias is not None
        assert row.bias_error is not None
        assert row.bias < 3 * row.bias_error
        assert row.decoder_evaluations == row.num_samples
    for count in (2, 4):
        path, score = (
            found.select(estimator=name, part="encoder", num_samples=count)[0]
            for name in ("reparameterised", "score function")
        )
        assert score.variance > 20 * path.variance
        # The decoder has a path to the bound whatever the estimator does about the encoder.
        path, score = (
            found.select(estimator=name, part="decoder", num_samples=count)[0]
            for name in ("reparameterised", "score function")
        )
        assert score.variance == pytest.approx(path.variance, rel=1e-9)


def test_measuring_moves_nothing_and_repeats_itself() -> None:
    x = table()
    model = vae().fit(x)
    before = {name: value.clone() for name, value in model.module_.state_dict().items()}
    first, second = (gradients(model, x[:5], sample_counts=(2,), repeats=3) for _ in range(2))
    assert first == second
    assert all(value.grad is None for value in model.module_.parameters())
    for name, value in model.module_.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_counts": (1, 0)}, "samples of gradients must be a whole number from 1"),
        ({"sample_counts": ()}, "samples of gradients must be a whole number from 1 to 1,000,000, got none"),
        ({"repeats": 1}, "repeats of gradients must be a whole number from 2"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: dict[str, Any], message: str) -> None:
    x = binary((20, 4, 4))
    model = untrained({**QUICK, "hidden": (4,)}, x)
    assert message in raised(lambda: gradients(model, x, **arguments), ConfigError)
    assert "at least 2 rows" in raised(lambda: gradients(model, x[:1]), ConfigError)


def test_errors_before_training_name_the_estimator() -> None:
    assert "of VAE must be" in raised(lambda: untrained({"latent_dim": 0}, binary((20, 4, 4))), ConfigError)
    assert isinstance(untrained(QUICK, binary((20, 4, 4))), lt.VAE)

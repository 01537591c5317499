"""Samples of any number: the same items however many are drawn, block by block or at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import latentia as lt
from latentia.errors import ConfigError
from latentia.evaluation import RowNoise

GREY = np.random.default_rng(0).integers(0, 17, (60, 40, 40)).astype(np.uint8)  # blocks of 163 items
REAL = np.random.default_rng(1).normal(size=(60, 5)).astype(np.float32)  # blocks of 1024


def fitted(name: str) -> Any:
    if name == "pixels":
        return lt.IndependentPixels(random_state=0, support="levels:17").fit(GREY)
    if name == "ppca":
        return lt.PPCA(latent_dim=2, random_state=0).fit(REAL)
    if name == "binary":
        return lt.VAE(latent_dim=2, hidden=(8,), max_epochs=1, binarize="dynamic", random_state=0).fit(GREY / 16)
    return lt.VAE(latent_dim=2, hidden=(8,), max_epochs=1, random_state=0).fit(REAL)


@pytest.mark.parametrize("name", ["pixels", "ppca", "binary", "gaussian"])
def test_fewer_items_are_the_first_of_more_and_blocks_are_the_whole(name: str) -> None:
    model = fitted(name)
    size = 163 if model.event_shape_ == (40, 40) else 1024
    many = model.sample(2 * size + 3, random_state=7)
    assert many.shape == (2 * size + 3, *model.event_shape_)
    for n in (1, 2, size - 1, size, size + 1, 2 * size):
        np.testing.assert_array_equal(model.sample(n, random_state=7), many[:n])
    parts = list(model.sample_blocks(2 * size + 3, random_state=7))
    assert [len(part) for part in parts] == [size, size, 3]
    np.testing.assert_array_equal(np.concatenate(parts), many)
    assert many.dtype == parts[0].dtype
    assert not np.array_equal(many[:size], many[size : 2 * size])  # blocks are not copies of each other
    assert not np.array_equal(model.sample(size, random_state=8), many[:size])


def test_without_a_seed_the_estimator_s_own_is_taken() -> None:
    model = fitted("ppca")
    np.testing.assert_array_equal(model.sample(3), model.sample(3, random_state=0))
    state = np.random.RandomState(0)  # moves on
    assert not np.array_equal(model.sample(3, random_state=state), model.sample(3, random_state=state))


def test_samples_share_no_noise_with_the_weights_or_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seeds = fitted("gaussian"), []
    draw = model._sample_rows

    def watched(n: int, generator: torch.Generator) -> torch.Tensor:
        seeds.append(generator.initial_seed())
        drawn: torch.Tensor = draw(n, generator)
        return drawn

    monkeypatch.setattr(model, "_sample_rows", watched)
    model.sample(1025)
    assert len(set(seeds)) == 2
    noise = RowNoise(REAL, model.seed_, "evaluate")
    assert not {model.seed_, noise._seeded(0).initial_seed()} & set(seeds)
    assert min(seeds) > 2**31  # the weights' seed, and any other of an estimator, is below


def test_the_consumer_of_blocks_computes_in_its_own_mode() -> None:
    for _ in fitted("ppca").sample_blocks(2000, random_state=0):
        assert not torch.is_inference_mode_enabled()


def test_a_number_of_items_that_cannot_be_is_refused_at_once() -> None:
    model = fitted("ppca")
    for n in (0, -1, 2.0, True):
        with pytest.raises(ConfigError, match="n of sample must be a whole number of at least 1"):
            model.sample_blocks(n)

"""A warning points at the line of the person who can do something about it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import latentia as lt

FLAT = np.random.default_rng(0).normal(size=(40, 3)) * [1.0, 2.0, 0.0]  # the last column is constant


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: lt.VAE(latent_dim=1, hidden=(4,), max_epochs=1, random_state=0), "constant"),
        (lambda: lt.IndependentPixels(), "constant"),
        (lambda: lt.PPCA(latent_dim=2), "subspace"),
    ],
)
def test_a_warning_points_at_the_caller(make: Any, words: str) -> None:
    model = make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(FLAT)
    (found,) = (item for item in caught if words in str(item.message))
    assert found.category is UserWarning
    assert found.filename == __file__

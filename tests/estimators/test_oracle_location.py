"""What comes out is in the units and at the place of what went in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import latentia as lt
from tests.estimators.cases import table, vae
from tests.tolerance import assert_mean

MOVE = np.array([100.0, -3.0, 0.5])


@pytest.mark.parametrize("make", [vae, lambda: lt.PPCA(latent_dim=1)])
def test_moved_rows_give_moved_reconstructions_and_samples(make: Any) -> None:
    x = table(80, 3)
    here, there = make().fit(x), make().fit(x + MOVE)
    np.testing.assert_allclose(there.reconstruct(x + MOVE), here.reconstruct(x) + MOVE, rtol=0, atol=1e-4)
    z = here.transform(x)
    np.testing.assert_allclose(there.inverse_transform(z), here.inverse_transform(z) + MOVE, rtol=0, atol=1e-4)
    drawn = [model.sample(5, random_state=1) for model in (here, there)]
    np.testing.assert_allclose(drawn[1], drawn[0] + MOVE, rtol=0, atol=1e-4)


def test_samples_of_independent_pixels_have_the_mean_and_variance_of_the_rows() -> None:
    """Five standard errors for 3 means and 3 variances; a new seed fails with probability below 4e-6."""
    x = table(80, 3) * [1.0, 10.0, 0.1] + MOVE
    drawn = lt.IndependentPixels().fit(x).sample(4000, random_state=0)
    assert_mean(drawn, x.mean(0))
    assert_mean((drawn - x.mean(0)) ** 2, x.var(0))

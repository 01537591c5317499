"""The grid of prior quantiles against SciPy's normal distribution and against its own symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import expon, norm

from latentia.errors import ConfigError
from latentia.latents import prior_quantile_grid


def test_it_is_the_quantile_of_the_midpoints() -> None:
    grid = prior_quantile_grid(3, 5)
    assert grid.shape == (3, 5, 2)
    for column, level in enumerate([0.1, 0.3, 0.5, 0.7, 0.9]):
        np.testing.assert_allclose(grid[:, column, 0], norm.ppf(level), atol=1e-12)
    for row, level in enumerate([5 / 6, 3 / 6, 1 / 6]):  # the top row is the largest
        np.testing.assert_allclose(grid[row, :, 1], norm.ppf(level), atol=1e-12)


def test_it_reads_like_a_plot() -> None:
    grid = prior_quantile_grid(4)
    assert np.all(np.diff(grid[0, :, 0]) > 0)
    assert np.all(np.diff(grid[:, 0, 1]) < 0)


@pytest.mark.parametrize("size", [1, 2, 7, 20])
def test_it_is_symmetric_about_the_origin(size: int) -> None:
    grid = prior_quantile_grid(size)
    np.testing.assert_allclose(grid[::-1, ::-1], -grid, atol=1e-12)
    np.testing.assert_allclose(grid[:, :, 0], grid[::-1, :, 1].T, atol=1e-12)


def test_every_cell_has_the_same_mass() -> None:
    levels = norm.cdf(prior_quantile_grid(1, 8)[0, :, 0])
    np.testing.assert_allclose(np.diff(levels), 1 / 8, atol=1e-12)


def test_another_prior_gives_its_own_quantiles() -> None:
    grid = prior_quantile_grid(2, quantile=expon.ppf)
    np.testing.assert_allclose(grid[1, 1], [-np.log(0.25), -np.log(0.75)], atol=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(0, None), (-1, 3), (3, 0)])
def test_an_empty_grid_is_refused(rows: int, columns: int | None) -> None:
    with pytest.raises(ConfigError, match="at least one row and one column"):
        prior_quantile_grid(rows, columns)

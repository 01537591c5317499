"""Grids of latent points that are spread the way the prior spreads its mass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from latentia.errors import ConfigError

__all__ = ["prior_quantile_grid"]

Floats = NDArray[np.float64]


def prior_quantile_grid(
    num_rows: int, num_columns: int | None = None, *, quantile: Callable[[Floats], Floats] | None = None
) -> Floats:
    """Lay a grid over a two-dimensional latent space so that every cell holds the same prior probability.

    z[r, c] = (F⁻¹((c + ½) / C), F⁻¹((R − r − ½) / R)), with F the prior's distribution function along one axis: the
    midpoints of R × C cells of mass 1 / (R C). Row 0 is the top of a picture (largest z₂), column 0 its left
    (smallest z₁), so that `grid[r, c]` sits where an image shown in row r, column c would be plotted.

    Parameters
    ----------
    num_rows
        R, at least 1.
    num_columns
        C, at least 1; as many as rows when not given.
    quantile
        F⁻¹, applied element by element to numbers in (0, 1). The standard normal's when not given.

    Returns
    -------
    ndarray
        (R, C, 2), float64, in units of the latent space.

    Raises
    ------
    ConfigError
        When there would be no row or no column.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, appendix A (the learned data manifold).

    Examples
    --------
    >>> from latentia.latents import prior_quantile_grid
    >>> prior_quantile_grid(3)[1].round(3).tolist()
    [[-0.967, 0.0], [0.0, 0.0], [0.967, 0.0]]
    """
    if num_columns is None:
        num_columns = num_rows
    if num_rows < 1 or num_columns < 1:
        raise ConfigError(f"a grid needs at least one row and one column: got {num_rows} × {num_columns}")
    if quantile is None:
        from scipy.special import ndtri

        quantile = ndtri
    across = quantile((np.arange(num_columns) + 0.5) / num_columns)
    up = quantile((np.arange(num_rows) + 0.5) / num_rows)[::-1]
    z = np.empty((num_rows, num_columns, 2))
    z[..., 0] = across[None, :]
    z[..., 1] = up[:, None]
    return z

"""Small data of every support, and settings under which a fit takes a fraction of a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import latentia as lt

Array = npt.NDArray[Any]

QUICK: dict[str, Any] = {
    "latent_dim": 2,
    "hidden": (16,),
    "max_epochs": 2,
    "batch_size": 32,
    "num_importance_samples": 4,
    "random_state": 0,
}


def vae(**changes: Any) -> lt.VAE:
    """Return an estimator that fits at once."""
    return lt.VAE(**{**QUICK, **changes})


def table(rows: int = 60, columns: int = 5, seed: int = 0) -> Array:
    """Return correlated reals in units of their own, (rows, columns) float64."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, columns)) + 0.5 * rng.normal(size=(rows, columns))
    return mixed * np.geomspace(0.3, 30.0, columns) + np.linspace(-5.0, 5.0, columns)


def levels(shape: tuple[int, ...], count: int = 256, seed: int = 0) -> Array:
    """Return integers 0 … count − 1 that share a brightness and a slope within each item; uint8."""
    rng = np.random.default_rng(seed)
    rows, width = shape[0], int(np.prod(shape[1:]))
    shade = rng.normal(size=(rows, 1)) + rng.normal(size=(rows, 1)) * np.linspace(-1, 1, width)
    grey = 1 / (1 + np.exp(-shade - 0.3 * rng.normal(size=(rows, width))))
    return (grey * count).clip(0, count - 1).astype(np.uint8).reshape(shape)


def binary(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Return zeros and ones, uint8."""
    return (levels(shape, seed=seed) > 127).astype(np.uint8)


def unit(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Return reals in [0, 1], both ends among them, float64."""
    grey = levels(shape, seed=seed) / 255.0
    grey[0].flat[:2] = 0.0, 1.0
    return grey


MIXED = "columns:real;categories:3;count;positive;binary;unit;levels:40;real"


def mixed(rows: int = 80, seed: int = 0) -> Array:
    """Return a table whose columns are of the kinds of MIXED and depend on one another, float64."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=rows)
    near = score + 0.3 * rng.normal(size=(8, rows))
    columns = [
        200.0 + 30.0 * near[0],
        np.digitize(near[1], [-0.5, 0.5]),
        rng.poisson(np.exp(1.0 + near[2])),
        np.exp(3.0 + 0.01 * near[3]),
        near[4] > 0,
        1 / (1 + np.exp(-near[5])),
        np.clip(20 + 8 * near[6], 0, 39).astype(int),
        -1e-3 * near[7],
    ]
    return np.stack([np.asarray(column, np.float64) for column in columns], 1)


def raised(call: Callable[[], object], kind: type[BaseException]) -> str:
    """Return the message of the error that a call raises."""
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__} was raised")

"""Units and latent-space measures."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from latentia.errors import ConfigError

ACTIVE_THRESHOLD = 0.01


def bits_per_dim(log_prob: float, num_dims: int, scale: float = 1.0) -> float:
    r"""Return −log p(x) in bits per dimension.

    .. math:: -\frac{\log p(x) - D \log s}{D \log 2}

    Parameters
    ----------
    log_prob
        log p(x) in nats, summed over the D dimensions.
    num_dims
        D ≥ 1: pixels times colours.
    scale
        s = the number of original units in one unit of the data that were scored: 1 for a probability mass or
        a density over levels, 256 for a density over pixels divided by 256. (A density over x/s is s^D times
        the density over x.)
    """
    if num_dims < 1 or scale <= 0:
        msg = f"bits per dimension need at least one dimension and a positive scale, got {num_dims} and {scale}"
        raise ConfigError(msg)
    return -(log_prob / num_dims - math.log(scale)) / math.log(2.0)


def active_units(posterior_means: npt.ArrayLike, threshold: float = ACTIVE_THRESHOLD) -> npt.NDArray[np.bool_]:
    """Say which latent dimensions carry information: Var_x(E_q[z | x]) > 0.01.

    Burda, Grosse and Salakhutdinov 2016, section 5.2.

    Parameters
    ----------
    posterior_means
        E_q[z | x] of every row, shape (N, Z).
    threshold
        The variance above which a unit counts.

    Returns
    -------
    numpy.ndarray
        shape (Z,), True where active.
    """
    active: npt.NDArray[np.bool_] = np.var(np.asarray(posterior_means, dtype=np.float64), axis=0) > threshold
    return active

"""Differences of log Γ that keep their digits: the function itself is large where its differences are small."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# From here on the series below are exact to 1e-14.
_SERIES_FROM = 16.0
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def half_step_of_log_gamma(a: Tensor) -> Tensor:
    r"""Return log Γ(a + ½) − log Γ(a) for a > 0.

    For large a it is ½ log a − 1/(8a) + 1/(192a³) − 1/(640a⁵) + …, of the size of log a, while either term is of the
    size of a log a.
    """
    large = a > _SERIES_FROM
    near, far = torch.where(large, torch.ones_like(a), a), torch.where(large, a, torch.ones_like(a))
    r = far.reciprocal()
    t = r.square()
    series = 0.5 * far.log() + r * (-1 / 8 + t * (1 / 192 + t * (-1 / 640 + t * (17 / 14336 - t * 31 / 18432))))
    return torch.where(large, series, torch.lgamma(near + 0.5) - torch.lgamma(near))


def stirling_error(x: Tensor) -> Tensor:
    r"""Return what Stirling's formula lacks, log Γ(x + 1) − (x + ½) log x + x − ½ log 2π, for x > 0.

    For large x it is 1/(12x) − 1/(360x³) + 1/(1260x⁵) − …. Source: Loader 2000 ("stirlerr").
    """
    large = x > _SERIES_FROM
    near, far = torch.where(large, torch.ones_like(x), x), torch.where(large, x, torch.ones_like(x))
    r = far.reciprocal()
    t = r.square()
    series = r * (1 / 12 + t * (-1 / 360 + t * (1 / 1260 + t * (-1 / 1680 + t / 1188))))
    direct = torch.lgamma(near + 1.0) - (near + 0.5) * near.log() + near - _HALF_LOG_2PI
    return torch.where(large, series, direct)


def deviance(x: Tensor, mean: Tensor, difference: Tensor, log_ratio: Tensor) -> Tensor:
    r"""Return x log(x/m) + m − x ≥ 0 for x, m > 0: half a Poisson's deviance.

    Where x and m are close it is summed as a series in v = (x − m)/(x + m): Loader 2000 ("bd0").

    Parameters
    ----------
    x, mean
        x and m, of the same shape.
    difference
        x − m, computed where its digits are not lost.
    log_ratio
        log(x/m), likewise.
    """
    v = difference / (x + mean)
    close = v.abs() < 0.1
    w = torch.where(close, v, torch.zeros_like(v))
    t = w.square()
    # log(x/m) = 2 (v + v³/3 + v⁵/5 + …), of which the first term is taken out.
    tail = t * (1 / 3 + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t * (1 / 11 + t * (1 / 13 + t / 15))))))
    return torch.where(close, difference * w + 2.0 * x * w * tail, x * log_ratio - difference)

r"""From a minibatch to the whole data set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from latentia.errors import ConfigError
from latentia.objectives.result import Result


@dataclass(frozen=True)
class DatasetBound:
    """A sum over N rows, estimated from M of them, in nats.

    Attributes
    ----------
    value
        The estimate, 0-dimensional; differentiable where the rows' values are.
    standard_error
        Of the choice of rows, 0-dimensional: 0 for M = N, NaN for a single row of several.
    """

    value: Tensor
    standard_error: Tensor


def dataset_bound(values: Tensor | Result, dataset_size: int) -> DatasetBound:
    r"""Estimate the bound on log p of all N rows from a minibatch of M that were drawn from them without replacement.

    .. math:: \sum_{i=1}^{N} \mathcal L(x_i) \approx \frac{N}{M} \sum_{j=1}^{M} \mathcal L(x_j), \qquad
              \mathrm{se}^2 = N^2 \left( 1 - \frac{M}{N} \right) \frac{s^2}{M}

    with s² the variance (divided by M − 1) of the rows' values: unbiased, and exact for M = N, which the correction
    1 − M/N for a finite population says. The error is that of the choice of rows; the noise of the samples of z within
    each value shows in s² too, but is left out for M = N. Kingma and Welling 2014, equation 8; the standard error is
    textbook survey sampling (Cochran 1977, theorem 2.2).

    Parameters
    ----------
    values
        One number a row, shape (M,), nats; or the result of an objective, whose values are taken.
    dataset_size
        N ≥ M.

    Returns
    -------
    DatasetBound
        The estimate with its standard error.

    Raises
    ------
    ConfigError
        If there are no rows, or more than ``dataset_size``.

    Examples
    --------
    >>> import torch
    >>> estimate = dataset_bound(torch.tensor([-3.0, -5.0]), dataset_size=10)
    >>> float(estimate.value), round(float(estimate.standard_error), 3)
    (-40.0, 8.944)
    """
    rows = values.value if isinstance(values, Result) else values
    if rows.dim() != 1 or not 1 <= len(rows) <= dataset_size:
        msg = (
            f"values must have shape (M,) with 1 ≤ M ≤ dataset_size = {dataset_size}, got {tuple(rows.shape)}: one "
            "value per row of a minibatch, drawn without replacement"
        )
        raise ConfigError(msg)
    count = len(rows)
    value = dataset_size / count * rows.sum()
    if count == dataset_size:
        return DatasetBound(value, rows.new_zeros(()))
    if count == 1:
        return DatasetBound(value, rows.new_full((), math.nan))
    deviation = rows.detach().std()
    return DatasetBound(value, dataset_size * math.sqrt((1.0 - count / dataset_size) / count) * deviation)

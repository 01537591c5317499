"""How far a statistical test may be off: one width, one failure probability, for all of them.

A test that compares a mean of random draws with its known value allows five standard errors. With fixed seeds the
outcome never changes from run to run; the probability says how often a *new* seed would fail a correct implementation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIGMAS = 5.0
FAILURE_PROBABILITY = 5.7e-7
"""The two-sided probability that a normal variable falls outside five standard deviations."""


def assert_mean(draws: npt.ArrayLike, expected: npt.ArrayLike, *, axis: int = 0) -> None:
    """Fail unless the mean of independent draws lies within five standard errors of the expected value, everywhere.

    Parameters
    ----------
    draws
        Independent draws along `axis`; at least a few hundred, so that their mean is close to normal.
    expected
        The exact mean, broadcast against the mean of the draws.
    axis
        The axis of the draws.

    Raises
    ------
    AssertionError
        With the largest deviation, in standard errors; also where the draws do not vary and the mean is not the value.
    """
    values = np.asarray(draws, dtype=np.float64)
    count = values.shape[axis]
    mean = values.mean(axis=axis)
    error = values.std(axis=axis, ddof=1) / np.sqrt(count)
    difference = np.abs(mean - np.asarray(expected, dtype=np.float64))
    rounding = 1e-12 * (1 + np.abs(mean))  # draws that are all equal have no standard error, but they do have rounding
    worst = float(np.max(difference / (error + rounding)))
    assert worst <= SIGMAS, (
        f"a mean of {count} draws is {worst:.1f} standard errors from its exact value "
        f"(allowed {SIGMAS:g}, failure probability {FAILURE_PROBABILITY:g}): {mean} against {expected!r}"
    )

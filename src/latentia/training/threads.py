"""How many threads torch's CPU kernels use: measured once, then kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

__all__ = ["calibrate", "threads"]


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Use `count` threads inside the ``with`` block (None: leave it), and the former number after it."""
    before = torch.get_num_threads()
    if count is not None and count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def calibrate(
    step: Callable[[], object],
    candidates: Sequence[int],
    *,
    seconds: float = 0.25,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Return the number of threads at which `step` was fastest.

    The candidates take turns, so that a passing load meets all of them alike; each is judged by its median. More
    threads must win by 10 %, since they lose by far more on a machine that becomes busy later.

    Parameters
    ----------
    step
        The work, free of side effects.
    candidates
        Numbers of threads, ascending.
    seconds
        Roughly how long to measure each; at least 3 calls.
    clock
        A function that returns seconds.
    """
    times: dict[int, list[float]] = {count: [] for count in candidates}
    for count in candidates:
        with threads(count):
            step()
    while any(len(taken) < 3 or sum(taken) < seconds for taken in times.values()):
        for count in candidates:
            with threads(count):
                start = clock()
                step()
                times[count].append(max(clock() - start, 1e-9))
    best = candidates[0]
    for count in candidates[1:]:
        if _median(times[count]) < 0.9 * _median(times[best]):
            best = count
    return best


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]

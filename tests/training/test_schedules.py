"""The values of schedules, by hand."""

from __future__ import annotations

import math

import pytest

from latentia.errors import ConfigError
from latentia.training import Constant, Cosine, Cyclic, Exponential, Linear, Schedule, Stages, Step, WarmUp
from latentia.training.settings import describe


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (Constant(0.3), {0: 0.3, 7.5: 0.3}),
        (Linear(0.2, 1, 4), {0: 0.2, 1: 0.4, 4: 1, 9: 1}),
        (Cosine(8), {0: 1, 2: (1 + math.sqrt(0.5)) / 2, 4: 0.5, 8: 0, 20: 0}),
        (Cosine(8, start=2, stop=1), {0: 2, 4: 1.5, 8: 1}),
        (Exponential(1, 0.01, 10), {0: 1, 5: 0.1, 10: 0.01, 11: 0.01}),
        # Stage i begins after (3^i − 1)/2 epochs: 0, 1, 4, 13, 40, 121, 364, 1093.
        (Stages(), {0: 1, 0.99: 1, 1: 10 ** (-1 / 7), 3.9: 10 ** (-1 / 7), 4: 10 ** (-2 / 7), 121: 10 ** (-5 / 7)}),
        (Stages(), {363.9: 10 ** (-5 / 7), 364: 10 ** (-6 / 7), 1093: 0.1, 3279.9: 0.1}),
        (Step(3), {0: 1, 2.99: 1, 3: 0.1, 6: 0.01}),
        (Cyclic(10, rise=0.5), {0: 0, 2.5: 0.5, 5: 1, 9.9: 1, 10: 0, 12.5: 0.5}),
        (WarmUp(4), {0: 0, 1: 0.25, 4: 1, 40: 1}),
        (WarmUp(4, Step(2)), {1: 0.25, 2: 0.05, 4: 0.01}),
    ],
)
def test_values(schedule: Schedule, points: dict[float, float]) -> None:
    for epoch, value in points.items():
        assert schedule(epoch) == pytest.approx(value, abs=1e-12)


def test_a_schedule_is_described_alike_in_every_process() -> None:
    assert describe(WarmUp(2, Cosine(8))) == "WarmUp(epochs=2, then=Cosine(epochs=8, start=1.0, stop=0.0))"
    assert describe(math.sqrt) == "math.sqrt"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(0, 1, 0),
        lambda: Exponential(0, 1, 5),
        lambda: Cyclic(5, rise=1.5),
        lambda: Stages(growth=1),
        lambda: Cosine(-1),
    ],
)
def test_impossible_schedules_are_refused(make: type) -> None:
    with pytest.raises(ConfigError, match="must be"):
        make()

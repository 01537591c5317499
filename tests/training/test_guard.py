"""Numbers that are not finite: skipped, counted, explained; never in the weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from latentia.errors import ConfigError, DivergedError
from latentia.training import Inputs, Player, RunFolder, Settings, TrainingResult, adam, permutation, train
from latentia.training.steps import Stepper
from tests.training.cases import Line, table

NAN = float("nan")
ROWS = 40


def poisoned(
    bad: Callable[[int], bool], how: str, optimizer: Any = None, **settings: Any
) -> tuple[Line, TrainingResult, list[Tensor]]:
    """Train a line with steps (those for which `bad`) whose loss, term or gradient is not finite."""
    line, step = Line(2), 0
    trail: list[Tensor] = []

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        nonlocal step
        trail.append(line.map.weight.detach().clone())
        value, terms = line.loss(rows, inputs)
        if bad(step):
            if how == "loss":
                value = value * NAN
            elif how == "constant":
                value = value + torch.inf  # the gradient is finite
            elif how == "gradient":
                # sqrt at 0: the value is 0, the gradient is infinite
                value = value + torch.sqrt(0 * line.map.bias).sum()
            elif how == "term":
                value = value * NAN
                terms = {"squared_error": torch.where(rows[:, 0] > 0, NAN, terms["squared_error"])}
        step += 1
        return value, terms

    chosen = {"max_epochs": 3, "batch_size": 8, "seed": 0, "num_threads": 1, "precision": "float64", **settings}
    player = Player("line", line, loss, optimizer or adam(0.1))
    result = train([player], table(ROWS, 2), module=line, settings=Settings(**chosen))
    return line, result, trail


def sgd(values: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(values, lr=0.1, momentum=0.9)


def fused_sgd(values: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(values, lr=0.1, momentum=0.9, fused=True)


@pytest.mark.parametrize("optimizer", [None, sgd, fused_sgd])
@pytest.mark.parametrize("how", ["loss", "constant", "gradient", "term"])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_bad_step_changes_nothing_and_is_counted(how: str, optimizer: Any, clip: float | None) -> None:
    bad = {3, 4, 9}
    line, result, trail = poisoned(bad.__contains__, how, optimizer, clip_norm=clip)
    assert result.skipped_steps == 3
    assert [row["skipped"] for row in result.history] == [2, 1, 0]
    for step in range(14):
        assert torch.isfinite(trail[step]).all()
        assert torch.equal(trail[step], trail[step + 1]) == (step in bad)
    assert torch.isfinite(line.map.weight).all()


def test_a_bad_step_does_not_count_in_the_optimiser() -> None:
    """Adam's bias correction: after bad first steps the first good one is as long as a first step."""
    _, _, trail = poisoned(lambda step: step < 4, "gradient", adam(0.1))
    moved = trail[5] - trail[4]
    assert torch.allclose(moved.abs(), torch.full_like(moved, 0.1), rtol=1e-6)


@pytest.mark.parametrize("how", ["loss", "constant", "gradient", "term"])
def test_skipping_inside_the_fused_optimiser_is_the_same(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """What happens on a GPU, where the flag is never read in a step; fused Adam has it on the CPU too."""
    bad = {0, 3, 4, 9}
    asked, _, _ = poisoned(bad.__contains__, how)
    make = Stepper.__init__

    def on_device(self: Stepper, *arguments: Any) -> None:
        make(self, *arguments)
        self.skips_on_device = True

    monkeypatch.setattr(Stepper, "__init__", on_device)
    told, result, _ = poisoned(bad.__contains__, how)
    assert result.skipped_steps == 4
    assert torch.equal(asked.map.weight, told.map.weight)
    assert torch.equal(asked.map.bias, told.map.bias)


@pytest.mark.parametrize("optimizer", [None, sgd, fused_sgd])
def test_bad_first_steps_leave_nothing_behind(optimizer: Any) -> None:
    """The same rows in every step, so a run whose first steps are bad is the other one, later."""
    _, _, late = poisoned(lambda step: step < 3, "gradient", optimizer, batch_size=ROWS, max_epochs=9)
    _, _, early = poisoned(lambda step: False, "gradient", optimizer, batch_size=ROWS, max_epochs=6)
    for one, other in zip(late[3:], early, strict=True):
        assert torch.allclose(one, other, rtol=1e-12)


def test_rows_of_bad_steps_are_left_out_of_the_means() -> None:
    _, result, _ = poisoned({1}.__contains__, "term", lambda values: torch.optim.SGD(values, lr=1e-300), max_epochs=1)
    order = permutation(ROWS, 0, 0, "cpu").view(5, 8)
    used = torch.cat([order[0], order[2], order[3], order[4]])
    expected = table(ROWS, 2)[used, -1].square().mean().item()
    assert result.history[0]["train"]["squared_error"] == pytest.approx(expected, rel=1e-12)


def test_an_epoch_without_a_good_step_has_no_means() -> None:
    _, result, _ = poisoned(lambda step: step < 5, "loss", max_epochs=2)
    assert result.history[0]["train"]["squared_error"] != result.history[0]["train"]["squared_error"]
    assert result.history[0]["skipped"] == 5


@pytest.mark.parametrize(
    ("how", "culprit"),
    [
        ("term", r"Term 'squared_error' was not finite for \d of 8 rows"),
        ("loss", r"The loss was not finite \(its terms were\)"),
        ("gradient", "The loss was finite but the gradient of map.bias was not"),
    ],
)
def test_after_too_many_bad_steps_an_error_explains(how: str, culprit: str) -> None:
    with pytest.raises(DivergedError) as caught:
        poisoned(lambda step: step >= 7, how, max_bad_steps=6)
    text = str(caught.value)
    assert re.search(culprit, text), text
    # Steps 7 … 12 are the six bad ones: the last of them is the third step of epoch 3.
    for part in (
        "'line' diverged: 6 steps in a row",
        "in epoch 3, step 12",
        "learning rate 0.1",
        "learning rate of 0.01",
    ):
        assert part in text
    order = permutation(ROWS, 0, 2, "cpu")[16:24]
    if how == "term":
        order = order[table(ROWS, 2)[order, 0] > 0]
    assert f"rows {', '.join(str(row) for row in order.tolist())} of the training data" in text
    assert "clip_norm=1.0" in text


def test_bad_steps_must_be_consecutive() -> None:
    _, result, _ = poisoned(lambda step: step % 3 != 0, "loss", max_bad_steps=3)
    assert result.skipped_steps == 10


def test_a_resumed_run_goes_on_counting_bad_steps(tmp_path: Path) -> None:
    """Steps 7, 8, … are bad; the run stops after step 9 and meets the sixth bad step, 12, after its resume."""
    done = 0

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        nonlocal done
        value, terms = line.loss(rows, inputs)
        done += 1
        return (value * NAN if done > 7 else value), terms

    settings = Settings(30, 8, 0, max_bad_steps=6, num_threads=1, precision="float64")
    line = Line(2)
    with RunFolder(tmp_path) as run:
        train([Player("line", line, loss)], table(ROWS, 2), module=line, settings=settings, run=run,
              callbacks=[lambda event: event.epoch == 2])  # fmt: skip
    line = Line(2)
    with RunFolder(tmp_path, "resume") as run, pytest.raises(DivergedError, match="in epoch 3, step 12,"):
        train([Player("line", line, loss)], table(ROWS, 2), module=line, settings=settings, run=run)


def test_the_module_is_rewound_to_good_weights() -> None:
    """Every step is good for 100 steps; then the state of step 100 is remembered; the bad steps come later."""
    line = Line(2)
    trail: list[Tensor] = []

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        trail.append(line.map.weight.detach().clone())
        value, terms = line.loss(rows, inputs)
        return (value * NAN if len(trail) > 120 else value), terms

    settings = Settings(30, 8, 0, max_bad_steps=10, num_threads=1)
    with pytest.raises(DivergedError, match="has its last good weights, of step 100"):
        train([Player("line", line, loss)], table(ROWS, 2), module=line, settings=settings)
    assert torch.equal(line.map.weight, trail[100])
    assert not torch.equal(line.map.weight, trail[120])
    assert line.training
    assert all(value.grad is None for value in line.parameters())


def test_the_module_is_rewound_to_the_best_weights_where_there_are_some() -> None:
    line, calls = Line(2), 0
    best: list[Tensor] = []

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        nonlocal calls
        calls += 1
        value, terms = line.loss(rows, inputs)
        return (value * NAN if calls > 17 else value), terms

    def validate(rows: Tensor, inputs: Inputs) -> Mapping[str, Tensor]:
        best.append(line.map.weight.detach().clone())
        return {"score": torch.full((len(rows),), 1.0 if len(best) == 2 else 0.0)}

    with pytest.raises(DivergedError, match="has the weights of the best epoch, 2"):
        train(
            [Player("line", line, loss)], table(ROWS, 2), module=line, valid=table(3, 2), validate=validate,
            settings=Settings(30, 8, 0, max_bad_steps=10, num_threads=1, monitor="score"),
        )  # fmt: skip
    assert torch.equal(line.map.weight, best[1])


def test_the_optimiser_is_rewound_too() -> None:
    """The weights to return to are those of the start, when Adam had no averages yet."""
    line, calls = Line(2), 0
    optimizer = torch.optim.Adam(line.parameters(), lr=0.1, fused=True)

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        nonlocal calls
        calls += 1
        value, terms = line.loss(rows, inputs)
        return (value * NAN if calls > 7 else value), terms

    with pytest.raises(DivergedError, match="of step 0"):
        train(
            [Player("line", line, loss, optimizer)],
            table(ROWS, 2),
            module=line,
            settings=Settings(9, 8, 0, num_threads=1),
        )
    assert not line.map.weight.any()
    for state in optimizer.state.values():
        assert [float(value.abs().sum()) for value in state.values()] == [0, 0, 0]
    assert not hasattr(optimizer, "found_inf")


def test_a_learning_rate_of_a_thousand_is_caught() -> None:
    """A real divergence: exp of a linear map under plain gradient descent overflows within a few steps."""
    line = Line(2)

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        rate = torch.exp(line.map(rows[:, :-1]).squeeze(-1))
        return (rate - rows[:, -1]).square().mean(), {"error": (rate - rows[:, -1]).square()}

    player = Player("line", line, loss, lambda values: torch.optim.SGD(values, lr=1e3))
    with pytest.raises(DivergedError, match=r"Term 'error' was not finite .* learning rate 1e\+03"):
        train([player], table(ROWS, 2), module=line, settings=Settings(100, 8, 0, num_threads=1))
    assert torch.isfinite(line.map.weight).all()


def test_a_run_that_ends_before_the_guard_is_sure_does_not_pass_for_a_success() -> None:
    """Three epochs of five steps: all bad but the first, and fewer in a row than `max_bad_steps`."""
    with pytest.raises(DivergedError, match=r"14 steps in a row were not finite.*epoch 3, step 14"):
        poisoned(lambda step: step > 0, "loss", max_bad_steps=20)
    line, result, _ = poisoned(lambda step: step in (3, 14), "loss")
    assert result.skipped_steps == 2
    assert torch.isfinite(line.map.weight).all()


def test_a_validation_value_that_is_never_finite_ends_in_an_error() -> None:
    line = Line(2)

    def validate(rows: Tensor, inputs: Inputs) -> Mapping[str, Tensor]:
        return {"score": torch.full((len(rows),), NAN, dtype=rows.dtype)}

    settings = Settings(
        max_epochs=2, batch_size=8, seed=0, num_threads=1, precision="float64", monitor="score", max_bad_steps=3
    )
    rows = table(ROWS, 2)
    with pytest.raises(DivergedError, match="validation value 'score' was not finite in any of 2 epochs"):
        train(
            [Player("line", line, line.loss, adam(0.1))],
            rows,
            module=line,
            settings=settings,
            valid=rows,
            validate=validate,
        )
    assert torch.isfinite(line.map.weight).all()


@pytest.mark.parametrize("factor", [NAN, float("inf"), -1.0])
def test_a_learning_rate_schedule_must_give_a_factor(factor: float) -> None:
    with pytest.raises(ConfigError, match="not a factor"):
        poisoned(lambda step: False, "loss", learning_rate_schedule=lambda epoch: factor)

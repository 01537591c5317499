"""Which epoch's weights are kept, when training ends, and that training rows have no say in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentia.errors import DivergedError
from latentia.training import Inputs, Player, Settings, TrainingResult, train


def walk(
    scores: Sequence[float], train_scores: Sequence[float] | None = None, **settings: Any
) -> tuple[Any, TrainingResult]:
    """Train one number that grows by 1 per epoch, with a validation score per epoch that is given."""
    counter = nn.ParameterList([torch.zeros(1, dtype=torch.float64)])
    given = torch.tensor(scores, dtype=torch.float64)

    def loss(rows: Tensor, inputs: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        epoch = int(counter[0].item())
        return -counter[0].sum(), {"score": torch.full((len(rows),), (train_scores or scores)[epoch])}

    def validate(rows: Tensor, inputs: Inputs) -> Mapping[str, Tensor]:
        return {"score": given[int(counter[0].item()) - 1].expand(len(rows))}

    player = Player("counter", counter, loss, lambda values: torch.optim.SGD(values, lr=1.0))
    chosen = {"max_epochs": len(scores), "batch_size": 4, "seed": 0, "monitor": "score", "num_threads": 1, **settings}
    result = train(
        [player], torch.zeros(4), module=counter, valid=torch.zeros(3), validate=validate, settings=Settings(**chosen)
    )
    return counter[0].item(), result


def test_the_best_epoch_is_kept() -> None:
    weight, result = walk([1, 5, 3, 7, 2, 6])
    assert (weight, result.best_epoch, result.best_value, result.weights_epoch) == (4, 4, 7, 4)
    assert (result.stopped, result.epochs) == ("max_epochs", 6)
    assert [row["valid"]["score"] for row in result.history] == [1, 5, 3, 7, 2, 6]


def test_the_first_of_equal_epochs_is_kept() -> None:
    weight, result = walk([1, 5, 5, 5])
    assert (weight, result.best_epoch) == (2, 2)


def test_patience_counts_epochs_without_a_better_value() -> None:
    weight, result = walk([1, 5, 3, 4, 6, 2, 2, 2, 9], patience=3)
    assert (weight, result.best_epoch, result.epochs, result.stopped) == (5, 5, 8, "patience")
    weight, result = walk([1, 5, 3, 4, 6, 2, 2, 2, 9], patience=2)
    assert (weight, result.best_epoch, result.epochs) == (2, 2, 4)


def test_the_last_epoch_is_kept_where_asked_for() -> None:
    weight, result = walk([1, 5, 3], restore_best=False)
    assert (weight, result.best_epoch, result.weights_epoch) == (3, 2, 3)
    weight, result = walk([1, 5, 3], monitor=None)
    assert (weight, result.best_epoch, result.weights_epoch) == (3, None, 3)


def test_values_that_are_not_finite_are_never_the_best() -> None:
    weight, result = walk([float("nan"), float("inf"), 2, float("nan"), 1])
    assert (weight, result.best_epoch) == (3, 3)
    with pytest.raises(DivergedError, match="was not finite in any of 2 epochs"):
        walk([float("nan")] * 3, patience=2)


def test_training_values_have_no_say() -> None:
    weight, result = walk([1, 5, 3, 2], train_scores=[9, 8, 7, 99], patience=2)
    assert (weight, result.best_epoch, result.epochs) == (2, 2, 4)
    assert [row["train"]["score"] for row in result.history] == [9, 8, 7, 99]


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_validation_means_are_over_rows_with_the_same_noise_in_every_epoch(size: int) -> None:
    from tests.training.cases import train_tiny

    _, still = train_tiny(learning_rate=1e-300, valid_batch_size=size, ema_decay=None, patience=None, max_epochs=3)
    elbos = [row["valid"]["elbo"] for row in still.history]
    assert elbos[0] == elbos[1] == elbos[2]
    _, whole = train_tiny(learning_rate=1e-300, valid_batch_size=37, ema_decay=None, patience=None, max_epochs=1)
    assert elbos[0] == pytest.approx(whole.history[0]["valid"]["elbo"], rel=1e-12)
    trained = [row["train"]["reconstruction"] for row in still.history]
    assert len(set(trained)) == 3  # training noise is drawn anew


def test_without_a_function_the_terms_of_the_loss_are_validated() -> None:
    from tests.training.cases import table, train_line

    line, result = train_line(table(30, 2), valid=table(10, 2, seed=1), monitor="squared_error", restore_best=False)
    expected = line.loss(table(10, 2, seed=1), {})[0].item()
    assert result.history[0]["valid"] == {"squared_error": pytest.approx(expected, rel=1e-12)}

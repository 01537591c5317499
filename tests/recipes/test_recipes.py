"""Recipes: the arithmetic of an outcome by hand, the table of results, and one small run through the command line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from latentia import recipes
from latentia.cli import main
from latentia.errors import ConfigError, DataError
from latentia.evaluation import EXACT, Evaluation
from latentia.recipes import Outcome, Recipe


def _evaluation(log_prob: float) -> Evaluation:
    return Evaluation("VAE", "bernoulli", 100, EXACT, log_prob, 0.25, num_parameters=7, num_samples=5)


RECIPE = Recipe(
    "r", "A recipe.", "by hand", "digits", "vae", {"max_epochs": 1}, num_samples=4, expected=89.5, tolerance=0.7
)


def test_value_and_standard_error_over_seeds_by_hand() -> None:
    """Mean of 90, 91, 95 is 92; their standard deviation √7; its error √(7/3)."""
    outcome = Outcome(RECIPE, (0, 1, 2), tuple(map(_evaluation, (-90.0, -91.0, -95.0))), 1e9, 60.0)
    assert outcome.value == pytest.approx(92.0)
    assert outcome.standard_error == pytest.approx((7 / 3) ** 0.5)
    assert outcome.reached is False


def test_an_elbo_is_reported_where_the_recipe_says_so() -> None:
    recipe = dataclasses.replace(RECIPE, number="elbo")
    evaluation = dataclasses.replace(_evaluation(-80.0), elbo=-90.0, elbo_standard_error=0.5)
    outcome = Outcome(recipe, (0,), (evaluation,), 1e9, 60.0)
    assert (outcome.value, outcome.standard_error) == (90.0, 0.5)
    assert "| −ELBO | 90.00 ± 0.50 |" in outcome.row()


def test_a_difference_is_paired_by_hand() -> None:
    """Rows −80, −90 against −83, −91: the mean of 3 and 1 is 2, its standard error √2/√2 = 1."""
    recipe = dataclasses.replace(RECIPE, against={}, expected=3.0, tolerance=1.5)
    one, other = (
        dataclasses.replace(_evaluation(sum(rows) / 2), per_row=np.array(rows))
        for rows in ((-80.0, -90.0), (-83.0, -91.0))
    )
    outcome = Outcome(recipe, (0,), (one,), 1e9, 60.0, (other,))
    assert outcome.value == 2.0
    assert outcome.standard_error == pytest.approx(1.0)
    assert outcome.reached is True
    assert "| difference (85.00 against 87.00) | 2.00 ± 1.00 |" in outcome.row()


def test_a_second_model_is_fitted_with_other_arguments(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, against={"latent_dim": 1})
    outcome = recipes.run(recipe, out=tmp_path)
    assert outcome.value == pytest.approx(outcome.evaluations[0].log_prob - outcome.others[0].log_prob)
    assert outcome.others[0].num_parameters < outcome.evaluations[0].num_parameters
    assert recipes.run(recipe, out=tmp_path, resume=True).value == outcome.value


def test_all_rows_are_training_and_validation_rows() -> None:
    recipe = dataclasses.replace(RECIPE, all_rows=True)
    outcome = recipes.run(recipe)
    assert outcome.operations == 6 * outcome.evaluations[0].num_parameters * (1437 + 180)


@pytest.mark.parametrize(("value", "reached"), [(90.19, True), (88.81, True), (90.21, False), (80.0, False)])
def test_a_value_within_the_tolerance_is_reached(value: float, reached: bool) -> None:
    outcome = Outcome(RECIPE, (0,), (_evaluation(-value),), 1e9, 60.0)
    assert outcome.standard_error == 0.25
    assert outcome.reached is reached


def test_rows_are_appended_and_another_file_is_left_alone(tmp_path: Path) -> None:
    outcome = Outcome(RECIPE, (3,), (_evaluation(-90.0),), 1.5e9, 5400.0)
    table = tmp_path / "results.md"
    for _ in range(2):
        recipes.append_result(outcome, table)
    lines = table.read_text(encoding="utf-8").splitlines()
    row = "| r | −log p(x) | 90.00 ± 0.25 | 89.50 ± 0.70 | yes | 3 | 100, 5 | 1.5e+09 | 1.50 | 0.1.0 |"
    assert lines[-2:] == [row, row]
    other = tmp_path / "other.md"
    other.write_text("something else", encoding="utf-8")
    with pytest.raises(DataError, match="holds no table of results"):
        recipes.append_result(outcome, other)
    assert other.read_text(encoding="utf-8") == "something else"


def test_a_recipe_runs_resumes_and_gives_the_same_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipes.RECIPES, "r", RECIPE)
    first = recipes.run(recipes.get("r"), seeds=(0,), out=tmp_path)
    again = recipes.run(recipes.get("r"), seeds=(0,), out=tmp_path, resume=True)
    assert again.value == first.value
    assert first.evaluations[0].num_samples == 4
    assert first.operations == 6 * first.evaluations[0].num_parameters * 1437


def test_the_command_lists_runs_and_fails_where_a_value_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "r", RECIPE)
    assert main(["reproduce", "--json"]) == 0
    assert "static-mnist-vae" in {row["name"] for row in json.loads(capsys.readouterr().out)}
    # One epoch on the digits stays far above 89.5 + 0.7 nats.
    assert main(["reproduce", "r", "--json", "--quiet", "--results", str(tmp_path / "results.md")]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["reached"] is False
    assert content["value"] > 90.2
    assert "| r |" in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_an_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'static-mnist-vae'"):
        recipes.get("static-mnist-vea")

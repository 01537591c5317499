"""``reproduce``: run a recipe, and write what it gave into the table of results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from latentia.cli.console import note, print_json, print_table
from latentia.cli.exits import FAILURE, OK

__all__ = ["list_recipes", "reproduce"]


def list_recipes(*, json: bool) -> int:
    """List the recipes with what they should reach."""
    from latentia.recipes import RECIPES

    rows = [
        [r.name, r.summary, "–" if r.expected is None else f"{r.expected:g} ± {r.tolerance:g} nats", f"{r.hours:g} h"]
        for r in RECIPES.values()
    ]
    if json:
        print_json([dict(zip(("name", "summary", "expected", "cost"), row, strict=True)) for row in rows])
    else:
        print_table(["recipe", "what it is", "−log p(x)", "a seed takes about"], rows, title="recipes")
    return OK


def reproduce(
    name: str, seeds: Sequence[int], out: Path | None, results: Path | None, *, resume: bool, json: bool
) -> int:
    """Run a recipe; exit 1 where it misses its expected value."""
    from latentia import recipes

    outcome = recipes.run(recipes.get(name), seeds=seeds, out=out, resume=resume, say=note)
    if results is not None:
        recipes.append_result(outcome, results)
        note(f"a row was added to {results}")
    recipe = outcome.recipe
    if json:
        print_json(
            {
                "recipe": name,
                "value": outcome.value,
                "standard_error": outcome.standard_error,
                "expected": recipe.expected,
                "tolerance": recipe.tolerance,
                "reached": outcome.reached,
                "seeds": list(outcome.seeds),
                "evaluations": [evaluation.to_json() for evaluation in outcome.evaluations],
            }
        )
    else:
        expected = "nothing published" if recipe.expected is None else f"{recipe.expected:g} ± {recipe.tolerance:g}"
        value = f"{outcome.value:.2f} ± {outcome.standard_error:.2f}"
        print_table(["recipe", "−log p(x), nats", "expected"], [[name, value, expected]], title=recipe.source)
    return FAILURE if outcome.reached is False else OK

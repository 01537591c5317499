"""Published results as data, each with the number it should reach; ``latentia reproduce NAME`` runs one."""

from __future__ import annotations

import difflib

from latentia.errors import ConfigError
from latentia.recipes.mnist import RECIPES as _MNIST
from latentia.recipes.recipe import Outcome, Recipe, append_result, run

__all__ = ["RECIPES", "Outcome", "Recipe", "append_result", "get", "run"]

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*_MNIST,)}


def get(name: str) -> Recipe:
    """Return the recipe of that name; ConfigError, with the nearest one, if there is none."""
    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"there is no recipe {name!r}: {hint}known are {', '.join(RECIPES)}")
    return RECIPES[name]

"""What must hold before the first step."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from latentia.errors import ConfigError, DataError
from latentia.training.players import Player
from latentia.training.settings import Settings

__all__ = ["check"]


def check(players: Sequence[Player], rows: Tensor, module: nn.Module, settings: Settings, valid: Tensor | None) -> None:
    """Refuse a run that cannot work; see `train` for the arguments and errors."""
    if not players:
        raise ConfigError("There are no players: give at least one.")
    names = [player.name for player in players]
    if len(set(names)) < len(names):
        raise ConfigError(f"Players must have different names, got {names}.")
    if len(rows) == 0:
        raise DataError("There are 0 training rows; at least 1 is needed.")
    if valid is not None and len(valid) == 0:
        raise DataError("There are 0 validation rows; give at least 1, or None for no validation.")
    if valid is None and settings.patience is not None:
        raise ConfigError(
            f"patience={settings.patience} needs validation rows to watch; give some, or patience=None to train on."
        )
    if settings.patience is not None and settings.monitor is None:
        raise ConfigError(f"patience={settings.patience} needs monitor, the validation term to maximise.")
    owned = {id(value) for value in module.parameters()}
    for player in players:
        if any(id(value) not in owned for value in player.module.parameters()):
            raise ConfigError(
                f"Player {player.name!r} has parameters that are not in the whole module; put them in it."
            )

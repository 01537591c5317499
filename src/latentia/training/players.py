"""What the loop sees: players. It knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.optim import Adagrad, Adam, Optimizer

from latentia.errors import ConfigError
from latentia.training.noise import Inputs, Noise
from latentia.training.schedules import Schedule

__all__ = ["Loss", "OptimizerFactory", "Player", "Terms", "Validate", "adagrad", "adam"]

Terms = Mapping[str, Tensor]
"""What is logged, per row: (b,) or (b, d)."""

Loss = Callable[[Tensor, Inputs], tuple[Tensor, Terms]]
"""(rows in their storage dtype, inputs) to (the mean to minimise, the terms)."""

Validate = Callable[[Tensor, Inputs], Terms]
"""(validation rows, inputs) to the terms; called without gradients, in evaluation mode."""

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


def adam(
    learning_rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> OptimizerFactory:
    """Return a factory of Adam (Kingma and Ba, 2015) in its fused form; `weight_decay` is decoupled (AdamW)."""
    if not learning_rate > 0:
        raise ConfigError(f"learning_rate must be above 0, got {learning_rate!r}.")

    def build(parameters: Iterable[nn.Parameter]) -> Optimizer:
        return Adam(
            parameters,
            lr=learning_rate,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=True,
            fused=True,
        )

    return build


def adagrad(learning_rate: float = 1e-2, eps: float = 1e-10) -> OptimizerFactory:
    """Return a factory of Adagrad (Duchi, Hazan and Singer, 2011) in its fused form."""
    if not learning_rate > 0:
        raise ConfigError(f"learning_rate must be above 0, got {learning_rate!r}.")

    def build(parameters: Iterable[nn.Parameter]) -> Optimizer:
        return Adagrad(parameters, lr=learning_rate, eps=eps, fused=True)

    return build


@dataclass
class Player:
    """One set of parameters that minimises one loss.

    Parameters
    ----------
    name
        Prefixes the terms where there are several players.
    module
        Its parameters, those with ``requires_grad``, are what the player moves.
    loss
        See `Loss`: its scalar must be a mean over the rows, so that micro-batches can be weighted by their rows.
    optimizer
        A factory such as ``adam(1e-3)``, or an optimiser over the parameters of `module`.
    noise
        The noise that the loss finds in its inputs, by name; drawn anew each step.
    schedules
        Scalars that the loss finds in its inputs, by name; each a function of the epoch.
    every
        The player moves at every `every`-th step: steps 0, `every`, 2 · `every`, …
    """

    name: str
    module: nn.Module
    loss: Loss
    optimizer: Optimizer | OptimizerFactory = field(default_factory=adam)
    noise: Mapping[str, Noise] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    every: int = 1

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ConfigError(f"A player's name must not be empty or contain '/', got {self.name!r}.")
        if self.every < 1:
            raise ConfigError(f"Player {self.name!r}: every must be at least 1, got {self.every}.")
        both = sorted(set(self.noise) & set(self.schedules))
        if both:
            raise ConfigError(f"Player {self.name!r}: {both} are both noise and schedules; rename one of them.")

"""Copies of a module's weights: the moving average, the best so far, the last good ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from latentia.errors import ConfigError

__all__ = ["MovingAverage", "Snapshot", "clone_weights", "load_weights", "weights"]


def weights(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and persistent buffers of a module by name, shared ones once; no copies."""
    seen: set[int] = set()
    found: dict[str, Tensor] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if isinstance(value, Tensor) and id(value) not in seen:
            seen.add(id(value))
            found[name] = value
    return found


def clone_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a module's weights, on the same device."""
    return {name: value.detach().clone() for name, value in weights(module).items()}


@torch.no_grad()
def load_weights(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copy values into a module's weights, in place.

    Raises
    ------
    ConfigError
        If names or shapes differ.
    """
    target = weights(module)
    if target.keys() != values.keys():
        missing, extra = sorted(target.keys() - values.keys()), sorted(values.keys() - target.keys())
        raise ConfigError(f"These weights are not of this module: missing {missing[:5]}, unexpected {extra[:5]}.")
    for name, value in target.items():
        if value.shape != values[name].shape:
            raise ConfigError(
                f"Weight {name!r} has shape {tuple(values[name].shape)}, the module expects {tuple(value.shape)}."
            )
        value.copy_(values[name])


class MovingAverage:
    """The exponential moving average of a module's parameters; see ``Settings.ema_decay``.

    Parameters
    ----------
    module
        Whose parameters to follow; they are the starting value.
    decay
        Its decay, once it is warm.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        named = {name: value for name, value in weights(module).items() if isinstance(value, nn.Parameter)}
        self._names = list(named)
        self._live = list(named.values())
        self._average = [value.detach().clone() for value in self._live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the parameters after step number `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._average, [value.data for value in self._live], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the module's parameters be the average inside the ``with`` block, without a copy."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for index, value in enumerate(self._live):
            value.data, self._average[index] = self._average[index], value.data

    def tensors(self) -> dict[str, Tensor]:
        """Return the average by parameter name; no copies."""
        return dict(zip(self._names, self._average, strict=True))

    @torch.no_grad()
    def load_tensors(self, values: Mapping[str, Tensor]) -> None:
        """Take over an average; names and shapes must match."""
        if set(values) != set(self._names):
            raise ConfigError("These averaged weights are not of this module: their names differ.")
        for name, average in zip(self._names, self._average, strict=True):
            average.copy_(values[name])


class Snapshot:
    """A copy of tensors to return to; nothing at first.

    Parameters
    ----------
    every
        Steps that must pass before another copy is made, so that copies cost nothing next to the steps.
    """

    def __init__(self, every: int = 100) -> None:
        self.every = every
        self.step = -1
        self._copies: dict[int, Tensor] = {}

    @torch.no_grad()
    def take(self, step: int, tensors: Sequence[Tensor]) -> None:
        """Copy the tensors as they are after `step` steps, unless the last copy is too young."""
        if self.step < 0 or step >= self.step + self.every:
            self.step = step
            self._copies = {id(value): value.detach().clone() for value in tensors}

    @torch.no_grad()
    def restore(self, tensors: Sequence[Tensor]) -> None:
        """Bring the copies back; tensors that came later (an optimiser makes its state in its first step) become 0."""
        for value in tensors:
            copy = self._copies.get(id(value))
            if copy is None:
                value.detach().zero_()
            else:
                value.detach().copy_(copy)

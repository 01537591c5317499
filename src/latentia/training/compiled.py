"""A step as one compiled graph: forward, backward, guard and Adam, with static shapes.

The loss is traced once with real tensors (any Python that runs the same way each time will do); noise and scheduled
values are inputs of the graph. The optimiser's state stays where torch's own Adam keeps it, so the last batch of an
epoch, which may be smaller, takes the ordinary path, and a checkpoint holds the same files.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Adam, AdamW

from latentia.errors import ConfigError
from latentia.training.noise import Inputs
from latentia.training.players import Player, Terms
from latentia.training.settings import Settings
from latentia.training.steps import Stepper
from latentia.training.weights import weights

__all__ = ["CompiledStepper"]

_Step = Callable[..., tuple[Tensor, list[Tensor]]]


class CompiledStepper(Stepper):
    """A `Stepper` whose whole batches take one compiled graph.

    Parameters
    ----------
    player, settings, device, alone
        As for `Stepper`; the optimiser must be Adam.
    module
        The whole module: the loss may read the weights of all of it.

    Raises
    ------
    ConfigError
        If there is no C++ compiler, or the optimiser is another.
    """

    def __init__(
        self, player: Player, settings: Settings, device: torch.device, alone: bool, module: nn.Module
    ) -> None:
        super().__init__(player, settings, device, alone)
        _require_compiler(device)
        groups, kind = self.optimizer.param_groups, type(self.optimizer)
        if kind not in (Adam, AdamW) or len(groups) > 1 or groups[0]["amsgrad"] or groups[0]["maximize"]:
            raise ConfigError(
                f"compile=True needs plain Adam with one group of parameters, player {player.name!r} has "
                f"{kind.__name__} with {len(groups)}; use adam(…), or compile=False."
            )
        self.whole = _Whole(module, self.loss)
        self._names: list[str] = []
        self._graph: _Step | None = None
        self._fixed: tuple[Any, ...] = ()
        self._count = torch.zeros(1, dtype=torch.float64, device=device)
        self._ahead = False

    def step(self, batch: Tensor, step: int, epoch: float) -> None:
        """Take step number `step`; see `Stepper.step`."""
        if batch.shape[0] != self.settings.batch_size:
            self.settle()
            super().step(batch, step, epoch)
            self._fixed = ()
            return
        inputs = self.inputs(batch.shape[0], step, epoch)
        if not self._fixed:
            self._fixed = self._gather()
        with torch.no_grad():
            arguments = (*self._fixed, *self._scalars(self.learning_rate(epoch)), batch, inputs)
            if self._graph is None:
                self._graph = self._compile(*arguments)
            bad, terms = self._graph(*arguments)
        self.means.flag().copy_(bad)
        self.means.add(dict(zip(self._names, terms, strict=True)), batch.shape[0])
        self.means.close()
        self._ahead = True

    def settle(self) -> None:
        """Bring the optimiser's own step counters up to date."""
        if self._ahead:
            for state in self.optimizer.state.values():
                state["step"].copy_(self._count[0])
            self._ahead = False

    def restored(self) -> None:
        """Forget the tensors of the optimiser's state, which are others now."""
        self._fixed, self._ahead = (), False

    def _gather(self) -> tuple[Any, ...]:
        """Return the graph's lasting inputs: trained weights, the others, Adam's two averages, the count of steps."""
        state = self.optimizer.state
        for value in self.parameters:
            if not state[value]:  # what Adam would make in its first step
                on_device = bool(
                    self.optimizer.param_groups[0]["fused"] or self.optimizer.param_groups[0]["capturable"]
                )
                state[value]["step"] = torch.zeros((), dtype=torch.float32, device=self.device if on_device else "cpu")
                state[value]["exp_avg"] = torch.zeros_like(value, memory_format=torch.preserve_format)
                state[value]["exp_avg_sq"] = torch.zeros_like(value, memory_format=torch.preserve_format)
        self._count.copy_(state[self.parameters[0]]["step"])
        mine = {id(value) for value in self.parameters}
        found = weights(self.whole)
        return (
            {name: _lifted(value) for name, value in found.items() if id(value) in mine},
            {name: _lifted(value) for name, value in found.items() if id(value) not in mine},
            {name: _lifted(state[value]["exp_avg"]) for name, value in found.items() if id(value) in mine},
            {name: _lifted(state[value]["exp_avg_sq"]) for name, value in found.items() if id(value) in mine},
            self._count,
        )

    def _scalars(self, rate: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return Adam's rate and second root after bias correction, and what decoupled weight decay keeps.

        Outside of the graph, where the compiler would compute the powers anew for every few elements.
        """
        group = self.optimizer.param_groups[0]
        beta1, beta2 = group["betas"]
        steps = self._count[0] + 1
        size = (rate / (1 - beta1**steps)).to(self.dtype)
        root = (1 - beta2**steps).sqrt().to(self.dtype)
        return size, root, torch.full_like(size, 1 - rate * group["weight_decay"])

    def _compile(self, *example: Any) -> _Step:
        from torch._dynamo.exc import BackendCompilerFailed
        from torch.fx.experimental.proxy_tensor import make_fx

        # Tracing takes the step with real tensors, so it gets copies.
        copies = [
            {name: one.clone() for name, one in value.items()} if isinstance(value, dict) else value.clone()
            for value in example
        ]
        traced = make_fx(lambda *arguments: self._traced(*arguments))(*copies)
        # Shapes and types never change, so nothing needs to be checked again before each step.
        options: dict[str, str | int | bool | Callable[..., Any]] = {
            "guard_filter_fn": torch.compiler.skip_all_guards_unsafe
        }
        compiled: _Step = torch.compile(traced, fullgraph=True, dynamic=False, options=options)

        def first(*arguments: Any) -> tuple[Tensor, list[Tensor]]:
            try:
                with warnings.catch_warnings():
                    for kind in (DeprecationWarning, FutureWarning):  # of torch, about torch
                        warnings.simplefilter("ignore", kind)
                    result = compiled(*arguments)
            except BackendCompilerFailed as error:
                reason = str(error.inner_exception).strip().split("\n")[0]
                raise ConfigError(f"The step cannot be compiled here ({reason}); use compile=False.") from error
            self._graph = compiled
            return result

        return first

    def _traced(
        self,
        trained: dict[str, Tensor],
        others: dict[str, Tensor],
        first: dict[str, Tensor],
        second: dict[str, Tensor],
        count: Tensor,
        size: Tensor,
        root: Tensor,
        kept: Tensor,
        batch: Tensor,
        inputs: dict[str, Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        """Take the step; returns whether it was skipped (1) or not (0), and the terms."""
        loss, terms, gradients = self._differentiate(trained, others, batch, inputs)
        self._names = list(terms)
        group, settings = self.optimizer.param_groups[0], self.settings
        squares = [gradient.square().sum() for gradient in gradients.values()]
        # One sum, so that the update's loop finds a number and does not compute it for every few elements.
        good = torch.isfinite(torch.stack([*squares, loss]).sum())
        if settings.clip_norm is not None:
            scale = torch.clamp(settings.clip_norm / (torch.stack(squares).sum().sqrt() + 1e-6), max=1.0)
            gradients = {name: gradient * scale for name, gradient in gradients.items()}
        beta1, beta2 = group["betas"]
        for name, gradient in gradients.items():
            value = trained[name]
            moved = value
            if group["weight_decay"] and group["decoupled_weight_decay"]:
                moved = value * kept
            elif group["weight_decay"]:
                gradient = gradient + group["weight_decay"] * value
            mean = first[name] + (1 - beta1) * (gradient - first[name])
            square = beta2 * second[name] + (1 - beta2) * gradient * gradient
            moved = moved - size * mean / (square.sqrt() / root + group["eps"])
            value.copy_(torch.where(good, moved, value))
            first[name].copy_(torch.where(good, mean, first[name]))
            second[name].copy_(torch.where(good, square, second[name]))
        count.copy_(count + good)
        return good.logical_not().to(torch.float32), list(terms.values())

    def _differentiate(
        self, trained: dict[str, Tensor], others: dict[str, Tensor], batch: Tensor, inputs: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Return the loss, the terms and the gradients by name; micro-batches are unrolled."""
        rows = batch.shape[0]
        size = self.settings.micro_batch_size or rows
        total = torch.zeros((), device=batch.device)
        collected: list[dict[str, Tensor]] = []
        sums: dict[str, Tensor] = {}
        with torch.enable_grad():
            shapes = {name: value.shape for name, value in weights(self.whole).items()}
            leaves = {name: value.detach().reshape(shapes[name]).requires_grad_() for name, value in trained.items()}
            still = {name: value.reshape(shapes[name]) for name, value in others.items()}
            for start in range(0, rows, size):
                part = batch[start : start + size]
                noise = self.player.noise
                sliced = {k: v[start : start + size] if k in noise else v for k, v in inputs.items()}
                loss, terms = functional_call(self.whole, {**leaves, **still}, (part, sliced))
                loss = loss * (part.shape[0] / rows)
                found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
                for name, gradient in zip(leaves, found, strict=True):
                    if gradient is not None:
                        sums[name] = sums[name] + gradient if name in sums else gradient
                total = total + loss.detach()
                collected.append({name: term.detach() for name, term in terms.items()})
        return total, {name: torch.cat([one[name] for one in collected]) for name in collected[0]}, sums


class _Whole(nn.Module):
    """A loss and all the weights that it may read, as one module that can be called with other weights."""

    def __init__(self, module: nn.Module, loss: Callable[[Tensor, Inputs], tuple[Tensor, Terms]]) -> None:
        super().__init__()
        self.module = module
        self._loss = loss

    def forward(self, rows: Tensor, inputs: Inputs) -> tuple[Tensor, Terms]:
        """Call the loss."""
        return self._loss(rows, inputs)


def _lifted(value: Tensor) -> Tensor:
    """Return a view with at least one axis.

    The compiler hands 0-dimensional float64 inputs over by value, so an update of one would be lost.
    """
    return value.detach().reshape(1) if value.dim() == 0 else value.detach()


def _require_compiler(device: torch.device) -> None:
    if device.type != "cpu" or sys.platform == "win32":
        return  # torch looks for what it needs there in the first step
    wanted = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(wanted.split()[0]) is None:
        raise ConfigError(f"compile=True needs a C++ compiler and {wanted!r} is not there; install it or set CXX.")

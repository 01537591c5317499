"""One step of one player: draw the noise, compute the loss and its gradient, guard, update."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from latentia.errors import ConfigError
from latentia.training.means import TermMeans
from latentia.training.noise import Inputs, draw
from latentia.training.players import Player, Terms
from latentia.training.settings import Settings

__all__ = ["Stepper"]


class Stepper:
    """A player with its optimiser, its sums of terms and its count of skipped steps.

    Parameters
    ----------
    player
        Whose step to take.
    settings
        Of the run.
    device
        Where rows and parameters are.
    alone
        Whether the loss depends on no parameters but the player's, which spares the search for its own.
    """

    def __init__(self, player: Player, settings: Settings, device: torch.device, alone: bool) -> None:
        self.player = player
        self.settings = settings
        self.device = device
        self.alone = alone
        self.parameters = [value for value in player.module.parameters() if value.requires_grad]
        if not self.parameters:
            raise ConfigError(f"Player {player.name!r} has nothing to train: no parameter requires a gradient.")
        for value in self.parameters:
            if value.device != device:
                raise ConfigError(
                    f"Player {player.name!r} is on {value.device}, the rows on {device}; move one of them."
                )
        self.dtype = self.parameters[0].dtype
        wanted = torch.float64 if settings.precision == "float64" else torch.float32
        if settings.precision != "float32" and self.dtype != wanted:
            raise ConfigError(
                f"precision is {settings.precision!r}, which needs {wanted} parameters, and player {player.name!r} has "
                f"{self.dtype}; convert its module, or choose another precision."
            )
        self.optimizer = self._optimizer()
        self.learning_rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        # A fused optimiser skips the update on the device when told that a value is not finite; others are not called.
        # (Fused SGD skips too, but if its very first step is skipped its momentum is memory that was never written.)
        # On the CPU the flag is at hand, and asking it is cheaper.
        groups = self.optimizer.param_groups
        self.skips_on_device = device.type != "cpu" and all(
            bool(group.get("fused")) and not group.get("momentum") for group in groups
        )
        self._one = torch.ones((), dtype=torch.float32, device=device)
        self.means = TermMeans(device)
        self.consecutive = 0
        self.skipped = 0

    def _optimizer(self) -> Optimizer:
        made = self.player.optimizer
        optimizer = made if isinstance(made, Optimizer) else made(self.parameters)
        known = {id(value) for value in self.parameters}
        held = {id(value) for group in optimizer.param_groups for value in group["params"]}
        if held != known:
            raise ConfigError(
                f"The optimiser of player {self.player.name!r} holds {len(held)} parameters, {len(held - known)} "
                f"of them not of its module, which has {len(known)}; build it over the module's parameters."
            )
        return optimizer

    def learning_rate(self, epoch: float) -> float:
        """Return the rate of the first parameter group at an epoch (a real number)."""
        return self.learning_rates[0] * self.factor(epoch)

    def factor(self, epoch: float) -> float:
        """Return the schedule's factor of all learning rates; raises ConfigError if it is none."""
        schedule = self.settings.learning_rate_schedule
        factor = 1.0 if schedule is None else float(schedule(epoch))
        if not 0 <= factor < math.inf:
            raise ConfigError(f"The learning-rate schedule gave {factor!r} at epoch {epoch:g}, not a factor ≥ 0.")
        return factor

    def inputs(self, rows: int, step: int, epoch: float) -> dict[str, Tensor]:
        """Return the noise of a whole batch and the scheduled values at a step."""
        player, seed = self.player, self.settings.seed
        values = {
            name: draw(noise, rows, seed, f"train/{player.name}/{name}", step, self.device, self.dtype)
            for name, noise in player.noise.items()
        }
        for name, schedule in player.schedules.items():
            values[name] = torch.full((), schedule(epoch), device=self.device, dtype=self.dtype)
        return values

    def loss(self, batch: Tensor, inputs: Inputs) -> tuple[Tensor, Terms]:
        """Call the player's loss, under autocast if the run is in bfloat16."""
        if self.settings.precision != "bfloat16":
            return self.player.loss(batch, inputs)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.player.loss(batch, inputs)

    def gradients(self, batch: Tensor, inputs: Inputs, keep_terms: bool = True) -> tuple[Tensor, list[Tensor]]:
        """Compute the loss of a batch and its gradient, in micro-batches where asked for; adds up the terms.

        Returns
        -------
        tuple of Tensor and list of Tensor
            The loss (0-dimensional, detached) and the gradients of the parameters that have one.
        """
        for value in self.parameters:
            value.grad = None
        rows = batch.shape[0]
        size = self.settings.micro_batch_size or rows
        total = torch.zeros((), device=self.device)
        for start in range(0, rows, size):
            if size >= rows:
                part, part_inputs = batch, inputs
            else:
                part = batch[start : start + size]
                names = self.player.noise
                part_inputs = {k: v[start : start + size] if k in names else v for k, v in inputs.items()}
            loss, terms = self.loss(part, part_inputs)
            if loss.dim() != 0:
                raise ConfigError(
                    f"The loss of player {self.player.name!r} has shape {tuple(loss.shape)}, not that of a mean: ()."
                )
            if not loss.requires_grad:
                raise ConfigError(f"The loss of player {self.player.name!r} does not depend on its parameters.")
            if part is not batch:
                loss = loss * (part.shape[0] / rows)
            loss.backward(inputs=None if self.alone else self.parameters)
            total = loss.detach() if start == 0 else total + loss.detach()
            if keep_terms:
                self.means.add(terms, part.shape[0])
        return total, self._found_gradients()

    def _found_gradients(self) -> list[Tensor]:
        found = [value.grad for value in self.parameters if value.grad is not None]
        if not found:
            raise ConfigError(f"The loss of player {self.player.name!r} does not depend on its parameters.")
        return found

    def step(self, batch: Tensor, step: int, epoch: float) -> None:
        """Take step number `step` on a batch; a loss or gradient that is not finite leaves everything as it was."""
        loss, gradients = self.gradients(batch, self.inputs(batch.shape[0], step, epoch))
        bad = self.means.flag()
        if self.settings.clip_norm is None:
            # Sets `bad` to 1 if any value is not finite: one pass, made for mixed precision, here with the scale 1.
            torch._amp_foreach_non_finite_check_and_unscale_([*gradients, loss], bad, self._one)
        else:
            norm = nn.utils.get_total_norm(gradients, foreach=True)
            bad.copy_(torch.isfinite(norm + loss).logical_not_())
            nn.utils.clip_grads_with_norm_(self.parameters, self.settings.clip_norm, norm, foreach=True)
        if self.settings.learning_rate_schedule is not None:
            factor = self.factor(epoch)
            for group, rate in zip(self.optimizer.param_groups, self.learning_rates, strict=True):
                group["lr"] = rate * factor
        if self.skips_on_device:
            vars(self.optimizer)["found_inf"] = bad  # torch's own protocol between GradScaler and fused optimisers
            self.optimizer.step()
        elif not bad.item():
            self.optimizer.step()
        self.means.close()

    def settle(self) -> None:
        """Bring the optimiser's state up to date before it is saved."""

    def restored(self) -> None:
        """Learn that the optimiser's state has been loaded."""

    def flush(self) -> int | None:
        """Read the last flags; return how many steps ago (1: the last) `max_bad_steps` in a row were full, or None."""
        flags = self.means.flush()
        for position, bad in enumerate(flags):
            self.consecutive = self.consecutive + 1 if bad else 0
            self.skipped += bad
            if self.consecutive >= self.settings.max_bad_steps:
                return len(flags) - position
        return None

    def release(self) -> None:
        """Leave nothing of the run behind in parameters and optimiser."""
        vars(self.optimizer).pop("found_inf", None)
        for value in self.parameters:
            value.grad = None

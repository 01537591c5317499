"""Why a step was not finite: which term, which rows, and what to try."""

from __future__ import annotations

import torch
from torch import Tensor

from latentia.errors import DivergedError
from latentia.training.steps import Stepper

__all__ = ["diverged"]


def diverged(stepper: Stepper, batch: Tensor, rows: Tensor, step: int, epoch: float, rewound_to: str) -> DivergedError:
    """Compute the offending step again and return an error that names what was not finite.

    Parameters
    ----------
    stepper
        Whose step it was.
    batch, rows
        Its rows and their indices in the training data.
    step
        Its number, which keys its noise.
    epoch
        The epoch as a real number.
    rewound_to
        What the module's weights will be, in words.
    """
    culprit, which = _culprit(stepper, batch, step, epoch)
    listed = rows if which is None else rows[which]
    shown = ", ".join(str(int(row)) for row in listed[:8]) + (", …" if len(listed) > 8 else "")
    rate = stepper.learning_rate(epoch)
    clip = stepper.settings.clip_norm
    advice = f"a learning rate of {rate / 10:.1g}, " + ("clip_norm=1.0, " if clip is None else "a smaller clip_norm, ")
    return DivergedError(
        f"Training of {stepper.player.name!r} diverged: {stepper.consecutive} steps in a row were not "
        f"finite. {culprit} in epoch {int(epoch) + 1}, step {step}, rows {shown} of the training data, "
        f"learning rate {rate:.3g}. "
        f"{rewound_to} Try {advice}or scaling the data (look for extreme values in these rows)."
    )


def _culprit(stepper: Stepper, batch: Tensor, step: int, epoch: float) -> tuple[str, Tensor | None]:
    """Return a clause on what was not finite and, where rows can be blamed, which of the batch."""
    inputs = stepper.inputs(batch.shape[0], step, epoch)
    loss, terms = stepper.loss(batch, inputs)
    for name, term in terms.items():
        finite = torch.isfinite(term.reshape(term.shape[0], -1)).all(dim=1)
        if not finite.all():
            bad = (~finite).nonzero().flatten()
            return f"Term {name!r} was not finite for {len(bad)} of {len(finite)} rows", bad.cpu()
    if not torch.isfinite(loss):
        return "The loss was not finite (its terms were)", None
    stepper.gradients(batch, inputs, keep_terms=False)
    names = [
        name
        for name, value in stepper.player.module.named_parameters()
        if value.grad is not None and not torch.isfinite(value.grad).all()
    ]
    for value in stepper.parameters:
        value.grad = None
    if names:
        shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
        return f"The loss was finite but the gradient of {shown} was not", None
    return "The loss or its gradient was not finite", None

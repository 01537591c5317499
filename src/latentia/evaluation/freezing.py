"""Gradients with respect to the latent vector alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn

from latentia.objectives import LatentVariableModel


@contextlib.contextmanager
def frozen(model: LatentVariableModel) -> Iterator[None]:
    """Ask for no gradient of the model's weights while the block runs: half of a backward pass is theirs."""
    changed = [p for module in _modules(model) for p in module.parameters() if p.requires_grad]
    for parameter in changed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in changed:
            parameter.requires_grad_(True)


def _modules(model: LatentVariableModel) -> list[nn.Module]:
    if isinstance(model, nn.Module):
        return [model]
    parts = (model.prior, model.encoder, model.decoder)
    owners = [getattr(part, "__self__", part) for part in parts]  # a part may be a module or a method of one
    return [owner for owner in owners if isinstance(owner, nn.Module)]

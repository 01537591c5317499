"""What is known of the tensor that a distribution drew last, so that its density need not be found again."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor

__all__ = ["LastDraw"]

T = TypeVar("T")


class LastDraw(Generic[T]):
    """A draw and the noise behind it.

    A bound asks for the density of the very tensor that it drew. Going back to its noise takes an inverse, which may be
    slow (a flow's) or lose digits (that of a nearly singular factor), and in total derivatives it cancels: the density
    is then a function of the noise and of the parameters.
    """

    def __init__(self) -> None:
        self._kept: tuple[Tensor, Tensor | int, T] | None = None

    def keep(self, z: Tensor, known: T) -> Tensor:
        """Remember what is known of a draw, in place of the last; returns the draw."""
        # The counter tells whether z has been changed in place; where torch keeps none, a copy does.
        self._kept = (z, z.clone() if z.is_inference() else z._version, known)
        return z

    def recall(self, value: Tensor) -> T | None:
        """Return what is known of a value, or None unless it is the very draw, unchanged."""
        if self._kept is None or value is not self._kept[0]:
            return None
        z, version, known = self._kept
        if torch.is_grad_enabled() and not z.requires_grad:
            return None  # the parameters may still need a gradient, at a fixed z
        same = torch.equal(z, version) if isinstance(version, Tensor) else z._version == version
        return known if same else None

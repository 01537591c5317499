"""Noise that is a function of (seed, purpose, step), so that resuming and splitting a batch do not change a number."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from latentia.errors import ConfigError

__all__ = ["Inputs", "Noise", "draw", "key", "permutation"]

Inputs = Mapping[str, Tensor]
"""What a loss gets beside its rows: noise (leading axis = row) and scheduled values (0-dimensional)."""


class _Generators(threading.local):
    """One generator per thread and device, seeded anew for every draw: making one costs more than the draw."""

    def __init__(self) -> None:
        self.by_device: dict[torch.device, torch.Generator] = {}


_generators = _Generators()


@dataclass(frozen=True)
class Noise:
    """One kind of noise that a loss asks for, per row.

    Parameters
    ----------
    kind
        ``"normal"``: standard normal; ``"uniform"``: reals in [0, 1); ``"bytes255"``: ``uint8``, uniform over
        0…254, so that ``noise < byte`` is a Bernoulli draw with probability byte / 255 exactly.
    shape
        Shape per row; ``(K, L)`` for K samples of L latents.
    """

    kind: Literal["normal", "uniform", "bytes255"]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.kind not in ("normal", "uniform", "bytes255"):
            raise ConfigError(f"Noise kind is {self.kind!r}; choose 'normal', 'uniform' or 'bytes255'.")


def key(seed: int, purpose: str, *numbers: int) -> int:
    """Return a 63-bit key for a stream of noise: a hash (BLAKE2b) of the seed, the purpose and any further numbers."""
    text = "\0".join([str(seed), purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def draw(
    noise: Noise, rows: int, seed: int, purpose: str, step: int, device: torch.device | str, dtype: torch.dtype
) -> Tensor:
    """Draw the noise of a whole batch; the global generator is neither read nor moved.

    Parameters
    ----------
    noise
        What to draw.
    rows
        Rows of the whole batch; micro-batches take slices of the result.
    seed, purpose, step
        The key: equal keys (on one kind of device) give equal numbers.
    device, dtype
        Of the result; the dtype of ``"bytes255"`` is always ``uint8``.

    Returns
    -------
    Tensor
        Shape (rows, *noise.shape).
    """
    device = torch.device(device)
    generator = _generators.by_device.get(device)
    if generator is None:
        generator = _generators.by_device[device] = torch.Generator(device)
    generator.manual_seed(key(seed, purpose, step))
    shape = (rows, *noise.shape)
    if noise.kind == "normal":
        return torch.randn(shape, generator=generator, device=device, dtype=dtype)
    if noise.kind == "uniform":
        return torch.rand(shape, generator=generator, device=device, dtype=dtype)
    return torch.randint(0, 255, shape, generator=generator, device=device, dtype=torch.uint8)


def permutation(rows: int, seed: int, epoch: int, device: torch.device | str) -> Tensor:
    """Return the order of the rows in an epoch (int64); drawn on the CPU, so it is the same on every device."""
    generator = torch.Generator()
    generator.manual_seed(key(seed, "order", epoch))
    return torch.randperm(rows, generator=generator).to(device)

"""One list of every prior and posterior in two dimensions, with parameters that are nowhere special."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor, nn

from latentia.parts import (
    DiagonalGaussian,
    FlowPosterior,
    FlowPrior,
    FullGaussian,
    LearnedNormal,
    MixtureOfGaussians,
    MixtureOfGaussiansPosterior,
    StandardNormal,
    VampPrior,
)

Z = 2
HAS_ZUKO = importlib.util.find_spec("zuko") is not None


def stirred(part: nn.Module, scale: float = 0.2) -> nn.Module:
    """Give every parameter a draw of its own, so that nothing is at its symmetric start."""
    generator = torch.Generator().manual_seed(0)
    part = part.double()
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return part


def raw(count: int, seed: int = 1) -> Tensor:
    """Return what a network would give for one row, shape (count,)."""
    return 0.3 * torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Posteriors on the identity: their input is what a network would give. The part, and how many numbers that is.
POSTERIORS: dict[str, Callable[[], tuple[nn.Module, int]]] = {
    "diagonal": lambda: (DiagonalGaussian(nn.Identity()), DiagonalGaussian.outputs(Z)),
    "full": lambda: (FullGaussian(nn.Identity(), Z), FullGaussian.outputs(Z)),
    "mixture of one": lambda: (
        MixtureOfGaussiansPosterior(nn.Identity(), Z, 1),
        MixtureOfGaussiansPosterior.outputs(Z, 1),
    ),
    "mixture": lambda: (MixtureOfGaussiansPosterior(nn.Identity(), Z, 3), MixtureOfGaussiansPosterior.outputs(Z, 3)),
}


def _vamp(name: str) -> nn.Module:
    encoder, count = POSTERIORS[name]()
    return VampPrior(encoder, torch.zeros(4, count))


PRIORS: dict[str, Callable[[], nn.Module]] = {
    "standard": lambda: StandardNormal(Z),
    "learned": lambda: LearnedNormal(Z),
    "mixture": lambda: MixtureOfGaussians(Z, 4),
    "vamp": lambda: _vamp("diagonal"),
    "vamp of full covariances": lambda: _vamp("full"),
    "vamp of mixtures": lambda: _vamp("mixture"),
}

if HAS_ZUKO:
    POSTERIORS |= {
        "flow": lambda: (
            FlowPosterior(nn.Identity(), Z, transforms=3, width=8),
            FlowPosterior.outputs(Z, transforms=3, width=8),
        ),
        "spline flow": lambda: (
            FlowPosterior(nn.Identity(), Z, transforms=2, width=8, bins=4),
            FlowPosterior.outputs(Z, transforms=2, width=8, bins=4),
        ),
    }
    PRIORS |= {
        "flow": lambda: FlowPrior(Z, transforms=3, width=8),
        "spline flow": lambda: FlowPrior(Z, transforms=2, width=8, bins=4),
    }

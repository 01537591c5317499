"""Models small enough that every bound and its gradient is known: linear-Gaussian by quadrature, two bits by summing.

Every row of a batch has a copy of all parameters, so one backward pass gives as many independent draws of a gradient
as there are rows. The exact answers are written with torch's own densities, apart from the code under test.

Letters: R rows (draws of a gradient), K samples, D data, Z latent dimensions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from latentia.distributions import DiagonalNormal
from latentia.objectives import Result

Parameters = dict[str, Tensor]
Gradient = dict[str, Tensor]

ENCODER, MODEL = ("a", "a0", "log_s"), ("w", "w0", "m")
LOG_SIGMA = -0.3


def numbers(*shape: int, seed: int) -> Tensor:
    """Return standard normals in float64."""
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, 1.0, shape))


def parameters(latent_dim: int, data_dim: int = 2) -> Parameters:
    """Return an encoder that is off, a decoder and the mean of a prior."""
    return {
        "a": 0.5 * numbers(latent_dim, data_dim, seed=1),
        "a0": 0.3 * numbers(latent_dim, seed=2),
        "log_s": -0.4 + 0.1 * numbers(latent_dim, seed=13),
        "w": numbers(data_dim, latent_dim, seed=4),
        "w0": 0.3 * numbers(data_dim, seed=5),
        "m": 0.3 * numbers(latent_dim, seed=6),
    }


@dataclass
class LinearGaussian:
    """z ~ N(m, I), x | z ~ N(W z + w0, σ²I), q(z | x) = N(A x + a0, s²); each row with parameters of its own.

    With ``vamp`` the prior is q(z | u) for that pseudo-input u instead: one component of a VampPrior.
    """

    values: Parameters
    vamp: Tensor | None = None

    def prior(self) -> DiagonalNormal:
        """Return p(z)."""
        if self.vamp is not None:
            return self.encoder(self.vamp.expand(len(self.values["a"]), -1))
        return DiagonalNormal(self.values["m"], torch.zeros_like(self.values["m"]))

    def encoder(self, x: Tensor) -> DiagonalNormal:
        """Return q(z | x)."""
        loc = torch.einsum("rzd,rd->rz", self.values["a"], x) + self.values["a0"]
        return DiagonalNormal(loc, self.values["log_s"])

    def decoder(self, z: Tensor) -> DiagonalNormal:
        """Return p(x | z)."""
        loc = torch.einsum("rdz,...rz->...rd", self.values["w"], z) + self.values["w0"]
        return DiagonalNormal(loc, torch.tensor(LOG_SIGMA))


class Bits(Distribution):
    """Independent bits over z, drawn by comparing noise with a quantile: no gradient goes through the draw."""

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    @property
    def noise_size(self) -> int:
        """One normal a bit."""
        return self.logits.shape[-1]

    @property
    def mean(self) -> Tensor:
        """Probabilities of a one."""
        return self.logits.sigmoid()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of bits."""
        log_p: Tensor = (value * self.logits - torch.nn.functional.softplus(self.logits)).sum(-1)
        return log_p

    def rsample_from(self, noise: Tensor) -> Tensor:
        """Return bits."""
        chance: Tensor = torch.special.ndtr(noise)
        return (chance < self.mean).to(noise.dtype)


@dataclass
class TwoBits:
    """z of independent bits under p and q, x | z ~ N(W z + w0, σ²I); each row with parameters of its own."""

    values: Parameters

    def prior(self) -> Bits:
        """Return p(z)."""
        return Bits(self.values["m"])

    def encoder(self, x: Tensor) -> Bits:
        """Return q(z | x)."""
        return Bits(torch.einsum("rzd,rd->rz", self.values["a"], x) + self.values["a0"])

    def decoder(self, z: Tensor) -> DiagonalNormal:
        """Return p(x | z)."""
        loc = torch.einsum("rdz,...rz->...rd", self.values["w"], z) + self.values["w0"]
        return DiagonalNormal(loc, torch.tensor(LOG_SIGMA))


Model = LinearGaussian | TwoBits


def copies(values: Parameters, rows: int) -> Parameters:
    """Return leaves with a leading axis of rows."""
    return {name: value.expand(rows, *value.shape).clone().requires_grad_() for name, value in values.items()}


def gradient_draws(
    make: Callable[[Parameters], Model], values: Parameters, x: Tensor, objective: Callable[..., Result], rows: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Return ``rows`` independent draws of the gradient of an objective's maximand, by parameter, shape (rows, …)."""
    leaves = copies(values, rows)
    torch.manual_seed(0)
    objective(make(leaves), x.expand(rows, -1)).maximand.sum().backward()
    return {name: leaf.grad.numpy() for name, leaf in leaves.items() if leaf.grad is not None}


def exact_gradient(values: Parameters, bound: Callable[[Parameters], Tensor]) -> Gradient:
    """Return the gradient of a number by parameter."""
    leaves = {name: value.clone().requires_grad_() for name, value in values.items()}
    found = torch.autograd.grad(bound(leaves), list(leaves.values()), allow_unused=True)
    return {name: grad for name, grad in zip(leaves, found, strict=True) if grad is not None}


def log_weight(values: Parameters, x: Tensor, noise: Tensor, prior: Mapping[str, Tensor] | None = None) -> Tensor:
    """Return log p(x | z) + log p(z) − log q(z | x) at z = μ + s ε for noise (…, Z), by torch's own densities.

    ``prior`` holds "loc" and "log_scale" of p(z) where it is not N(m, I).
    """
    loc, scale = values["a"] @ x + values["a0"], values["log_s"].exp()
    z = loc + scale * noise
    p = Normal(values["m"], 1.0) if prior is None else Normal(prior["loc"], prior["log_scale"].exp())
    likelihood = Normal(z @ values["w"].T + values["w0"], torch.tensor(LOG_SIGMA).exp()).log_prob(x).sum(-1)
    result: Tensor = likelihood + p.log_prob(z).sum(-1) - Normal(loc, scale).log_prob(z).sum(-1)
    return result


def exact_elbo(values: Parameters, x: Tensor) -> Tensor:
    """Return the ELBO of the linear-Gaussian model in closed form."""
    loc, variance = values["a"] @ x + values["a0"], (2 * values["log_s"]).exp()
    sigma = torch.tensor(LOG_SIGMA).exp()
    fit: Tensor = Normal(values["w"] @ loc + values["w0"], sigma).log_prob(x).sum()
    spread = 0.5 * (values["w"].square() * variance).sum() / sigma.square()
    kl: Tensor = 0.5 * (variance + (loc - values["m"]).square() - 1.0).sum() - values["log_s"].sum()
    return fit - spread - kl


def exact_iwae(
    values: Parameters, x: Tensor, num_samples: int, nodes: int, prior: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Return E[log 1/K Σ w] for one latent dimension, by Gauss–Hermite quadrature in K dimensions."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    every = torch.from_numpy(np.stack(np.meshgrid(*[points] * num_samples, indexing="ij"), -1)).reshape(-1, num_samples)
    shares = torch.from_numpy(np.stack(np.meshgrid(*[weights] * num_samples, indexing="ij"), -1))
    share = shares.reshape(-1, num_samples).prod(-1) / np.sqrt(2 * np.pi) ** num_samples
    log_weights = log_weight(values, x, every.unsqueeze(-1), prior)  # (nodes^K, K)
    bound: Tensor = share @ (log_weights.logsumexp(-1) - np.log(num_samples))
    return bound


def enumerated(values: Parameters, x: Tensor, num_samples: int) -> Tensor:
    """Return E[log 1/K Σ w] of the two bits, by summing over all states of all samples."""
    bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)))
    q = Bits(values["a"] @ x + values["a0"]).log_prob(bits)
    sigma = torch.tensor(LOG_SIGMA).exp()
    likelihood = Normal(bits @ values["w"].T + values["w0"], sigma).log_prob(x).sum(-1)
    log_weights = likelihood + Bits(values["m"]).log_prob(bits) - q
    states = torch.tensor(list(itertools.product(range(4), repeat=num_samples)))
    bound = log_weights[states].logsumexp(-1) - np.log(num_samples)
    expectation: Tensor = q[states].sum(-1).exp() @ bound
    return expectation

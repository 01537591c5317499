r"""Hamiltonian Monte Carlo: many chains for many rows at once, each row with a step size of its own.

A log-density is a weighted sum of terms, log f(z) = Σⱼ wⱼ ℓⱼ(z), so that a path between densities needs no new
gradient where only its weights change.

Letters: C chains, R rows, Z latent dimensions, J terms, ε step size, L leapfrog steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from latentia.errors import ConfigError, DataError
from latentia.evaluation.noise import RowStreams

# The acceptance rate at which HMC moves farthest for its cost is 0.651 in the limit of many dimensions: Beskos,
# Pillai, Roberts, Sanz-Serna and Stuart 2013; Wu et al. 2017 aim at it too.
TARGET_ACCEPTANCE = 0.65
ADAPTATION_RATE = 0.2
# Trajectories of one length can come back to where they began; every move varies its step size by so much.
JITTER = 0.2
STEP_SIZE_LIMITS = (1e-6, 1e2)

Terms = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Point:
    """Where chains are, with the terms of the log-density and their gradients there.

    Attributes
    ----------
    z
        Positions, shape (C, R, Z).
    terms
        ℓⱼ(z), J tensors of shape (C, R), in nats.
    gradients
        ∇ℓⱼ(z), J tensors of shape (C, R, Z).
    """

    z: Tensor
    terms: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]

    @classmethod
    def at(cls, density: Terms, z: Tensor) -> Point:
        """Evaluate every term and its gradient at z, in one pass each; no graph is kept."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            terms = density(z)
            gradients = tuple(_gradient(term, z) for term in terms)
        return cls(z.detach(), tuple(term.detach() for term in terms), gradients)

    def log_prob(self, weights: Sequence[float]) -> Tensor:
        """Return Σⱼ wⱼ ℓⱼ(z), shape (C, R), in nats."""
        return _weighted(weights, self.terms)

    def gradient(self, weights: Sequence[float]) -> Tensor:
        """Return Σⱼ wⱼ ∇ℓⱼ(z), shape (C, R, Z)."""
        return _weighted(weights, self.gradients)

    def where(self, chosen: Tensor, other: Point) -> Point:
        """Return this point where ``chosen``, shape (C, R), and the other one elsewhere."""
        wide = chosen.unsqueeze(-1)
        return Point(
            torch.where(wide, self.z, other.z),
            tuple(torch.where(chosen, a, b) for a, b in zip(self.terms, other.terms, strict=True)),
            tuple(torch.where(wide, a, b) for a, b in zip(self.gradients, other.gradients, strict=True)),
        )


def _gradient(term: Tensor, z: Tensor) -> Tensor:
    if not term.requires_grad:  # a term that does not depend on z
        return torch.zeros_like(z)
    return torch.autograd.grad(term.sum(), z)[0]


def _weighted(weights: Sequence[float], values: tuple[Tensor, ...]) -> Tensor:
    total = values[0] if weights[0] == 1.0 else values[0] * weights[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = total.add(value, alpha=weight)
    return total


def leapfrog(
    evaluate: Callable[[Tensor], Point],
    point: Point,
    momentum: Tensor,
    weights: Sequence[float],
    step_size: Tensor,
    num_steps: int,
) -> tuple[Point, Tensor]:
    r"""Follow Hamilton's equations for L steps.

    .. math::
        p \leftarrow p + \tfrac{\epsilon}{2} \nabla \log f(z), \qquad z \leftarrow z + \epsilon p, \qquad
        p \leftarrow p + \tfrac{\epsilon}{2} \nabla \log f(z)

    The two half-steps of neighbouring steps are one. The map keeps volume, is undone by itself with −p, and changes
    the energy −log f(z) + ½ ‖p‖² by O(ε²): Neal 2011, section 5.2.

    Parameters
    ----------
    evaluate
        Gives the terms and gradients at z, shape (C, R, Z).
    point
        Where to start; its gradients are used, so that L steps cost L evaluations.
    momentum
        p, shape (C, R, Z).
    weights
        w, one a term.
    step_size
        ε, broadcastable to (C, R, Z).
    num_steps
        L ≥ 1.

    Returns
    -------
    tuple
        The point and the momentum at the end.
    """
    momentum = torch.addcmul(momentum, step_size, point.gradient(weights), value=0.5)
    for step in range(1, num_steps + 1):
        point = evaluate(torch.addcmul(point.z, step_size, momentum))
        momentum = torch.addcmul(momentum, step_size, point.gradient(weights), value=1.0 if step < num_steps else 0.5)
    return point, momentum


def transition(
    density: Terms, point: Point, weights: Sequence[float], step_size: Tensor, num_steps: int, streams: RowStreams
) -> tuple[Point, Tensor]:
    r"""Move every chain by one step of Hamiltonian Monte Carlo, which leaves f invariant.

    A momentum is drawn, the leapfrog proposes, and the proposal is taken with probability min(1, e^{−ΔH}),
    H = −log f(z) + ½ ‖p‖². A proposal whose energy is not finite is never taken.

    Parameters
    ----------
    density
        Maps z, shape (C, R, Z), to the terms of log f.
    point, weights, num_steps
        As in ``leapfrog``.
    step_size
        ε of every row, shape (R,), which each move varies by up to a fifth.
    streams
        Where each row draws.

    Returns
    -------
    tuple
        The chains after the move, and the probabilities with which the proposals were taken, shape (C, R).
    """
    chains, _, size = point.z.shape
    momentum, level = streams.normal(chains, size), streams.uniform(chains + 1)
    step = step_size * (1.0 + JITTER * (2.0 * level[-1] - 1.0))
    proposal, end = leapfrog(partial(Point.at, density), point, momentum, weights, step.unsqueeze(-1), num_steps)
    gain = proposal.log_prob(weights) - point.log_prob(weights)
    gain = gain - 0.5 * (end.square().sum(-1) - momentum.square().sum(-1))
    probability = torch.where(gain.isfinite(), gain.clamp(max=0.0).exp(), 0.0)
    return proposal.where(level[:-1] < probability, point), probability


def tuned(
    density: Terms,
    point: Point,
    weights: Sequence[float],
    step_size: Tensor,
    num_steps: int,
    streams: RowStreams,
    num_transitions: int,
    before: int = 0,
) -> tuple[Point, Tensor]:
    """Move the chains while each row's step size is fitted, in corrections that are smaller the more came before.

    Returns
    -------
    tuple
        The chains after ``num_transitions`` moves and the step sizes, shape (R,).
    """
    for i in range(before, before + num_transitions):
        point, probability = transition(density, point, weights, step_size, num_steps, streams)
        rate = max(ADAPTATION_RATE, (1.0 + i) ** -0.5)
        step_size = step_size * ((probability.mean(0) - TARGET_ACCEPTANCE) * rate).exp()
        step_size = step_size.clamp(*STEP_SIZE_LIMITS)
    return point, step_size


@dataclass(frozen=True)
class Samples:
    """Chains of Hamiltonian Monte Carlo.

    Attributes
    ----------
    z
        Draws, shape (S, C, R, Z).
    acceptance
        Mean probability with which proposals were taken, shape (R,).
    step_size
        ε of every row, shape (R,).
    """

    z: Tensor
    acceptance: Tensor
    step_size: Tensor


def hmc(
    log_prob: Callable[[Tensor], Tensor],
    start: Tensor,
    generators: Sequence[torch.Generator],
    *,
    num_samples: int,
    num_warmup: int = 200,
    num_steps: int = 10,
    step_size: float = 0.1,
) -> Samples:
    """Draw from densities known up to a constant, C chains for each of R rows.

    The step sizes are fitted to an acceptance of 0.65 during the warm-up and then fixed, so that what is kept comes
    from one kernel. Rows see each other neither in their noise nor in their step sizes.

    Parameters
    ----------
    log_prob
        Maps z, shape (C, R, Z), to log f(z) of each chain and row, shape (C, R), in nats; differentiable.
    start
        Where the chains start, shape (C, R, Z).
    generators
        One a row, from which its noise is drawn.
    num_samples
        S ≥ 1 draws of each chain after the warm-up.
    num_warmup
        Moves that are not kept.
    num_steps
        L ≥ 1 leapfrog steps a move.
    step_size
        ε > 0 at the start.

    Returns
    -------
    Samples
        Draws, acceptance and step sizes.

    Raises
    ------
    ConfigError
        If a number is out of its range.
    DataError
        If the density is not finite where the chains start.

    Examples
    --------
    >>> start, generator = torch.zeros(8, 1, 2), torch.Generator().manual_seed(0)
    >>> found = hmc(lambda z: -0.5 * z.square().sum(-1), start, [generator], num_samples=500)
    >>> bool((found.z.var((0, 1, 2)) - 1.0).abs().max() < 0.2)
    True
    """
    check_at_least(1, num_samples=num_samples, num_steps=num_steps)
    check_at_least(0, num_warmup=num_warmup)
    check_step_size(step_size)
    if start.dim() != 3 or len(generators) != start.shape[1]:
        raise ConfigError(
            f"start must have shape (chains, rows, latents) with one generator a row, got {tuple(start.shape)} and "
            f"{len(generators)} generators"
        )

    def density(z: Tensor) -> tuple[Tensor, ...]:
        return (log_prob(z),)

    streams, weights = RowStreams(generators, start), (1.0,)
    point, steps = Point.at(density, start), start.new_full((start.shape[1],), step_size)
    check_finite(point, ("log_prob",), start.shape[1])
    point, steps = tuned(density, point, weights, steps, num_steps, streams, num_warmup)
    kept, acceptance = [], torch.zeros_like(steps)
    for _ in range(num_samples):
        point, probability = transition(density, point, weights, steps, num_steps, streams)
        kept.append(point.z)
        acceptance += probability.mean(0) / num_samples
    return Samples(torch.stack(kept), acceptance, steps)


def check_at_least(least: int, **numbers: int) -> None:
    """Raise unless every number is at least so large."""
    for name, value in numbers.items():
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")


def check_step_size(step_size: float) -> None:
    """Raise unless the step size is positive and finite."""
    if not 0.0 < step_size < math.inf:
        raise ConfigError(f"step_size must be a positive number, got {step_size}")


def check_finite(point: Point, names: Sequence[str], num_rows: int, first_row: int = 0) -> None:
    """Raise where a term of the log-density is not finite: no chain can start there."""
    for name, term in zip(names, point.terms, strict=True):
        bad = (~term.isfinite())[:, :num_rows]
        if bad.any():
            row = int(bad.any(0).nonzero()[0])
            value = float(term[:, row][bad[:, row]][0])
            raise DataError(
                f"{name} of row {first_row + row} is {value} where its chains start: the row lies outside of the "
                "likelihood's support, or the model's weights are not finite; check the data and the fit"
            )

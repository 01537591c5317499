r"""The machinery of annealed importance sampling: temperatures, the path between densities, and chains that take it.

Letters: C chains, N rows, R rows of a block, T temperatures, L leapfrog steps, Z latent dimensions, E event. Values in
nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from latentia.errors import ConfigError
from latentia.evaluation.hmc import Point, check_at_least, check_finite, check_step_size, transition, tuned
from latentia.evaluation.log_likelihood import Array
from latentia.evaluation.noise import RowStreams
from latentia.objectives import LatentVariableModel, Reparameterised

# Chains that go ahead to find the step sizes, and are not counted: step sizes that followed from a chain's own past
# would bias its weight. Where there are few temperatures they take several moves at each.
PILOT_CHAINS = 4
PILOT_MOVES = 300
PILOT_WARMUP = 25
# Steepness of the sigmoid: Grosse, Ghahramani and Adams 2015 and Wu et al. 2017 take 4.
STEEPNESS = 4.0
# Below it the chains hardly move, and the bound is loose; a row needs some moves before that can be said of it.
LEAST_ACCEPTANCE = 0.2
MOVES_TO_JUDGE = 32
SCHEDULES = ("sigmoidal", "linear")
STARTS = ("prior", "posterior")


@dataclass(frozen=True)
class Annealing:
    """How chains are annealed: the settings of ``annealed_importance_sampling``, checked."""

    num_chains: int = 16
    num_temperatures: int = 1000
    num_steps: int = 10
    start: str = "prior"
    schedule: str = "sigmoidal"
    step_size: float = 0.1

    def __post_init__(self) -> None:
        check_at_least(1, num_chains=self.num_chains, num_temperatures=self.num_temperatures, num_steps=self.num_steps)
        check_step_size(self.step_size)
        for name, value, allowed in (("start", self.start, STARTS), ("schedule", self.schedule, SCHEDULES)):
            if value not in allowed:
                raise ConfigError(f"{name} must be {' or '.join(map(repr, allowed))}, got {value!r}")

    def temperatures(self) -> list[float]:
        """Return 0 = β₀ < … < β_T = 1."""
        return temperatures(self.num_temperatures, self.schedule)

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.num_chains:,} chains, {self.num_temperatures:,} temperatures, {self.num_steps} leapfrog steps, "
            f"from the {self.start}"
        )


def temperatures(count: int, schedule: str = "sigmoidal") -> list[float]:
    r"""Return 0 = β₀ < … < β_T = 1: T + 1 inverse temperatures.

    .. math:: \beta_t = \frac{\tilde\beta_t - \tilde\beta_0}{\tilde\beta_T - \tilde\beta_0}, \qquad
              \tilde\beta_t = \sigma\!\left(4 \left(\tfrac{2t}{T} - 1\right)\right)

    for "sigmoidal", which is dense at both ends; t/T for "linear". Grosse, Ghahramani and Adams 2015, section 5.

    Examples
    --------
    >>> [round(beta, 3) for beta in temperatures(4)]
    [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    steps = np.arange(count + 1) / count
    if schedule == "linear":
        return [float(step) for step in steps]
    raw = 1.0 / (1.0 + np.exp(-STEEPNESS * (2.0 * steps - 1.0)))
    return [float(beta) for beta in (raw - raw[0]) / (raw[-1] - raw[0])]


class Path:
    r"""The densities between a start and p(x, z), for a block of rows.

    .. math:: \log f_\beta(z) = \log p(z) + \beta \log p(x \mid z) \quad\text{or}\quad
              (1 - \beta) \log q(z \mid x) + \beta \log p(x, z)

    Both are weighted sums of two terms whose weights alone depend on β.

    Parameters
    ----------
    model
        Prior, encoder and decoder.
    x
        Rows, shape (R, *E).
    start
        "prior" or "posterior".
    """

    def __init__(self, model: LatentVariableModel, x: Tensor, start: str) -> None:
        self.x, self.prior, self.decoder = x, model.prior(), model.decoder
        self.q: Reparameterised | None = model.encoder(x) if start == "posterior" else None
        self.names = ("log p(z)", "log p(x | z)") if self.q is None else ("log q(z | x)", "log p(x, z)")

    def terms(self, z: Tensor) -> tuple[Tensor, ...]:
        """Return both terms at z, shape (C, R, Z), each of shape (C, R)."""
        log_prior: Tensor = self.prior.log_prob(z)
        log_likelihood: Tensor = self.decoder(z).log_prob(self.x)
        if self.q is None:
            return log_prior, log_likelihood
        return self.q.log_prob(z), log_prior + log_likelihood

    def weights(self, beta: float) -> tuple[float, float]:
        """Return the weights of the terms at β."""
        return (1.0 if self.q is None else 1.0 - beta), beta

    def log_ratio(self, point: Point, before: float, after: float) -> Tensor:
        """Return log f_after − log f_before where the chains are, shape (C, R), in float64."""
        old, new = self.weights(before), self.weights(after)
        differences = [(b - a) * term.double() for a, b, term in zip(old, new, point.terms, strict=True) if a != b]
        return torch.stack(differences).sum(0)

    def draw(self, streams: RowStreams, chains: int) -> Tensor:
        """Draw where chains start, shape (C, R, Z)."""
        if self.q is None:
            return streams.sample(self.prior, chains)
        return self.q.rsample_from(streams.normal(chains, self.q.noise_size)).detach()


class Pilots:
    """Chains that find the step sizes of the next move, at its own temperature.

    Parameters
    ----------
    path, streams
        The densities and the noise of the rows.
    annealing
        The settings.
    """

    def __init__(self, path: Path, streams: RowStreams, annealing: Annealing) -> None:
        self._path, self._streams, self._num_steps = path, streams, annealing.num_steps
        self._point = Point.at(path.terms, path.draw(streams, PILOT_CHAINS))
        self._step_size = self._point.z.new_full((len(path.x),), annealing.step_size)
        self._moves = math.ceil(PILOT_MOVES / annealing.num_temperatures)
        self._moved = 0

    def __call__(self, beta: float) -> Tensor:
        """Return ε of every row for a move at β, shape (R,)."""
        moves = self._moves if self._moved else max(self._moves, PILOT_WARMUP)
        self._point, self._step_size = tuned(
            self._path.terms,
            self._point,
            self._path.weights(beta),
            self._step_size,
            self._num_steps,
            self._streams,
            moves,
            self._moved,
        )
        self._moved += moves
        return self._step_size


@dataclass(frozen=True)
class Annealed:
    """What came of a block: log-weights (C, R), acceptance (R,), and the step sizes (R,) of each temperature."""

    log_weights: Tensor
    acceptance: Tensor
    step_sizes: dict[float, Tensor]


def anneal(
    path: Path,
    point: Point,
    betas: Sequence[float],
    streams: RowStreams,
    num_steps: int,
    step_size: Callable[[float], Tensor],
) -> Annealed:
    r"""Take chains along the path and weigh them.

    .. math:: \log w = \sum_t \log f_{\beta_{t+1}}(z_t) - \log f_{\beta_t}(z_t), \qquad
              z_t \sim \text{a move that leaves } f_{\beta_t} \text{ invariant}

    Neal 2001, equation 11. Downwards, the same moves in reverse order give the reverse chain.

    Parameters
    ----------
    path, point, streams, num_steps
        The densities, the chains on the first of them, their noise, and L.
    betas
        T + 1 inverse temperatures, up or down.
    step_size
        Gives ε of every row, shape (R,), for a move at β; it may not depend on the chains.
    """
    log_weights = point.z.new_zeros(point.z.shape[:2], dtype=torch.float64)
    moves = len(betas) - 2
    used: dict[float, Tensor] = {}
    acceptance = point.z.new_full((point.z.shape[1],), 0.0 if moves else math.nan)
    for before, after in pairwise(betas):
        log_weights += path.log_ratio(point, before, after)
        if len(used) == moves:
            break
        used[after] = step_size(after)
        point, probability = transition(path.terms, point, path.weights(after), used[after], num_steps, streams)
        acceptance += probability.mean(0) / moves
    return Annealed(log_weights, acceptance, used)


def streams_of(path: Path, block: Block, noise: Callable[[int], torch.Generator]) -> RowStreams:
    """Return what a block draws from, in the precision of its latent vectors (the rows may be whole numbers)."""
    return RowStreams([noise(i) for i in block.indices], path.prior.mean, block.padding)


def anneal_up(path: Path, streams: RowStreams, annealing: Annealing, num_rows: int, first_row: int = 0) -> Annealed:
    """Draw chains at the start of the path and anneal them to the posterior, with step sizes found by pilots."""
    point = Point.at(path.terms, path.draw(streams, annealing.num_chains))
    check_finite(point, path.names, num_rows, first_row)
    pilots = Pilots(path, streams, annealing)
    return anneal(path, point, annealing.temperatures(), streams, annealing.num_steps, pilots)


@dataclass(frozen=True)
class Block:
    """Rows that are computed together: which of all, and how many more fill the block."""

    indices: range
    padding: int
    rows: Tensor

    @property
    def x(self) -> Tensor:
        """Their data, shape (R, *E)."""
        return self.filled(self.rows)

    def filled(self, values: Tensor) -> Tensor:
        """Take the rows of the block, shape (R, …); the filling repeats the first."""
        chosen = values[self.indices.start : self.indices.stop]
        return torch.cat([chosen, chosen[:1].expand(self.padding, *chosen.shape[1:])])


def blocks(rows: Tensor, annealing: Annealing, size: int | None) -> list[Block]:
    """Cut the rows into blocks of one size."""
    if size is not None:
        check_at_least(1, rows_per_block=size)
    size = size or _rows_per_block(annealing, rows.device)
    spans = (range(first, min(first + size, len(rows))) for first in range(0, len(rows), size))
    return [Block(span, size - len(span), rows) for span in spans]


def _rows_per_block(annealing: Annealing, device: torch.device) -> int:
    """Return a number of rows of which all products have a multiple of 64 rows, and enough of them."""
    chains = annealing.num_chains
    unit = 64 // math.gcd(64, chains, PILOT_CHAINS) if annealing.start == "prior" else 64
    wanted = 256 if device.type == "cpu" else 16384
    return unit * max(1, math.ceil(wanted / (unit * chains)))


def few_moves(acceptance: Array, annealing: Annealing) -> str | None:
    """Return a sentence where the moves of more than one row in a hundred are mostly refused, else None."""
    if annealing.num_chains * (annealing.num_temperatures - 1) < MOVES_TO_JUDGE:
        return None
    stuck = int((acceptance < LEAST_ACCEPTANCE).sum())
    if stuck <= 0.01 * len(acceptance):
        return None
    return (
        f"the chains of {stuck} of {len(acceptance)} rows take fewer than {LEAST_ACCEPTANCE:.0%} of their moves: the "
        "bound holds there, but is loose; use more temperatures"
    )

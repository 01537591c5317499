"""Draws of gradients as one vector a part of the model, with their running moments.

Letters: L samples, B batch, P parameters of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentia.errors import ConfigError
from latentia.objectives import LatentVariableModel, Result

Objective = Callable[..., Result]
"""``(model, x, *, num_samples, noise) → Result`` with noise (L, B, N); ``functools.partial`` sets the rest.

Where an objective splits its samples (M·K of them), a function of one's own makes M and K of L.
"""

Bound = Callable[[LatentVariableModel, Tensor, int], Tensor]
"""``(model, x, L) → the exact expectation of the maximand``, shape (B,) and differentiable: its gradient is exact."""

Parts = Mapping[str, Sequence[Tensor]]


@dataclass(frozen=True)
class LongRun:
    """A reference for the bias where no exact gradient is known: the mean over many gradients of an unbiased estimator.

    Attributes
    ----------
    objective
        The estimator; another than the one to be judged, with the same expectation.
    repeats
        How many gradients are averaged.
    """

    objective: Objective
    repeats: int = 20_000


def parts_of(model: LatentVariableModel) -> dict[str, list[Tensor]]:
    """Return the parameters that require a gradient by part, each in the first of encoder, decoder and prior it is in.

    Parts without any are left out.
    """
    seen: set[int] = set()
    found: dict[str, list[Tensor]] = {}
    for name in ("encoder", "decoder", "prior"):
        module = getattr(model, name)
        parameters: Iterable[Tensor] = module.parameters() if isinstance(module, nn.Module) else ()
        mine = [value for value in parameters if value.requires_grad and id(value) not in seen]
        seen |= {id(value) for value in mine}
        if mine:
            found[name] = mine
    return found


class Moments:
    """Running mean and squared deviations of vectors, and the mean of their norms (Welford 1962), in float64.

    Parameters
    ----------
    like
        A list of tensors that have as many numbers together as the vectors.
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        self.count, self.norms = 0, 0.0
        self.mean = torch.cat([torch.zeros_like(value, dtype=torch.float64).flatten() for value in like]).detach()
        self._squares = torch.zeros_like(self.mean)

    def add(self, vector: Tensor) -> None:
        """Take in a vector."""
        vector = vector.double()
        self.count += 1
        self.norms += float(vector.norm())
        before = vector - self.mean
        self.mean += before / self.count
        self._squares += before * (vector - self.mean)

    @property
    def variances(self) -> Tensor:
        """Of every coordinate, shape (P,)."""
        return self._squares / (self.count - 1)


@dataclass(frozen=True)
class Reference:
    """An exact or long-run gradient by part, with the variance of its mean, and what it is."""

    gradients: Mapping[str, Tensor]
    variances: Mapping[str, float]
    what: str


class GradientDraws:
    """Gradients of objectives on given rows, as one vector a part."""

    def __init__(self, model: LatentVariableModel, x: Tensor, parts: Parts, generator: torch.Generator | None) -> None:
        self.model, self.x, self.generator = model, x, generator
        self.parts = {name: list(values) for name, values in parts.items() if len(values)}
        self.flat = [value for values in self.parts.values() for value in values]

    def draw(
        self, objectives: Mapping[str, Objective], count: int, repeats: int
    ) -> tuple[dict[str, dict[str, Moments]], dict[str, float]]:
        """Return the moments of the gradients by objective and part, and the cost of one gradient by objective."""
        moments = {n: {part: Moments(values) for part, values in self.parts.items()} for n in objectives}
        costs: dict[str, float] = {}
        for noise in self._noise(count, repeats):
            for name, objective in objectives.items():
                counting = _Counting(self.model)
                with torch.enable_grad():
                    maximand = objective(counting, self.x, num_samples=count, noise=noise).maximand
                    found = self._split(maximand.mean())
                costs[name] = counting.decoded / self.x.shape[0]
                for part, vector in found.items():
                    moments[name][part].add(vector)
        return moments, costs

    def reference(self, source: Bound | LongRun, count: int) -> Reference:
        """Return the gradient that an estimator with L samples should have in the mean."""
        if not isinstance(source, LongRun):
            with torch.enable_grad():
                exact = {n: v.double() for n, v in self._split(source(self.model, self.x, count).mean()).items()}
            return Reference(exact, dict.fromkeys(exact, 0.0), "exact")
        if source.repeats < 2:
            msg = f"a long run must average at least 2 gradients, got {source.repeats}"
            raise ConfigError(msg)
        moments, _ = self.draw({"": source.objective}, count, source.repeats)
        means = {part: moment.mean for part, moment in moments[""].items()}
        errors = {part: float(moment.variances.sum()) / moment.count for part, moment in moments[""].items()}
        return Reference(means, errors, f"reference run of {source.repeats:,} gradients")

    def _noise(self, count: int, repeats: int) -> Iterator[Tensor]:
        with torch.no_grad():
            q = self.model.encoder(self.x)
            shape, like = (count, *q.batch_shape, q.noise_size), q.mean
        device = like.device if self.generator is None else self.generator.device
        for _ in range(repeats):
            drawn = torch.randn(shape, generator=self.generator, dtype=like.dtype, device=device)
            yield drawn.to(like.device)

    def _split(self, value: Tensor) -> dict[str, Tensor]:
        found = iter(torch.autograd.grad(value, self.flat, allow_unused=True))
        return {
            name: torch.cat([_or_zeros(next(found), parameter).flatten() for parameter in values])
            for name, values in self.parts.items()
        }


def _or_zeros(gradient: Tensor | None, parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if gradient is None else gradient


class _Counting:
    """A model that counts the z which its decoder is given."""

    def __init__(self, model: LatentVariableModel) -> None:
        self._model = model
        self.prior, self.encoder = model.prior, model.encoder
        self.decoded = 0

    def decoder(self, z: Tensor) -> torch.distributions.Distribution:
        """Return p(x | z)."""
        self.decoded += z.shape[:-1].numel()
        return self._model.decoder(z)

"""What a fitted variational autoencoder's bound lacks, and why: every ruler on the same rows."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from latentia.errors import ConfigError
from latentia.estimators.base import Array
from latentia.estimators.limits import Whole
from latentia.evaluation import (
    AnnealedEstimates,
    BidirectionalBounds,
    ElboDecomposition,
    Health,
    InferenceGaps,
    Mean,
    PriorEstimates,
    RowNoise,
    annealed_importance_sampling,
    bidirectional_monte_carlo,
    elbo_decomposition,
    estimate_log_prob,
    health,
    inference_gaps,
    prior_monte_carlo,
)
from latentia.training import threads

if TYPE_CHECKING:
    from latentia.estimators.vae import VAE

__all__ = ["Diagnosis", "diagnose", "posterior_health"]

T = TypeVar("T")

# Rows behind the verdict on a latent space: enough to tell a dimension that is used from one that is not.
HEALTH_ROWS = 1000


@dataclass(frozen=True)
class Diagnosis:
    """Every ruler on the same n rows; log-probabilities in nats and in the units passed in.

    Attributes
    ----------
    n
        Number of rows.
    health
        Of the latent space.
    decomposition
        Parts of the evidence lower bound.
    importance
        log p(x) by importance sampling from q(z | x), the mean over the rows: a lower bound in expectation.
    prior
        log p(x) by plain Monte Carlo over the prior: the same, and far lower where the prior's draws miss.
    annealed
        log p(x) by annealed importance sampling: the tightest lower bound of the three where its chains mix.
    gaps
        Between the bounds: what the encoder loses and what its family.
    bidirectional
        Bounds from both sides on rows that the model generates: how far annealing can be off at these settings.
    """

    n: int
    health: Health
    decomposition: ElboDecomposition
    importance: Mean
    prior: PriorEstimates
    annealed: AnnealedEstimates
    gaps: InferenceGaps
    bidirectional: BidirectionalBounds

    def __str__(self) -> str:
        """Say it in lines, ruler by ruler."""
        importance = (
            "importance sampling from q(z | x)\n"
            f"  log p(x)     {self.importance} nats: lower bound in expectation, K = {self.prior.num_samples:,}"
        )
        parts = (self.health, self.decomposition, self.prior, importance, self.annealed, self.bidirectional, self.gaps)
        return "\n\n".join(map(str, parts))

    def to_json(self) -> dict[str, Any]:
        """Return every number but those per row as JSON values."""
        names = ("health", "decomposition", "prior", "annealed", "bidirectional", "gaps")
        content = {name: getattr(self, name).to_json() for name in names}
        return {"n": self.n, "importance": dataclasses.asdict(self.importance), **content}


def diagnose(
    vae: VAE,
    rows: Array,
    *,
    num_samples: int,
    num_chains: int,
    num_temperatures: int,
    num_leapfrog_steps: int,
    progress: Callable[[str], None] | None,
) -> Diagnosis:
    """Put every ruler to rows (n, D) that ``VAE.diagnose`` has checked; see there.

    Raises
    ------
    ConfigError
        For a number out of its range, or a single row, of which no aggregated posterior can be told.
    """
    numbers = {
        "num_samples": (num_samples, Whole(2, 10_000_000)),
        "num_chains": (num_chains, Whole(1, 100_000)),
        "num_temperatures": (num_temperatures, Whole(1, 10_000_000)),
        "num_leapfrog_steps": (num_leapfrog_steps, Whole(1, 100_000)),
    }
    for name, (value, limit) in numbers.items():
        if not limit.allows(value):
            raise ConfigError(f"{name} of diagnose must be {limit}, got {value!r}")
    if len(rows) < 2:
        raise ConfigError("diagnose needs at least 2 rows: a single one has no aggregated posterior")
    say: Callable[[str], None] = progress or (lambda _: None)
    model, stored = vae.module_, vae.preprocessing_.store(rows)
    x = torch.from_numpy(stored).to(vae.device_).to(vae._dtype)

    def streams(purpose: str) -> Callable[[int], torch.Generator]:
        return RowNoise(stored, vae.seed_, f"diagnose/{purpose}").generator

    chains: dict[str, Any] = {
        "num_chains": num_chains,
        "num_temperatures": num_temperatures,
        "num_steps": num_leapfrog_steps,
    }
    with threads(vae.num_threads_):
        say("parts of the ELBO")
        parts = elbo_decomposition(model, x, noise=streams("parts"), num_samples=8)
        say("importance sampling")
        normal = RowNoise(stored, vae.seed_, "evaluate")
        sampled = estimate_log_prob(
            model, x, num_samples=num_samples, noise=lambda i: normal.normal(i, (num_samples, vae._noise_size), x.dtype)
        )
        say("Monte Carlo over the prior")
        with warnings.catch_warnings():  # that it is not to be trusted is said beside its number
            warnings.simplefilter("ignore", UserWarning)
            plain = prior_monte_carlo(model, x, num_samples=num_samples, noise=streams("prior"))
        say("annealed importance sampling")
        annealed = annealed_importance_sampling(model, x, noise=streams("annealed"), **chains)
        say("bounds from both sides on simulated rows")
        both = bidirectional_monte_carlo(model, min(len(rows), 50), seed=vae.seed_, **chains)
        say("inference gaps")
        # Importance sampling from the posterior that was fitted to each row is the best estimate of all of these.
        gaps = inference_gaps(model, x, noise=streams("gaps"), num_samples=num_samples)
    pre = vae.preprocessing_
    shift = pre.log_jacobian(rows)
    prior: Any = model.prior()
    return Diagnosis(
        n=len(rows),
        health=health(
            sampled.posterior_mean,
            sampled.kl,
            prior_stddev=np.asarray(prior.stddev.detach().cpu(), dtype=np.float64),
            history=vae.history_,
            aggregated_gap=None if parts.saturated else Mean.of(parts.marginal_kl),
        ),
        decomposition=_shifted(parts, shift, "reconstruction"),
        importance=Mean.of(sampled.log_prob + shift),
        prior=_shifted(plain, shift, "log_prob"),
        annealed=_shifted(annealed, shift, "log_prob"),
        gaps=_shifted(gaps, shift, "amortised", "diagonal", "full", "log_prob"),
        bidirectional=_shifted(
            both, pre.log_jacobian(pre.restore(both.rows).reshape(len(both.rows), -1)), "lower", "upper"
        ),
    )


def _shifted(result: T, shift: float | Array, *names: str) -> T:
    """Return the result in the units passed in: a change of units adds the same to every log-density of a row."""
    changes: dict[str, Any] = {name: getattr(result, name) + shift for name in names}
    shifted: T = dataclasses.replace(result, **changes)  # type: ignore[type-var]  # every ruler's result is a dataclass
    return shifted


@torch.inference_mode()
def posterior_health(vae: VAE, rows: Array) -> Health:
    """Judge the latent space of a module that has just been trained.

    Parameters
    ----------
    vae
        With its module and its history.
    rows
        Stored training rows, shape (N, *E), of which the first are looked at.
    """
    from latentia.objectives import kl_terms

    model = vae.module_
    x = vae.preprocessing_.batch(torch.from_numpy(rows[:HEALTH_ROWS]), _half(vae, rows), vae._dtype).to(vae.device_)
    q, p = model.encoder(x), model.prior()
    generator = torch.Generator().manual_seed(vae.seed_)
    noise = torch.randn(16, len(x), vae._noise_size, generator=generator, dtype=vae._dtype).to(vae.device_)
    kl = kl_terms(q, p, q.rsample_from(noise))
    return health(q.mean.cpu().numpy(), kl.cpu().numpy(), prior_stddev=p.stddev.cpu().numpy(), history=vae.history_)


def _half(vae: VAE, rows: Array) -> torch.Tensor | None:
    """Return the noise that binarises grey values at one half, where binarisation is dynamic."""
    kind = vae.preprocessing_.noise_kind
    if kind is None:
        return None
    shape = (min(len(rows), HEALTH_ROWS), *vae.event_shape_)
    return torch.full(shape, 127, dtype=torch.uint8) if kind == "bytes255" else torch.full(shape, 0.5)

"""Gradient diagnostics of an estimator: which objectives, which rows, which noise, and models before their training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from latentia.errors import ConfigError
from latentia.estimators.base import Array
from latentia.estimators.limits import Whole
from latentia.estimators.networks import building
from latentia.estimators.vae import VAE
from latentia.estimators.vae_module import start_at_data
from latentia.estimators.vae_run import RunMode
from latentia.evaluation import (
    GradientRow,
    GradientTable,
    LongRun,
    elbo_estimators,
    gradient_diagnostics,
    iwae_estimators,
)
from latentia.objectives import elbo, iwae
from latentia.training import TrainingResult, threads

__all__ = ["gradients", "untrained"]


def gradients(
    vae: VAE,
    X: Any,
    *,
    sample_counts: Sequence[int] = (1, 2, 4, 8, 16),
    repeats: int = 200,
    progress: Callable[[str], None] | None = None,
) -> GradientTable:
    """Measure estimators of the gradients of the ELBO and of the importance-weighted bound, as a batch of rows has it.

    The bias is measured against an independent run of as many gradients of the plain estimator of the same bound.

    Parameters
    ----------
    vae
        Fitted, or ``untrained``; its weights are not moved.
    X
        The rows of the batch, in any of the forms that ``fit`` takes; at least 2, for a baseline from the other rows.
    sample_counts
        Every L ≥ 1 (K of the importance-weighted bound).
    repeats
        Gradients of each, at least 2.
    progress
        Called with what is measured next.

    Returns
    -------
    GradientTable
        Bias, variance and signal-to-noise ratio by estimator, number of samples and part of the model.

    Raises
    ------
    ConfigError
        For a number out of its range, or a single row.

    Examples
    --------
    >>> import latentia as lt
    >>> digits = lt.data.load("digits")
    >>> vae = untrained({"latent_dim": 2, "random_state": 0}, digits.train)
    >>> table = gradients(vae, digits.train.x[:8], sample_counts=(1,), repeats=20)
    >>> path, score, *_ = table.select(part="encoder")
    >>> path.estimator, score.estimator, score.variance > 100 * path.variance
    ('reparameterised', 'score function', True)
    """
    for name, values, least in (("samples", sample_counts, 1), ("repeats", (repeats,), 2)):
        limit = Whole(least, 1_000_000)
        if not values or not all(map(limit.allows, values)):
            raise ConfigError(f"{name} of gradients must be {limit}, got {', '.join(map(repr, values)) or 'none'}")
    rows = vae._rows(X)
    if len(rows) < 2:
        raise ConfigError("gradients need at least 2 rows: one baseline is taken over the other rows of the batch")
    x = torch.from_numpy(vae.preprocessing_.store(rows)).to(vae.device_).to(vae._dtype)
    generator = torch.Generator().manual_seed(vae.seed_)
    estimators = {**elbo_estimators(LongRun(elbo, repeats)), **iwae_estimators(LongRun(iwae, repeats))}
    found: list[GradientRow] = []
    with threads(vae.num_threads_):
        for count in sorted(set(sample_counts)):
            if progress is not None:
                progress(f"{count:,} {'sample' if count == 1 else 'samples'}")
            found += gradient_diagnostics(
                vae.module_, x, estimators, sample_counts=(count,), repeats=repeats, generator=generator
            ).rows
    places = list(estimators)
    found.sort(key=lambda row: (places.index(row.estimator), row.num_samples))
    return GradientTable(tuple(found), repeats, len(rows))


class _Untrained(VAE):
    """A variational autoencoder whose fit ends where training would begin."""

    def _train(
        self, rows: Array, valid: Array | None, micro_batch_size: int | None, run_mode: RunMode
    ) -> TrainingResult:
        with building(self.seed_):
            self.module_ = self._build(self._spec())
        start_at_data(self, rows)
        self.module_.to(self.device_).eval()
        return TrainingResult(
            history=[], epochs=0, steps=0, best_epoch=None, best_value=None, weights_epoch=0, skipped_steps=0,
            stopped="max_epochs", interrupted=None, num_threads=self.num_threads_, seconds=0.0,
        )  # fmt: skip


_Untrained.__name__ = VAE.__name__  # what its errors say


def untrained(settings: Mapping[str, Any], X: Any) -> VAE:
    """Return a variational autoencoder with the weights that training on these rows would begin with.

    Parameters
    ----------
    settings
        Arguments of ``VAE``.
    X
        Rows in any of the forms that ``fit`` takes.
    """
    vae: VAE = _Untrained(**settings).fit(X)
    return vae

"""How a fitted variational autoencoder uses its latent space: health, and the parts of its bound, in a second or so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from latentia.evaluation import ElboDecomposition, Health, Mean, RowNoise, elbo_decomposition, health
from latentia.objectives import kl_terms
from latentia.training import threads

if TYPE_CHECKING:
    from latentia.estimators.vae import VAE

__all__ = ["LatentSpace", "latent_space"]

# The aggregated posterior is made of all pairs of rows: more of them cost their square.
MOST_ROWS = 1000
ROWS_PER_CALL = 256
SAMPLES = 8  # of z for each row, where the divergence has no closed form


@dataclass(frozen=True)
class LatentSpace:
    """What is known of a latent space from n rows.

    Attributes
    ----------
    n
        Number of rows.
    health
        Which dimensions are used, and whether the posterior has collapsed.
    parts
        Of the evidence lower bound, in the units passed in.
    """

    n: int
    health: Health
    parts: ElboDecomposition


def latent_space(vae: VAE, X: Any) -> LatentSpace:
    """Look at the latent space with the first rows, a thousand at most.

    Deterministic: the noise of a row depends on the estimator's seed and on the row alone.

    Parameters
    ----------
    vae
        Fitted.
    X
        Rows in any of the forms that ``fit`` takes.

    Examples
    --------
    >>> import latentia as lt
    >>> digits = lt.data.load("digits")
    >>> vae = lt.VAE(latent_dim=2, max_epochs=1, random_state=0).fit(digits.train)
    >>> space = latent_space(vae, digits.test.x)
    >>> space.n, space.health.latent_dim
    (180, 2)
    """
    rows = vae._rows(X)[:MOST_ROWS]
    stored, model = vae.preprocessing_.store(rows), vae.module_
    x = torch.from_numpy(stored).to(vae.device_).to(vae._dtype)
    noise = RowNoise(stored, vae.seed_, "latent space")
    means, costs = [], []
    with threads(vae.num_threads_), torch.inference_mode():
        prior: Any = model.prior()
        for first in range(0, len(x), ROWS_PER_CALL):
            q: Any = model.encoder(x[first : first + ROWS_PER_CALL])
            drawn = [noise.normal(first + i, (SAMPLES, q.noise_size), x.dtype) for i in range(len(q.mean))]
            z = q.rsample_from(torch.stack(drawn, 1).to(x.device))
            means.append(q.mean.double().cpu().numpy())
            costs.append(kl_terms(q, prior, z).double().cpu().numpy())
        parts = elbo_decomposition(model, x, noise=noise.generator)
        spread = prior.stddev.double().cpu().numpy()
    shift = vae.preprocessing_.log_jacobian(rows)
    verdict = health(
        np.concatenate(means),
        np.concatenate(costs),
        prior_stddev=spread,
        history=vae.history_,
        aggregated_gap=None if parts.saturated else Mean.of(parts.marginal_kl),
    )
    return LatentSpace(len(rows), verdict, replace(parts, reconstruction=parts.reconstruction + shift))

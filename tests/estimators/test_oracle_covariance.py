"""Correlated errors: what one latent dimension cannot carry, Σθ(z) can, up to the exact Gaussian's log p(x)."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tests.estimators.cases import vae


@pytest.mark.filterwarnings("ignore:posterior collapse")  # rightly: Σ leaves nothing for z to say
def test_a_covariance_of_the_likelihood_reaches_the_gaussian_of_the_data() -> None:
    """Neighbours among six columns have the correlation −0.8, which a diagonal Σ and one number z cannot say."""
    covariance = (-0.8) ** np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    law = scipy.stats.multivariate_normal(np.zeros(6), covariance)
    train, test = law.rvs(1200, random_state=0), law.rvs(500, random_state=1)
    settings = {"latent_dim": 1, "max_epochs": 25, "learning_rate": 1e-2, "num_importance_samples": 32}
    names = ("gaussian", "gaussian_full", "gaussian_low_rank:rank=5")
    found = {name: vae(likelihood=name, **settings).fit(train).score(test) for name in names}
    best = law.logpdf(test).mean()
    assert best - 0.15 < found["gaussian_full"] < best + 0.02
    assert best - 0.15 < found["gaussian_low_rank:rank=5"] < best + 0.02
    assert found["gaussian"] < best - 0.5

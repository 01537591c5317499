"""Probabilistic PCA behind scikit-learn's verbs: closed form, exact posterior, exact log p(x)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from latentia.data import Support
from latentia.errors import ConfigError, warn
from latentia.estimators.base import Array, LatentEstimator
from latentia.estimators.limits import Choice, Limit, Whole
from latentia.estimators.preprocessing import Preprocessing
from latentia.evaluation import DEQUANTISED, EXACT, Evaluation, exact_evaluation
from latentia.models import PPCA as PPCAModel  # noqa: N811 - the model and its estimator share a name

__all__ = ["PPCA"]

# Smallest noise variance as a share of the mean variance of the columns.
_FLOOR = 1e-10


class PPCA(LatentEstimator):
    r"""Probabilistic principal component analysis.

    .. math:: z \sim N(0, I), \qquad x \mid z \sim N(W z + \mu, \sigma^2 I)

    Fitted in closed form in double precision (Tipping and Bishop 1999). On discrete data the model is fitted to
    x + U(0, 1), in expectation, and ``score_samples`` gives a lower bound on the log-mass, E log p(x + u), so that it
    can stand beside models of masses. Shapes: n rows, E the shape of one item, D numbers; L latent dimensions; nats.

    Parameters
    ----------
    latent_dim
        Number of latent dimensions L. From D on the model is the full-covariance Gaussian.
    support
        What values the data can take, such as "levels:256" or "real"; None to tell from the data set or the array.
    binarize
        None, "static", "dynamic" (the same here) or "threshold", as for ``VAE``.
    random_state
        Seed of ``sample`` and of the binarisation.

    Examples
    --------
    >>> import numpy as np
    >>> import latentia as lt
    >>> x = np.random.default_rng(0).normal(size=(200, 3)) @ np.diag([3.0, 1.0, 1.0])
    >>> ppca = lt.PPCA(latent_dim=1).fit(x)
    >>> ppca.transform(x).shape
    (200, 1)
    """

    _citations: ClassVar[tuple[str, ...]] = ("tipping1999",)
    _limits: ClassVar[Mapping[str, Limit]] = {
        "latent_dim": Whole(1, 100_000),
        "binarize": Choice(("static", "dynamic", "threshold"), optional=True),
    }
    module_: PPCAModel

    def __init__(
        self,
        *,
        latent_dim: int = 2,
        support: str | None = None,
        binarize: str | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.support = support
        self.binarize = binarize
        self.random_state = random_state

    def _fit_rows(self, rows: Array, valid: Array | None) -> None:
        if self.support_.columns is not None:
            raise ConfigError(
                f"PPCA gives one Gaussian to all columns, but the data are a table of the kinds '{self.support_}': "
                "choose VAE, or pass support='real' to take every column as a real number"
            )
        # Learned only for its check that squares do not overflow.
        Preprocessing.fit(rows, Support("real"), (rows.shape[1],), None, self.seed_, "float64", self._names())
        # Isotropic noise has a meaning only in the units passed in: nothing is standardised.
        self.preprocessing_ = Preprocessing(self.support_, self.event_shape_, self._binarizing(), self.seed_)
        self.device_, self.num_threads_ = torch.device("cpu"), torch.get_num_threads()
        x = torch.from_numpy(self.preprocessing_.store(rows)).flatten(1).double()
        cell, shift = (1.0 / 12.0, 0.5) if self._discrete_dims else (0.0, 0.0)
        # Rows in a subspace would have no noise and an infinite density.
        floor = max(1e-12, _FLOOR * float(x.var(0, correction=0).mean()))
        model = PPCAModel.fit(x, self._latents, cell_variance=cell, min_variance=floor)
        if float(model.noise_variance) <= floor:
            warn(
                f"the rows lie in a subspace: the noise variance is held at its floor of {floor:.3g}, and log p(x) "
                "depends on it"
            )
        self.module_ = PPCAModel(model.mean + shift, model.weight, model.noise_variance)
        self.noise_variance_ = float(model.noise_variance)
        self.likelihood_name_ = "gaussian_shared"
        self.history_: list[dict[str, Any]] = []

    def _spec(self) -> dict[str, Any]:
        return {}  # the shape of the items and latent_dim say it all

    def _build(self, spec: Mapping[str, Any]) -> nn.Module:
        d = math.prod(self.event_shape_)
        mean = torch.zeros(d, dtype=torch.float64)
        return PPCAModel(mean, torch.zeros(d, self._latents, dtype=torch.float64), 1.0)

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q = self.module_.encoder(self._centred(x))
        return q.mean, q.stddev

    def _decode(self, z: Tensor) -> Tensor:
        return self.module_.decoder(z).mean - self._shift

    def _sample_rows(self, n: int, generator: torch.Generator) -> Tensor:
        x = self.module_.sample(n, generator)
        # A draw of x + u lies in the cell above x; the Gaussian's tails reach beyond the levels.
        support = self.preprocessing_.model_support
        top = None if support.kind == "count" else (support.levels or 2) - 1
        return x.floor().clamp(0, top) if self._discrete_dims else x

    def _evaluate_rows(
        self, rows: Array, num_samples: int | None, precision: str, progress: Callable[[int], None] | None
    ) -> Evaluation:
        model = self.module_
        function = model.dequantised_bound if self._discrete_dims else model.log_prob
        log_prob = self._map(lambda x: function(x.flatten(1)), rows, (), np.float64)
        return exact_evaluation(
            type(self).__name__,
            self.likelihood_name_,
            log_prob,
            kind=DEQUANTISED if self._discrete_dims else EXACT,
            num_parameters=self.num_parameters_,
            discrete_dims=self._discrete_dims,
        )

    @property
    def _shift(self) -> float:
        """Middle of a cell of discrete data, where the expected x + u lies."""
        return 0.5 if self._discrete_dims else 0.0

    def _centred(self, x: Tensor) -> Tensor:
        return x.flatten(1) + self._shift

"""The baseline without a latent variable, behind scikit-learn's verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from latentia.errors import ConfigError
from latentia.estimators.base import Array, GenerativeEstimator
from latentia.estimators.choices import Named
from latentia.estimators.likelihoods import LikelihoodChoice
from latentia.estimators.limits import Choice, Limit
from latentia.estimators.preprocessing import Preprocessing, warn_of_constants
from latentia.evaluation import EXACT, Evaluation, exact_evaluation
from latentia.models import IndependentPixels as IndependentPixelsModel
from latentia.networks import Constant

__all__ = ["IndependentPixels"]


class IndependentPixels(GenerativeEstimator):
    r"""A product of one distribution per element: the baseline that a latent-variable model has to beat.

    .. math:: p(x) = \prod_{i=1}^{D} p(x_i)

    Fitted by maximum likelihood with counts smoothed by one, in double precision; log p(x) is exact. Shapes: n rows, E
    the shape of one item, D numbers; nats.

    Parameters
    ----------
    likelihood
        "auto" (by the data's support) or any likelihood that ``VAE`` takes.
    support
        What values the data can take, such as "levels:256" or "real"; None to tell from the data set or the array.
    binarize
        None, "static", "dynamic" (the same here) or "threshold", as for ``VAE``.
    random_state
        Seed of ``sample`` and of the binarisation.

    Examples
    --------
    >>> import latentia as lt
    >>> digits = lt.data.load("digits")
    >>> baseline = lt.IndependentPixels().fit(digits.train)
    >>> baseline.sample(3).shape
    (3, 8, 8)
    """

    _limits: ClassVar[Mapping[str, Limit]] = {
        "likelihood": Named(LikelihoodChoice),
        "binarize": Choice(("static", "dynamic", "threshold"), optional=True),
    }
    module_: IndependentPixelsModel

    def __init__(
        self,
        *,
        likelihood: str | LikelihoodChoice = "auto",
        support: str | None = None,
        binarize: str | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.likelihood = likelihood
        self.support = support
        self.binarize = binarize
        self.random_state = random_state

    def _fit_rows(self, rows: Array, valid: Array | None) -> None:
        self._resolve_likelihood(rows)
        if self.likelihood_.correlates:
            raise ConfigError(
                f"IndependentPixels has independent elements, which a {self.likelihood_.name} likelihood has not: "
                "choose 'gaussian', or PPCA or VAE for elements that depend on each other"
            )
        self.preprocessing_ = Preprocessing.fit(
            rows,
            self.support_,
            self.event_shape_,
            self._binarizing(),
            self.seed_,
            "float64",
            self._names(),
            self.likelihood_.units(self.support_),
        )
        self.device_, self.num_threads_ = torch.device("cpu"), torch.get_num_threads()
        module, stored = self._build(self._spec()), self.preprocessing_.store(rows)
        module.fit(torch.from_numpy(stored))
        self.module_ = module
        if floor := self.likelihood_.floor:
            warn_of_constants(self.preprocessing_, stored, floor, self._names())
        self.history_: list[dict[str, Any]] = []

    def _spec(self) -> dict[str, Any]:
        return {"likelihood": self.likelihood_.to_json()}

    def _build(self, spec: Mapping[str, Any]) -> IndependentPixelsModel:
        choice = LikelihoodChoice.from_json(spec["likelihood"])
        support, shape = self.preprocessing_.model_support, self.event_shape_
        network: nn.Module = Constant(choice.outputs(support, shape))
        return IndependentPixelsModel(choice.build(network, shape, support)).double()

    def _sample_rows(self, n: int, generator: torch.Generator) -> Tensor:
        return self.module_.sample(n, generator)

    def _evaluate_rows(
        self, rows: Array, num_samples: int | None, precision: str, progress: Callable[[int], None] | None
    ) -> Evaluation:
        log_prob = self._map(self.module_.log_prob, rows, (), np.float64)
        return exact_evaluation(
            type(self).__name__,
            self.likelihood_name_,
            log_prob + self.preprocessing_.log_jacobian(rows),
            kind=EXACT,
            num_parameters=self.num_parameters_,
            discrete_dims=self._discrete_dims,
        )

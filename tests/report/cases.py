"""Fitted estimators whose every answer is known, and data to show."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentia.data import Info, Split, Support
from latentia.evaluation import Evaluation

Floats = NDArray[np.float64]


def evaluation(**values: Any) -> Evaluation:
    """Make an evaluation of a VAE with two latent dimensions, changed as asked."""
    settings: dict[str, Any] = {
        "name": "VAE",
        "likelihood": "binomial",
        "n": 4,
        "kind": "importance-weighted lower bound",
        "log_prob": -61.2345,
        "standard_error": 0.3456,
        "num_parameters": 54_468,
        "num_samples": 128,
    }
    return Evaluation(**{**settings, **values})


class Flat:
    """A fitted density without a latent space: log p(x) is minus the sum of the values."""

    def __init__(self, event_shape: tuple[int, ...], support: Support, info: dict[str, Any] | None = None) -> None:
        self.event_shape_ = event_shape
        self.support_ = support
        self.info_ = info or {}
        self.seed_ = 7
        self.likelihood_name_ = "bernoulli"
        self.history_: list[dict[str, Any]] = []

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"support": str(self.support_)}

    def sample(self, n: int, random_state: int | None = None) -> NDArray[Any]:
        top = 1.0 if self.support_.levels is None else self.support_.levels - 1.0
        drawn = np.random.default_rng(random_state).random((n, *self.event_shape_)) * top
        return drawn if self.support_.kind in ("real", "unit", "positive") else np.round(drawn).astype(np.uint8)

    def score_samples(self, x: NDArray[Any], /) -> Floats:
        total: Floats = x.reshape(len(x), -1).sum(axis=1, dtype=np.float64)
        return -total

    def evaluate(self, x: NDArray[Any], /) -> Evaluation:
        values = self.score_samples(x)
        return evaluation(
            name=type(self).__name__,
            n=len(x),
            kind="exact",
            num_samples=None,
            log_prob=float(values.mean()),
            per_row=values,
        )


class Linear(Flat):
    """A fitted model with a latent space: codes are the first L values of an item times ten."""

    def __init__(
        self, event_shape: tuple[int, ...], support: Support, latent_dim: int = 2, info: dict[str, Any] | None = None
    ) -> None:
        super().__init__(event_shape, support, info)
        self.latent_dim = latent_dim
        self.history_ = [
            {
                "epoch": epoch,
                "step": 10 * epoch,
                "train": {"elbo": -100.0 / epoch, "reconstruction": -90.0 / epoch, "kl": [6.0 / epoch, 4.0 / epoch]},
                "valid": {
                    "elbo": -110.0 / epoch - 4.0 * (epoch > 3),
                    "reconstruction": -95.0 / epoch,
                    "kl": [1.0, 2.0],
                },
            }
            for epoch in range(1, 6)
        ]

    def transform(self, x: NDArray[Any], /) -> Floats:
        return 10.0 * x.reshape(len(x), -1)[:, : self.latent_dim].astype(np.float64)

    def inverse_transform(self, z: NDArray[Any], /) -> Floats:
        flat = np.zeros((len(z), int(np.prod(self.event_shape_))))
        flat[:, : self.latent_dim] = z / 10.0
        return flat.reshape(len(z), *self.event_shape_)

    def reconstruct(self, x: NDArray[Any], /) -> Floats:
        return self.inverse_transform(self.transform(x))

    def evaluate(self, x: NDArray[Any], /) -> Evaluation:
        values = self.score_samples(x)
        return evaluation(
            name=type(self).__name__,
            n=len(x),
            log_prob=float(values.mean()),
            per_row=values,
            elbo=float(values.mean()) - 1.0,
            rate=3.0,
            distortion=1.0,
            kl_per_dimension=[float(d + 1) for d in range(self.latent_dim)],
            active_units=self.latent_dim,
        )


GREY = Support("levels", 17)


def grey_split(n: int = 40, info: dict[str, Any] | None = None) -> Split:
    """Make `n` grey images of 4 × 4 in three classes, every row different."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 17, size=(n, 4, 4)).astype(np.uint8)
    known: dict[str, Any] = {"name": "toy", "class_names": ("a", "b", "c"), "licence": "CC0", "fingerprint": "f" * 64}
    return Split(x, np.arange(n) % 3, Info(event_shape=(4, 4), support=GREY, **{**known, **(info or {})}), "test")


def table_split(n: int = 40) -> Split:
    """Make `n` rows of a table with five columns of reals, one of them constant."""
    x = np.random.default_rng(1).normal(size=(n, 5)) * [1, 10, 0, 1, 1] + [0, 5, 3, 0, 0]
    return Split(x, None, Info("table", (5,), Support("real")), "test")

"""Fitted estimators whose every answer is known, and data to show."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentia.data import Info, Split, Support
from latentia.evaluation import Evaluation, GradientRow, GradientTable
from latentia.report.diagnosis import Found, read

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


def diagnosis(**changes: dict[str, Any]) -> dict[str, Any]:
    """Make a diagnosis of four rows as it stands in a run folder, changed as asked: log p(x) is −100 in the mean."""
    content: dict[str, Any] = {
        "rows": "4 of the 9 test rows of toy, chosen with seed 0",
        "n": 4,
        "prior": {"num_samples": 50, "log_prob": -140.0, "log_prob_standard_error": 3.0, "untrusted": 3,
                  "below": 40.0, "below_standard_error": 2.0},
        "importance": {"num_samples": 50, "log_prob": -100.25, "log_prob_standard_error": 2.0,
                       "effective_sample_size": 8.0, "below": 0.25, "below_standard_error": 0.05},
        "annealed": {"num_chains": 2, "num_temperatures": 10, "log_prob": -100.5, "log_prob_standard_error": 2.0,
                     "below": 0.5, "below_standard_error": 0.125},
        "gaps": {
            "family": "diagonal", "log_prob": -100.0, "log_prob_standard_error": 2.0,
            "amortised": -103.0, "amortised_standard_error": 2.5,
            "inference_gap": 3.0, "inference_gap_standard_error": 0.5,
            "amortisation_gap": 2.0, "amortisation_gap_standard_error": 0.25,
            "diagonal": -101.0, "diagonal_standard_error": 2.0,
            "approximation_gap_diagonal": 1.0, "approximation_gap_diagonal_standard_error": 0.125,
            "full": -100.75, "full_standard_error": 2.0,
            "approximation_gap_full": 0.75, "approximation_gap_full_standard_error": 0.125,
        },
        "bidirectional": {"n": 5, "lower": -90.25, "lower_standard_error": 1.0, "upper": -90.0,
                          "upper_standard_error": 1.0, "gap": 0.25, "gap_standard_error": 0.0625},
        "decomposition": {
            "elbo": -103.0, "elbo_standard_error": 2.5, "reconstruction": -95.0, "reconstruction_standard_error": 2.0,
            "mutual_information": 0.75, "mutual_information_standard_error": 0.125,
            "marginal_kl": 7.25, "marginal_kl_standard_error": 0.25,
            "total_correlation": 6.0, "total_correlation_standard_error": 0.25,
            "dimension_wise_kl": 1.25, "dimension_wise_kl_standard_error": 0.125, "saturated": False,
        },
    }  # fmt: skip
    return {name: {**value, **changes[name]} if name in changes else value for name, value in content.items()}


def found(**changes: dict[str, Any]) -> Found:
    """Make a diagnosis to be shown, changed as asked."""
    return read(diagnosis(**changes))


def gradient_table(*, bias: float = 1.0) -> GradientTable:
    """Make a table of gradients of an encoder: variances 1/L and 1000/L, leave one out 10/L from two samples on."""
    scales = {"reparameterised": 1.0, "score function": 1000.0, "score function, leave one out": 10.0}
    rows = [
        GradientRow(
            estimator=name,
            num_samples=count,
            part="encoder",
            num_parameters=3,
            norm=2.0,
            mean_norm=3.0,
            variance=scale / count,
            signal_to_noise=count / scale,
            bias=bias * scale,
            bias_error=scale,
            reference="exact",
            decoder_evaluations=float(count),
        )
        for name, scale in scales.items()
        for count in (1, 2, 4)
        if count > 1 or name != "score function, leave one out"
    ]
    return GradientTable(tuple(rows), 100, 8)

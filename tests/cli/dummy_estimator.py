"""An estimator that the command line has never heard of: a Gaussian with one mean and one deviation for everything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from latentia import storage
from latentia.evaluation import Evaluation

if TYPE_CHECKING:
    from torch.nn import Module as Network  # a name that exists for type checkers only

Width = int | tuple[int, ...]
Array = NDArray[Any]


class SharedMeaning:
    """What several dummies share.

    Parameters
    ----------
    strength : float
        How hard it tries. Between 0 and 1.
    """


class Dummy(SharedMeaning):
    """One Gaussian for everything.

    A longer story, which is not help for any setting.

    Parameters
    ----------
    latent_dim
        Number of latent dimensions,
        at least 1.

        A second paragraph that help leaves out.
    network : {"auto", "mlp"} or Network
        What computes, see :class:`Network` and ``"mlp"``.
    binarize, kind
        One sentence for two.
    width
        Hidden units.
    shuffle
        Whether to shuffle.

    Attributes
    ----------
    mean_
        Not a setting.
    """

    def __init__(
        self,
        *,
        latent_dim: int = 2,
        strength: float = 0.5,
        network: str | Network = "auto",
        binarize: str | None = None,
        kind: Literal["a", "b"] = "a",
        width: Width = (64, 32),
        rates: Sequence[float] | None = None,
        shuffle: bool = True,
        model: Network | None = None,
        run_dir: str | None = None,
        random_state: int | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.strength = strength
        self.network = network
        self.binarize = binarize
        self.kind = kind
        self.width = width
        self.rates = rates
        self.shuffle = shuffle
        self.model = model
        self.run_dir = run_dir
        self.random_state = random_state

    def fit(self, X: Any) -> Self:
        self.mean_, self.sd_ = float(X.x.mean()), float(X.x.std())
        self.event_shape_, self.support_ = X.x.shape[1:], X.info.support
        self.likelihood_name_ = "gaussian"
        return self

    def evaluate(
        self,
        X: Any,
        *,
        num_samples: int | None = None,
        precision: str = "float32",
        progress: Callable[[int], None] | None = None,
    ) -> Evaluation:
        z = (np.asarray(X, dtype=float) - self.mean_) / self.sd_
        rows = (-0.5 * z**2 - math.log(self.sd_) - 0.5 * math.log(2 * math.pi)).reshape(len(z), -1).sum(1)
        error = float(rows.std(ddof=1)) / math.sqrt(len(rows))
        return Evaluation(
            "Dummy", "gaussian", len(rows), "exact", float(rows.mean()), error, 2, num_samples=num_samples, per_row=rows
        )

    def save(self, path: str | Path) -> None:
        settings = f'{{"estimator": "Dummy", "latent_dim": {self.latent_dim}}}'
        storage.write_files(path, {"config.json": settings.encode(), "README.md": b"# Dummy\n"})


class Refusing(Dummy):
    """A dummy that no data suit."""

    def __init__(self, *, sentence: str = "no", error: str = "ValueError") -> None:
        super().__init__()
        self.sentence = sentence
        self.error = error

    def fit(self, X: Any) -> Self:
        import builtins

        from latentia import errors

        if self.error == "Interrupted":
            raise errors.Interrupted(self.sentence, 75)
        raise (getattr(errors, self.error, None) or getattr(builtins, self.error))(self.sentence)


class Needy(Dummy):
    """A dummy with a setting that has no default."""

    def __init__(self, *, target: float) -> None:
        super().__init__()
        self.target = target

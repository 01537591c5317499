"""What the plots and the page need of a fitted estimator, and how they ask for what not every estimator has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from latentia.errors import ConfigError, DataError
from latentia.report.text import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from latentia.data import Support
    from latentia.evaluation import Evaluation

    Floats = NDArray[np.float64]
    Array = NDArray[Any]

__all__ = [
    "Encoder",
    "Fitted",
    "Row",
    "as_fitted",
    "drawn_support",
    "history_of",
    "info_of",
    "is_encoder",
    "name_of",
    "require_encoder",
    "require_fitted",
    "require_rows",
]

Row = Mapping[str, Any]  # one epoch of the history, as in metrics.jsonl


class Fitted(Protocol):
    """Any fitted estimator."""

    @property
    def event_shape_(self) -> tuple[int, ...]:
        """The shape of one item at the door: (H, W), (H, W, C) or (D,)."""

    @property
    def support_(self) -> Support:
        """Where the data's values lie."""

    def sample(self, n: int, random_state: int | None = None) -> Array:
        """Draw (n, *event) items."""

    def score_samples(self, x: Any, /) -> Floats:
        """Give log p(x) of every row, (n,), nats."""

    def evaluate(self, x: Any, /) -> Evaluation:
        """Give every number there is about these rows."""


class Encoder(Fitted, Protocol):
    """A fitted estimator that has a latent space."""

    @property
    def latent_dim(self) -> int:
        """L."""

    def transform(self, x: Any, /) -> Array:
        """Give the posterior means, (n, L)."""

    def inverse_transform(self, z: Any, /) -> Array:
        """Give the likelihood means, (n, *event)."""

    def reconstruct(self, x: Any, /) -> Array:
        """Both in one, (n, *event)."""


def name_of(fitted: object) -> str:
    """Return the name of the estimator's class, as it stands in every table."""
    return type(fitted).__name__


def require_fitted(fitted: object) -> None:
    """Raise scikit-learn's `NotFittedError` for an estimator that has seen no data."""
    if not hasattr(fitted, "event_shape_"):
        from sklearn.exceptions import NotFittedError

        raise NotFittedError(
            f"This {name_of(fitted)} instance is not fitted yet. Call 'fit' with appropriate arguments before "
            "drawing or reporting it."
        )


def is_encoder(fitted: Fitted) -> TypeGuard[Encoder]:
    """Say whether this estimator has a latent space to show."""
    return getattr(fitted, "latent_dim", None) is not None and hasattr(fitted, "inverse_transform")


def require_encoder(fitted: Fitted, plot: str) -> Encoder:
    """Return the estimator if it has a latent space, else say which plot needs one."""
    require_fitted(fitted)
    if not is_encoder(fitted):
        raise ConfigError(f"{plot} shows a latent space and {name_of(fitted)} has none: use a VAE or PPCA")
    return fitted


def require_rows(fitted: Fitted, x: Any, plot: str) -> Array:
    """Return `x` as an array (n, *event) with at least one row of the shape that was fitted."""
    import numpy as np

    require_fitted(fitted)
    rows = x.x if hasattr(x, "info") and hasattr(x, "x") else x
    names = getattr(fitted, "feature_names_in_", None)
    columns = getattr(rows, "columns", None)
    if names is not None and columns is not None and list(columns) != list(names):
        raise DataError(
            f"{plot} needs the columns that {name_of(fitted)} was fitted to, in their order: "
            f"{clean(list(names))}, got {clean(list(columns))}"
        )
    array = np.asarray(rows)
    if array.ndim < 1 or len(array) == 0 or array.shape[1:] != tuple(fitted.event_shape_):
        wanted = ", ".join(["n", *map(str, fitted.event_shape_)])
        raise DataError(f"{plot} needs at least one row, shape ({wanted}): got {array.shape}")
    return array


def as_fitted(fitted: Fitted, x: Array) -> Any:
    """Return rows as the verbs want them: with the column names of the table that was fitted, if it was one."""
    names = getattr(fitted, "feature_names_in_", None)
    if names is None:
        return x
    try:
        import pandas as pd
    except ImportError:  # names came from another library's table; scikit-learn only warns without them
        return x
    return pd.DataFrame(x, columns=list(names))


def drawn_support(fitted: Fitted) -> Support:
    """Return where samples and reconstructions lie: not where the data do if grey values were made binary."""
    support: Support = getattr(getattr(fitted, "preprocessing_", None), "model_support", fitted.support_)
    return support


def history_of(fitted: object) -> Sequence[Row]:
    """Return one row per epoch; nothing for closed forms."""
    history: Sequence[Row] = getattr(fitted, "history_", None) or ()
    return history


def info_of(fitted: object) -> Mapping[str, Any]:
    """Return what is known of the data that the estimator was fitted to."""
    info: Mapping[str, Any] = getattr(fitted, "info_", None) or {}
    return info

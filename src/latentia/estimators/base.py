"""The friendly door: what every estimator shares. Scikit-learn's conventions outside, torch inside.

Letters: n rows, E the shape of one item (D numbers), L latent dimensions.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from latentia.data import Support
from latentia.errors import ConfigError, DataError, DivergedError, Interrupted
from latentia.estimators.inputs import checked_rows, describe_data, unpack
from latentia.estimators.likelihoods import LikelihoodChoice, resolve
from latentia.estimators.limits import Limit, Whole, check_parameters
from latentia.estimators.preprocessing import Preprocessing
from latentia.estimators.sampling import blocks, seed_of
from latentia.evaluation import Evaluation, map_rows
from latentia.training import threads

__all__ = ["Array", "GenerativeEstimator", "LatentEstimator", "Posterior"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

# How many numbers are converted and moved to the device at a time: 16 MB in double precision.
NUMBERS_PER_BLOCK = 1 << 21


class Posterior(NamedTuple):
    """Moments of q(z | x), each of shape (n, L)."""

    mean: Array
    sd: Array


class GenerativeEstimator(BaseEstimator, abc.ABC):  # type: ignore[misc]  # scikit-learn has no stubs
    """A density over items that can be fitted, sampled and scored."""

    _limits: ClassVar[Mapping[str, Limit]] = {}
    _citations: ClassVar[tuple[str, ...]] = ()

    support_: Support
    event_shape_: tuple[int, ...]
    preprocessing_: Preprocessing
    module_: nn.Module
    seed_: int
    num_threads_: int
    device_: torch.device
    info_: dict[str, Any]
    history_: list[dict[str, Any]]
    likelihood_: LikelihoodChoice
    likelihood_name_: str

    def fit(self, X: Any, y: Any = None, *, X_valid: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X
            Training rows: a split such as ``digits.train``, an array or DataFrame (n, D), images (n, H, W) or
            (n, H, W, C), or the path of a file.
        y
            Ignored; present for scikit-learn.
        X_valid
            Validation rows in any of the same forms; otherwise those of the split, if it has any.

        Returns
        -------
        self
            Fitted.

        Raises
        ------
        DataError
            If the data do not fit the model (shape, support, too few rows).
        ConfigError
            If an argument of the constructor cannot be.
        """
        check_parameters(type(self).__name__, self.get_params(deep=False), self._limits)
        before = dict(vars(self))
        for name in [name for name in before if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)  # nothing of a former fit stays
        try:
            self._fit(X, X_valid)
        except (DivergedError, Interrupted):
            raise  # with the weights that the error speaks of: the model can be used
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit(self, X: Any, X_valid: Any) -> None:
        given = unpack(X)
        rows, self.event_shape_ = checked_rows(self, given.x, event_shape=None, support=None)
        binarize, declared = getattr(self, "binarize", None), getattr(self, "support", None)
        if binarize and rows.dtype == np.bool_:
            self.support_ = Support("binary")  # nothing is left to binarise, whatever is declared
        elif declared is not None:
            self.support_ = Support.parse(declared)
        else:
            self.support_ = given.info.support if given.info else Support.infer(rows)
            if self.support_.kind == "real" and binarize:
                self.support_ = Support("unit")  # grey values, which are to be probabilities
        self.support_.check(rows, "the training data" + (" (grey values, for binarize)" if binarize else ""))
        self.info_ = describe_data(given.info, len(rows))
        valid = given.valid if X_valid is None else X_valid
        valid_rows = None if valid is None else self._rows(valid)
        self.seed_ = self._new_seed()
        self._fit_rows(rows, valid_rows)

    def score_samples(self, X: Any) -> Floats:
        """Return log p(x) of every row, shape (n,), in nats and in the units passed in.

        Exact where the model allows it; otherwise a lower bound, the same for the same row and seed whatever stands
        beside it (``evaluate`` says which).
        """
        return self.evaluate(X).per_row

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``, in nats."""
        return float(self.score_samples(X).mean())

    def evaluate(
        self,
        X: Any,
        *,
        num_samples: int | None = None,
        precision: str = "float32",
        progress: Callable[[int], None] | None = None,
    ) -> Evaluation:
        """Return every number there is about these rows: log p(x), its standard error, bits per dimension and more.

        Parameters
        ----------
        X
            Rows in any of the forms that ``fit`` takes.
        num_samples
            Importance samples a row, where log p(x) is estimated; otherwise ignored.
        precision
            "float32", or "bfloat16" for faster matrix products at an error of about 0.03 nats a row.
        progress
            Called with the number of finished rows after each, where log p(x) is estimated; otherwise ignored.
        """
        if precision not in ("float32", "bfloat16"):
            raise ConfigError(f"precision of evaluate must be 'float32' or 'bfloat16', got {precision!r}")
        if num_samples is not None and not Whole(1, 10_000_000).allows(num_samples):
            raise ConfigError(f"num_samples of evaluate must be {Whole(1, 10_000_000)}, got {num_samples!r}")
        rows = self._rows(X)
        with threads(self.num_threads_):
            return self._evaluate_rows(rows, num_samples, precision, progress)

    def sample(self, n: int = 1, random_state: int | np.random.RandomState | None = None) -> Array:
        """Draw items from p(x).

        Parameters
        ----------
        n
            How many, at least 1.
        random_state
            Seed; None takes the estimator's, so that a fixed one gives the same items at each call. Fewer items are
            the first of more with the same seed.

        Returns
        -------
        numpy.ndarray
            shape (n, *E), in the units and the type of the data (uint8 for at most 256 levels).
        """
        out, start = None, 0
        for block in self.sample_blocks(n, random_state):
            out = np.empty((n, *self.event_shape_), block.dtype) if out is None else out
            out[start : start + len(block)] = block
            start += len(block)
        return cast("Array", out)

    def sample_blocks(self, n: int, random_state: int | np.random.RandomState | None = None) -> Iterator[Array]:
        """Draw the items of ``sample`` block by block, so that memory holds one block only.

        Parameters
        ----------
        n, random_state
            As for ``sample``, which gives the same items.

        Yields
        ------
        numpy.ndarray
            shape (m, *E).
        """
        self._check_fitted()
        if not Whole(1, 2**62).allows(n):
            raise ConfigError(f"n of sample must be a whole number of at least 1, got {n!r}")
        seed = seed_of(getattr(self, "random_state", None) if random_state is None else random_state)
        return blocks(self._draw, int(n), seed, self.event_shape_)

    def save(self, path: str | Path) -> None:
        """Save the fitted model as a folder of safetensors and JSON, without pickle and without any training row.

        Raises
        ------
        NotFittedError
            If there is nothing to save yet.
        StorageError
            If the folder cannot be written.
        """
        from latentia.estimators.saving import save

        self._check_fitted()
        save(self, path)

    @property
    def num_parameters_(self) -> int:
        """Number of fitted numbers in the model."""
        self._check_fitted()
        return sum(t.numel() for t in self.module_.state_dict().values() if t.is_floating_point())

    # What a kind of model adds.

    @abc.abstractmethod
    def _fit_rows(self, rows: Array, valid: Array | None) -> None:
        """Fit to checked rows (n, D); set every fitted attribute that is not set yet."""

    @abc.abstractmethod
    def _evaluate_rows(
        self, rows: Array, num_samples: int | None, precision: str, progress: Callable[[int], None] | None
    ) -> Evaluation:
        """Score checked rows (n, D)."""

    @abc.abstractmethod
    def _sample_rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n items in the model's units, shape (n, *E) or (n, D)."""

    @abc.abstractmethod
    def _build(self, spec: Mapping[str, Any]) -> nn.Module:
        """Return the module that ``_spec`` described, with any weights: what loading fills."""

    @abc.abstractmethod
    def _spec(self) -> dict[str, Any]:
        """Return what ``_build`` needs beside the constructor's arguments, as JSON values."""

    # What they share.

    def _resolve_likelihood(self, rows: Array) -> None:
        """Choose the likelihood for all rows as the model will see them, or refuse the one that was asked for."""
        support = Support("binary") if self._binarizing() else self.support_
        observed = f"data with values from {rows.min():g} to {rows.max():g} (support {str(support)!r})"
        self.likelihood_ = resolve(getattr(self, "likelihood", "auto"), support, observed)
        self.likelihood_name_ = self.likelihood_.name

    def _names(self) -> tuple[str, ...] | None:
        return tuple(map(str, getattr(self, "feature_names_in_", ()))) or None

    def _new_seed(self) -> int:
        return seed_of(getattr(self, "random_state", None))

    def _binarizing(self) -> str | None:
        """Return how to binarise; data that are binary already have nothing to binarise."""
        return None if self.support_.kind == "binary" else getattr(self, "binarize", None)

    def _check_fitted(self) -> None:
        check_is_fitted(self, "module_")

    def _rows(self, X: Any) -> Array:
        """Return later data as checked rows (n, D)."""
        check_is_fitted(self, "event_shape_")
        support = self.support_
        data = unpack(X).x
        if getattr(data, "dtype", None) == np.bool_:  # truth values are binary whatever the model was fitted to
            support = Support("binary") if support.kind == "binary" or getattr(self, "binarize", None) else support
        return checked_rows(self, data, event_shape=self.event_shape_, support=support)[0]

    def _draw(self, n: int, generator: torch.Generator) -> Array:
        with threads(self.num_threads_), torch.inference_mode():
            values = self._sample_rows(n, generator).cpu().numpy()
        if self.preprocessing_.scale is not None:
            return self.preprocessing_.restore(values.reshape(len(values), *self.event_shape_))
        return self.preprocessing_.model_support.cast(values)

    def _map(self, function: Callable[[Tensor], Tensor], rows: Array, out_shape: tuple[int, ...], dtype: Any) -> Array:
        """Apply a row-wise function of the model to rows (n, D), block by block, into one array."""
        out = np.empty((len(rows), *out_shape), dtype)
        with threads(self.num_threads_), torch.inference_mode():
            for start in range(0, len(rows), size := self._rows_per_block):
                block = self._tensor(rows[start : start + size])
                result = map_rows(function, block, self._rows_per_call)
                out[start : start + len(block)] = result.cpu().numpy().reshape(len(block), *out_shape)
        return out

    @property
    def _rows_per_call(self) -> int:
        return 768

    @property
    def _rows_per_block(self) -> int:
        calls = NUMBERS_PER_BLOCK // (self._rows_per_call * math.prod(self.event_shape_))
        return self._rows_per_call * max(1, calls)

    def _tensor(self, rows: Array) -> Tensor:
        """Return rows (n, D) as the model takes them, on its device, as floating-point numbers."""
        stored = torch.from_numpy(self.preprocessing_.store(rows))
        return stored.to(self.device_).to(self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        return next(t.dtype for t in [*self.module_.parameters(), *self.module_.buffers()] if t.is_floating_point())

    @property
    def _discrete_dims(self) -> int:
        """D where the model gives a probability mass, 0 where it gives a density."""
        return int(np.prod(self.event_shape_)) if self.preprocessing_.model_support.is_discrete else 0

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class LatentEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, GenerativeEstimator):  # type: ignore[misc]  # no stubs
    """A density with a latent space: it encodes and decodes as well."""

    latent_dim: int

    def transform(self, X: Any) -> Array:
        """Return the posterior means E_q[z | x], shape (n, L); float64 for float64 data, else float32."""
        rows = self._rows(X)
        return self._map(lambda x: self._moments(x)[0], rows, (self._latents,), _float_like(rows))

    def posterior(self, X: Any) -> Posterior:
        """Return the means and standard deviations of q(z | x), each of shape (n, L)."""
        rows, width = self._rows(X), (self._latents,)
        both = self._map(lambda x: torch.stack(self._moments(x), 1), rows, (2, *width), _float_like(rows))
        return Posterior(both[:, 0], both[:, 1])

    def inverse_transform(self, Z: Any) -> Array:
        """Return the likelihood's means E[x | z], shape (n, *E), in the units of the data.

        Parameters
        ----------
        Z
            Latent vectors, shape (n, L).
        """
        self._check_fitted()
        z = np.asarray(Z)
        if z.ndim != 2 or z.shape[1] != self._latents:
            raise DataError(f"latent vectors have the shape (n, {self._latents}), but an array of {z.shape} came")
        if z.dtype.kind not in "biuf" or not np.isfinite(z).all():
            raise DataError("latent vectors must be finite numbers")
        dtype = _float_like(z)
        out = np.empty((len(z), *self.event_shape_), dtype)
        with threads(self.num_threads_), torch.inference_mode():
            for start in range(0, len(z), size := self._rows_per_block):
                block = torch.tensor(z[start : start + size], dtype=self._dtype, device=self.device_)
                mean = map_rows(self._decode, block, self._rows_per_call).cpu().numpy()
                out[start : start + len(block)] = self.preprocessing_.restore(mean.reshape(-1, *self.event_shape_))
        return out

    def reconstruct(self, X: Any) -> Array:
        """Return E[x | z] at the posterior mean of every row, shape (n, *E): encode and decode in one."""
        return self.inverse_transform(self.transform(X))

    @abc.abstractmethod
    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of q(z | x), each (m, L)."""

    @abc.abstractmethod
    def _decode(self, z: Tensor) -> Tensor:
        """Return E[x | z] in the model's units, shape (m, *E) or (m, D)."""

    @property
    def _latents(self) -> int:
        """L as a plain integer: a search over a range of NumPy's passes NumPy's."""
        return int(self.latent_dim)

    @property
    def _n_features_out(self) -> int:
        return self._latents

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _float_like(rows: Array) -> Any:
    return np.float64 if rows.dtype == np.float64 else np.float32

"""Gaussians whose elements are correlated, over events of any shape: of full and of low-rank covariance.

Letters: S samples, B batch, E event (D elements), R rank. Both densities are finite for every finite parameter: neither
factorises a matrix that could fail to be positive definite. They are computed in at least single precision, whatever
autocast says.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from latentia.distributions.base import full_precision, normal
from latentia.distributions.normal import LOG_2PI
from latentia.errors import DivergedError


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return a @ b in the precision of its arguments, also under autocast."""
    with torch.autocast(a.device.type, enabled=False):
        return a @ b


class CorrelatedNormal(Distribution, abc.ABC):
    """What the two share: a mean over an event of any shape, that is read as one vector.

    Parameters
    ----------
    loc
        Means μ, shape (*B, *E).
    log_scale
        log σ, shape (*B, *E).
    event_dims
        How many trailing axes belong to the event.
    """

    arg_constraints = {}  # noqa: RUF012 - the name and type that torch prescribes

    def __init__(self, loc: Tensor, log_scale: Tensor, event_dims: int) -> None:
        self.loc, self.log_scale = full_precision(loc), full_precision(log_scale).expand_as(loc)
        split = loc.dim() - event_dims
        super().__init__(loc.shape[:split], loc.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Means μ, shape (*B, *E)."""
        return self.loc

    @property
    @abc.abstractmethod
    def covariance_matrix(self) -> Tensor:
        """Covariance Σ of the flattened event, shape (*B, D, D)."""

    @property
    def variance(self) -> Tensor:
        """Variances, the diagonal of Σ, shape (*B, *E)."""
        return self._items(self.covariance_matrix.diagonal(dim1=-2, dim2=-1))

    @abc.abstractmethod
    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(value), shape (*S, *B), in nats."""

    @abc.abstractmethod
    def _deviation(self, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        """Draw from N(0, Σ), shape (*S, *B, D)."""

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw, shape (*S, *B, *E); without a generator torch's global one is used."""
        shape = torch.Size((*sample_shape, *self._batch_shape, self._event_shape.numel()))
        with torch.no_grad():
            return self.loc + self._items(self._deviation(shape, generator))

    def _flat(self, x: Tensor) -> Tensor:
        return x.flatten(-len(self._event_shape))

    def _items(self, vectors: Tensor) -> Tensor:
        return vectors.reshape(*vectors.shape[:-1], *self._event_shape)


class PrecisionNormal(CorrelatedNormal):
    r"""A Gaussian of full covariance, given by the Cholesky factor of its inverse.

    .. math:: \Sigma^{-1} = T^\top \operatorname{diag}(\sigma)^{-2}\, T, \qquad
              \log p(x) = -\sum_i \tfrac{r_i^2}{2\sigma_i^2} + \log \sigma_i + \tfrac12 \log 2\pi,
              \quad r = T (x - \mu)

    T is lower triangular with ones on its diagonal: each element is regressed on those before it, and σ are the
    standard deviations of what that leaves over. A density thus costs one product and cannot fail; only a draw solves
    a system. Sources: Pourahmadi 1999 (every covariance has exactly one such form); Dorta et al. 2018
    (the precision's Cholesky factor as an output of a decoder).

    Parameters
    ----------
    loc
        Means μ, shape (*B, *E).
    log_scale
        log σ, shape (*B, *E).
    coefficients
        Below the diagonal of T, row by row, shape (*B, D (D − 1)/2).
    event_dims
        How many trailing axes belong to the event.
    """

    def __init__(self, loc: Tensor, log_scale: Tensor, coefficients: Tensor, event_dims: int = 1) -> None:
        super().__init__(loc, log_scale, event_dims)
        self.coefficients = full_precision(coefficients)

    @property
    def factor(self) -> Tensor:
        """T, shape (*B, D, D)."""
        d = self._event_shape.numel()
        rows, columns = torch.tril_indices(d, d, -1, device=self.loc.device)
        # Into zeros of its own: torch's compiler (2.13) copies wrongly into an expanded tensor.
        flat = self.coefficients.new_zeros(*self.coefficients.shape[:-1], d * d)
        flat = flat.index_copy(-1, rows * d + columns, self.coefficients)
        return flat.reshape(*flat.shape[:-1], d, d) + torch.eye(d, dtype=flat.dtype, device=flat.device)

    @property
    def covariance_matrix(self) -> Tensor:
        """Covariance Σ = T⁻¹ diag(σ)² T⁻ᵀ of the flattened event, shape (*B, D, D)."""
        root = self._solve(torch.diag_embed(self._flat(self.log_scale).exp()))
        return product(root, root.mT)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(value), shape (*S, *B), in nats."""
        deviation, log_scale = self._flat(value - self.loc), self._flat(self.log_scale)
        residual = product(self.factor, deviation.unsqueeze(-1)).squeeze(-1) * (-log_scale).exp()
        return (-0.5 * residual.square() - log_scale - 0.5 * LOG_2PI).sum(-1)

    def _deviation(self, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        noise = normal(shape, self.loc, generator) * self._flat(self.log_scale).exp()
        drawn = self._solve(noise.unsqueeze(-1)).squeeze(-1)
        if not bool(drawn.isfinite().all()):
            largest = float(self.coefficients.abs().max())
            msg = (
                "a draw from a Gaussian of full covariance overflows: its elements are regressed on each other with "
                f"coefficients up to {largest:.3g}; train with a lower learning rate, or choose a low-rank covariance"
            )
            raise DivergedError(msg)
        return drawn

    def _solve(self, right: Tensor) -> Tensor:
        solved: Tensor = torch.linalg.solve_triangular(self.factor, right, upper=False, unitriangular=True)
        return solved


class LowRankNormal(CorrelatedNormal):
    r"""A Gaussian with a few directions of correlation: factor analysis, with everything a function of z.

    .. math:: \Sigma = \operatorname{diag}(\sigma)\,(I + V^\top V)\operatorname{diag}(\sigma), \qquad
              x = \mu + \sigma \odot (\epsilon + V^\top \eta), \quad \epsilon, \eta \sim N(0, I)

    With e = (x − μ)/σ and M = I + V Vᵀ (Woodbury's identity and the determinant lemma), log det Σ = 2 Σ log σ +
    log det M and the quadratic form is ‖e − Vᵀ a‖² + ‖a‖² for a = M⁻¹ V e: a ridge regression's loss, whose terms
    cannot cancel. M is formed and factorised in double precision.

    Parameters
    ----------
    loc
        Means μ, shape (*B, *E).
    log_scale
        log σ, shape (*B, *E).
    loadings
        V, in units of σ, shape (*B, R, *E).
    event_dims
        How many trailing axes belong to the event.
    """

    def __init__(self, loc: Tensor, log_scale: Tensor, loadings: Tensor, event_dims: int = 1) -> None:
        super().__init__(loc, log_scale, event_dims)
        self.loadings = full_precision(loadings).flatten(-event_dims)

    @property
    def covariance_matrix(self) -> Tensor:
        """Covariance Σ of the flattened event, shape (*B, D, D)."""
        scale = self._flat(self.log_scale).exp()
        inner = product(self.loadings.mT, self.loadings) + torch.eye(scale.shape[-1]).to(scale)
        return scale.unsqueeze(-1) * inner * scale.unsqueeze(-2)

    @property
    def variance(self) -> Tensor:
        """Variances σ² (1 + Σ V²), shape (*B, *E)."""
        return (2.0 * self.log_scale).exp() * self._items(1.0 + self.loadings.square().sum(-2))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(value), shape (*S, *B), in nats."""
        log_scale, v = self._flat(self.log_scale), self.loadings
        e = self._flat(value - self.loc) * (-log_scale).exp()
        wide = v.double()
        identity = torch.eye(v.shape[-2], dtype=torch.float64, device=v.device)
        inner = product(wide, wide.mT) + identity
        root: Tensor = torch.linalg.cholesky_ex(inner).L  # smallest eigenvalue 1: it exists
        projected = product(wide, e.double().unsqueeze(-1))
        a = torch.cholesky_solve(projected, root).to(e.dtype)
        left = e - product(v.mT, a).squeeze(-1)
        quadratic = left.square().sum(-1) + a.square().sum((-2, -1))
        log_det = 2.0 * (log_scale.sum(-1) + (root * identity).sum(-1).log().sum(-1).to(e.dtype))
        return -0.5 * (quadratic + log_det + e.shape[-1] * LOG_2PI)

    def _deviation(self, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        own = normal(shape, self.loc, generator)
        shared = normal((*shape[:-1], self.loadings.shape[-2]), self.loc, generator)
        together = own + product(shared.unsqueeze(-2), self.loadings).squeeze(-2)
        return self._flat(self.log_scale).exp() * together

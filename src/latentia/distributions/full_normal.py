r"""The Gaussian with every covariance, and the divergence between any two Gaussians of this room.

Letters: S sample shape, B batch shape, Z dimensions, C lower Cholesky factor with Σ = C Cᵀ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl

from latentia.distributions.base import full_precision, normal, without_autocast
from latentia.distributions.last_draw import LastDraw
from latentia.distributions.normal import LOG_2PI, DiagonalNormal, UnitNormal
from latentia.errors import ConfigError

__all__ = ["FullNormal", "Gaussian", "expected_square", "log_det"]


class FullNormal(Distribution):
    r"""A Gaussian vector with a full covariance, given by its lower Cholesky factor.

    .. math:: \log p(x) = -\tfrac12 \|C^{-1}(x - \mu)\|^2 - \sum_i \log C_{ii} - \tfrac Z2 \log 2\pi

    The density of the very tensor that was drawn last comes from its noise, which is exact however nearly singular C
    is. For its derivative with respect to x alone, detach the draw first.

    Parameters
    ----------
    loc
        Mean μ, shape (*B, Z).
    scale_tril
        Lower Cholesky factor C with a positive diagonal, shape (*B, Z, Z) or (Z, Z); see ``from_covariance``.

    Examples
    --------
    >>> import torch
    >>> q = FullNormal(torch.zeros(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
    >>> q.covariance_matrix
    tensor([[1.0000, 0.6000],
            [0.6000, 1.0000]])
    >>> round(float(q.log_prob(torch.zeros(2))), 4)
    -1.6147
    """

    arg_constraints = {}  # noqa: RUF012 - the name and type that torch prescribes
    has_rsample = True

    def __init__(self, loc: Tensor, scale_tril: Tensor) -> None:
        self.loc = full_precision(loc)
        self.scale_tril = full_precision(scale_tril)
        self._last: LastDraw[Tensor] = LastDraw()
        batch = torch.broadcast_shapes(self.loc.shape[:-1], self.scale_tril.shape[:-2])
        super().__init__(batch, self.loc.shape[-1:], validate_args=False)

    @classmethod
    def from_covariance(cls, loc: Tensor, covariance: Tensor) -> FullNormal:
        """Return the Gaussian with this mean, shape (*B, Z), and covariance, shape (*B, Z, Z) or (Z, Z).

        Raises
        ------
        ConfigError
            If a covariance is not symmetric and positive definite.
        """
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if bool(failed.any()) or not torch.allclose(covariance, covariance.mT, rtol=1e-4):
            msg = (
                "covariance must be symmetric and positive definite, and has an eigenvalue that is not positive or "
                "entries that differ across its diagonal: add a small multiple of the identity, or check its origin"
            )
            raise ConfigError(msg)
        return cls(loc, factor)

    @property
    def noise_size(self) -> int:
        """How many standard normals a reparameterised draw takes: Z."""
        return self._event_shape.numel()

    @property
    def mean(self) -> Tensor:
        """Mean μ, shape (*B, Z)."""
        return self.loc.expand(*self._batch_shape, -1)

    @property
    def variance(self) -> Tensor:
        """Variances Σᵢᵢ, shape (*B, Z)."""
        return self.scale_tril.square().sum(-1).expand(*self._batch_shape, -1)

    @property
    def stddev(self) -> Tensor:
        """Standard deviations √Σᵢᵢ, shape (*B, Z)."""
        return self.variance.sqrt()

    @property
    def covariance_matrix(self) -> Tensor:
        """Covariance Σ = C Cᵀ, shape (*B, Z, Z)."""
        with without_autocast(self.loc):
            return (self.scale_tril @ self.scale_tril.mT).expand(*self._batch_shape, -1, -1)

    def whiten(self, value: Tensor) -> Tensor:
        """Return C⁻¹(value − μ), shape (*S, *B, Z): standard normal where the value is from this distribution."""
        columns, shape = _as_columns(value - self.loc, self.scale_tril.shape[:-2])
        return _as_rows(torch.linalg.solve_triangular(self.scale_tril, columns, upper=False), shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(value), shape (*S, *B), in nats."""
        noise = self._last.recall(value)
        standard = self.whiten(value) if noise is None else noise
        return -0.5 * (standard.square().sum(-1) + log_det(self) + self.noise_size * LOG_2PI)

    def rsample_from(self, noise: Tensor) -> Tensor:
        """Return μ + C ε for standard normal ε of shape (*S, *B, Z): the reparameterised draw."""
        noise = noise.to(self.scale_tril.dtype)
        columns, shape = _as_columns(noise, self.scale_tril.shape[:-2])
        with without_autocast(noise):
            z = self.loc + _as_rows(self.scale_tril @ columns, shape)
        return self._last.keep(z, noise)

    def rsample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw with a gradient to the parameters, shape (*S, *B, Z)."""
        shape = (*sample_shape, *self._batch_shape, *self._event_shape)
        return self.rsample_from(normal(shape, self.loc, generator))

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw without gradient, shape (*S, *B, Z)."""
        with torch.no_grad():
            return self.rsample(sample_shape, generator)

    def entropy(self) -> Tensor:
        """Return the differential entropy ½ (log det Σ + Z (1 + log 2π)), shape (*B,), in nats; it can be negative."""
        return 0.5 * (log_det(self) + self.noise_size * (1.0 + LOG_2PI)).expand(self._batch_shape)


Gaussian = DiagonalNormal | UnitNormal | FullNormal


def _as_columns(x: Tensor, batch: torch.Size) -> tuple[Tensor, tuple[int, ...]]:
    """Lay (*S, *B, Z) out as (*B, Z, N), with all samples side by side: one product per factor, not per sample."""
    shape = (*torch.broadcast_shapes(x.shape[:-1], batch), x.shape[-1])
    samples = len(shape) - 1 - len(batch)
    if samples == 0:
        return x.expand(shape).unsqueeze(-1), shape
    flat = x.expand(shape).reshape(math.prod(shape[:samples]), *shape[samples:])
    return flat.movedim(0, -1), shape


def _as_rows(columns: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Lay (*B, Z, N) out as (*S, *B, Z) again."""
    return columns.movedim(-1, 0).reshape(shape)


def log_det(p: Gaussian) -> Tensor:
    """Return log det Σ, shape (*B,) or one that broadcasts to it."""
    if isinstance(p, FullNormal):
        return 2.0 * p.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    if isinstance(p, UnitNormal):
        return torch.zeros_like(p.mean[0])
    return 2.0 * p.log_scale.expand_as(p.loc).sum(p.event_axes)


def _factor(p: Gaussian) -> Tensor:
    return p.scale_tril if isinstance(p, FullNormal) else torch.diag_embed(p.stddev)


def expected_square(p: Gaussian, q: Gaussian) -> Tensor:
    r"""Return the expectation under p of the squared distance from q's mean in units of q's covariance.

    .. math:: E_p[(x - \mu_q)^T \Sigma_q^{-1} (x - \mu_q)]
              = \mathrm{tr}(\Sigma_q^{-1} \Sigma_p) + (\mu_p - \mu_q)^T \Sigma_q^{-1} (\mu_p - \mu_q)
    """
    if isinstance(q, FullNormal):
        if len(p.event_shape) != 1:
            msg = f"a full covariance needs vectors on the other side, got events of shape {tuple(p.event_shape)}"
            raise ConfigError(msg)
        batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
        z = q.noise_size
        inside: Tensor = torch.linalg.solve_triangular(
            q.scale_tril.expand(*batch, z, z), _factor(p).expand(*batch, z, z), upper=False
        )
        return inside.square().sum((-2, -1)) + q.whiten(p.mean).square().sum(-1)
    inverse = 1.0 if isinstance(q, UnitNormal) else (-2.0 * q.log_scale).exp()
    square = (p.variance + (p.mean - q.mean).square()) * inverse
    return square.sum(q.event_axes)


def _kl(p: Gaussian, q: Gaussian) -> Tensor:
    r"""½ (E_p‖x − μ_q‖²_q − Z − log det Σ_p + log det Σ_q)."""
    return 0.5 * (expected_square(p, q) - p.event_shape.numel() - log_det(p) + log_det(q))


def _kl_full_unit(p: FullNormal, q: UnitNormal) -> Tensor:
    # The training step's: ½ (tr Σ + μᵀμ − Z − log det Σ), with the trace of the factor.
    trace = p.scale_tril.square().sum((-2, -1))
    return 0.5 * (trace + p.loc.square().sum(-1) - p.noise_size - log_det(p))


register_kl(FullNormal, UnitNormal)(_kl_full_unit)
for _p, _q in [
    (FullNormal, FullNormal),
    (FullNormal, DiagonalNormal),
    (DiagonalNormal, FullNormal),
    (UnitNormal, FullNormal),
    (UnitNormal, DiagonalNormal),
    (UnitNormal, UnitNormal),
]:
    register_kl(_p, _q)(_kl)

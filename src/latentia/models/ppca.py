r"""Probabilistic principal component analysis: the linear-Gaussian ancestor, with everything in closed form.

.. math:: z \sim N(0, I_L), \qquad x \mid z \sim N(W z + \mu, \sigma^2 I_D), \qquad x \sim N(\mu, W W^T + \sigma^2 I_D)

| variable | meaning | name in the code |
| --- | --- | --- |
| W | loadings, (D, L) | ``weight`` |
| μ | mean, (D,) | ``mean`` |
| σ² | noise variance | ``noise_variance`` |
| M | WᵀW + σ²I, (L, L): σ²M⁻¹ is the posterior covariance | |

Tipping and Bishop 1999.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentia.distributions import DiagonalNormal, FullNormal, UnitNormal
from latentia.distributions.normal import LOG_2PI
from latentia.networks import linear


class PPCA(nn.Module):
    """The linear-Gaussian latent-variable model on vectors.

    Parameters
    ----------
    mean
        μ, shape (D,).
    weight
        W, shape (D, L).
    noise_variance
        σ² > 0, a scalar.
    """

    mean: Tensor
    weight: Tensor
    noise_variance: Tensor

    def __init__(self, mean: Tensor, weight: Tensor, noise_variance: Tensor | float) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("weight", weight)
        self.register_buffer("noise_variance", torch.as_tensor(noise_variance, dtype=mean.dtype, device=mean.device))

    @classmethod
    def fit(cls, x: Tensor, latent_dim: int, cell_variance: float = 0.0, min_variance: float = 0.0) -> PPCA:
        r"""Return the maximum-likelihood model of the rows of x.

        σ² is the mean of the discarded eigenvalues of the covariance (divided by N, not N − 1) and
        W = U (Λ − σ²I)^½: Tipping and Bishop 1999, equations 7 and 8. With latent_dim ≥ D nothing is discarded; the
        likelihood is then highest at σ² = the smallest eigenvalue, which makes the model the full-covariance Gaussian
        and leaves the dimensions from D − 1 on without loadings.

        Parameters
        ----------
        x
            Rows, shape (N, D).
        latent_dim
            L ≥ 1.
        cell_variance
            Added to every eigenvalue: 1/12 makes this the expected fit to x + U(0, 1) (the caller shifts the mean).
        min_variance
            Floor of σ², for data that lie in a subspace.
        """
        d = x.shape[1]
        mean = x.mean(0)
        values, vectors = _spectrum(x - mean)
        total = values.sum() + d * cell_variance
        values = values + cell_variance
        kept = min(latent_dim, d - 1, len(values))
        noise = ((total - values[:kept].sum()) / (d - kept)).clamp_min(min_variance)
        weight = x.new_zeros(d, latent_dim)
        weight[:, :kept] = vectors[:, :kept] * (values[:kept] - noise).clamp_min(0.0).sqrt()
        return cls(mean, weight, noise)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions L."""
        return self.weight.shape[1]

    def prior(self) -> UnitNormal:
        """Return p(z) = N(0, I)."""
        return UnitNormal(self.weight[0])

    def decoder(self, z: Tensor) -> DiagonalNormal:
        """Return p(x | z) = N(W z + μ, σ²I), batch shape (...), event shape (D,)."""
        return DiagonalNormal(linear(z, self.weight, self.mean), 0.5 * self.noise_variance.log())

    def encoder(self, x: Tensor) -> FullNormal:
        """Return the exact posterior p(z | x) = N(M⁻¹Wᵀ(x − μ), σ²M⁻¹), batch shape (...), event shape (L,)."""
        covariance = self.noise_variance * self._m_inverse()
        return FullNormal(self._posterior_mean(x), torch.linalg.cholesky(covariance))

    def log_prob(self, x: Tensor) -> Tensor:
        r"""Return log p(x), shape (...,), in nats: exact.

        Uses (x−μ)ᵀC⁻¹(x−μ) = ‖x − μ − Wm‖²/σ² + ‖m‖² with m the posterior mean, which needs no D × D matrix and
        keeps its precision when σ² is small.
        """
        m = self._posterior_mean(x)
        residual = x - self.mean - linear(m, self.weight)
        quadratic = residual.square().sum(-1) / self.noise_variance + m.square().sum(-1)
        log_p: Tensor = -0.5 * (quadratic + self._log_det() + x.shape[-1] * LOG_2PI)
        return log_p

    def dequantised_bound(self, x: Tensor) -> Tensor:
        r"""Return E[log p(x + u)], u ~ U(0, 1)^D, shape (...,), in nats: a bound on the log-mass of the cell.

        By Jensen's inequality the log-mass log ∫ p(x + u) du ≥ E log p(x + u) (Theis et al. 2016, equation 4); for a
        Gaussian with covariance C the expectation is log p(x + ½) − tr(C⁻¹)/24, so no noise is drawn.
        """
        d, l_dim = self.weight.shape
        trace = (d - l_dim + self.noise_variance * self._m_inverse().trace()) / self.noise_variance
        return self.log_prob(x + 0.5) - trace / 24.0

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n rows, shape (n, D)."""
        z = self.prior().sample((n,), generator=generator)
        return self.decoder(z).sample(generator=generator)

    def _m(self) -> Tensor:
        return self.weight.T @ self.weight + self.noise_variance * torch.eye(self.latent_dim).to(self.weight)

    def _m_inverse(self) -> Tensor:
        inverse: Tensor = torch.linalg.inv(self._m())
        return inverse

    def _posterior_mean(self, x: Tensor) -> Tensor:
        return linear(x - self.mean, self._m_inverse() @ self.weight.T)

    def _log_det(self) -> Tensor:
        d, l_dim = self.weight.shape
        return torch.logdet(self._m()) + (d - l_dim) * self.noise_variance.log()


def _spectrum(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (descending, ≥ 0) and eigenvectors (columns) of the covariance, through the smaller Gram matrix."""
    n, d = centred.shape
    if n >= d:
        values, vectors = torch.linalg.eigh(centred.T @ centred / n)
        return values.flip(0).clamp_min(0.0), vectors.flip(1)
    values, left = torch.linalg.eigh(centred @ centred.T / n)
    values, left = values.flip(0).clamp_min(0.0), left.flip(1)
    kept = values > values[0] * n * torch.finfo(values.dtype).eps
    vectors = centred.T @ left[:, kept] / (n * values[kept]).sqrt()
    return values[kept], vectors

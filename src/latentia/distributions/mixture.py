r"""Mixtures of Gaussians, with pathwise gradients to everything, the weights included.

Letters: S sample shape (N samples), B batch shape, C components, Z dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl

from latentia.distributions.base import full_precision, normal, without_autocast
from latentia.distributions.full_normal import FullNormal, Gaussian
from latentia.distributions.normal import LOG_2PI, DiagonalNormal, UnitNormal, kl_divergence
from latentia.errors import ConfigError

__all__ = ["Mixture"]

_WITHOUT_DOUBLE = ("mps",)  # kinds of devices


class Mixture(Distribution):
    r"""A weighted sum of Gaussian densities over vectors.

    .. math:: \log p(x) = \log \sum_{c=1}^{C} \exp\big(\log w_c + \log N(x; \mu_c, \Sigma_c)\big)

    The sum over dimensions is inside and the one over components outside: a component has all coordinates of a draw.

    A draw takes Z + 1 standard normals: the first chooses the component through Φ, the others are its noise. Its
    gradient is that of the inverse of the conditional distribution functions Fd(zd | z<d), found by implicit
    differentiation: ∂z/∂φ = −(∂F/∂z)⁻¹ ∂F/∂φ (Graves 2016; Figurnov, Mohamed and Mnih 2018, section 3.2). It exists
    once: a second derivative through a draw is not correct.

    Parameters
    ----------
    log_weights
        Unnormalised log-weights, shape (*B, C) or (C,).
    components
        ``DiagonalNormal`` or ``FullNormal`` of batch shape (*B, C) and event shape (Z,).

    Raises
    ------
    ConfigError
        If the components are of another kind, or not as many as the weights.

    Examples
    --------
    >>> import torch
    >>> components = DiagonalNormal(torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1))
    >>> p = Mixture(torch.zeros(2), components)
    >>> round(float(p.log_prob(torch.zeros(1))), 4)  # both are one standard deviation away
    -1.4189
    >>> p.mean, p.variance
    (tensor([0.]), tensor([2.]))
    """

    arg_constraints = {}  # noqa: RUF012 - the name and type that torch prescribes
    has_rsample = True

    def __init__(self, log_weights: Tensor, components: DiagonalNormal | FullNormal) -> None:
        if not isinstance(components, DiagonalNormal | FullNormal) or len(components.event_shape) != 1:
            msg = (
                "components must be a DiagonalNormal or FullNormal over vectors, got "
                f"{type(components).__name__} with events of shape {tuple(components.event_shape)}"
            )
            raise ConfigError(msg)
        count, found = log_weights.shape[-1], tuple(components.batch_shape)
        if not found or found[-1] != count:
            msg = f"components must have a last batch axis of {count}, one for every weight; their batch is {found}"
            raise ConfigError(msg)
        self.log_weights = full_precision(log_weights).log_softmax(-1)
        self.components = components
        super().__init__(components.batch_shape[:-1], components.event_shape, validate_args=False)

    @property
    def noise_size(self) -> int:
        """How many standard normals a reparameterised draw takes: Z, and one that chooses the component."""
        return self._event_shape.numel() + 1

    @property
    def num_components(self) -> int:
        """Number of components C."""
        return self.log_weights.shape[-1]

    @property
    def mean(self) -> Tensor:
        """Mean Σ w μ, shape (*B, Z)."""
        return (self.log_weights.exp().unsqueeze(-1) * self.components.mean).sum(-2)

    @property
    def variance(self) -> Tensor:
        """Variances Σ w (σ² + (μ − mean)²), shape (*B, Z)."""
        spread = (self.components.mean - self.mean.unsqueeze(-2)).square()
        return (self.log_weights.exp().unsqueeze(-1) * (self.components.variance + spread)).sum(-2)

    @property
    def stddev(self) -> Tensor:
        """Standard deviations, shape (*B, Z)."""
        return self.variance.sqrt()

    def single(self) -> DiagonalNormal | FullNormal:
        """Return the only component; NotImplementedError where there are more, so that no closed form is claimed."""
        if self.num_components != 1:
            msg = f"a mixture of {self.num_components} components is not a Gaussian"
            raise NotImplementedError(msg)
        components = self.components
        loc = components.loc[..., 0, :]
        if isinstance(components, FullNormal):
            shape = (*components.batch_shape, *components.scale_tril.shape[-2:])
            return FullNormal(loc, components.scale_tril.expand(shape)[..., 0, :, :])
        return DiagonalNormal(loc, components.log_scale.expand_as(components.loc)[..., 0, :])

    def log_joint(self, value: Tensor) -> Tensor:
        """Return log w_c + log N(value; component c), shape (*S, *B, C), in nats; single or double precision."""
        components = self.components
        if isinstance(components, FullNormal) or value.device.type in _WITHOUT_DOUBLE:
            return self.log_weights + components.log_prob(value.unsqueeze(-2))
        return _log_joint_by_products(self.log_weights, components, value)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(value), shape (*S, *B), in nats."""
        if self.num_components == 1:
            return self.single().log_prob(value)
        joint = self.log_joint(value)
        # The products are taken in double precision; what is left of the largest term needs no more than single. Shares
        # below e⁻⁸⁰ change no digit of the sum, and their exponentials, denormal numbers, take ten times as long.
        largest = joint.detach().amax(-1, keepdim=True)
        sums = joint.sub_(largest).to(self.log_weights.dtype).clamp_min(-80.0).exp().sum(-1).log()
        return (sums + largest.squeeze(-1)).to(self.log_weights.dtype)

    def rsample_from(self, noise: Tensor) -> Tensor:
        """Return the draw that standard normal noise of shape (*S, *B, Z + 1) makes, shape (*S, *B, Z)."""
        if self.num_components == 1:
            return self.single().rsample_from(noise[..., 1:])
        with torch.no_grad():
            z = self._draw(noise)
        components = self.components
        spread = components.scale_tril if isinstance(components, FullNormal) else components.log_scale
        parameters = (self.log_weights, components.loc, spread)
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters):
            with without_autocast(z):
                return z + self._implicit(z)
        return z

    def rsample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw with a gradient to the parameters, shape (*S, *B, Z)."""
        shape = (*sample_shape, *self._batch_shape, self.noise_size)
        return self.rsample_from(normal(shape, self.log_weights, generator))

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Draw without gradient, shape (*S, *B, Z)."""
        with torch.no_grad():
            return self.rsample(sample_shape, generator)

    def _draw(self, noise: Tensor) -> Tensor:
        chance = _normal_cdf(noise[..., 0])
        index = (chance.unsqueeze(-1) >= self.log_weights.exp().cumsum(-1)[..., :-1]).sum(-1)
        shape = torch.broadcast_shapes(index.shape, self._batch_shape)
        index = index.expand(shape)

        def chosen(parameter: Tensor, axes: int) -> Tensor:
            tail = parameter.shape[parameter.dim() - axes :]
            where = index.reshape(*shape, *(1,) * (axes + 1)).expand(*shape, 1, *tail)
            full = parameter.expand(*shape, self.num_components, *tail)
            return full.gather(len(shape), where).squeeze(len(shape))

        components = self.components
        if isinstance(components, FullNormal):
            return FullNormal(chosen(components.loc, 1), chosen(components.scale_tril, 2)).rsample_from(noise[..., 1:])
        log_scale = components.log_scale.expand_as(components.loc)
        return DiagonalNormal(chosen(components.loc, 1), chosen(log_scale, 1)).rsample_from(noise[..., 1:])

    def _implicit(self, z: Tensor) -> Tensor:
        r"""Return zeros whose gradient is that of the draw z, shape (*S, *B, Z): −J⁻¹ (F(z; φ) − its own value).

        With t = C⁻¹(z − μ) of every component, C its Cholesky factor and φ the standard normal density:

        .. math::
            F_d = \sum_c r_{cd} \Phi(t_{cd}), \qquad r_{cd} \propto w_c \prod_{j<d} \phi(t_{cj}) / C_{cjj}

            J_{dj} = \sum_c r_{cd} \left[ \phi(t_{cd}) \frac{\partial t_{cd}}{\partial z_j}
                     - (\Phi(t_{cd}) - F_d) \sum_{i<d} t_{ci} \frac{\partial t_{ci}}{\partial z_j} \right]
        """
        components = self.components
        if isinstance(components, FullNormal):
            t = components.whiten(z.unsqueeze(-2))
            log_slope = -components.scale_tril.diagonal(dim1=-2, dim2=-1).log()
        else:
            t = (z.unsqueeze(-2) - components.loc) * (-components.log_scale).exp()
            log_slope = -components.log_scale
        log_n = -0.5 * (t.square() + LOG_2PI) + log_slope
        r = (self.log_weights.unsqueeze(-1) + log_n.cumsum(-1) - log_n).softmax(-2)
        # Above the median everything is written with 1 − F, which keeps its digits there.
        upper = (r * _normal_cdf(t)).sum(-2, keepdim=True).detach() > 0.5
        sign = torch.where(upper, -1.0, 1.0).to(t.dtype)
        chance = _normal_cdf(sign * t)
        f = (r * chance).sum(-2, keepdim=True)
        with torch.no_grad():
            shift = r * (chance - f) * sign
            if isinstance(components, FullNormal):
                identity = torch.eye(t.shape[-1], dtype=t.dtype, device=t.device)
                slope = torch.linalg.solve_triangular(components.scale_tril, identity, upper=False)  # ∂t/∂z
                terms = t.unsqueeze(-1) * slope
                jacobian = torch.einsum("...cd,...cdj->...dj", r * (log_n - log_slope).exp(), slope)
                jacobian = jacobian - torch.einsum("...cd,...cdj->...dj", shift, terms.cumsum(-2) - terms)
            else:
                jacobian = -torch.einsum("...cd,...cj->...dj", shift, t * log_slope.exp()).tril(-1)
                jacobian = jacobian + torch.diag_embed((r * log_n.exp()).sum(-2))
        change = (sign * (f - f.detach())).squeeze(-2).unsqueeze(-1)
        moved: Tensor = torch.linalg.solve_triangular(jacobian, change, upper=False)
        return -moved.squeeze(-1)


def _normal_cdf(x: Tensor) -> Tensor:
    """Return Φ(x); torch's own loses its digits below −4 in single precision."""
    return 0.5 * torch.erfc(-math.sqrt(0.5) * x)


def _log_joint_by_products(log_weights: Tensor, components: DiagonalNormal, value: Tensor) -> Tensor:
    r"""Return log w_c + log N(value; component c), shape (*S, *B, C), by one matrix product over z² and z.

    .. math:: -\tfrac12 \sum_d (z_d - \mu_d)^2/\sigma_d^2
              = (z^2, z) \cdot (-\tfrac12 \sigma^{-2}, \mu \sigma^{-2}) - \tfrac12 \sum_d \mu_d^2/\sigma_d^2

    Its terms are larger than their sum by the factor μ²/σ², so that it needs double precision; the sum over
    (N, C, Z) numbers takes many times as long.
    """
    size, count = components.loc.shape[-1], log_weights.shape[-1]
    batch = components.batch_shape[:-1]
    shape = torch.broadcast_shapes(value.shape[:-1], batch)
    lead, rows = shape[: len(shape) - len(batch)], shape[len(shape) - len(batch) :]
    samples, total = math.prod(lead), math.prod(rows)

    def flat(parameter: Tensor) -> Tensor:  # (R, C, ·): the components of every row of the batch
        return parameter.expand(*rows, *parameter.shape[len(batch) :]).reshape(total, count, -1)

    loc = flat(components.loc).double()
    log_scale = flat(components.log_scale.expand_as(components.loc)).double()
    precision = (-2.0 * log_scale).exp()
    weighted = loc * precision
    constant = -0.5 * (weighted * loc).sum(-1) - log_scale.sum(-1) - 0.5 * size * LOG_2PI
    constant = constant + flat(log_weights.expand(*batch, count).unsqueeze(-1)).squeeze(-1)
    z = value.double().expand(*shape, size).reshape(samples, total, size).movedim(0, 1)
    factors = torch.cat([-0.5 * precision, weighted], -1).mT
    joint = torch.baddbmm(constant.unsqueeze(1), torch.cat([z.square(), z], -1), factors)
    return joint.movedim(1, 0).reshape(*shape, count)


def _kl_single(p: Mixture | Gaussian, q: Mixture | Gaussian) -> Tensor:
    """Exact where both sides are Gaussians; NotImplementedError where one of them has several components."""
    one, other = (side.single() if isinstance(side, Mixture) else side for side in (p, q))
    return kl_divergence(one, other)


register_kl(Mixture, Mixture)(_kl_single)
for _gaussian in (DiagonalNormal, FullNormal, UnitNormal):
    register_kl(Mixture, _gaussian)(_kl_single)
    register_kl(_gaussian, Mixture)(_kl_single)

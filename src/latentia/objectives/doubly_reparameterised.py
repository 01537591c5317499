r"""Importance-weighted bounds whose encoder and decoder learn from different weights.

One forward pass gives the log-weights and one further backward pass, to z alone, their slope:

.. math:: G_k = \frac{\partial}{\partial z} \left[ \log p_\theta(x \mid z) + \log p_\theta(z) - \log q_\phi(z \mid x)
          \right]_{z = z_k}, \qquad
          \sum_k b_k \left\langle G_k, z_k(\phi) \right\rangle - c_k \log q_\phi(z_k \mid x)
          + a_k \left[ \log p_\theta(x \mid z_k) + \log p_\theta(z_k) \right]

G and the weights a, b, c are held fixed when the surrogate on the right is differentiated, and so is z outside of
z(φ). What the prior takes from the encoder (VampPrior) counts as the model's: it is weighted with a.

Letters: M outer samples, K inner samples, B batch, E event, Z latent dimensions, N noise dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentia.objectives.importance import log_mean_exp, weight_terms
from latentia.objectives.protocol import LatentVariableModel, draw_noise, log_density, require_count, require_path
from latentia.objectives.result import Result, with_gradient_of


def iwae_dreg(model: LatentVariableModel, x: Tensor, *, num_samples: int = 5, noise: Tensor | None = None) -> Result:
    r"""Return the importance-weighted bound with the doubly reparameterised gradient for the encoder, of every row.

    .. math:: \nabla_\phi \mathcal L_K = \mathbb E \sum_{k=1}^{K} \tilde w_k^2\,
              \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}, \qquad
              \tilde w_k = \frac{w_k}{\sum_j w_j}

    The same expectation as the gradient of ``iwae``, with a lower variance, and no variance at all where q is the exact
    posterior; the signal-to-noise ratio does not fall with K. The decoder's gradient is that of ``iwae``.
    Tucker et al. 2019.

    Parameters
    ----------
    model
        Prior, encoder and decoder.
    x
        Rows, shape (B, *E).
    num_samples
        K ≥ 1.
    noise
        Standard normal noise, shape (K, B, N); drawn from torch's global generator if not given.

    Returns
    -------
    Result
        value (B,) and terms as of ``iwae``, without gradients; where gradients are on, a surrogate with the numbers of
        the value and the gradients above.

    Examples
    --------
    >>> import torch
    >>> from latentia.models import PPCA
    >>> model = PPCA(torch.zeros(3), torch.ones(3, 1), 0.5)  # its encoder is exact: every weight is p(x)
    >>> torch.allclose(iwae_dreg(model, torch.zeros(2, 3)).value, model.log_prob(torch.zeros(2, 3)), atol=1e-4)
    True
    """
    draws = _draw(model, x, num_samples, noise)
    value = log_mean_exp(draws.log_weights).detach()
    terms = weight_terms(draws.log_weights)
    if not torch.is_grad_enabled():
        return Result(value, terms)
    normalised = draws.log_weights.detach().softmax(0)
    surrogate = draws.surrogate(model_weight=normalised, path_weight=normalised.square(), density_weight=None)
    return Result(value, terms, with_gradient_of(value, surrogate))


def piwae(
    model: LatentVariableModel, x: Tensor, *, num_outer: int = 1, num_samples: int = 5, noise: Tensor | None = None
) -> Result:
    r"""Return the bound with M·K samples, whose encoder learns from the mean of M bounds with K, of every row.

    .. math:: \nabla_\theta \log \tfrac1{MK} \sum_{m=1}^{M} \sum_{k=1}^{K} w_{m,k}, \qquad
              \nabla_\phi \tfrac1M \sum_{m=1}^{M} \log \tfrac1K \sum_{k=1}^{K} w_{m,k}

    The decoder profits from the tighter bound, the encoder from the better signal-to-noise ratio of fewer samples.
    Rainforth et al. 2018.

    Parameters
    ----------
    model
        Prior, encoder and decoder.
    x
        Rows, shape (B, *E).
    num_outer
        M ≥ 1.
    num_samples
        K ≥ 1.
    noise
        Standard normal noise, shape (M·K, B, N), the K draws of one group side by side; drawn from torch's global
        generator if not given.

    Returns
    -------
    Result
        value (B,), the importance-weighted bound with M·K samples; terms "elbo" (B,), "miwae" (B,), the encoder's
        bound, and "effective_sample_size" (B,), of all M·K weights, without gradients; where gradients are on, a
        surrogate with the numbers of the value and the gradients above.
    """
    require_count("num_outer", num_outer)
    require_count("num_samples", num_samples)
    draws = _draw(model, x, num_outer * num_samples, noise)
    value = log_mean_exp(draws.log_weights).detach()
    groups = draws.log_weights.reshape(num_outer, num_samples, -1)
    terms = weight_terms(draws.log_weights)
    terms["miwae"] = log_mean_exp(groups, 1).mean(0).detach()
    if not torch.is_grad_enabled():
        return Result(value, terms)
    everywhere = draws.log_weights.detach().softmax(0)
    within = (groups.detach().softmax(1) / num_outer).flatten(0, 1)
    surrogate = draws.surrogate(model_weight=everywhere, path_weight=within, density_weight=within)
    return Result(value, terms, with_gradient_of(value, surrogate))


@dataclass(frozen=True)
class _Draws:
    """Samples and their log-densities, taken at a copy of z that no gradient leaves.

    Attributes
    ----------
    z
        Samples as functions of the encoder's parameters, shape (S, B, Z).
    still
        The same numbers, cut off, shape (S, B, Z).
    log_joint, log_q, log_weights
        log p(x | z) + log p(z), log q(z | x) and their difference at ``still``, shape (S, B).
    """

    z: Tensor
    still: Tensor
    log_joint: Tensor
    log_q: Tensor
    log_weights: Tensor

    def surrogate(self, *, model_weight: Tensor, path_weight: Tensor, density_weight: Tensor | None) -> Tensor:
        """Return the surrogate of the module's first lines, shape (B,), from a, b and c, each (S, B) or None for 0."""
        # The graph is kept: the caller's backward pass goes through the same densities to the parameters.
        (slope,) = torch.autograd.grad(self.log_weights.sum(), self.still, retain_graph=True)
        total = path_weight * (slope * self.z).sum(-1) + model_weight * self.log_joint
        if density_weight is not None:
            total = total - density_weight * self.log_q
        return total.sum(0)


def _draw(model: LatentVariableModel, x: Tensor, num_samples: int, noise: Tensor | None) -> _Draws:
    q, p = model.encoder(x), model.prior()
    z = q.rsample_from(draw_noise(q, num_samples, noise))
    require_path(q, z)
    still = z.detach()
    if torch.is_grad_enabled():
        still = still.requires_grad_()
    log_joint = log_density("likelihood", model.decoder(still), x) + log_density("prior", p, still)
    log_q = log_density("posterior", q, still)
    return _Draws(z, still, log_joint, log_q, log_joint - log_q)

r"""Bounds without sampling, where the latent space is small: the expectation over the noise as a weighted sum.

Letters: K samples, B batch, Q nodes, N noise dimensions. Values in nats.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from latentia.errors import ConfigError
from latentia.objectives import LatentVariableModel

MOST_TERMS = 2_000_000
"""Terms of the largest sum that is taken, for each row."""


def bound_by_quadrature(model: LatentVariableModel, x: Tensor, *, num_samples: int = 1, nodes: int = 12) -> Tensor:
    r"""Return the expectation of the importance-weighted bound of every row, without a sample; K = 1 gives the ELBO.

    .. math:: \mathbb E_{\epsilon_1 \dots \epsilon_K} \log \tfrac1K \sum_{k=1}^{K} w(\epsilon_k) \approx
              \sum_{i_1 \dots i_K} \omega_{i_1} \cdots \omega_{i_K} \log \tfrac1K \sum_{k=1}^{K} w(\epsilon_{i_k})

    with the nodes and weights of the Gauss–Hermite rule in every noise dimension. The decoder is called at Q =
    nodes^N points, once. For K = 1 the sum is exact where log w is a polynomial of the noise of degree below 2·nodes:
    two nodes do for a linear decoder with Gaussian noise. Elsewhere it converges quickly where log w is smooth; compare
    two numbers of nodes. It is differentiable, so its gradient is the exact gradient of the expectation.

    Parameters
    ----------
    model
        Prior, encoder and decoder; the posterior's draws must be a smooth function of as many normals as it has
        dimensions (diagonal and full-covariance Gaussians, flows).
    x
        Rows, shape (B, *E).
    num_samples
        K ≥ 1.
    nodes
        In each noise dimension, at least 2.

    Returns
    -------
    Tensor
        shape (B,).

    Raises
    ------
    ConfigError
        Where the sum would have more than two million terms, or the posterior chooses among components.

    Examples
    --------
    >>> import torch
    >>> from latentia.models import PPCA
    >>> model = PPCA(torch.zeros(3), torch.ones(3, 1), 0.5)  # its encoder is exact
    >>> torch.allclose(bound_by_quadrature(model, torch.zeros(2, 3)), model.log_prob(torch.zeros(2, 3)))
    True
    """
    for name, number, least in (("num_samples", num_samples, 1), ("nodes", nodes, 2)):
        if number < least:
            msg = f"{name} must be at least {least}, got {number}"
            raise ConfigError(msg)
    q = model.encoder(x)
    size = q.noise_size
    if size != q.event_shape.numel():
        msg = (
            f"quadrature needs draws that are a smooth function of their noise, and {type(q).__name__} chooses among "
            "components with it: use a long run as the reference"
        )
        raise ConfigError(msg)
    if nodes ** (size * num_samples) > MOST_TERMS:
        msg = (
            f"quadrature over {size} noise dimensions and {num_samples} samples would take {nodes}^"
            f"{size * num_samples} terms: use fewer nodes, fewer latent dimensions, or a long run as the reference"
        )
        raise ConfigError(msg)
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    like = q.mean
    axis = torch.as_tensor(points, dtype=like.dtype, device=like.device)
    share = torch.as_tensor(weights / math.sqrt(2.0 * math.pi), dtype=like.dtype, device=like.device)
    noise = torch.cartesian_prod(*[axis] * size).reshape(-1, 1, size)
    z = q.rsample_from(noise.expand(-1, x.shape[0], size))
    log_weights: Tensor = model.decoder(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)  # (Q, B)
    shares = _products(share, size)
    combined, total = log_weights, shares
    for _ in range(num_samples - 1):  # every way to put one more sample beside those before
        combined = torch.logaddexp(combined.unsqueeze(1), log_weights).flatten(0, 1)
        total = _outer(total, shares)
    return total @ combined - math.log(num_samples)


def _products(share: Tensor, size: int) -> Tensor:
    total = share
    for _ in range(size - 1):
        total = _outer(total, share)
    return total


def _outer(a: Tensor, b: Tensor) -> Tensor:
    return torch.outer(a, b).flatten()

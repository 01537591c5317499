r"""Gradients without a path through the sample: the score-function estimator and its baselines.

.. math:: \nabla_\phi \mathbb E_{q_\phi(z)} f(z) = \mathbb E_{q_\phi(z)} \left[ (f(z) - b)\, \nabla_\phi \log q_\phi(z)
          \right] + \mathbb E_{q_\phi(z)} \nabla_\phi f(z)

for any baseline b that does not depend on this z: Williams 1992. It asks nothing of f but its values, so z may be
discrete and f a simulator, and it is the policy gradient of a one-step bandit with the policy q and the reward f. The
price is its variance.

Letters: L samples, B batch, E event, Z latent dimensions, N noise dimensions. Values in nats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

import torch
from torch import Tensor

from latentia.errors import ConfigError
from latentia.objectives.elbo import closed_form_kl
from latentia.objectives.protocol import LatentVariableModel, draw_noise, log_density
from latentia.objectives.result import Result, with_gradient_of

Baseline = Literal["none", "mean", "leave_one_out"]


def score_function_surrogate(log_q: Tensor, reward: Tensor, baseline: Tensor | float = 0.0) -> Tensor:
    r"""Return a tensor with the numbers of the reward, whose gradient is the score-function estimator.

    .. math:: (f - b)\, \nabla \log q + \nabla f

    Parameters
    ----------
    log_q
        log q of what was drawn, of any shape, with a gradient to the parameters of q but none through the draw.
    reward
        f, of the same shape; where it depends on parameters itself, its own gradient is added.
    baseline
        b, broadcastable to the reward; it must not depend on the draw that it is subtracted from.

    Returns
    -------
    Tensor
        Of the same shape, to be averaged and maximised.

    Examples
    --------
    A bandit with two arms; the second pays 1, and was pulled:

    >>> import torch
    >>> preference = torch.zeros(2, requires_grad=True)
    >>> log_q = preference.log_softmax(0)[1]
    >>> score_function_surrogate(log_q, torch.tensor(1.0)).backward()
    >>> preference.grad
    tensor([-0.5000,  0.5000])
    """
    return with_gradient_of(reward, (reward - baseline).detach() * log_q + reward)


def score_function_elbo(
    model: LatentVariableModel,
    x: Tensor,
    *,
    num_samples: int = 2,
    baseline: Baseline = "leave_one_out",
    noise: Tensor | None = None,
) -> Result:
    r"""Return the evidence lower bound of every row, with the score-function estimator of its gradient.

    .. math:: \nabla_\phi \mathcal L = \mathbb E_q \left[ (f - b)\, \nabla_\phi \log q_\phi(z \mid x) \right], \qquad
              f = \log p(x \mid z) + \log p(z) - \log q(z \mid x)

    Its expectation is the gradient of ``elbo``, for encoder and decoder, whatever the baseline. The draws need no
    gradient, so the posterior may be discrete. Ranganath, Gerrish and Blei 2014; the baseline of the other samples is
    that of Kool, van Hoof and Welling 2019.

    Parameters
    ----------
    model
        Prior, encoder and decoder.
    x
        Rows, shape (B, *E).
    num_samples
        L ≥ 1, and at least 2 with the baseline "leave_one_out".
    baseline
        What f is compared with: "none" (0), "mean" (the mean of f over the *other* rows of the batch, which needs 2
        rows) or "leave_one_out" (the mean of f over the other samples of the row). Its expectation depends on none of
        them; with "mean" the noise of a row's gradient depends on which other rows are in the batch.
    noise
        Standard normal noise, shape (L, B, N); drawn from torch's global generator if not given.

    Returns
    -------
    Result
        value (B,) and terms as of ``elbo``, without gradients; a surrogate with the gradient above.

    Raises
    ------
    ConfigError
        For an unknown baseline, too few samples or rows for it, or a part without a density.
    """
    if baseline not in _BASELINES:
        msg = f"baseline must be one of {', '.join(map(repr, get_args(Baseline)))}, got {baseline!r}"
        raise ConfigError(msg)
    q, p = model.encoder(x), model.prior()
    z = q.rsample_from(draw_noise(q, num_samples, noise)).detach()
    log_likelihood = log_density("likelihood", model.decoder(z), x)
    log_p, log_q = log_density("prior", p, z), log_density("posterior", q, z)
    # −log q is a part of the reward whose own gradient is zero in expectation and nothing but noise in one draw.
    reward = log_likelihood + log_p - log_q.detach()
    surrogate = score_function_surrogate(log_q, reward, _BASELINES[baseline](reward.detach())).mean(0)
    with torch.no_grad():
        reconstruction, kl = log_likelihood.mean(0), closed_form_kl(q, p)
        if kl is None:
            kl = (log_q - log_p).mean(0).unsqueeze(-1)
        return Result(reconstruction - kl.sum(-1), {"reconstruction": reconstruction, "kl": kl}, surrogate)


def _none(reward: Tensor) -> Tensor:
    return reward.new_zeros(())


def _other_rows(reward: Tensor) -> Tensor:
    if reward.shape[-1] < 2:
        msg = "the baseline 'mean' is taken over the other rows of the batch, and there is 1 row: give it 2 or more"
        raise ConfigError(msg)
    return mean_of_others(reward.mean(0, keepdim=True), -1)


def _other_samples(reward: Tensor) -> Tensor:
    if len(reward) < 2:
        msg = "the baseline 'leave_one_out' is the mean over the other samples of a row: num_samples must be at least 2"
        raise ConfigError(msg)
    return mean_of_others(reward, 0)


def mean_of_others(values: Tensor, dim: int) -> Tensor:
    """Return, for every entry along an axis of length at least 2, the mean of the others."""
    return (values.sum(dim, keepdim=True) - values) / (values.shape[dim] - 1)


_BASELINES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"none": _none, "mean": _other_rows, "leave_one_out": _other_samples}
)

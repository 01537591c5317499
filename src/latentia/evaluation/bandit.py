r"""The score-function estimator as a policy gradient: a bandit whose best arm is known.

.. math:: J(\phi) = \mathbb E_{a \sim \pi_\phi} r_a, \qquad \pi_\phi = \mathrm{softmax}(\phi), \qquad
          \nabla_\phi J = \mathbb E_{a \sim \pi_\phi} \left[ (r_a - b)\, \nabla_\phi \log \pi_\phi(a) \right]

Reinforcement learning with one step: the policy is q(z), the arm z, the reward f(z); what is maximised is the ELBO's
expectation under q without its divergence. The exact gradient is π_a (r_a − J). Williams 1992.

Letters: A arms, L pulls a step, R repeats, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentia.errors import ConfigError
from latentia.objectives import score_function_surrogate
from latentia.objectives.score_function import mean_of_others

Baseline = Literal["none", "leave_one_out"]


@dataclass(frozen=True)
class BanditRun:
    """A policy that learned by its score function.

    Attributes
    ----------
    policies
        Probability of each arm before every step and after the last, shape (T + 1, A).
    values
        Expected reward J of each, shape (T + 1,).
    optimum
        The largest expected reward that there is: that of the best arm.
    """

    policies: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    optimum: float


def exact_policy_gradient(preferences: Tensor, rewards: Tensor) -> Tensor:
    """Return π_a (r_a − J), the gradient of the expected reward in the preferences φ, shape (A,)."""
    policy = preferences.softmax(-1)
    return policy * (rewards - policy @ rewards)


def policy_gradients(
    preferences: Tensor,
    rewards: Tensor,
    *,
    repeats: int,
    num_samples: int = 1,
    baseline: Baseline = "none",
    reward_noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return independent draws of the policy gradient by the score function, shape (R, A).

    Parameters
    ----------
    preferences
        φ, shape (A,).
    rewards
        Expected reward of every arm, shape (A,).
    repeats
        R ≥ 1.
    num_samples
        L ≥ 1 pulls for each gradient, at least 2 with the baseline "leave_one_out".
    baseline
        "none", or "leave_one_out": the mean reward of the other pulls.
    reward_noise
        Standard deviation of what one pull pays around its mean.
    generator
        Of pulls and rewards; torch's global one if not given.

    Raises
    ------
    ConfigError
        For an unknown baseline, or too few pulls or repeats.
    """
    least = 2 if baseline == "leave_one_out" else 1
    if baseline not in get_args(Baseline) or num_samples < least or repeats < 1:
        msg = (
            f"a policy gradient needs a baseline of {', '.join(map(repr, get_args(Baseline)))}, at least 1 repeat and "
            f"1 pull (2 to leave one out), got baseline={baseline!r}, repeats={repeats} and num_samples={num_samples}"
        )
        raise ConfigError(msg)
    with torch.enable_grad():
        leaves = preferences.detach().expand(repeats, -1).clone().requires_grad_()
        log_policy = leaves.log_softmax(-1)  # (R, A)
        chances = preferences.detach().softmax(-1)
        arms = torch.multinomial(chances, repeats * num_samples, replacement=True, generator=generator)
        arms = arms.reshape(num_samples, repeats)
        noise = torch.randn(arms.shape, generator=generator, dtype=rewards.dtype, device=rewards.device)
        paid = rewards[arms] + reward_noise * noise
        log_q = log_policy.gather(-1, arms.mT).mT
        compared = mean_of_others(paid, 0) if baseline == "leave_one_out" else 0.0
        surrogate = score_function_surrogate(log_q, paid, compared).mean(0).sum()
        (gradients,) = torch.autograd.grad(surrogate, leaves)
    return gradients


def learn_bandit(
    rewards: Tensor,
    *,
    steps: int = 500,
    num_samples: int = 4,
    baseline: Baseline = "leave_one_out",
    reward_noise: float = 0.0,
    learning_rate: float = 0.5,
    generator: torch.Generator | None = None,
) -> BanditRun:
    """Climb the expected reward from the uniform policy by gradients that the score function estimates.

    Parameters
    ----------
    rewards
        Expected reward of every arm, shape (A,).
    steps
        T.
    num_samples, baseline, reward_noise, generator
        As of ``policy_gradients``.
    learning_rate
        Of plain gradient ascent.

    Examples
    --------
    >>> import torch
    >>> run = learn_bandit(torch.tensor([0.0, 1.0, 0.5]), generator=torch.Generator().manual_seed(0))
    >>> int(run.policies[-1].argmax()), run.optimum
    (1, 1.0)
    >>> bool(run.values[-1] > 0.95 > run.values[0])
    True
    """
    preferences = torch.zeros_like(rewards)
    policies = [preferences.softmax(-1)]
    for _ in range(steps):
        (gradient,) = policy_gradients(
            preferences,
            rewards,
            repeats=1,
            num_samples=num_samples,
            baseline=baseline,
            reward_noise=reward_noise,
            generator=generator,
        )
        preferences = preferences + learning_rate * gradient
        policies.append(preferences.softmax(-1))
    policy = torch.stack(policies).double().cpu()
    values = policy @ rewards.double().cpu()
    return BanditRun(policy.numpy(), values.numpy(), float(rewards.max()))

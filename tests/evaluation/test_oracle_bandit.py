"""The policy gradient of a bandit is the score function: its mean is exact, and it finds the best arm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from latentia.errors import ConfigError
from latentia.evaluation import exact_policy_gradient, learn_bandit, policy_gradients
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

REWARDS = torch.tensor([1.0, 3.0, -2.0, 2.5], dtype=torch.float64)
PREFERENCES = torch.tensor([0.2, -0.5, 0.4, 0.1], dtype=torch.float64)


def test_the_exact_gradient_is_that_of_the_expected_reward() -> None:
    leaf = PREFERENCES.clone().requires_grad_()
    (leaf.softmax(0) @ REWARDS).backward()
    assert leaf.grad is not None
    torch.testing.assert_close(exact_policy_gradient(PREFERENCES, REWARDS), leaf.grad)


@pytest.mark.parametrize(("baseline", "pulls"), [("none", 1), ("none", 3), ("leave_one_out", 2), ("leave_one_out", 5)])
def test_the_mean_policy_gradient_is_exact(baseline: Any, pulls: int) -> None:
    draws = policy_gradients(
        PREFERENCES,
        REWARDS,
        repeats=20_000,
        num_samples=pulls,
        baseline=baseline,
        reward_noise=0.5,
        generator=torch.Generator().manual_seed(0),
    )
    assert_mean(draws.numpy(), exact_policy_gradient(PREFERENCES, REWARDS).numpy())
    assert draws.shape == (20_000, 4)


def test_a_baseline_takes_the_level_of_the_rewards_out() -> None:
    """Ten added to every reward changes nothing but the noise without a baseline: measured, 29 times the variance."""
    generator = torch.Generator().manual_seed(0)
    settings: dict[str, Any] = {"repeats": 4000, "num_samples": 4, "generator": generator}
    plain = policy_gradients(PREFERENCES, REWARDS + 10.0, baseline="none", **settings)
    compared = policy_gradients(PREFERENCES, REWARDS + 10.0, baseline="leave_one_out", **settings)
    assert float(plain.var(0).sum()) > 10 * float(compared.var(0).sum())


@pytest.mark.parametrize("baseline", ["none", "leave_one_out"])
def test_it_finds_the_best_arm(baseline: Any) -> None:
    run = learn_bandit(
        REWARDS,
        steps=800,
        baseline=baseline,
        reward_noise=0.5,
        learning_rate=0.1,
        generator=torch.Generator().manual_seed(1),
    )
    assert run.policies.shape == (801, 4)
    np.testing.assert_allclose(run.policies.sum(1), 1.0)
    np.testing.assert_allclose(run.policies[0], 0.25)
    np.testing.assert_allclose(run.values, run.policies @ REWARDS.numpy())
    assert run.optimum == 3.0
    assert int(run.policies[-1].argmax()) == 1
    assert 0.9 * run.optimum < run.values[-1] <= run.optimum


@pytest.mark.parametrize(
    "changes",
    [{"baseline": "leave_one_out", "num_samples": 1}, {"baseline": "mean"}, {"num_samples": 0}, {"repeats": 0}],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a policy gradient needs a baseline of 'none', 'leave_one_out'"):
        policy_gradients(PREFERENCES, REWARDS, **{"repeats": 5, **changes})

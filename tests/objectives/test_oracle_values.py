"""The values of the importance-weighted family are bounds: their means are known on two bits, by summing all states."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch.distributions import MultivariateNormal

from latentia.models import PPCA
from latentia.objectives import (
    Result,
    ciwae,
    elbo,
    importance_log_weights,
    iwae,
    iwae_dreg,
    miwae,
    piwae,
    score_function_elbo,
)
from tests.objectives.cases import LinearGaussian, TwoBits, copies, enumerated, exact_iwae, numbers, parameters
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

X = torch.tensor([0.8, -1.1], dtype=torch.float64)
VALUES = parameters(latent_dim=2)
ROWS = 4000


@pytest.mark.parametrize(
    ("objective", "loose", "tight"),
    [
        (partial(iwae, num_samples=1), 1, 1),
        (partial(iwae, num_samples=4), 4, 4),
        (partial(iwae_dreg, num_samples=4), 4, 4),
        (partial(miwae, num_outer=3, num_samples=2), 2, 2),
        (partial(piwae, num_outer=3, num_samples=2), 6, 6),
        (partial(ciwae, num_samples=4, weight=0.25), 1, 4),
        (partial(score_function_elbo, num_samples=3), 1, 1),
    ],
)
@torch.no_grad()
def test_values_have_the_expectation_of_their_bound(objective: Callable[..., Result], loose: int, tight: int) -> None:
    """Against the sum over all states of all samples; Σ w̃ log w would be far above."""
    torch.manual_seed(0)
    result = objective(TwoBits(copies(VALUES, ROWS)), X.expand(ROWS, -1))
    low, high = float(enumerated(VALUES, X, loose)), float(enumerated(VALUES, X, tight))
    assert_mean(result.value.numpy(), 0.25 * low + 0.75 * high)
    if "elbo" in result.terms:
        assert_mean(result.terms["elbo"].numpy(), float(enumerated(VALUES, X, 1)))


@torch.no_grad()
def test_terms_say_what_they_are() -> None:
    torch.manual_seed(0)
    model, rows = TwoBits(copies(VALUES, ROWS)), X.expand(ROWS, -1)
    noise = torch.randn(6, ROWS, 2)
    weights = importance_log_weights(model, rows, num_samples=6, noise=noise)
    result = piwae(model, rows, num_outer=3, num_samples=2, noise=noise)
    torch.testing.assert_close(result.value, weights.exp().mean(0).log())
    by_hand = torch.stack([weights[i : i + 2].exp().mean(0).log() for i in (0, 2, 4)]).mean(0)
    torch.testing.assert_close(result.terms["miwae"], by_hand)
    several = miwae(model, rows, num_outer=3, num_samples=2, noise=noise)
    torch.testing.assert_close(several.value, by_hand)
    sizes = [weights[i : i + 2].exp().sum(0).square() / (2 * weights[i : i + 2]).exp().sum(0) for i in (0, 2, 4)]
    torch.testing.assert_close(several.terms["effective_sample_size"], torch.stack(sizes).mean(0))
    combined = ciwae(model, rows, num_samples=6, weight=0.25, noise=noise)
    torch.testing.assert_close(combined.terms["iwae"], result.value)
    torch.testing.assert_close(combined.value, 0.25 * weights.mean(0) + 0.75 * result.value)
    assert_mean(combined.terms["elbo"].numpy(), float(enumerated(VALUES, X, 1)))


def test_bounds_rise_with_samples_to_log_p() -> None:
    """Exact, by quadrature: E L₁ < E L₂ < E L₃ < log p(x); the expectation of log w is the ELBO."""
    values = parameters(latent_dim=1)
    one, two, three = (float(exact_iwae(values, X, k, n)) for k, n in ((1, 20), (2, 20), (3, 12)))
    covariance = values["w"] @ values["w"].T + torch.eye(2) * torch.tensor(-0.6).exp()
    log_p = float(MultivariateNormal(values["w"] @ values["m"] + values["w0"], covariance).log_prob(X))
    assert one < two - 1e-3 < three - 2e-3 < log_p
    torch.manual_seed(0)
    model, rows = LinearGaussian(copies(values, ROWS)), X.expand(ROWS, -1)
    for k, expected in ((1, one), (2, two), (3, three)):
        assert_mean(iwae(model, rows, num_samples=k).value.detach().numpy(), expected)


@pytest.mark.parametrize("objective", [iwae, iwae_dreg, miwae, piwae, ciwae])
def test_with_the_exact_posterior_every_bound_is_log_p(objective: Callable[..., Result]) -> None:
    exact = PPCA(numbers(5, seed=0), numbers(5, 3, seed=1), 0.4)
    x = exact.mean + numbers(2, 5, seed=2)
    result = objective(exact, x, num_samples=7)
    torch.testing.assert_close(result.value, exact.log_prob(x), rtol=0.0, atol=1e-9)


def test_the_score_function_reports_the_elbo() -> None:
    noise, model = numbers(3, 2, 2, seed=5), LinearGaussian(copies(VALUES, 2))
    rows = torch.stack([X, -X])
    plain = elbo(model, rows, num_samples=3, noise=noise)
    result = score_function_elbo(model, rows, num_samples=3, noise=noise)
    torch.testing.assert_close(result.value, plain.value.detach())
    assert not result.value.requires_grad
    weights = importance_log_weights(model, rows, num_samples=3, noise=noise).detach()
    torch.testing.assert_close(result.maximand.detach(), weights.mean(0))

"""The mean of every gradient estimator is the exact gradient, for every parameter of encoder, decoder and prior.

Exact gradients come from closed forms, quadrature or sums; five standard errors over thousands of draws with fixed
seeds. M ≠ K throughout, so that the two cannot be swapped unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from latentia.objectives import Result, ciwae, elbo, iwae, iwae_dreg, miwae, piwae, score_function_elbo
from tests.objectives.cases import (
    ENCODER,
    LinearGaussian,
    Parameters,
    TwoBits,
    enumerated,
    exact_elbo,
    exact_gradient,
    exact_iwae,
    gradient_draws,
    log_weight,
    numbers,
    parameters,
)
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

X = torch.tensor([0.8, -1.1], dtype=torch.float64)
ROWS = 6000
NODES = {1: 20, 2: 20, 3: 12, 6: 6}  # of the quadrature in each of K dimensions


def _assert_exact(
    draws: dict[str, Any], expected: dict[str, Tensor], names: tuple[str, ...] = ("a", "a0", "log_s", "w", "w0", "m")
) -> None:
    for name in names:
        assert_mean(draws[name], expected[name].numpy())
        assert float(expected[name].abs().max()) > 0.02  # else there would be nothing to find


@pytest.mark.parametrize(
    "objective",
    [
        partial(elbo, num_samples=1),
        partial(elbo, num_samples=3),
        partial(score_function_elbo, num_samples=1, baseline="none"),
        partial(score_function_elbo, num_samples=3, baseline="none"),
        partial(score_function_elbo, num_samples=3, baseline="leave_one_out"),
        partial(score_function_elbo, num_samples=2, baseline="mean"),
        partial(iwae_dreg, num_samples=1),
        partial(ciwae, num_samples=3, weight=1.0),
        partial(miwae, num_outer=3, num_samples=1),
    ],
)
def test_estimators_of_the_elbo(objective: Callable[..., Result]) -> None:
    values = parameters(latent_dim=2)
    draws = gradient_draws(LinearGaussian, values, X, objective, ROWS)
    _assert_exact(draws, exact_gradient(values, lambda p: exact_elbo(p, X)))


@pytest.mark.parametrize(
    ("objective", "encoder_samples", "model_samples"),
    [
        (partial(iwae, num_samples=2), 2, 2),
        (partial(iwae_dreg, num_samples=2), 2, 2),
        (partial(miwae, num_outer=3, num_samples=2), 2, 2),
        (partial(piwae, num_outer=3, num_samples=2), 2, 6),
        (partial(piwae, num_outer=1, num_samples=3), 3, 3),
    ],
)
def test_estimators_of_importance_weighted_bounds(
    objective: Callable[..., Result], encoder_samples: int, model_samples: int
) -> None:
    expected = {name: _exact(encoder_samples if name in ENCODER else model_samples)[name] for name in _exact(1)}
    draws = gradient_draws(LinearGaussian, parameters(latent_dim=1), X, objective, ROWS)
    _assert_exact(draws, expected)


@cache
def _exact(num_samples: int) -> dict[str, Tensor]:
    """Return the gradient of the importance-weighted bound with one latent dimension."""
    return exact_gradient(parameters(latent_dim=1), lambda p: exact_iwae(p, X, num_samples, NODES[num_samples]))


@pytest.mark.parametrize("num_samples", NODES)
def test_quadrature_has_converged(num_samples: int) -> None:
    values, nodes = parameters(latent_dim=1), NODES[num_samples]
    finer = exact_gradient(values, lambda p: exact_iwae(p, X, num_samples, nodes + 1))
    for name, value in _exact(num_samples).items():
        torch.testing.assert_close(value, finer[name], rtol=0.0, atol=1e-4)
    if num_samples == 1:
        torch.testing.assert_close(exact_iwae(values, X, 1, nodes), exact_elbo(values, X))


def test_the_combination_weighs_the_two_gradients() -> None:
    expected = {name: 0.3 * _exact(1)[name] + 0.7 * _exact(2)[name] for name in _exact(1)}
    objective = partial(ciwae, num_samples=2, weight=0.3)
    _assert_exact(gradient_draws(LinearGaussian, parameters(latent_dim=1), X, objective, ROWS), expected)


@pytest.mark.parametrize(
    ("objective", "encoder_samples", "model_samples"),
    [
        (partial(elbo, num_samples=2), 1, 1),
        (partial(iwae, num_samples=2), 2, 2),
        (partial(iwae_dreg, num_samples=2), 2, 2),
        (partial(piwae, num_outer=2, num_samples=1), 1, 2),
        (partial(score_function_elbo, num_samples=2), 1, 1),
    ],
)
def test_a_prior_made_of_the_encoder(
    objective: Callable[..., Result], encoder_samples: int, model_samples: int
) -> None:
    """A VampPrior of one component: what the prior takes from the encoder is differentiated too, as the model's."""
    pseudo_input = torch.tensor([-0.5, 0.4])
    values = parameters(latent_dim=1)

    def bound(q: Parameters, p: Parameters, k: int) -> Tensor:
        prior = {"loc": p["a"] @ pseudo_input + p["a0"], "log_scale": p["log_s"]}
        return exact_iwae(q, X, k, 20, prior)

    as_posterior = exact_gradient(values, lambda q: bound(q, values, encoder_samples))
    as_prior = exact_gradient(values, lambda p: bound(values, p, model_samples))
    expected = {name: as_posterior[name] + as_prior[name] for name in ENCODER}
    draws = gradient_draws(lambda leaves: LinearGaussian(leaves, pseudo_input), values, X, objective, ROWS)
    _assert_exact(draws, expected, ENCODER)


@pytest.mark.parametrize("baseline", ["none", "leave_one_out", "mean"])
def test_the_score_function_trains_discrete_latents(baseline: Any) -> None:
    values = parameters(latent_dim=2)
    objective = partial(score_function_elbo, num_samples=2, baseline=baseline)
    draws = gradient_draws(TwoBits, values, X, objective, ROWS)
    _assert_exact(draws, exact_gradient(values, lambda p: enumerated(p, X, 1)), ("a", "a0", "w", "w0", "m"))


def test_the_mean_over_few_other_rows_is_unbiased() -> None:
    """Three rows with parameters in common, where a baseline that held the row itself would shrink the gradient."""
    values = parameters(latent_dim=2)
    rows = torch.stack([X, -X, 0.5 * X.flip(0)])
    draws = []
    torch.manual_seed(0)
    for _ in range(1000):
        leaves = {name: value.clone().requires_grad_() for name, value in values.items()}
        model = LinearGaussian({name: value.expand(3, *value.shape) for name, value in leaves.items()})
        score_function_elbo(model, rows, num_samples=1, baseline="mean").maximand.mean().backward()
        draws.append(torch.cat([leaf.grad.flatten() for leaf in leaves.values() if leaf.grad is not None]).numpy())
    expected = exact_gradient(values, lambda p: torch.stack([exact_elbo(p, x) for x in rows]).mean())
    assert_mean(np.stack(draws), torch.cat([grad.flatten() for grad in expected.values()]).numpy())


def _gradients(objective: Callable[..., Result], noise: Tensor) -> dict[str, Tensor]:
    leaves = {name: value.unsqueeze(0).requires_grad_() for name, value in parameters(latent_dim=2).items()}
    objective(LinearGaussian(leaves), X[None], noise=noise).maximand.sum().backward()
    return {name: leaf.grad[0] for name, leaf in leaves.items() if leaf.grad is not None}


def _by_hand(noise: Tensor, bound: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    return exact_gradient(parameters(latent_dim=2), lambda p: bound(log_weight(p, X, noise[:, 0])))


def _multiply(m: int, k: int) -> Callable[[Tensor], Tensor]:
    return lambda w: (w.reshape(m, k).logsumexp(1) - np.log(k)).mean()


def test_outer_and_inner_samples_are_not_swapped() -> None:
    """On given noise, against the formula written out: three bounds with four samples each, not the other way."""
    noise = numbers(12, 1, 2, seed=7)
    found = _gradients(partial(miwae, num_outer=3, num_samples=4), noise)
    expected, swapped = _by_hand(noise, _multiply(3, 4)), _by_hand(noise, _multiply(4, 3))
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])
        assert float((found[name] - swapped[name]).abs().max()) > 1e-3


def test_partial_weights_on_given_noise() -> None:
    """The encoder's gradient is that of three bounds with four samples, the model's that of one bound with twelve."""
    noise = numbers(12, 1, 2, seed=7)
    found = _gradients(partial(piwae, num_outer=3, num_samples=4), noise)
    encoder, model = _by_hand(noise, _multiply(3, 4)), _by_hand(noise, _multiply(1, 12))
    for name in found:
        torch.testing.assert_close(found[name], (encoder if name in ENCODER else model)[name])
        assert float((encoder[name] - model[name]).abs().max()) > 1e-3


def test_double_reparameterisation_on_given_noise() -> None:
    """The decoder's gradient is that of ``iwae``; the encoder's is Σ w̃² ∂log w/∂z ∂z/∂φ, with slopes by hand."""
    noise, values = numbers(5, 1, 2, seed=8), parameters(latent_dim=2)
    found, plain = _gradients(partial(iwae_dreg, num_samples=5), noise), _by_hand(noise, _multiply(1, 5))
    for name in ("w", "w0", "m"):
        torch.testing.assert_close(found[name], plain[name])
    weights = log_weight(values, X, noise[:, 0]).softmax(0)
    loc, scale = values["a"] @ X + values["a0"], values["log_s"].exp()
    z = loc + scale * noise[:, 0]
    residual = X - z @ values["w"].T - values["w0"]
    slope = residual @ values["w"] / np.exp(2 * -0.3) - (z - values["m"]) + (z - loc) / scale.square()
    pull = weights.square().unsqueeze(-1) * slope
    torch.testing.assert_close(found["a0"], pull.sum(0))
    torch.testing.assert_close(found["a"], pull.sum(0).outer(X))
    torch.testing.assert_close(found["log_s"], (pull * scale * noise[:, 0]).sum(0))


def test_the_surrogate_has_the_numbers_of_the_bound() -> None:
    noise, leaves = numbers(6, 1, 2, seed=9), {k: v[None].requires_grad_() for k, v in parameters(2).items()}
    tight = iwae(LinearGaussian(leaves), X[None], num_samples=6, noise=noise)
    for objective in (partial(iwae_dreg, num_samples=6), partial(piwae, num_outer=3, num_samples=2)):
        result = objective(LinearGaussian(leaves), X[None], noise=noise)
        torch.testing.assert_close(result.value, tight.value)
        torch.testing.assert_close(result.maximand, tight.value)
        assert result.maximand.requires_grad
        assert not result.value.requires_grad
        with torch.no_grad():
            alone = objective(LinearGaussian(leaves), X[None], noise=noise)
        torch.testing.assert_close(alone.value, tight.value)
        assert alone.surrogate is None

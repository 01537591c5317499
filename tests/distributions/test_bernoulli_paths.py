"""The Bernoulli density has one way with gradients and a faster one without: both are its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from latentia.distributions import Bernoulli

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("dims", [1, 2, 3, 7, 16, 31, 64, 97, 784])
def test_both_ways_give_the_definition(dims: int) -> None:
    rng = np.random.default_rng(dims)
    logits, x = rng.normal(0.0, 8.0, (4, 3, dims)), rng.integers(0, 2, (3, dims))
    expected = (-np.logaddexp(0.0, np.where(x == 1, -logits, logits))).sum(-1)
    tensor = torch.from_numpy(logits)
    kept = tensor.clone()
    np.testing.assert_allclose(Bernoulli(tensor).log_prob(torch.from_numpy(x)).numpy(), expected, rtol=1e-12)
    assert torch.equal(tensor, kept)  # the fast way works in place, but not on the logits
    with_gradient = Bernoulli(tensor.requires_grad_()).log_prob(torch.from_numpy(x))
    np.testing.assert_allclose(with_gradient.detach().numpy(), expected, rtol=1e-12)
    (gradient,) = torch.autograd.grad(with_gradient.sum(), tensor)
    np.testing.assert_allclose(gradient.numpy(), x - 1.0 / (1.0 + np.exp(-logits)), atol=1e-12)


def test_far_logits_neither_overflow_nor_vanish() -> None:
    logits = torch.tensor([[1e4, -1e4, 50.0, -800.0]])
    x = torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert Bernoulli(logits).log_prob(x).item() == pytest.approx(-850.0, abs=1e-9)


def test_images_and_sample_axes() -> None:
    logits, x = torch.randn(5, 1, 4, 3, generator=torch.Generator().manual_seed(0)), torch.ones(1, 4, 3)
    density = Bernoulli(logits, event_dims=2)
    assert density.log_prob(x).shape == (5, 1)
    torch.testing.assert_close(density.log_prob(x), density.log_prob_elements(x).sum((-1, -2)))


def test_both_ways_agree_between_zero_and_one_too() -> None:
    """Grey values make it a cross-entropy, and the same one with gradients and without."""
    logits, x = torch.tensor([1.3, -0.4]), torch.tensor([0.3, 0.7])
    expected = (x * logits - torch.nn.functional.softplus(logits)).sum()
    torch.testing.assert_close(Bernoulli(logits).log_prob(x), expected)
    torch.testing.assert_close(Bernoulli(logits.requires_grad_()).log_prob(x).detach(), expected.detach())
    (gradient,) = torch.autograd.grad(Bernoulli(logits.detach()).log_prob(x.requires_grad_()), x)
    torch.testing.assert_close(gradient, logits.detach())

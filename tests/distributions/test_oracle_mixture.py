"""Mixtures against torch's, against exact gradients, and against what is easily got wrong.

Letters: S samples, B batch, C components, Z dimensions.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from latentia.distributions import DiagonalNormal, FullNormal, Mixture, UnitNormal, kl_divergence
from latentia.errors import ConfigError
from latentia.objectives import kl_terms
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

B, C, Z = 4, 3, 2


def _numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, scale, shape))


LOG_WEIGHTS, LOC = _numbers(B, C), _numbers(B, C, Z, seed=1)
LOG_SCALE = _numbers(B, C, Z, seed=2, scale=0.4)
TRIL = torch.tril(_numbers(B, C, Z, Z, seed=3, scale=0.5), -1) + torch.diag_embed(LOG_SCALE.exp())
DIAGONAL = Mixture(LOG_WEIGHTS, DiagonalNormal(LOC, LOG_SCALE))
FULL = Mixture(LOG_WEIGHTS, FullNormal(LOC, TRIL))
TORCH_DIAGONAL = MixtureSameFamily(Categorical(logits=LOG_WEIGHTS), Independent(Normal(LOC, LOG_SCALE.exp()), 1))
TORCH_FULL = MixtureSameFamily(Categorical(logits=LOG_WEIGHTS), MultivariateNormal(LOC, scale_tril=TRIL))
BOTH = pytest.mark.parametrize(
    ("ours", "torchs"), [(DIAGONAL, TORCH_DIAGONAL), (FULL, TORCH_FULL)], ids=["diagonal", "full"]
)


@BOTH
def test_density_and_moments_are_torchs(ours: Mixture, torchs: MixtureSameFamily) -> None:
    x = _numbers(5, B, Z, seed=4, scale=3.0)
    torch.testing.assert_close(ours.log_prob(x), torchs.log_prob(x))
    torch.testing.assert_close(ours.log_prob(x[0]), torchs.log_prob(x[0]))
    torch.testing.assert_close(ours.mean, torchs.mean)
    torch.testing.assert_close(ours.variance, torchs.variance)
    torch.testing.assert_close(ours.stddev, torchs.variance.sqrt())
    far = torch.full((B, Z), 60.0)  # the densities themselves are zero there
    torch.testing.assert_close(ours.log_prob(far), torchs.log_prob(far))


@BOTH
def test_every_row_under_every_mixture(ours: Mixture, torchs: MixtureSameFamily) -> None:
    x = _numbers(7, 1, Z, seed=5)
    assert ours.log_prob(x).shape == (7, B)
    torch.testing.assert_close(ours.log_prob(x), torchs.log_prob(x))
    torch.testing.assert_close(ours.log_prob(x[0, 0]), torchs.log_prob(x[0, 0]))


@BOTH
def test_gradients_of_the_density_are_torchs(ours: Mixture, torchs: MixtureSameFamily) -> None:
    x = _numbers(5, B, Z, seed=6).requires_grad_()
    (found,) = torch.autograd.grad(ours.log_prob(x).sum(), x)
    (expected,) = torch.autograd.grad(torchs.log_prob(x).sum(), x)
    torch.testing.assert_close(found, expected)


def test_the_sum_over_dimensions_is_inside() -> None:
    """Halves at (−3, −3) and (3, 3): a density that mixes each coordinate by itself has modes at (−3, 3) too."""
    p = Mixture(torch.zeros(2), DiagonalNormal(torch.tensor([[-3.0, -3.0], [3.0, 3.0]]), torch.zeros(2, 2)))
    at_mode = -math.log(2 * math.pi) - math.log(2)
    assert float(p.log_prob(torch.tensor([3.0, 3.0]))) == pytest.approx(at_mode, abs=1e-12)
    assert float(p.log_prob(torch.tensor([-3.0, 3.0]))) == pytest.approx(at_mode - 18 + math.log(2), abs=1e-12)
    draws = p.sample((1000,), generator=torch.Generator().manual_seed(0))
    assert (draws[:, 0] * draws[:, 1] > 0).double().mean() > 0.99  # both coordinates of a draw from one component


def test_single_precision_is_enough_where_components_are_narrow_and_far() -> None:
    """500 components of 40 dimensions, σ from 0.01 on, means to ±3: z²/σ² reaches 10⁵ where the distance is 40."""
    loc, log_scale = _numbers(500, 40, seed=7, scale=1.5), _numbers(500, 40, seed=8).clamp(-2, 2) - 2.5
    components = DiagonalNormal(loc.float(), log_scale.float())
    single = Mixture(torch.zeros(500).float(), components)
    x = single.sample((50,), generator=torch.Generator().manual_seed(0))
    exact = (components.loc.double(), components.log_scale.double())
    torchs = MixtureSameFamily(Categorical(logits=torch.zeros(500)), Independent(Normal(exact[0], exact[1].exp()), 1))
    found = single.log_prob(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), torchs.log_prob(x.double()), rtol=1e-6, atol=1e-4)


def test_without_double_precision_the_plain_sum_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    x = _numbers(5, B, Z, seed=4)
    expected = DIAGONAL.log_prob(x)
    monkeypatch.setattr("latentia.distributions.mixture._WITHOUT_DOUBLE", ("cpu",))
    monkeypatch.setattr(Tensor, "double", None)
    torch.testing.assert_close(DIAGONAL.log_prob(x), expected)


def test_weights_are_normalised_and_zero_weights_are_never_drawn() -> None:
    p = Mixture(torch.tensor([-math.inf, 3.0, -math.inf]), DiagonalNormal(LOC[0], LOG_SCALE[0]))
    x = _numbers(6, Z, seed=9)
    torch.testing.assert_close(p.log_prob(x), DiagonalNormal(LOC[0, 1], LOG_SCALE[0, 1]).log_prob(x))
    noise = _numbers(1000, Z + 1, seed=10)
    torch.testing.assert_close(p.rsample_from(noise), LOC[0, 1] + LOG_SCALE[0, 1].exp() * noise[:, 1:])


@BOTH
def test_draws_have_their_components_frequencies(ours: Mixture, torchs: MixtureSameFamily) -> None:
    """Component c is drawn where Φ of the first normal falls in its share; the others are its noise."""
    noise = _numbers(4000, B, Z + 1, seed=11)
    edges = torch.cat([torch.zeros(B, 1), LOG_WEIGHTS.softmax(-1).cumsum(-1)], -1)
    chance = 0.5 * (1 + torch.erf(noise[..., 0] / math.sqrt(2)))
    draws = ours.rsample_from(noise)
    for c in range(C):
        inside = (chance >= edges[:, c]) & (chance < edges[:, c + 1])
        assert_mean(inside.double().numpy(), LOG_WEIGHTS.softmax(-1)[:, c].numpy())
        factor = TRIL[:, c] if ours is FULL else torch.diag_embed(LOG_SCALE[:, c].exp())
        expected = LOC[:, c] + (factor @ noise[..., 1:].unsqueeze(-1)).squeeze(-1)
        torch.testing.assert_close(draws[inside], expected[inside])


def _moments(log_weights: Tensor, loc: Tensor, covariance: Tensor) -> Tensor:
    """E[z₀² z₁ + z₁³ − z₀] of one mixture, by the moments of Gaussians."""
    a, b = loc.unbind(-1)
    s, c, t = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    return (log_weights.softmax(-1) * ((a**2 + s) * b + 2 * a * c + b**3 + 3 * b * t - a)).sum()


@pytest.mark.parametrize("full", [False, True])
def test_pathwise_gradients_of_a_polynomial_are_exact(full: bool) -> None:
    """To the weights, means and factors, each of 20,000 draws giving its own gradient."""
    w, loc = LOG_WEIGHTS[0].clone().requires_grad_(), LOC[0].clone().requires_grad_()
    spread = (TRIL[0] if full else LOG_SCALE[0]).clone().requires_grad_()
    covariance = spread @ spread.mT if full else torch.diag_embed((2 * spread).exp())
    exact = torch.autograd.grad(_moments(w, loc, covariance), [w, loc, spread])

    count = 20_000
    each = [one.detach().expand(count, *one.shape).clone().requires_grad_() for one in (w, loc, spread)]
    components = FullNormal(each[1], each[2]) if full else DiagonalNormal(each[1], each[2])
    z = Mixture(each[0], components).rsample((), generator=torch.Generator().manual_seed(0))
    f = z[:, 0] ** 2 * z[:, 1] + z[:, 1] ** 3 - z[:, 0]
    for gradient, expected in zip(torch.autograd.grad(f.sum(), each), exact, strict=True):
        shape = torch.tril(torch.ones(Z, Z)) if gradient.dim() == 4 else torch.ones(())  # nothing above the diagonal
        assert_mean((gradient * shape).numpy(), (expected * shape).numpy())


@pytest.mark.parametrize("full", [False, True])
def test_a_draw_moves_and_stretches_with_its_mixture(full: bool) -> None:
    """For every single draw: all means moved by δ move it by δ; everything stretched by a factor stretches it."""
    spread = (TRIL if full else LOG_SCALE).clone().requires_grad_()
    loc, w = LOC.clone().requires_grad_(), LOG_WEIGHTS.clone().requires_grad_()
    p = Mixture(w, FullNormal(loc, spread) if full else DiagonalNormal(loc, spread))
    z = p.rsample_from(_numbers(B, Z + 1, seed=12))
    for d in range(Z):
        to_w, to_loc, to_spread = torch.autograd.grad(z[:, d].sum(), [w, loc, spread], retain_graph=True)
        torch.testing.assert_close(to_loc.sum(1), torch.eye(Z)[d].expand(B, Z))
        stretched = (to_loc * loc).sum((1, 2)) + (
            (to_spread * spread).sum((1, 2, 3)) if full else to_spread.sum((1, 2))
        )
        torch.testing.assert_close(stretched, z[:, d])
        torch.testing.assert_close(to_w.sum(1), torch.zeros(B))  # a common factor of the weights changes nothing


def test_gradients_keep_their_digits_in_the_tails() -> None:
    """A draw five standard deviations out, on either side, in single precision."""
    noise = torch.tensor([[-2.0, 5.0, -5.0], [0.3, -5.0, 5.0], [2.0, 5.5, 5.5]])
    gradients = []
    for dtype in (torch.float64, torch.float32):
        parameters = [one[0].to(dtype).clone().requires_grad_() for one in (LOG_WEIGHTS, LOC, LOG_SCALE)]
        p = Mixture(parameters[0], DiagonalNormal(parameters[1], parameters[2]))
        gradients.append(torch.autograd.grad(p.rsample_from(noise.to(dtype)).sum(), parameters))
    for exact, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found.double(), exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("full", [False, True])
def test_one_component_is_that_component(full: bool) -> None:
    one = FullNormal(LOC[:, 0], TRIL[:, 0]) if full else DiagonalNormal(LOC[:, 0], LOG_SCALE[:, 0])
    components = FullNormal(LOC[:, :1], TRIL[:, :1]) if full else DiagonalNormal(LOC[:, :1], LOG_SCALE[:, :1])
    p = Mixture(torch.ones(B, 1), components)
    x, noise = _numbers(5, B, Z, seed=13), _numbers(5, B, Z + 1, seed=14)
    assert torch.equal(p.log_prob(x), one.log_prob(x))
    assert torch.equal(p.rsample_from(noise), one.rsample_from(noise[..., 1:]))
    other = DiagonalNormal(torch.ones(Z), 0.3 * torch.ones(Z))
    for side in (UnitNormal(torch.zeros(Z)), other, FullNormal(torch.zeros(Z), torch.tensor([[1.0, 0.0], [0.5, 2.0]]))):
        torch.testing.assert_close(kl_divergence(p, side), kl_divergence(one, side))
        torch.testing.assert_close(kl_divergence(side, p), kl_divergence(side, one))
    torch.testing.assert_close(kl_divergence(p, p), torch.zeros(B))


def test_no_closed_form_is_claimed_for_several_components() -> None:
    p = UnitNormal(torch.zeros(Z))
    with pytest.raises(NotImplementedError, match="3 components"):
        kl_divergence(DIAGONAL, p)
    z = DIAGONAL.sample((6,), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(kl_terms(DIAGONAL, p, z), (DIAGONAL.log_prob(z) - p.log_prob(z)).mean(0).unsqueeze(-1))


def test_components_of_another_kind_or_number_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be a DiagonalNormal or FullNormal over vectors, got Normal"):
        Mixture(torch.zeros(2), Normal(torch.zeros(2), torch.ones(2)))  # type: ignore[arg-type]  # the mistake
    with pytest.raises(ConfigError, match=r"over vectors, got DiagonalNormal with events of shape \(4, 3\)"):
        Mixture(torch.zeros(2), DiagonalNormal(torch.zeros(2, 4, 3), torch.zeros(2, 4, 3), 2))
    with pytest.raises(ConfigError, match=r"last batch axis of 2, .*; their batch is \(4, 3\)"):
        Mixture(torch.zeros(2), DiagonalNormal(LOC, LOG_SCALE))

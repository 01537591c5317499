"""The parts of the ELBO: they add up exactly, and each has the value that quadrature gives it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from latentia.distributions import DiagonalNormal, FullNormal, Mixture, UnitNormal
from latentia.errors import ConfigError
from latentia.evaluation import ElboDecomposition, aggregated_posterior_gap, decomposition, elbo_decomposition
from latentia.objectives import Reparameterised, importance_log_weights
from tests.evaluation.cases import MixturePrior, Story, generators, linear_gaussian, numbers, shifted, simpson
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

ROWS = numbers(4, 5, seed=6)


def _diagonal(x: Tensor) -> DiagonalNormal:
    return DiagonalNormal(1.2 * x[:, :2], 0.4 * x[:, 2:4] - 0.4)


def _full(x: Tensor) -> FullNormal:
    factor = torch.diag_embed((0.3 * x[:, 2:4] - 0.4).exp())
    factor[:, 1, 0] = 0.8 * x[:, 4]
    return FullNormal(x[:, :2], factor)


def _mixture(x: Tensor) -> Mixture:
    loc = torch.stack([x[:, :2], -x[:, 1:3]], -2)
    return Mixture(x[:, 3:], DiagonalNormal(loc, torch.full_like(loc, -0.5)))


def _story(encoder: Callable[[Tensor], Reparameterised], latents: int = 2) -> Story:
    model = linear_gaussian(latents)
    return Story(model.decoder, encoder, model.prior)


def _draws(story: Story | MixturePrior, x: Tensor, count: int) -> dict[str, npt.NDArray[np.float64]]:
    """Means over the rows from independent noise, `count` times."""
    parts = [elbo_decomposition(story, x, noise=generators(seed)) for seed in range(count)]
    names = ("mutual_information", "marginal_kl", "total_correlation")
    found = {name: np.array([part.means()[name].value for part in parts]) for name in names}
    wise = [part.dimension_wise_kl for part in parts]
    return found | {"dimension_wise_kl": np.array([part.mean(0) for part in wise if part is not None])}


@pytest.mark.parametrize("encoder", [_diagonal, _full, _mixture])
def test_parts_have_the_values_of_quadrature(encoder: Callable[[Tensor], Reparameterised]) -> None:
    """Two latent dimensions on a grid of 301 × 301 points: 400 draws, five standard errors for five numbers."""
    axis, width = torch.linspace(-9.0, 9.0, 301), 18.0 / 300
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    q = encoder(ROWS)
    log_q_given_x = q.log_prob(grid.unsqueeze(-2).expand(301, 301, 4, 2))
    log_q = log_q_given_x.logsumexp(-1) - math.log(4)
    density = log_q.exp()
    assert float(simpson(simpson(density, width), width)) == pytest.approx(1.0, abs=1e-8)

    def mean(values: Tensor) -> float:
        return float(simpson(simpson(density * values, width), width))

    single = torch.stack([simpson(density.T, width), simpson(density, width)], -1)  # (points, dimension)
    log_p = UnitNormal(torch.zeros(2)).log_prob_elements(grid)
    each = [single[:, 0].log().unsqueeze(1), single[:, 1].log().unsqueeze(0)]
    entropy = simpson(simpson((log_q_given_x.exp() * log_q_given_x).nan_to_num(), width), width).mean()
    expected: dict[str, Any] = {
        "mutual_information": float(entropy) - mean(log_q),
        "marginal_kl": mean(log_q - log_p.sum(-1)),
        "total_correlation": mean(log_q - each[0] - each[1]),
        "dimension_wise_kl": [mean(each[d] - log_p[..., d]) for d in range(2)],
    }
    assert all(value > 0.05 for name, value in expected.items() if isinstance(value, float))
    for name, found in _draws(_story(encoder), ROWS, 400).items():
        assert_mean(found, expected[name])


@pytest.mark.parametrize("encoder", [_diagonal, _full, _mixture])
def test_parts_add_up_to_the_bound_without_error(encoder: Callable[[Tensor], Reparameterised]) -> None:
    story = _story(encoder)
    parts = elbo_decomposition(story, ROWS, noise=generators(0), num_samples=6)
    size = encoder(ROWS).noise_size
    noise = torch.stack([torch.randn(6, size, generator=generators(0)(i)) for i in range(4)], 1)
    bound = importance_log_weights(story, ROWS, num_samples=6, noise=noise).mean(0)
    np.testing.assert_allclose(parts.elbo, bound.numpy(), rtol=1e-12)
    assert parts.total_correlation is not None
    assert parts.dimension_wise_kl is not None
    whole = parts.total_correlation + parts.dimension_wise_kl.sum(-1)
    np.testing.assert_allclose(parts.marginal_kl, whole, rtol=1e-10)
    total = parts.reconstruction - parts.mutual_information - whole
    np.testing.assert_allclose(total, bound.numpy(), rtol=1e-10)


def test_a_prior_that_does_not_split_leaves_the_parts_adding_up() -> None:
    model = MixturePrior(linear_gaussian(2))
    parts = elbo_decomposition(model, ROWS, noise=generators(0), num_samples=3)
    assert parts.total_correlation is not None
    assert parts.dimension_wise_kl is not None
    assert parts.dimension_wise_kl.shape == (4, 1)
    np.testing.assert_allclose(parts.marginal_kl, parts.total_correlation + parts.dimension_wise_kl[:, 0], rtol=1e-10)


def test_equal_rows_share_no_information_and_distant_ones_all_of_it() -> None:
    """Of N rows: nothing, and log N, which is as much as N rows can show."""
    same = elbo_decomposition(_story(_diagonal), ROWS[:1].repeat(7, 1), noise=generators(0))
    np.testing.assert_allclose(same.mutual_information, np.zeros(7), atol=1e-12)
    apart = torch.arange(7.0).unsqueeze(1) * torch.tensor([[100.0, 0.0, 0.0, 0.0, 0.0]])
    found = elbo_decomposition(_story(_diagonal), apart, noise=generators(0))
    np.testing.assert_allclose(found.mutual_information, np.full(7, math.log(7)), atol=1e-9)
    assert found.largest_information == pytest.approx(math.log(7))
    assert found.saturated


def test_fewer_rows_have_a_larger_divergence_from_the_prior() -> None:
    """Convexity: the mean over five samples of ten rows is above the divergence of all fifty."""
    x = 0.7 * numbers(50, 5, seed=11)
    whole = aggregated_posterior_gap(_story(_diagonal), x, noise=generators(0), num_samples=200).value
    tens = [
        aggregated_posterior_gap(_story(_diagonal), part, noise=generators(i), num_samples=200).value
        for i, part in enumerate(x.split(10))
    ]
    assert np.mean(tens) > whole + 0.05


def test_the_marginal_divergence_of_equal_rows_is_that_of_their_posterior() -> None:
    x = ROWS[:1].repeat(3000, 1)
    exact = torch.distributions.kl_divergence(_diagonal(ROWS[:1]), UnitNormal(torch.zeros(2)))
    found = elbo_decomposition(_story(_diagonal), x[:300], noise=generators(0), num_samples=10)
    assert_mean(found.marginal_kl, exact.numpy())


def test_the_gap_alone_is_the_marginal_divergence() -> None:
    story = shifted(linear_gaussian())
    parts = elbo_decomposition(story, ROWS, noise=generators(0), num_samples=3)
    gap = aggregated_posterior_gap(story, ROWS, noise=generators(0), num_samples=3)
    assert gap.value == pytest.approx(parts.means()["marginal_kl"].value, rel=1e-12)
    assert gap.standard_error == pytest.approx(parts.means()["marginal_kl"].standard_error, rel=1e-9)


def test_pieces_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    x = numbers(23, 5, seed=9)
    whole = elbo_decomposition(_story(_diagonal), x, noise=generators(0), num_samples=2)
    monkeypatch.setattr(decomposition, "ROWS_PER_PIECE", 4)
    monkeypatch.setattr(decomposition, "NUMBERS_PER_CALL", 24)
    pieces = elbo_decomposition(_story(_diagonal), x, noise=generators(0), num_samples=2)
    for name in ("reconstruction", "mutual_information", "marginal_kl", "total_correlation", "dimension_wise_kl"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=0.0, atol=1e-12)


@dataclass(frozen=True)
class _Opaque:
    """A posterior of which no more is known than its density, its draws and its mean."""

    inner: DiagonalNormal

    @property
    def batch_shape(self) -> torch.Size:
        return self.inner.batch_shape

    @property
    def event_shape(self) -> torch.Size:
        return self.inner.event_shape

    @property
    def noise_size(self) -> int:
        return self.inner.noise_size

    @property
    def mean(self) -> Tensor:
        return self.inner.mean

    def rsample_from(self, noise: Tensor) -> Tensor:
        return self.inner.rsample_from(noise)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.inner.log_prob(value)


def test_a_posterior_without_densities_of_single_dimensions_has_the_other_parts() -> None:
    known = elbo_decomposition(_story(_diagonal), ROWS, noise=generators(0))
    found = elbo_decomposition(_story(lambda x: _Opaque(_diagonal(x))), ROWS, noise=generators(0))
    assert found.total_correlation is None
    assert found.dimension_wise_kl is None
    np.testing.assert_allclose(found.mutual_information, known.mutual_information, rtol=1e-10)
    np.testing.assert_allclose(found.elbo, known.elbo, rtol=1e-10)
    assert "total correlation" not in str(found)
    assert found.to_json()["total_correlation"] is None


def test_numbers_as_text_and_as_json() -> None:
    a, one = np.array([-10.0, -14.0]), np.ones(2)
    found = ElboDecomposition(a, 0.5 * one, 3.0 * one, one, np.ones((2, 2)), num_samples=4)
    assert str(found).splitlines() == [
        "parts of the ELBO of 2 rows, in nats",
        "  ELBO                 -15.50 ± 2.00",
        "  reconstruction       -12.00 ± 2.00",
        "  mutual information   0.50 ± 0.00, at most log N = 0.69: at its ceiling, of the data it is more",
        "  KL(q(z) ‖ p(z))      3.00 ± 0.00, at most",
        "    total correlation  1.00 ± 0.00",
        "    dimension-wise     2.00 ± 0.00",
    ]
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (content["elbo"], content["total_correlation"], content["dimension_wise_kl"]) == (-15.5, 1.0, 2.0)
    assert (content["num_samples"], content["saturated"]) == (4, True)
    many = np.ones(100)
    assert "ceiling" not in str(ElboDecomposition(many, 3.5 * many, many, many, many[:, None], num_samples=1))
    assert "ceiling" in str(ElboDecomposition(many, 3.7 * many, many, many, many[:, None], num_samples=1))


def test_bad_input_is_refused() -> None:
    for function in (elbo_decomposition, aggregated_posterior_gap):
        with pytest.raises(ConfigError, match="num_samples must be at least 1, got 0"):
            function(_story(_diagonal), ROWS, noise=generators(0), num_samples=0)
        with pytest.raises(ConfigError, match="rows must be at least 1, got 0"):
            function(_story(_diagonal), ROWS[:0], noise=generators(0))

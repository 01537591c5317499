"""β-TC-VAE: estimates of q(z) by enumeration of all batches, its parts where they are known, its weights by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from latentia.distributions import DiagonalNormal, FullNormal, UnitNormal
from latentia.errors import ConfigError
from latentia.objectives import DEPENDS_ON_BATCH, aggregated_posterior, beta_tc, elbo, mmd_elbo
from latentia.parts import MixtureOfGaussians
from tests.objectives.cases import LinearGaussian, copies, numbers, parameters

pytestmark = pytest.mark.usefixtures("float64")

N, B, Z = 6, 3, 2
LOC, LOG_SCALE = numbers(N, Z, seed=1), 0.3 * numbers(N, Z, seed=2)


def _posterior(rows: list[int]) -> DiagonalNormal:
    return DiagonalNormal(LOC[rows], LOG_SCALE[rows])


def _exact(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return q(z) and q(z_d) over all N rows, by torch's own density."""
    each = Normal(LOC, LOG_SCALE.exp()).log_prob(z.unsqueeze(-2)).exp()
    return each.prod(-1).mean(-1), each.mean(-2)


def test_the_stratified_estimate_of_the_density_is_unbiased() -> None:
    """Over all batches that hold row 0, and its sample: mean of estimate/q(z) = 1, jointly and in every dimension.

    Wherever row 0 stands in the batch.
    """
    z = numbers(1, Z, seed=3)
    joint, each = _exact(z[0])
    for position in range(B):
        ratios = []
        for others in itertools.combinations(range(1, N), B - 1):
            rows = [*others[:position], 0, *others[position:]]
            samples = numbers(1, B, Z, seed=4)
            samples[0, position] = z[0]
            log_joint, log_each = aggregated_posterior(_posterior(rows), samples, N)
            ratios.append(torch.cat([(log_joint[0, position].exp() / joint)[None], log_each[0, position].exp() / each]))
        torch.testing.assert_close(torch.stack(ratios).mean(0), torch.ones(1 + Z))


def test_the_published_weights_are_another_split_of_the_same_share() -> None:
    """Chen et al. give one of the others (N − M)/(N M) and the rest 1/M, M = B − 1; the mean over which is ours."""
    z, rows = numbers(1, B, Z, seed=4), [0, 1, 2]
    densities = Normal(LOC[rows], LOG_SCALE[rows].exp()).log_prob(z[0].unsqueeze(-2)).exp().prod(-1)
    ours, _ = aggregated_posterior(_posterior(rows), z, N)
    m = B - 1
    for i in range(B):
        others = [j for j in range(B) if j != i]
        published = []
        for odd in others:
            weight = {j: (N - m) / (N * m) if j == odd else 1 / m for j in others} | {i: 1 / N}
            assert sum(weight.values()) == pytest.approx(1.0)
            published.append(sum(weight[j] * densities[i, j] for j in range(B)))
        torch.testing.assert_close(ours[0, i].exp(), sum(published, torch.zeros(())) / len(published))


def test_the_whole_data_set_as_a_batch_is_exact() -> None:
    z = numbers(4, N, Z, seed=5)
    log_joint, log_each = aggregated_posterior(_posterior(list(range(N))), z, N)
    joint, each = _exact(z)
    torch.testing.assert_close(log_joint, joint.log())
    torch.testing.assert_close(log_each, each.log())


def test_a_batch_of_one_row_knows_no_other() -> None:
    z = numbers(2, 1, Z, seed=6)
    log_joint, log_each = aggregated_posterior(_posterior([3]), z, N)
    torch.testing.assert_close(log_joint, _posterior([3]).log_prob(z))
    torch.testing.assert_close(log_each, _posterior([3]).log_prob_elements(z))


def test_the_weighted_estimate_divides_by_both_numbers() -> None:
    z = numbers(1, B, Z, seed=4)
    densities = Normal(LOC[:B], LOG_SCALE[:B].exp()).log_prob(z[0].unsqueeze(-2)).exp()
    log_joint, log_each = aggregated_posterior(_posterior([0, 1, 2]), z, N, "weighted")
    torch.testing.assert_close(log_joint[0], (densities.prod(-1).sum(-1) / (N * B)).log())
    torch.testing.assert_close(log_each[0], (densities.sum(-2) / (N * B)).log())


def test_full_covariances_have_the_marginals_of_their_diagonal() -> None:
    factor = torch.tensor([[0.8, 0.0], [0.5, 0.6]])
    q = FullNormal(LOC[:B], factor.expand(B, 2, 2))
    z = numbers(1, B, Z, seed=4)
    log_joint, log_each = aggregated_posterior(q, z, B)
    whole = MultivariateNormal(LOC[:B], scale_tril=factor).log_prob(z[0].unsqueeze(-2)).exp().mean(-1)
    single = Normal(LOC[:B], torch.tensor([0.8, math.sqrt(0.61)])).log_prob(z[0].unsqueeze(-2)).exp().mean(-2)
    torch.testing.assert_close(log_joint[0], whole.log())
    torch.testing.assert_close(log_each[0], single.log())


@dataclass
class Copying:
    """q(z | x) = N(x, s²): the aggregated posterior is the data set, smoothed."""

    scale: float = 0.5

    def prior(self) -> UnitNormal:
        """Return p(z)."""
        return UnitNormal(torch.zeros(2))

    def encoder(self, x: Tensor) -> DiagonalNormal:
        """Return q(z | x)."""
        return DiagonalNormal(x, torch.full_like(x, math.log(self.scale)))

    def decoder(self, z: Tensor) -> DiagonalNormal:
        """Return p(x | z)."""
        return DiagonalNormal(z, torch.zeros(()))


CORNERS = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=2)), dtype=torch.float64)


def _terms(x: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return beta_tc(Copying(), x, dataset_size=len(x), num_samples=4000).terms


def _entropy(points: list[float]) -> float:
    """Entropy of an even mixture of N(m, 0.5²), by a fine sum."""
    grid = np.linspace(-6.0, 6.0, 24_001)
    density = np.mean([np.exp(-0.5 * ((grid - m) / 0.5) ** 2) for m in points], axis=0) / (0.5 * math.sqrt(2 * np.pi))
    return float(-(density * np.log(np.maximum(density, 1e-300))).sum() * (grid[1] - grid[0]))


def test_total_correlation_of_independent_dimensions_is_zero_for_every_sample() -> None:
    terms = _terms(CORNERS)
    torch.testing.assert_close(terms["total_correlation"], torch.zeros(4), rtol=0.0, atol=1e-9)
    noise_entropy = math.log(0.5) + 0.5 * (1 + math.log(2 * math.pi))
    information = 2 * (_entropy([-1.0, 1.0]) - noise_entropy)
    assert float(terms["mutual_information"].mean()) == pytest.approx(information, abs=0.01)


def test_the_parts_of_two_opposite_corners() -> None:
    """z₁ ≈ z₂: one bit or less of information, and the total correlation is that of the sign that they share."""
    terms = _terms(CORNERS[[0, 3]])
    noise_entropy = math.log(0.5) + 0.5 * (1 + math.log(2 * math.pi))
    # Along the diagonal the centres lie √2 from 0; across it there is noise alone.
    joint = _entropy([-math.sqrt(2.0), math.sqrt(2.0)]) + noise_entropy
    single = _entropy([-1.0, 1.0])
    assert float(terms["mutual_information"].mean()) == pytest.approx(joint - 2 * noise_entropy, abs=0.01)
    assert float(terms["total_correlation"].mean()) == pytest.approx(2 * single - joint, abs=0.01)
    second_moment = 1.0 + 0.25
    divergence = -single + 0.5 * math.log(2 * math.pi) + 0.5 * second_moment
    assert terms["dimension_wise_kl"].shape == (2, 2)
    np.testing.assert_allclose(terms["dimension_wise_kl"].mean(0).numpy(), divergence, atol=0.02)


@pytest.mark.parametrize("estimator", ["stratified", "weighted"])
def test_the_parts_add_up_whatever_the_estimate(estimator: Any) -> None:
    """With weights of 1 the surrogate is the ELBO on the same samples; the reported value is the ELBO always."""
    model = LinearGaussian(copies(parameters(latent_dim=3), 4))
    x, noise = numbers(4, 2, seed=7), numbers(5, 4, 3, seed=8)
    settings: dict[str, Any] = {"dataset_size": 50, "num_samples": 5, "noise": noise, "estimator": estimator}
    result = beta_tc(model, x, **settings)
    terms = result.terms
    parts = terms["mutual_information"] + terms["total_correlation"] + terms["dimension_wise_kl"].sum(-1)
    q, p = model.encoder(x), model.prior()
    z = q.rsample_from(noise)
    torch.testing.assert_close(parts, (q.log_prob(z) - p.log_prob(z)).mean(0))
    torch.testing.assert_close(result.maximand, terms["reconstruction"] - parts)
    torch.testing.assert_close(result.value, elbo(model, x, num_samples=5, noise=noise).value)
    weighted = beta_tc(model, x, alpha=0.5, beta=6.0, gamma=torch.tensor(2.0), **settings)
    expected = terms["reconstruction"] - 0.5 * terms["mutual_information"] - 6.0 * terms["total_correlation"]
    torch.testing.assert_close(weighted.maximand, expected - 2.0 * terms["dimension_wise_kl"].sum(-1))
    torch.testing.assert_close(weighted.value, result.value)


def test_rows_may_stand_in_any_order() -> None:
    x, noise, order = numbers(4, 2, seed=7), numbers(1, 4, 2, seed=8), torch.tensor([2, 0, 3, 1])
    one = beta_tc(Copying(), x, dataset_size=9, noise=noise, beta=3.0)
    other = beta_tc(Copying(), x[order], dataset_size=9, noise=noise[:, order], beta=3.0)
    torch.testing.assert_close(one.maximand[order], other.maximand)


def test_objectives_that_depend_on_the_batch_say_so() -> None:
    assert {beta_tc, mmd_elbo} == DEPENDS_ON_BATCH
    x, noise = numbers(4, 2, seed=7), numbers(1, 4, 2, seed=8)
    whole = beta_tc(Copying(), x, dataset_size=9, noise=noise, beta=3.0)
    halves = [beta_tc(Copying(), x[i : i + 2], dataset_size=9, noise=noise[:, i : i + 2], beta=3.0) for i in (0, 2)]
    assert float((whole.maximand - torch.cat([half.maximand for half in halves])).abs().max()) > 0.01
    torch.testing.assert_close(whole.value, torch.cat([half.value for half in halves]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_size": 3}, "dataset_size must be at least the 4 rows of the batch, got 3"),
        ({"alpha": -1.0}, "alpha must be at least 0, got -1.0"),
        ({"gamma": -2.0}, "gamma must be at least 0, got -2.0"),
        ({"estimator": "mss"}, "estimator must be one of 'stratified', 'weighted', got 'mss'"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        beta_tc(Copying(), numbers(4, 2, seed=7), **{"dataset_size": 9, **changes})


def test_priors_and_posteriors_without_single_dimensions_are_refused() -> None:
    class Mixed(Copying):
        def prior(self) -> Any:
            return MixtureOfGaussians(2, 3)()

    class Joint(Copying):
        def encoder(self, x: Tensor) -> Any:
            components = DiagonalNormal(x.unsqueeze(-2) + torch.tensor([[-1.0], [1.0]]), torch.zeros(2))
            return type(MixtureOfGaussians(2, 3)())(torch.zeros(2), components)

    with pytest.raises(ConfigError, match="Mixture has no density of one"):
        beta_tc(Mixed(), numbers(4, 2, seed=7), dataset_size=9)
    with pytest.raises(ConfigError, match="the posterior Mixture has none in closed form"):
        beta_tc(Joint(), numbers(4, 2, seed=7), dataset_size=9)

"""What makes no sense is refused in one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from latentia.distributions import DiagonalNormal
from latentia.errors import ConfigError
from latentia.objectives import (
    beta_tc,
    ciwae,
    elbo,
    iwae,
    iwae_dreg,
    miwae,
    mmd_elbo,
    piwae,
    score_function_elbo,
)
from tests.objectives.cases import LinearGaussian, TwoBits, copies, numbers, parameters

pytestmark = pytest.mark.usefixtures("float64")

X = torch.tensor([[0.8, -1.1], [0.2, 0.4]], dtype=torch.float64)
PATHWISE: list[Callable[..., Any]] = [
    elbo,
    iwae,
    iwae_dreg,
    miwae,
    ciwae,
    piwae,
    mmd_elbo,
    partial(beta_tc, dataset_size=9),
]
ALL = [*PATHWISE, score_function_elbo]


def _model(rows: int = 2) -> LinearGaussian:
    return LinearGaussian(copies(parameters(latent_dim=2), rows))


@pytest.mark.parametrize("objective", ALL)
@pytest.mark.parametrize("count", [0, -1])
def test_fewer_than_one_sample(objective: Callable[..., Any], count: int) -> None:
    with pytest.raises(ConfigError, match=rf"num_samples must be at least 1, got {count}"):
        objective(_model(), X, num_samples=count)


@pytest.mark.parametrize("objective", [miwae, piwae])
def test_fewer_than_one_bound(objective: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="num_outer must be at least 1, got 0"):
        objective(_model(), X, num_outer=0, num_samples=3)


@pytest.mark.parametrize("objective", [partial(miwae, num_outer=2), partial(piwae, num_outer=2)])
def test_noise_for_another_number_of_samples(objective: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"noise must have shape \(6, 2, 2\).*got \(3, 2, 2\)"):
        objective(_model(), X, num_samples=3, noise=torch.zeros(3, 2, 2))


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weights_outside_of_the_unit_interval(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"weight must be from 0 .* to 1"):
        ciwae(_model(), X, weight=weight)


def test_baselines() -> None:
    with pytest.raises(ConfigError, match="num_samples must be at least 2"):
        score_function_elbo(_model(), X, num_samples=1, baseline="leave_one_out")
    with pytest.raises(ConfigError, match="there is 1 row: give it 2 or more"):
        score_function_elbo(_model(1), X[:1], num_samples=3, baseline="mean")
    with pytest.raises(ConfigError, match="baseline must be one of 'none', 'mean', 'leave_one_out', got 'best'"):
        score_function_elbo(_model(), X, baseline="best")  # type: ignore[arg-type]


@dataclass
class Implicit:
    """A posterior or prior with draws and no density."""

    normal: DiagonalNormal

    @property
    def noise_size(self) -> int:
        """As of a normal."""
        return self.normal.noise_size

    batch_shape = property(lambda self: self.normal.batch_shape)
    event_shape = property(lambda self: self.normal.event_shape)
    mean = property(lambda self: self.normal.mean)

    def rsample_from(self, noise: Tensor) -> Tensor:
        """Return draws."""
        return self.normal.rsample_from(noise)


@dataclass
class WithoutDensity(LinearGaussian):
    """A model with one implicit part."""

    part: str = "posterior"

    def encoder(self, x: Tensor) -> Any:
        """Return q(z | x)."""
        q = super().encoder(x)
        return Implicit(q) if self.part == "posterior" else q

    def prior(self) -> Any:
        """Return p(z)."""
        p = super().prior()
        return Implicit(p) if self.part == "prior" else p

    def decoder(self, z: Tensor) -> Any:
        """Return p(x | z)."""
        p = super().decoder(z)
        return torch.distributions.Distribution(validate_args=False) if self.part == "likelihood" else p


@pytest.mark.parametrize("objective", [elbo, iwae, iwae_dreg, miwae, ciwae, piwae, mmd_elbo, score_function_elbo])
@pytest.mark.parametrize("part", ["posterior", "prior", "likelihood"])
def test_a_part_without_a_density(objective: Callable[..., Any], part: str) -> None:
    model = WithoutDensity(copies(parameters(latent_dim=2), 2), part=part)
    with pytest.raises(ConfigError, match=f"the {part} (Implicit|Distribution) has no log_prob"):
        objective(model, X)


def test_an_operator_that_a_device_lacks_is_not_a_missing_density() -> None:
    class Broken(LinearGaussian):
        def decoder(self, z: Tensor) -> Any:
            class Density(torch.distributions.Distribution):
                def log_prob(self, value: Tensor) -> Tensor:
                    raise NotImplementedError("no such operator on this device")

            return Density(validate_args=False)

    with pytest.raises(NotImplementedError, match="no such operator"):
        elbo(Broken(copies(parameters(latent_dim=2), 2)), X)


@pytest.mark.parametrize("objective", [elbo, iwae, iwae_dreg, miwae, ciwae, piwae])
def test_a_discrete_posterior_is_not_trained_with_a_gradient_that_is_not_there(objective: Callable[..., Any]) -> None:
    """Without the refusal the encoder would learn from a biased gradient; the value alone can be had."""
    model = TwoBits(copies(parameters(latent_dim=2), 2))
    with pytest.raises(ConfigError, match=r"the draws of the posterior Bits carry no gradient.*score_function_elbo"):
        objective(model, X)
    with torch.no_grad():
        assert bool(objective(model, X).value.isfinite().all())


def test_a_frozen_encoder_is_no_mistake() -> None:
    values = copies(parameters(latent_dim=2), 2)
    for name in ("a", "a0", "log_s"):
        values[name].requires_grad_(False)
    for objective in (elbo, iwae, iwae_dreg, score_function_elbo):
        result = objective(LinearGaussian(values), X, noise=numbers(5, 2, 2, seed=1), num_samples=5)
        result.maximand.sum().backward()
    assert values["w"].grad is not None

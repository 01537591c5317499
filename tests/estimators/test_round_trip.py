"""Every shape, network and likelihood trains, samples, encodes, decodes, scores, and comes back from disk the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import latentia as lt
from latentia.data import Support
from latentia.errors import ConfigError, DataError
from tests.estimators.cases import MIXED, Array, binary, levels, mixed, raised, table, unit, vae

SHAPES = [(8, 8), (28, 20), (28, 28), (32, 32, 3), (64, 64)]


def check_round_trip(model: Any, x: Array, folder: Path, network: Any = None) -> None:
    """Fit, use every verb, and compare each with what the loaded model says."""
    n, shape = len(x), x.shape[1:]
    model.fit(x)
    support = model.preprocessing_.model_support
    z = model.transform(x)
    assert z.shape == (n, model.latent_dim)
    drawn, reconstructed, scores = model.sample(3), model.reconstruct(x), model.score_samples(x)
    assert drawn.shape == (3, *shape)
    assert reconstructed.shape == x.shape
    assert scores.shape == (n,)
    assert np.isfinite(scores).all()
    assert model.posterior(x).sd.min() > 0
    if support.is_discrete:
        support.check(drawn)
        assert drawn.dtype == (np.int32 if support.kind == "count" else np.uint8)
        assert reconstructed.min() >= 0
        assert support.kind == "count" or reconstructed.max() <= (support.levels or 2) - 1
        model.transform(drawn.astype(bool) if support.kind == "binary" else drawn)
    else:
        assert drawn.dtype.kind == "f"
        if model.likelihood_name_ in ("continuous_bernoulli", "log_normal", "mixed"):
            support.check(drawn)
    np.testing.assert_array_equal(model.inverse_transform(z), reconstructed)
    model.save(folder)
    loaded = lt.load(folder, device="cpu", network=network)
    np.testing.assert_array_equal(loaded.score_samples(x), scores)
    np.testing.assert_array_equal(loaded.transform(x), z)
    np.testing.assert_array_equal(loaded.reconstruct(x), reconstructed)
    np.testing.assert_array_equal(loaded.sample(3), drawn)
    assert str(loaded.support_) == str(model.support_)
    assert loaded.evaluate(x).to_json() == model.evaluate(x).to_json()
    assert loaded.history_ == model.history_


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_every_shape_trains_and_comes_back(shape: tuple[int, ...], network: str, tmp_path: Path) -> None:
    x = binary((12, *shape))
    check_round_trip(vae(network=network, max_epochs=1, num_importance_samples=2), x, tmp_path / "model")


@pytest.mark.parametrize(("shape", "chosen"), [*zip(SHAPES, ["mlp", "mlp", "mlp", "conv", "conv"], strict=True)])
def test_auto_is_convolutional_for_colour_and_for_large_images(shape: tuple[int, ...], chosen: str) -> None:
    assert vae(max_epochs=1).fit(binary((4, *shape))).network_name_ == chosen


# What is given, and the likelihood that "auto" must choose.
DATA: Mapping[str, tuple[Array, dict[str, Any], str]] = {
    "binary": (binary((40, 4, 4)), {}, "bernoulli"),
    "truth values": (binary((40, 16)).astype(bool), {}, "bernoulli"),
    "17 levels": (levels((40, 4, 4), 17), {"support": "levels:17"}, "binomial"),
    "33 levels": (levels((40, 4, 4), 33), {"support": "levels:33"}, "discretized_logistic"),
    "256 levels": (levels((40, 4, 4)), {}, "discretized_logistic"),
    "1000 levels": (levels((40, 4), 256).astype(np.int64) * 3, {"support": "levels:1000"}, "discretized_logistic"),
    "categories": (levels((40, 6), 4), {"support": "categories:4"}, "categorical"),
    "unit": (unit((40, 4, 4)), {"support": "unit"}, "continuous_bernoulli"),
    "positive": (np.exp(table(40, 3) / 10), {"support": "positive"}, "log_normal"),
    "counts": (np.random.default_rng(0).poisson(9.0, (40, 4, 4)), {"support": "count"}, "negative_binomial"),
    "table": (mixed(40), {"support": MIXED}, "mixed"),
    "real": (table(40, 5), {}, "gaussian"),
    "whole numbers": (levels((40, 5), 9).astype(np.int32) - 4, {}, "gaussian"),
}


@pytest.mark.parametrize("name", DATA)
def test_auto_fits_the_support(name: str, tmp_path: Path) -> None:
    x, options, likelihood = DATA[name]
    if name == "1000 levels":
        model = vae(**options).fit(x)
        assert model.sample(2).dtype == np.uint16
    else:
        check_round_trip(model := vae(**options), x, tmp_path / "model")
    assert model.likelihood_name_ == likelihood
    baseline = lt.IndependentPixels(random_state=0, **options).fit(x)
    assert baseline.likelihood_name_ == likelihood
    assert np.isfinite(baseline.score_samples(x)).all()
    baseline.save(tmp_path / "baseline")
    loaded = lt.load(tmp_path / "baseline")
    np.testing.assert_array_equal(loaded.score_samples(x), baseline.score_samples(x))
    np.testing.assert_array_equal(loaded.sample(3), baseline.sample(3))


LIKELIHOODS: list[tuple[Any, str]] = [
    ("bernoulli", "binary"),
    ("binomial", "binary"),
    ("categorical", "binary"),
    ("binomial", "256 levels"),
    ("categorical", "17 levels"),
    ("categorical", "categories"),
    ("discretized_logistic", "17 levels"),
    ("gaussian", "unit"),
    ("gaussian_shared", "real"),
    ("gaussian_network", "real"),
    ("gaussian_network", "unit"),
    ("gaussian_fixed", "real"),
    (lt.likelihood("gaussian_fixed", variance=0.25), "real"),
    (lt.likelihood("gaussian", min_scale=0.05), "positive"),
    ("gaussian_low_rank:rank=2", "real"),
    ("laplace", "real"),
    (lt.likelihood("laplace", scale="network"), "unit"),
    ("student_t", "real"),
    (lt.likelihood("student_t", degrees=3.0, scale="shared"), "positive"),
    ("continuous_bernoulli", "unit"),
    ("log_normal", "positive"),
    (lt.likelihood("log_normal", variance="network"), "positive"),
    ("negative_binomial", "counts"),
    ("negative_binomial:dispersion=network", "counts"),
    ("discretized_logistic_mixture:components=2", "17 levels"),
]


@pytest.mark.parametrize(("likelihood", "name"), LIKELIHOODS)
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_every_likelihood_with_every_network(likelihood: Any, name: str, network: str, tmp_path: Path) -> None:
    x, options, _ = DATA[name]
    if network == "conv":
        if name == "categories":
            assert "mlp" in raised(lambda: vae(network="conv", **options).fit(x.reshape(40, 2, 3)), ConfigError)
            return
        x = np.resize(x, (12, 5, 4))
    check_round_trip(vae(likelihood=likelihood, network=network, **options), x, tmp_path / "model")


def test_a_full_covariance_is_for_few_numbers_and_networks_that_give_them(tmp_path: Path) -> None:
    model = vae(likelihood="gaussian_full")
    check_round_trip(model, table(40, 4), tmp_path / "model")
    assert "at most 128" in raised(lambda: model.fit(table(40, 129)), ConfigError)
    image = unit((12, 4, 4))  # 16 × 19/2 outputs: not as many for every pixel
    assert "gaussian_low_rank" in raised(
        lambda: vae(likelihood="gaussian_full", network="conv").fit(image), ConfigError
    )
    alone = lt.IndependentPixels(likelihood="gaussian_full")
    assert "PPCA or VAE" in raised(lambda: alone.fit(table(40, 4)), ConfigError)


@pytest.mark.parametrize("binarize", ["static", "dynamic", "threshold"])
@pytest.mark.parametrize("make", [levels, unit])
def test_every_binarisation_is_a_bernoulli(binarize: str, make: Any, tmp_path: Path) -> None:
    model = vae(binarize=binarize)
    check_round_trip(model, make((30, 4, 4)), tmp_path / "model")
    assert model.likelihood_name_ == "bernoulli"
    assert str(model.preprocessing_.model_support) == "binary"


def test_a_fixed_variance_is_squared_error_with_its_constant() -> None:
    """−distortion = −λ E‖x − x̂‖² − D/2 log(π/λ) with λ = 1/(2σ²), in standardised units: the issue's own words."""
    x = table(50, 4)
    x = (x - x.mean(0)) / x.std(0)
    quarter = lt.likelihood("gaussian_fixed", variance=0.25)
    model = vae(likelihood=quarter, precision="float64", max_epochs=5, validation_fraction=0).fit(x)
    weight = 1 / (2 * 0.25)
    q = model.posterior(x)
    rng = np.random.default_rng(0)
    draws = [model.inverse_transform(q.mean + q.sd * rng.normal(size=q.mean.shape)) for _ in range(400)]
    errors = [np.square(x - mean).sum(1) for mean in draws]
    expected = weight * np.mean(errors) + 2 * np.log(np.pi / weight)
    distortion = model.evaluate(x, num_samples=400).distortion
    standard_error = weight * np.std(np.mean(errors, axis=1)) / 20  # of 400 sets of draws, in both estimates
    assert distortion is not None
    assert abs(distortion - expected) < 5 * np.sqrt(2) * standard_error


def test_inverse_transform_of_categories_is_the_most_probable_code() -> None:
    x = np.tile(np.array([[0, 2, 3]], np.uint8), (50, 1))
    x[::5, 0] = 3  # the mean code would be 0.6, which is none
    model = vae(support="categories:4", max_epochs=60, learning_rate=2e-2, latent_dim=1).fit(x)
    decoded = model.reconstruct(x)
    assert set(np.unique(decoded)) <= {0.0, 2.0, 3.0}
    np.testing.assert_array_equal(decoded[:, 1:], x[:, 1:])


class Convolutions(nn.Module):
    """A decoder that knows one leading axis only."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 4 * 3 * 3)
        self.up = nn.ConvTranspose2d(4, 1, 2, stride=2)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.up(self.head(z).reshape(z.shape[0], 4, 3, 3)).flatten(1)
        return out


def own() -> tuple[nn.Module, nn.Module]:
    encoder = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4))
    return encoder, Convolutions()


def test_networks_of_ones_own(tmp_path: Path) -> None:
    networks = own()
    before = [value.clone() for module in networks for value in module.parameters()]
    x = binary((20, 6, 6))
    model = vae(network=networks)
    check_round_trip(model, x, tmp_path / "model", network=own())
    for value, kept in zip((v for module in networks for v in module.parameters()), before, strict=True):
        assert torch.equal(value, kept)  # the argument of a constructor is never trained
    assert type(networks[0][4]) is nn.Linear  # type: ignore[index]  # a Sequential
    again = vae(network=networks).fit(x)
    np.testing.assert_array_equal(again.score_samples(x), model.score_samples(x))
    assert "pass them" in raised(lambda: lt.load(tmp_path / "model"), ConfigError)
    other = nn.Sequential(nn.Flatten(), nn.Linear(36, 4)), nn.Linear(2, 36)
    assert "another encoder" in raised(lambda: lt.load(tmp_path / "model", network=other), ConfigError)
    vae(max_epochs=1).fit(x).save(tmp_path / "ours")
    assert "leave network out" in raised(lambda: lt.load(tmp_path / "ours", network=own()), ConfigError)


def test_networks_of_ones_own_must_fit() -> None:
    x = table(30, 5)
    short = nn.Linear(5, 3), nn.Linear(2, 5)
    assert "(n, 5) to (n, 4)" in raised(lambda: vae(network=short).fit(x), ConfigError)
    narrow = nn.Linear(5, 4), nn.Linear(2, 6)
    assert "1 × 5 outputs" in raised(lambda: vae(network=narrow).fit(x), ConfigError)
    for wrong in [(nn.Linear(5, 4),), "unet", 3, (nn.Linear(5, 4), "mlp")]:
        assert "pair of modules" in raised(lambda wrong=wrong: vae(network=wrong).fit(x), ConfigError)  # type: ignore[misc]


def test_conv_needs_images() -> None:
    assert "(H, W)" in raised(lambda: vae(network="conv").fit(table(20, 4)), ConfigError)


def test_a_split_brings_its_support_its_validation_rows_and_its_licence(tmp_path: Path) -> None:
    digits = lt.data.load("digits")
    model = vae(max_epochs=1, latent_dim=3).fit(digits.train)
    assert model.support_ == Support("levels", 17)
    assert model.event_shape_ == (8, 8)
    assert "valid" in model.history_[0]
    assert model.info_["n_train"] == len(digits.train)
    model.save(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    for text in (digits.info.name, digits.info.licence, digits.info.fingerprint, "levels:17", str(model.seed_)):
        assert text in card
    assert lt.load(tmp_path / "model").info_ == model.info_
    assert "pass its .train" in raised(lambda: vae().fit(digits), DataError)


def test_a_path_is_read(tmp_path: Path) -> None:
    x = table(40, 3)
    np.save(tmp_path / "rows.npy", x)
    model = vae().fit(tmp_path / "rows.npy")
    np.testing.assert_array_equal(model.score_samples(str(tmp_path / "rows.npy")), vae().fit(x).score_samples(x))

"""Tables of mixed columns, counts, positive data and data between walls: densities and masses with known answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

import latentia as lt
from latentia.data import Support
from latentia.errors import ConfigError, DataError
from latentia.networks import ColumnInput
from tests.estimators.cases import MIXED, mixed, raised, table, unit, vae
from tests.tolerance import assert_mean

FACTORS = np.array([8.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0**-20])  # of the reals: exact in binary


def unequal() -> Any:
    return np.exp(table(60, 3) / 10.0)


@pytest.mark.parametrize(
    "make", [lambda: vae(support=MIXED, precision="float64"), lambda: lt.IndependentPixels(support=MIXED)]
)
def test_scaling_real_columns_of_a_table_shifts_log_p_by_minus_the_logarithm(make: Any) -> None:
    x = mixed()
    before, after = make().fit(x), make().fit(x * FACTORS)
    shift = -float(np.log(FACTORS).sum())
    assert abs(shift) > 1.0
    np.testing.assert_allclose(after.score_samples(x * FACTORS), before.score_samples(x) + shift, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(after.sample(20, random_state=1), before.sample(20, random_state=1) * FACTORS)
    if isinstance(before, lt.VAE):
        np.testing.assert_array_equal(after.transform(x * FACTORS), before.transform(x))
        np.testing.assert_allclose(after.reconstruct(x * FACTORS), before.reconstruct(x) * FACTORS, rtol=1e-12)
        one, other = before.evaluate(x), after.evaluate(x * FACTORS)
        assert one.distortion is not None
        assert other.distortion == pytest.approx(one.distortion - shift, abs=1e-9)
        assert other.rate == one.rate


def test_scaling_positive_columns_of_a_table_does_too() -> None:
    """log(x/4) is not log x − log 4 to the last bit, on which a row's noise depends: the baseline needs none."""
    x = mixed()
    factors = np.array([1.0, 1.0, 1.0, 0.25, 1.0, 1.0, 1.0, 1.0])
    before, after = (lt.IndependentPixels(support=MIXED).fit(rows) for rows in (x, x * factors))
    np.testing.assert_allclose(after.score_samples(x * factors), before.score_samples(x) + math.log(4.0), atol=1e-8)
    deep, scaled = (vae(support=MIXED, precision="float64").fit(rows) for rows in (x, x * factors))
    np.testing.assert_allclose(scaled.transform(x * factors), deep.transform(x), atol=1e-8)
    np.testing.assert_allclose(scaled.reconstruct(x * factors), deep.reconstruct(x) * factors, rtol=1e-8)
    assert scaled.score(x * factors) == pytest.approx(deep.score(x) + math.log(4.0), abs=1.0)


def test_the_baseline_of_a_table_is_the_sum_of_the_baselines_of_its_columns() -> None:
    x = mixed()
    kinds = Support.parse(MIXED).columns
    assert kinds is not None
    together = lt.IndependentPixels(support=MIXED).fit(x)
    alone = [lt.IndependentPixels(support=str(kind)).fit(x[:, [i]]) for i, kind in enumerate(kinds)]
    expected = sum(model.score_samples(x[:, [i]]) for i, model in enumerate(alone))
    np.testing.assert_allclose(together.score_samples(x), expected, rtol=1e-6)


def test_a_table_of_a_real_and_a_truth_value_has_a_total_of_one() -> None:
    x = mixed()[:, [0, 4]]
    model = vae(support="columns:real;binary", latent_dim=1, max_epochs=20, learning_rate=1e-2).fit(x)
    grid = np.linspace(-200.0, 600.0, 400)
    rows = np.stack(np.meshgrid(grid, [0.0, 1.0]), -1).reshape(-1, 2)
    density = np.exp(model.evaluate(rows, num_samples=400).per_row)
    assert float(density.sum() * (grid[1] - grid[0])) == pytest.approx(1.0, abs=0.01)
    assert model.evaluate(x).bits_per_dim is None


def test_a_table_of_discrete_columns_has_a_mass() -> None:
    x = mixed()[:, [1, 2]]
    model = vae(support="columns:categories:3;count", latent_dim=1, max_epochs=20, learning_rate=1e-2).fit(x)
    rows = np.stack(np.meshgrid(np.arange(3.0), np.arange(200.0)), -1).reshape(-1, 2)
    evaluation = model.evaluate(rows, num_samples=400)
    assert float(np.exp(evaluation.per_row).sum()) == pytest.approx(1.0, abs=0.02)
    assert model.evaluate(x).bits_per_dim == pytest.approx(-model.score(x) / (2 * math.log(2.0)))


def test_counts_have_a_mass_of_one_and_a_mean() -> None:
    x = np.random.default_rng(0).poisson(4.0, (200, 1))
    model = vae(support="count", latent_dim=1, max_epochs=10, learning_rate=1e-2).fit(x)
    everything = np.arange(300)[:, None]
    assert float(np.exp(model.evaluate(everything, num_samples=2000).per_row).sum()) == pytest.approx(1.0, abs=0.02)
    baseline = lt.IndependentPixels(support="count").fit(x)
    assert float(np.exp(baseline.score_samples(everything)).sum()) == pytest.approx(1.0, abs=1e-9)
    mean = (x.sum() + 1.0) / (len(x) + 1.0)  # one observation of 1 is added
    assert float(baseline.module_().mean.detach()) == pytest.approx(mean, rel=1e-6)


def test_a_log_normal_baseline_is_scipys() -> None:
    x = unequal()
    baseline = lt.IndependentPixels(support="positive").fit(x)
    logs = np.log(x)
    law = scipy.stats.lognorm(s=logs.std(0), scale=np.exp(logs.mean(0)))
    np.testing.assert_allclose(baseline.score_samples(x), law.logpdf(x).sum(1), rtol=1e-10)
    image = np.exp(unit((30, 4, 4)))
    one = lt.IndependentPixels(support="positive").fit(image)
    scaled = lt.IndependentPixels(support="positive").fit(4.0 * image)
    np.testing.assert_allclose(
        scaled.score_samples(4.0 * image), one.score_samples(image) - 16 * math.log(4), atol=1e-9
    )


def test_a_log_normal_density_integrates_to_one_over_positive_numbers() -> None:
    x = np.exp(3.0 + 0.5 * np.random.default_rng(0).normal(size=(100, 1)))
    model = vae(support="positive", latent_dim=1, max_epochs=20, learning_rate=1e-2).fit(x)
    logs = np.linspace(-3.0, 9.0, 400)
    density = np.exp(model.evaluate(np.exp(logs)[:, None], num_samples=400).per_row) * np.exp(logs)
    assert float(density.sum() * (logs[1] - logs[0])) == pytest.approx(1.0, abs=0.01)


def test_decoded_positive_data_are_means_not_medians() -> None:
    """E[x | z] = exp(m + s μ + s² σ²/2), and it is the mean of draws."""
    x = np.exp(0.8 * table(200, 2) / np.array([0.3, 30.0]))
    model = vae(support="positive", max_epochs=5).fit(x)
    z = np.array([[0.3, -0.7]])
    density = model.module_.decoder(torch.from_numpy(z).float())
    draws = density.sample((20_000,), generator=torch.Generator().manual_seed(0)).detach().numpy()[:, 0]
    assert_mean(model.preprocessing_.restore(draws), model.inverse_transform(z)[0])


def test_continuous_bernoulli_baseline_has_the_datas_means() -> None:
    """The most likely slope of an exponential family is the one with the mean of the data."""
    x = unit((200, 3))
    baseline = lt.IndependentPixels(support="unit").fit(x)
    assert baseline.likelihood_name_ == "continuous_bernoulli"
    np.testing.assert_allclose(baseline.module_().mean.detach().numpy(), x.mean(0), rtol=1e-9)
    slopes = baseline.module_().logits.detach().numpy()
    laws = [scipy.stats.truncexpon(abs(s), scale=1 / abs(s)) for s in slopes]
    mirrored = np.where(slopes > 0, 1 - x, x)
    expected = sum(law.logpdf(mirrored[:, i]) for i, law in enumerate(laws))
    np.testing.assert_allclose(baseline.score_samples(x), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "likelihood",
    [
        "mixed",
        "mixed:real=student_t,levels=categorical",
        lt.likelihood("mixed", real="gaussian_network", positive="laplace", unit="gaussian", min_scale=0.01),
        lt.likelihood("mixed", levels="discretized_logistic_mixture", real="laplace"),
    ],
)
def test_columns_can_be_given_other_likelihoods(likelihood: Any) -> None:
    x = mixed()
    model = vae(support=MIXED, likelihood=likelihood, max_epochs=1).fit(x)
    assert np.isfinite(model.score_samples(x)).all()
    names = {type(part).__name__ for part, _ in model.module_.decoder.blocks}  # type: ignore[union-attr]
    chosen = dict(model.likelihood_.options)
    assert ("StudentTLikelihood" in names) == (chosen.get("real") == "student_t")
    assert ("DiscretizedLogisticMixtureLikelihood" in names) == ("mixture" in str(chosen.get("levels")))
    logarithm = model.preprocessing_.logarithm
    assert (logarithm is None) == (chosen.get("positive") == "laplace")


def test_the_encoder_sees_indicators_and_never_codes() -> None:
    model = vae(support=MIXED, max_epochs=1).fit(mixed())
    network: Any = model.module_.encoder.network
    assert isinstance(network, ColumnInput)
    seen = torch.cat([network.numbers, network.counts])
    assert 1 not in seen.tolist()
    assert network.places.tolist() == [1, 1, 1]
    assert network.network.in_shape == (7 + 3,)


def test_a_row_of_a_table_has_the_same_bits_alone_and_among_others() -> None:
    x = mixed()
    model = vae(support=MIXED).fit(x)
    scores, means = model.score_samples(x), model.transform(x)
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_array_equal(model.score_samples(x[order]), scores[order])
    np.testing.assert_array_equal(model.transform(x[7:8])[0], means[7])


def test_constant_columns_of_a_table_are_named() -> None:
    x = mixed()
    x[:, 1], x[:, 3], x[:, 4], x[:, 7] = 2.0, 5.0, 1.0, 0.0
    names = r"^column 3 and 1 more are constant .* deviation of the logarithm is held at its floor of 0\.001"
    with pytest.warns(UserWarning, match=names):
        model = vae(support=MIXED).fit(x)
    assert np.isfinite(model.score_samples(x)).all()
    drawn = model.sample(30)
    np.testing.assert_allclose(drawn[:, 3], 5.0, rtol=0.2)


def test_data_must_be_the_table_that_was_named() -> None:
    x = mixed()
    assert "a table with 8 columns" in raised(lambda: vae(support=MIXED).fit(x[:, :7]), DataError)
    bad = x.copy()
    bad[3, 1] = 3.0
    assert "column 1 of the training data" in raised(lambda: vae(support=MIXED).fit(bad), DataError)
    model = vae(support=MIXED, max_epochs=1).fit(x)
    bad[3, 1], bad[5, 2] = 2.0, 0.5
    assert "column 2 of the data" in raised(lambda: model.score_samples(bad), DataError)
    assert "choose VAE, or pass support='real'" in raised(lambda: lt.PPCA(support=MIXED).fit(x), ConfigError)
    assert 'choose prior="mixture"' in raised(lambda: vae(support=MIXED, prior="vamp").fit(x), ConfigError)


REFUSED = [
    ("negative_binomial", table(40, 3), "real", "choose 'gaussian', or pass support='count'"),
    ("continuous_bernoulli", table(40, 3), "real", "choose 'gaussian', or pass support='unit'"),
    ("log_normal", table(40, 3), "real", "choose 'gaussian', or pass support='positive'"),
    ("mixed", table(40, 3), "real", "choose 'gaussian', or pass support='columns:…'"),
    ("discretized_logistic_mixture", table(40, 3), "real", "choose 'gaussian', or pass support='levels:K'"),
    ("gaussian", np.arange(60).reshape(20, 3), "count", "choose 'negative_binomial', or pass support='real'"),
    ("student_t", mixed(), MIXED, "choose 'mixed', or pass support='real' if the columns are alike"),
    ("bernoulli", mixed(), MIXED, "'mixed'"),
    ("log_normal", unit((20, 3)), "unit", "choose 'continuous_bernoulli'"),
]


@pytest.mark.parametrize(("likelihood", "x", "support", "words"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_likelihood_whose_support_the_data_leave_is_refused(
    likelihood: str, x: Any, support: str, words: str
) -> None:
    for make in (vae, lt.IndependentPixels):
        message = raised(lambda make=make: make(likelihood=likelihood, support=support).fit(x), DataError)  # type: ignore[misc]
        assert message.startswith(f"a {likelihood} likelihood does not fit data with values from")
        assert words in message


def test_options_of_a_likelihood_that_cannot_be() -> None:
    for call, words in [
        (lambda: lt.likelihood("gaussian_low_rank", rank=0), "rank of a gaussian_low_rank likelihood must be a whole"),
        (lambda: lt.likelihood("student_t", degrees=2.0), "degrees of a student_t likelihood must be"),
        (lambda: lt.likelihood("mixed", real="bernoulli"), "real of a mixed likelihood must be one of 'gaussian'"),
        (lambda: lt.likelihood("mixed", count="gaussian"), "has no option 'count'"),
        (lambda: lt.likelihood("negative_binomial", dispersion=1.0), "dispersion of a negative_binomial likelihood"),
    ]:
        assert words in raised(call, ConfigError)


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"logarithm": [True]}, "do not fit the stored standardisation"),
    ({"logarithm": [1] * 8}, "do not fit the stored standardisation"),
    ({"logarithm": [True] * 8}, "not all positive"),
    ({"shift": None, "scale": None, "logarithm": None}, "does not fit the stored columns"),
    ({"support": {"kind": "columns", "columns": "real*7"}}, "does not fit the stored columns"),
    ({"support": {"kind": "columns", "columns": "categories:65536*4000"}}, "262,144,000 categories"),
]


@pytest.mark.parametrize(("changes", "words"), CHANGES)
def test_a_stored_table_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    pre = lt.IndependentPixels(support=MIXED).fit(mixed()).preprocessing_
    assert type(pre).from_json(pre.to_json()).to_json() == pre.to_json()
    assert words in raised(lambda: type(pre).from_json({**pre.to_json(), **changes}), DataError)


def test_positive_images_under_a_gaussian_keep_what_they_were() -> None:
    """The Gaussian is still to be had, and its samples can leave the support, as its documentation says."""
    x = unequal()
    model = vae(support="positive", likelihood="gaussian", max_epochs=1).fit(x)
    assert model.preprocessing_.logarithm is None
    assert (model.sample(500) < 0).any()
    assert "can leave the support" in (lt.likelihood.__doc__ or "")

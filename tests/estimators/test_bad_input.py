"""Faults 14 to 25: one clear sentence with what came, what is allowed and what to do, and nothing lost."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import nn

import latentia as lt
from latentia.errors import ConfigError, DataError
from latentia.models import VariationalAutoencoder
from latentia.objectives import elbo, iwae
from latentia.parts import BernoulliLikelihood, DiagonalGaussian, GaussianLikelihood, StandardNormal
from tests.estimators.cases import binary, levels, raised, table, vae

MAKERS = [vae, lambda: vae(network="linear", precision="float64"), lt.PPCA, lt.IndependentPixels]


# 14, 15: what is not finite


@pytest.mark.parametrize("make", MAKERS)
def test_nan_is_met_by_scikit_learns_sentence_and_then_ours(make: Any) -> None:
    x = pd.DataFrame(table(30, 4), columns=list("abcd"))
    model = make().fit(x)
    x.loc[[7, 9], "c"] = np.nan
    x.loc[9, "d"] = np.nan
    for call in (lambda: make().fit(x), lambda: model.score_samples(x), lambda: model.evaluate(x)):
        message = raised(call, ValueError)
        assert message.startswith("Input X contains NaN.")
        ours = message.splitlines()[-1]
        assert ours == (
            "The first stands in row 7, column 2 ('c'); 3 values are NaN and 0 are infinite, in 2 of 30 rows: "
            "leave these rows out or fill the values in."
        )
    assert np.isfinite(model.score_samples(x.dropna())).all()


@pytest.mark.parametrize("make", MAKERS)
def test_infinity_is_met_likewise(make: Any) -> None:
    x = table(30, 4)
    x[3, 1], x[5, 0] = np.inf, np.nan
    message = raised(lambda: make().fit(x), ValueError)
    assert message.startswith("Input X contains NaN")
    assert "The first stands in row 3, column 1; 1 values are NaN and 1 are infinite, in 2 of 30 rows" in message
    x[5, 0] = 0.0
    assert "Input X contains infinity or a value too large" in raised(lambda: make().fit(x), ValueError)


def test_a_pixel_is_named_by_its_place() -> None:
    x = np.random.default_rng(0).normal(size=(12, 5, 6, 3))
    x[4, 2, 3, 1] = np.nan
    assert "row 4, pixel (2, 3, 1)" in raised(lambda: vae().fit(x), ValueError)


def test_nan_in_validation_rows_is_refused_as_well() -> None:
    x = table(30, 3)
    valid = x.copy()
    valid[2, 1] = np.nan
    assert "row 2, column 1" in raised(lambda: vae().fit(x, X_valid=valid), ValueError)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("huge", [1e200, 1e308, -1e300])
def test_squares_that_overflow_are_refused_with_the_column(make: Any, huge: float) -> None:
    x = pd.DataFrame(table(30, 3), columns=["a", "b", "c"])
    x.loc[4, "b"] = huge
    message = raised(lambda: make().fit(x), DataError)
    assert "column 1 ('b')" in message
    assert "squares overflow" in message
    assert "rescale" in message


@pytest.mark.parametrize("make", [vae, lambda: vae(network="linear", precision="float64"), lt.PPCA])
def test_later_rows_out_of_all_proportion_are_refused_with_row_and_column(make: Any) -> None:
    """1e30 is finite; its square is not, in the precision of the model. Peers return a number."""
    x = table(30, 3)
    model, later = make().fit(x), x[:5].copy()
    later[3, 2] = 1e200 if model.module_.__class__.__name__ == "PPCA" or model.precision == "float64" else 1e30
    for verb in ("score_samples", "transform", "reconstruct"):
        message = raised(lambda verb=verb: getattr(model, verb)(later), DataError)  # type: ignore[misc]
        assert re.search(
            r"column 2 has the value 1e\+\d+ in row 3, whose square overflows (single|double) precision", message
        )
    later[3, 2] = 1e9  # far away is no error: the density is small and finite
    assert np.isfinite(model.score_samples(later)).all()


# 17: an encoder that explodes


class Constant(nn.Module):
    """Gives the same numbers for every row, in a type of its own; differentiable."""

    def __init__(self, values: list[float], dtype: torch.dtype) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))
        self.dtype = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.values + 0.0 * x.sum(-1, keepdim=True)).to(self.dtype)  # a million is infinite in half precision


@pytest.mark.parametrize("value", [1e6, -1e6, 6e4, -6e4, 1e30])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("objective", [elbo, iwae])
@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_a_log_variance_of_a_million_has_a_finite_loss_and_gradient(
    value: float, dtype: Any, objective: Any, kind: str
) -> None:
    if kind == "bernoulli":
        decoder: nn.Module = BernoulliLikelihood(Constant([0.5] * 3, dtype), (3,))
    else:  # the decoder's own log-scale as well, in a type that can hold the gradient at its floor of a thousandth
        dtype = torch.bfloat16 if dtype is torch.float16 else dtype
        decoder = GaussianLikelihood(Constant([0.5] * 3 + [value] * 3, dtype), (3,), "network")
    encoder = DiagonalGaussian(Constant([0.0, value], dtype))
    model = VariationalAutoencoder(prior=StandardNormal(1), encoder=encoder, decoder=decoder)
    result = objective(model, torch.ones(4, 3), num_samples=2, noise=torch.linspace(-2, 2, 8).reshape(2, 4, 1))
    assert torch.isfinite(result.value).all()
    result.maximand.mean().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    limit = 9.0 if value < 0 or dtype != torch.float16 else 5.0
    assert encoder(torch.ones(1, 3)).log_scale.item() == pytest.approx(np.copysign(limit, value))


# 18, 19: nothing varies


@pytest.mark.parametrize("likelihood", ["gaussian", "gaussian_network"])
@pytest.mark.parametrize("network", ["linear", "mlp"])
def test_a_constant_column_warns_and_is_sampled_within_the_reported_floor(likelihood: str, network: str) -> None:
    x = pd.DataFrame(table(60, 3), columns=["a", "b", "c"])
    x["b"] = 3.0
    with pytest.warns(UserWarning, match="constant") as caught:
        model = vae(likelihood=likelihood, network=network, max_epochs=5).fit(x)
    message = str(caught[0].message)
    assert "column 1 ('b') is constant in the training data" in message
    match = re.search(r"floor of ([0-9.e-]+)", message)
    assert match is not None
    floor = float(match[1])
    assert 0.0 < floor <= 0.01
    drawn = model.sample(2000)
    assert np.abs(drawn[:, 1] - 3.0).max() < 5 * floor
    assert drawn[:, 1].std() == pytest.approx(floor, rel=0.1)
    np.testing.assert_allclose(model.reconstruct(x)[:, 1], 3.0, atol=1e-6)
    assert np.isfinite(model.score_samples(x)).all()


def test_the_floor_is_relative_to_the_value_so_that_units_still_do_not_matter() -> None:
    x = table(60, 3)
    x[:, 1] = 3.0
    with pytest.warns(UserWarning, match="constant"):
        before = vae().fit(x)
    with pytest.warns(UserWarning, match="constant"):
        after = vae().fit(x * 1024.0)
    expected = before.score_samples(x) - 3 * np.log(1024.0)
    np.testing.assert_allclose(after.score_samples(x * 1024.0), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("likelihood", "support"),
    [("bernoulli", "binary"), ("binomial", "levels:9"), ("categorical", "levels:9"), ("categorical", "categories:9")],
)
def test_discrete_samples_of_a_constant_column_are_that_constant(likelihood: str, support: str) -> None:
    top = 1 if support == "binary" else 8
    x = levels((400 if likelihood == "binomial" else 200, 4), top + 1)  # eight trials must all succeed
    x[:, 2], x[:, 3] = top, 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = vae(likelihood=likelihood, support=support, max_epochs=60, learning_rate=4e-2).fit(x)
    drawn = model.sample(200)
    assert (drawn[:, 2] == top).all()
    assert (drawn[:, 3] == 0).all()


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1e6, 123456789.123])
@pytest.mark.parametrize("make", [vae, lt.PPCA, lt.IndependentPixels])
def test_rows_that_are_all_the_same(make: Any, value: float) -> None:
    x = np.full((40, 3), value)
    with pytest.warns(UserWarning, match="floor of"):
        model = make(support="real").fit(x)  # zeros alone would be read as binary
    scores, drawn = model.score_samples(x), model.sample(20)
    assert np.isfinite(scores).all()
    assert scores.max() < 200.0  # no density of an infinitely thin peak
    assert np.isfinite(drawn).all()
    np.testing.assert_allclose(drawn, value, atol=0.01 * max(1.0, abs(value)))


def test_discrete_rows_that_are_all_the_same() -> None:
    for x in (np.zeros((40, 3, 3), np.uint8), np.ones((40, 3, 3), np.uint8), np.full((40, 3, 3), 7, np.uint8)):
        for model in (vae(), lt.IndependentPixels(random_state=0)):
            assert np.isfinite(model.fit(x).score_samples(x)).all()
    with pytest.warns(UserWarning, match="constant"):  # a density has no answer for a pixel that never varies
        vae(support="real").fit(np.zeros((40, 3, 3), np.uint8))


def test_duplicated_rows_change_nothing_but_the_weight() -> None:
    x = table(40, 3)
    twice = np.repeat(x, 2, axis=0)
    np.testing.assert_allclose(lt.PPCA().fit(twice).score_samples(x), lt.PPCA().fit(x).score_samples(x), rtol=1e-9)
    model = vae().fit(twice)
    scores = model.score_samples(twice)
    np.testing.assert_array_equal(scores[::2], scores[1::2])


# 20 to 23: few rows, one column, tails


@pytest.mark.parametrize("make", MAKERS)
def test_too_few_rows_give_scikit_learns_sentence(make: Any) -> None:
    for count in (0, 1):
        message = raised(lambda count=count: make().fit(table(2, 3)[:count]), ValueError)  # type: ignore[misc]
        assert f"Found array with {count} sample(s)" in message
        assert "while a minimum of 2 is required" in message
    model = make().fit(table(12, 3))
    assert "minimum of 1 is required" in raised(lambda: model.score_samples(np.empty((0, 3))), ValueError)


@pytest.mark.parametrize("make", MAKERS)
def test_two_rows_and_one_feature_are_enough(make: Any) -> None:
    for x in (table(2, 3), table(2, 1), table(40, 1)):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the rows lie in a subspace")
            model = make().fit(x)
        assert np.isfinite(model.score_samples(x)).all()
        assert model.sample(3).shape == (3, x.shape[1])


@pytest.mark.parametrize("count", [33, 32, 31, 65])
def test_a_tail_batch_of_one(count: int) -> None:
    x = table(count, 3)
    model = vae(batch_size=32, validation_fraction=0).fit(x)
    assert model.history_[-1]["step"] == 2 * -(-count // 32)
    assert np.isfinite(model.score_samples(x)).all()


# 24, 25: what the data are


def test_other_shapes_are_named_with_both_shapes_and_advice() -> None:
    grey = vae().fit(binary((20, 5, 7)))
    for other, words in [
        ((4, 7, 5), "reorder the axes"),
        ((4, 5, 7, 1), "reshape"),
        ((4, 35, 1), "reshape"),
        ((4, 5, 8), "resize them, or fit a model to items of this shape"),
        ((4, 5, 7, 3), "resize"),
    ]:
        message = raised(lambda other=other: grey.transform(binary(other)), DataError)  # type: ignore[misc]
        assert str(other[1:]) in message
        assert "(5, 7)" in message
        assert words in message
    flat = grey.transform(binary((4, 35)))  # flat rows of the right length are no mistake
    np.testing.assert_array_equal(flat, grey.transform(binary((4, 35)).reshape(4, 5, 7)))
    assert "36 features" in raised(lambda: grey.transform(binary((4, 36))), ValueError)


def test_colours_first_are_refused_with_the_remedy() -> None:
    x = binary((10, 3, 8, 8))
    message = raised(lambda: vae().fit(x), DataError)
    assert "(10, 3, 8, 8)" in message
    assert "x.transpose(0, 2, 3, 1)" in message
    assert vae(max_epochs=1).fit(x.transpose(0, 2, 3, 1)).event_shape_ == (8, 8, 3)
    model = vae(max_epochs=1).fit(x.transpose(0, 2, 3, 1))
    assert "reorder the axes" in raised(lambda: model.transform(x), DataError)
    assert "(N, H, W, C)" in raised(lambda: vae().fit(np.zeros((4, 2, 2, 2, 2))), DataError)


def test_later_data_are_held_to_the_support_of_the_fit() -> None:
    x = levels((30, 16))
    for model, other, seen in [
        (vae().fit(x), x / 255.0, "from 0.0"),
        (vae().fit(binary((30, 16))), x, "from 5 to"),
        (vae(support="levels:17").fit(levels((30, 16), 17)), x, "from 5 to"),
        (vae(support="categories:3").fit(levels((30, 16), 3)), levels((30, 16), 4), "from 0 to 3"),
        (vae(support="positive").fit(x + 1.0), -1.0 - x, "from -2"),
        (vae(support="unit").fit(x / 255.0), x, "from 5 to"),
    ]:
        message = raised(lambda model=model, other=other: model.score_samples(other), DataError)  # type: ignore[misc]
        assert seen in message
        assert f"'{model.support_}' allows only" in message


@pytest.mark.parametrize("make", MAKERS)
def test_things_that_are_no_table_of_numbers(make: Any) -> None:
    for wrong in (
        [["a", "b"], ["c", "d"]],
        pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}),
        np.array([[1 + 2j, 0], [1, 1]]),
        [[1, 2], [3]],
        3.0,
        None,
        {"a": 1},
        np.array([[object(), 1], [1, 2]]),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            make().fit(wrong)
        assert len(str(caught.value)) > 10
    with pytest.raises(TypeError, match="Sparse data was passed"):
        make().fit(csr_matrix(np.eye(4)))


@pytest.mark.parametrize("make", MAKERS)
def test_a_fit_that_fails_leaves_the_former_model_whole(make: Any) -> None:
    x = table(40, 3)
    model = make().fit(x)
    before, attributes = model.score_samples(x), set(vars(model))
    bad = x.copy()
    bad[0, 0] = np.nan
    for wrong in (bad, x[:1], x * 1e300, np.zeros((4, 2, 2, 2, 2))):
        with pytest.raises(ValueError, match=" "):
            model.fit(wrong)
        assert set(vars(model)) == attributes
        np.testing.assert_array_equal(model.score_samples(x), before)


def test_an_interrupt_in_the_middle_of_a_fit_leaves_the_former_model_whole() -> None:
    x = table(40, 3)

    def interrupt(event: Any) -> None:
        raise KeyboardInterrupt

    model = vae(random_state=1).fit(x)
    before = model.score_samples(x)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(callbacks=(interrupt,)).fit(x + 1.0)
    np.testing.assert_array_equal(model.score_samples(x), before)
    fresh = vae(callbacks=(interrupt,))
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(x)
    assert not hasattr(fresh, "module_")


def test_nothing_of_a_former_fit_stays_in_a_new_one() -> None:
    model = vae().fit(pd.DataFrame(table(30, 3), columns=list("abc")))
    model.evaluations_ = [{"on": "somewhere"}]
    model.fit(table(30, 4))
    assert not hasattr(model, "feature_names_in_")
    assert not hasattr(model, "evaluations_")
    assert model.n_features_in_ == 4


def test_a_schedule_must_be_a_function_and_no_callbacks_are_none() -> None:
    with pytest.raises(ConfigError, match=r"learning_rate_schedule of VAE must be .*a function of the epoch, got 3"):
        vae(learning_rate_schedule=3).fit(table(20, 3))
    vae(callbacks=None).fit(table(20, 3))

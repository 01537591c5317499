"""In scikit-learn's world: DataFrames, feature names, pipelines, searches, and its own error sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import latentia as lt
from latentia.errors import ConfigError, DataError
from tests.estimators.cases import QUICK, levels, raised, table, vae

NAMES = ["age", "height", "weight", "income"]


def frame() -> pd.DataFrame:
    return pd.DataFrame(table(60, 4), columns=NAMES, index=range(100, 160))


@pytest.mark.parametrize("make", [vae, lt.PPCA])
def test_feature_names_go_in_and_come_out(make: Any) -> None:
    x = frame()
    model = make(latent_dim=2).fit(x)
    assert list(model.feature_names_in_) == NAMES
    assert model.n_features_in_ == 4
    prefix = type(model).__name__.lower()
    assert list(model.get_feature_names_out()) == [f"{prefix}0", f"{prefix}1"]
    plain = model.transform(x)
    assert isinstance(plain, np.ndarray)
    shown = model.set_output(transform="pandas").transform(x)
    assert list(shown.columns) == [f"{prefix}0", f"{prefix}1"]
    assert list(shown.index) == list(x.index)
    np.testing.assert_array_equal(shown.to_numpy(), plain)
    assert isinstance(model.reconstruct(x), np.ndarray)  # which decodes what transform gives
    np.testing.assert_array_equal(model.inverse_transform(shown), model.inverse_transform(plain))
    in_polars = model.set_output(transform="polars").transform(x)
    assert isinstance(in_polars, pl.DataFrame)
    np.testing.assert_array_equal(in_polars.to_numpy(), plain)


def test_a_polars_frame_is_the_same_as_a_pandas_frame() -> None:
    x = frame()
    model = vae().fit(pl.from_pandas(x))
    assert list(model.feature_names_in_) == NAMES
    np.testing.assert_array_equal(model.score_samples(x), vae().fit(x).score_samples(x))
    np.testing.assert_array_equal(model.score_samples(pl.from_pandas(x)), model.score_samples(x))


def test_names_survive_saving(tmp_path: Any) -> None:
    x = frame()
    vae().fit(x).save(tmp_path / "model")
    loaded = lt.load(tmp_path / "model")
    assert list(loaded.feature_names_in_) == NAMES
    assert "feature names should match" in raised(lambda: loaded.transform(x[NAMES[::-1]]), ValueError)


@pytest.mark.parametrize("make", [vae, lt.PPCA, lt.IndependentPixels])
@pytest.mark.parametrize("verb", ["score_samples", "evaluate", "score", "transform", "posterior", "reconstruct"])
def test_other_columns_give_scikit_learns_sentences(make: Any, verb: str) -> None:
    x = frame()
    model = make().fit(x)
    call: Any = getattr(model, verb, None)
    if call is None:
        assert make is lt.IndependentPixels
        return
    wrong_names = "The feature names should match those that were passed during fit"
    assert wrong_names in raised(lambda: call(x.rename(columns={"age": "years"})), ValueError)
    assert wrong_names in raised(lambda: call(x[["height", "age", "weight", "income"]]), ValueError)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        call(x.to_numpy())
    call = getattr(make().fit(x.to_numpy()), verb)
    expecting = f"X has 3 features, but {type(model).__name__} is expecting 4 features as input"
    assert expecting in raised(lambda: call(x.to_numpy()[:, :3]), ValueError)
    assert "Expected 2D array, got 1D array instead" in raised(lambda: call(x.to_numpy()[0]), ValueError)
    with pytest.warns(UserWarning, match="X has feature names, but"):
        call(x)


@pytest.mark.parametrize(
    ("make", "verbs"),
    [
        (
            vae,
            "transform posterior inverse_transform reconstruct score_samples score evaluate sample save",
        ),
        (lt.PPCA, "transform posterior inverse_transform reconstruct score_samples score evaluate sample save"),
        (lt.IndependentPixels, "score_samples score evaluate sample save num_parameters_"),
    ],
)
def test_unfitted_use_raises_not_fitted_error(make: Any, verbs: str, tmp_path: Any) -> None:
    x = table(20, 4)
    arguments: dict[str, tuple[Any, ...]] = {
        "sample": (2,),
        "save": (tmp_path / "m",),
        "inverse_transform": (x[:, :2],),
    }
    for verb in verbs.split():
        model = make()
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            getattr(model, verb)(*arguments.get(verb, (x,)))
    assert not (tmp_path / "m").exists()


def test_grid_search_over_numpy_numbers() -> None:
    x = table(80, 4)
    grid = {
        "latent_dim": np.arange(1, 3),
        "num_samples": np.array([1, 2]),
        "patience": np.array([2]),
        "hidden": [8, (4, 4)],
    }
    search = GridSearchCV(lt.VAE(**{**QUICK, "max_epochs": 1}), grid, cv=2).fit(x)
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    assert best.score(x) == pytest.approx(best.score_samples(x).mean())
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6)) * 3 + rng.normal(size=(200, 6))
    search_ppca = GridSearchCV(lt.PPCA(), {"latent_dim": np.arange(1, 5)}, cv=3).fit(plane)
    one, two, three, four = search_ppca.cv_results_["mean_test_score"]
    assert two - one > 20 * max(abs(three - two), abs(four - three))  # the data have two dimensions and noise


def test_pipelines() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 60)
    x = table(120, 5) + 40.0 * label[:, None] * rng.normal(size=5)
    for encoder in (vae(max_epochs=30, learning_rate=1e-2), lt.PPCA(latent_dim=3)):
        pipeline = make_pipeline(StandardScaler(), encoder, LogisticRegression())
        assert cross_val_score(pipeline, x, label, cv=3).mean() > 0.9
    scored = make_pipeline(StandardScaler(), lt.PPCA()).fit(x)
    assert scored.score_samples(x).shape == (120,)
    named = make_pipeline(StandardScaler(), vae()).set_output(transform="pandas").fit(frame())
    assert list(named.transform(frame()).columns) == ["vae0", "vae1"]


@pytest.mark.parametrize("make", [vae, lt.PPCA, lt.IndependentPixels])
def test_representations(make: Any) -> None:
    model = make()
    html = model._repr_html_()
    assert type(model).__name__ in html
    fitted = model.fit(frame())
    assert "Fitted" in fitted._repr_html_()
    assert type(model).__name__ in repr(fitted)


def test_cloning_and_setting_parameters_keep_what_was_given() -> None:
    hidden = [8, 4]
    model = vae(hidden=hidden, latent_dim=3)
    assert model.hidden is hidden
    copy = clone(model.fit(table(30, 3)))
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "module_")
    copy.set_params(latent_dim=1, beta=0.5)
    assert (copy.latent_dim, copy.beta) == (1, 0.5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"latent_dim": 0}, "latent_dim of VAE must be a whole number from 1 to 100,000, got 0"),
        ({"latent_dim": 2.0}, "latent_dim"),
        ({"latent_dim": True}, "latent_dim"),
        ({"learning_rate": 0.0}, "learning_rate of VAE must be a finite number above 0, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"network": "transformer"}, "'auto', 'linear', 'mlp', 'conv'"),
        ({"likelihood": "poisson"}, "'bernoulli', 'binomial'"),
        ({"binarize": "yes"}, "'static', 'dynamic', 'threshold' or None"),
        ({"support": "levels"}, "levels:16"),
        ({"support": "colour"}, "'binary', 'levels:K'"),
        ({"hidden": (0,)}, "hidden"),
        ({"hidden": ("wide",)}, "hidden"),
        ({"hidden": None}, "hidden"),
        ({"hidden": (4,) * 101}, "hidden"),
        ({"validation_fraction": 1.0}, "at most 0.9"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"patience": 0}, "patience"),
        ({"patience": 3, "validation_fraction": 0}, "X_valid or a validation_fraction above 0"),
        ({"objective": "iwae", "beta": 0.5}, "leave beta and kl_warmup_epochs out"),
        ({"device": "toaster"}, "device must be 'auto', 'cpu' or 'cuda', got 'toaster'"),
        ({"precision": "int8"}, "'float32', 'bfloat16', 'float64'"),
        ({"compile": 1}, "True or False"),
        ({"run_mode": "again"}, "'new', 'resume', 'overwrite'"),
    ],
)
def test_arguments_are_checked_when_fitting_with_a_sentence(changes: dict[str, Any], words: str) -> None:
    model = vae(**changes)  # constructors only store
    message = raised(lambda: model.fit(table(30, 3)), ValueError)
    assert words in message
    assert "\n" not in message
    with pytest.raises(NotFittedError):
        model.transform(table(30, 3))


def test_options_of_a_likelihood_are_checked_at_once() -> None:
    assert "has no option 'variance': it has none" in raised(
        lambda: lt.likelihood("bernoulli", variance=1.0), ConfigError
    )
    assert "only 'min_scale'" in raised(lambda: lt.likelihood("gaussian", scale=1.0), ConfigError)
    assert "above 0, got -1" in raised(lambda: lt.likelihood("gaussian_fixed", variance=-1), ConfigError)
    assert "'bernoulli'" in raised(lambda: lt.LikelihoodChoice("poisson"), ConfigError)


def test_verbs_check_their_arguments() -> None:
    x = levels((20, 4, 4))
    model = vae().fit(x)
    for n in (0, -1, 1.5, True, "3", None, float("nan"), float("inf")):
        assert "n of sample" in raised(lambda n=n: model.sample(n), ConfigError)  # type: ignore[misc]
    for k in (0, 1.5, True, "9"):
        assert "num_samples of evaluate" in raised(lambda k=k: model.evaluate(x, num_samples=k), ConfigError)  # type: ignore[misc]
    assert "precision of evaluate" in raised(lambda: model.evaluate(x, precision="float16"), ConfigError)
    for z in (np.zeros((3, 5)), np.zeros(2), [[1.0, np.nan]], [["a", "b"]], np.zeros((1, 2), complex)):
        assert "latent vectors" in raised(lambda z=z: model.inverse_transform(z), DataError)  # type: ignore[misc]
    two: Any = np.int64(2)
    assert model.sample(two).shape == (2, 4, 4)
    assert model.inverse_transform(np.zeros((0, 2))).shape == (0, 4, 4)
    assert model.inverse_transform([[1, 2]]).shape == (1, 4, 4)


def test_the_validation_rows_may_be_passed() -> None:
    x, valid = frame(), frame()[:20]
    model = vae().fit(x, X_valid=valid)
    assert model.info_["n_train"] == 60
    assert "valid" in model.history_[0]
    wrong = valid.rename(columns={"age": "years"})
    assert "feature names should match" in raised(lambda: vae().fit(x, X_valid=wrong), ValueError)
    assert "from 7 to 300" in raised(lambda: vae().fit(levels((9, 4)), X_valid=[[7, 8, 9, 300]]), DataError)

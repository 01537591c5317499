"""Every plot draws the numbers it was given, on the axes it was given."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.exceptions import NotFittedError

from latentia.data import Support
from latentia.errors import ConfigError, DataError
from latentia.report import plots
from latentia.report.plots.images import pick_scored
from latentia.report.plots.latent import map_of_means, spread_apart
from latentia.report.render import to_svg
from latentia.report.style import LIGHT, class_colour
from tests.report.cases import GREY, Flat, Linear, evaluation, found, gradient_table, grey_split, table_split

Draw = Callable[..., Axes]
X = grey_split().x
EVERY: dict[str, Callable[..., Axes]] = {
    "learning_curves": lambda **k: plots.learning_curves(Linear((4, 4), GREY), terms=["kl"], **k),
    "samples": lambda **k: plots.samples(Linear((4, 4), GREY), n=4, **k),
    "reconstructions": lambda **k: plots.reconstructions(Linear((4, 4), GREY), X[:4], **k),
    "manifold": lambda **k: plots.manifold(Linear((4, 4), GREY), n=3, **k),
    "latent_scatter": lambda **k: plots.latent_scatter(Linear((4, 4), GREY), X, **k),
    "kl_per_dimension": lambda **k: plots.kl_per_dimension(Linear((4, 4), GREY), X, **k),
    "scored_items": lambda **k: plots.scored_items(Linear((4, 4), GREY), X, **k),
    "score_distribution": lambda **k: plots.score_distribution(Linear((4, 4), GREY), X, **k),
    "log_probs": lambda **k: plots.log_probs([evaluation()], **k),
    "marginals": lambda **k: plots.marginals(Linear((5,), Support("real")), table_split().x, features=[0], **k),
    "bound_ladder": lambda **k: plots.bound_ladder(found(), **k),
    "bound_gaps": lambda **k: plots.bound_gaps(found(), **k),
    "elbo_parts": lambda **k: plots.elbo_parts(found().parts, **k),
    "kl_history": lambda **k: plots.kl_history(Linear((4, 4), GREY), **k),
    "gradient_curves": lambda **k: plots.gradient_curves(gradient_table(), **k),
}


def picture(ax: Axes) -> NDArray[Any]:
    """Return the sheet that was drawn."""
    (image,) = ax.get_images()
    return np.asarray(image.get_array())


def drawn(ax: Axes) -> Any:
    """Return the same axes, whose parts are of kinds that types do not tell."""
    return ax


def line(ax: Axes, gid: str) -> NDArray[Any]:
    """Return the points of the line with this name."""
    (found,) = [item for item in ax.get_lines() if item.get_gid() == gid]
    return np.asarray(found.get_xydata())


def test_the_list_of_plots_is_complete() -> None:
    assert set(EVERY) == set(plots.__all__)


@pytest.mark.parametrize("name", EVERY)
def test_a_plot_draws_where_it_is_told_or_makes_a_figure(name: str) -> None:
    ours = Figure().add_subplot()
    assert EVERY[name](ax=ours) is ours
    made = EVERY[name]()
    assert made.get_figure() is not None
    assert made is not ours


def test_figures_go_when_their_last_user_goes() -> None:
    figures = [weakref.ref(drawn(draw()).figure) for draw in EVERY.values()]
    gc.collect()
    assert [figure() for figure in figures] == [None] * len(EVERY)


def test_pyplot_and_its_shared_state_are_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # whoever imports it now fails
    for name, draw in EVERY.items():
        assert to_svg(draw(), name="x", label=name).startswith("<svg")


OF_RESULTS = {"log_probs", "bound_ladder", "bound_gaps", "elbo_parts", "gradient_curves"}  # drawn from numbers alone


@pytest.mark.parametrize("name", sorted(set(EVERY) - OF_RESULTS))
def test_what_is_not_fitted_is_refused(name: str) -> None:
    class Unfitted:
        history_ = ()

    arguments = () if name in ("learning_curves", "samples", "manifold", "kl_history") else (X,)
    with pytest.raises(NotFittedError, match="Unfitted instance is not fitted yet"):
        getattr(plots, name)(Unfitted(), *arguments)


@pytest.mark.parametrize("name", ["reconstructions", "latent_scatter", "kl_per_dimension", "kl_history"])
def test_what_has_no_latent_space_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} shows a latent space and Flat has none"):
        getattr(plots, name)(Flat((4, 4), GREY), *(() if name == "kl_history" else (X,)))


@pytest.mark.parametrize("rows", [X[:0], X[:, :3], X[0]])
def test_rows_of_another_shape_are_refused(rows: NDArray[Any]) -> None:
    with pytest.raises(DataError, match=r"at least one row, shape \(n, 4, 4\)"):
        plots.latent_scatter(Linear((4, 4), GREY), rows)


def test_curves_are_the_history() -> None:
    model = Linear((4, 4), GREY)
    ax = plots.learning_curves(model, terms=["elbo"])
    np.testing.assert_allclose(line(ax, "train"), [(e, -100 / e) for e in range(1, 6)])
    np.testing.assert_allclose(line(ax, "valid")[:, 1], [-110, -55, -110 / 3, -31.5, -26])
    assert ax.get_ylabel() == "nats"


def test_every_term_has_its_unit_and_the_bound_that_is_maximised_comes_first() -> None:
    model = Linear((4, 4), GREY)
    parts = [
        {"effective_sample_size": 3.0 - e, "elbo": -10.0 + e, "iwae": -9.0 - e, "odd": 1.0} for e in range(3)
    ]  # the best by the bound is the first epoch, by the ELBO the last
    model.history_ = [{"epoch": e + 1, "train": part, "valid": part} for e, part in enumerate(parts)]
    ax = plots.learning_curves(model)
    panels = drawn(ax).child_axes
    shown = [(panel.get_title(loc="left") or panel.get_title(), panel.get_ylabel()) for panel in panels]
    assert shown == [
        ("Importance-weighted bound", "nats"), ("ELBO", "nats"), ("Effective sample size", "samples"), ("odd", ""),
    ]  # fmt: skip
    for panel in panels:
        assert line(panel, "best")[0, 0] == 1


def test_terms_of_each_dimension_are_summed() -> None:
    ax = plots.learning_curves(Linear((4, 4), GREY), terms=["kl"])
    np.testing.assert_allclose(line(ax, "train")[:, 1], [10 / e for e in range(1, 6)])
    np.testing.assert_allclose(line(ax, "valid")[:, 1], 3.0)


def test_the_best_epoch_is_the_estimators_own_or_the_highest_bound() -> None:
    model = Linear((4, 4), GREY)
    np.testing.assert_allclose(line(plots.learning_curves(model, terms=["elbo"]), "best"), [(5, -26.0)])
    model.best_epoch_ = 3  # type: ignore[attr-defined]  # some estimators say it
    np.testing.assert_allclose(line(plots.learning_curves(model, terms=["elbo"]), "best"), [(3, -110 / 3)])


def test_every_term_gets_a_panel_the_bound_first() -> None:
    ax = plots.learning_curves(Linear((4, 4), GREY))
    titles = [panel.get_title(loc="left") for panel in drawn(ax).child_axes]
    assert titles == ["ELBO", "Reconstruction, E[log p(x | z)]", "KL(q(z | x) ‖ p(z))"]


def test_epochs_without_a_value_leave_no_point() -> None:
    model = Linear((4, 4), GREY)
    model.history_[2]["valid"]["elbo"] = None
    model.history_[3]["valid"] = None
    assert line(plots.learning_curves(model, terms=["elbo"]), "valid")[:, 0].tolist() == [1, 2, 5]


def test_curves_need_a_history() -> None:
    with pytest.raises(ConfigError, match="fitted in closed form"):
        plots.learning_curves(Flat((4, 4), GREY))
    with pytest.raises(ConfigError, match="choose from"):
        plots.learning_curves(Linear((4, 4), GREY), terms=["loss"])


def test_samples_are_those_of_the_seed() -> None:
    model = Flat((4, 4), GREY)
    items = model.sample(4, random_state=5)
    shown = picture(plots.samples(model, n=4, random_state=5))
    side = (shown.shape[0] - shown.shape[0] % 2) // 2
    corner = shown[:side, :side, 0]
    zoom = int((shown[..., 3] > 0).sum() / (4 * 16)) ** 0.5
    pixels = corner[int(zoom) // 2 :: int(zoom), int(zoom) // 2 :: int(zoom)][:4, :4]
    np.testing.assert_array_equal(pixels, np.round(items[0] / 16 * 255))
    assert not np.array_equal(shown, picture(plots.samples(model, n=4, random_state=6)))


def test_originals_stand_above_their_reconstructions() -> None:
    model = Linear((4, 4), GREY)  # keeps the first two values of an item and forgets the rest
    x = np.full((3, 4, 4), 16, dtype=np.uint8)
    shown = picture(plots.reconstructions(model, x, columns=3))
    opaque = shown[shown[..., 3] > 0][:, 0]
    assert (opaque == 255).mean() == pytest.approx((16 + 2) / 32)
    top, below = shown[: shown.shape[0] // 2 - 10], shown[shown.shape[0] // 2 + 10 :]
    assert (top[top[..., 3] > 0][:, 0] == 255).all()
    assert (below[below[..., 3] > 0][:, 0] == 255).mean() < 0.2


def test_binary_models_of_grey_data_show_probabilities() -> None:
    """A model that made grey levels binary returns values in [0, 1]: they are shown on that scale."""

    class Binary(Linear):
        class preprocessing_:  # noqa: N801 - stands for an attribute
            model_support = Support("binary")

        def inverse_transform(self, z: NDArray[Any], /) -> NDArray[np.float64]:
            return np.ones((len(z), 4, 4))

    shown = picture(plots.manifold(Binary((4, 4), GREY), n=3))
    assert (shown[shown[..., 3] > 0] == 255).all()


def test_the_manifold_decodes_the_priors_quantiles() -> None:
    seen: list[NDArray[Any]] = []

    class Watched(Linear):
        def inverse_transform(self, z: NDArray[Any], /) -> NDArray[np.float64]:
            seen.append(z)
            return super().inverse_transform(z)

    ax = plots.manifold(Watched((4, 4), GREY), n=3)
    levels = norm.ppf([1 / 6, 3 / 6, 5 / 6])
    expected = [(across, up) for up in levels[::-1] for across in levels]
    np.testing.assert_allclose(seen[0], expected, atol=1e-12)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["−1.0", "0.0", "1.0"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1.0", "0.0", "−1.0"]


def test_the_manifold_needs_a_plane_of_pictures() -> None:
    with pytest.raises(ConfigError, match="needs latent_dim=2 and this model has 3"):
        plots.manifold(Linear((4, 4), GREY, latent_dim=3))
    with pytest.raises(ConfigError, match="draws pictures"):
        plots.manifold(Linear((5,), Support("real")))


def test_the_map_shows_the_means_in_their_classes_colours() -> None:
    model = Linear((4, 4), GREY, info={"class_names": ["zero", "one", "$x_2^{"]})
    y = np.arange(len(X)) % 3
    y[5] = -1
    ax = plots.latent_scatter(model, X, y)
    (dots,) = drawn(ax).collections
    np.testing.assert_array_equal(dots.get_offsets(), model.transform(X))
    colours = [to_hex(colour) for colour in dots.get_facecolors()]
    assert colours == [LIGHT["rule"] if label < 0 else class_colour(int(label)) for label in y]
    assert [text.get_text() for text in ax.texts] == ["zero", "one", "$x_2^{"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z₁", "z₂")
    drawn(ax).figure.savefig("/dev/null", format="png")  # what looks like mathematics is not read as such


@pytest.mark.parametrize(("count", "coloured"), [(1, False), (2, True), (20, True), (21, False)])
def test_classes_are_coloured_while_they_can_be_told_apart(count: int, coloured: bool) -> None:
    x = np.random.default_rng(0).integers(0, 17, (60, 4, 4)).astype(np.uint8)
    ax = plots.latent_scatter(Linear((4, 4), GREY), x, np.arange(60) % count)
    assert len(ax.texts) == (count if coloured else 0)
    groups = drawn(ax).collections
    assert len(groups) == (2 if coloured and count > 10 else 1)  # past ten classes, another shape
    assert sum(len(group.get_offsets()) for group in groups) == len(x)
    assert len(np.unique(groups[0].get_facecolors(), axis=0)) == (min(count, 10) if coloured else 1)


def test_more_than_two_dimensions_are_shown_through_their_pca() -> None:
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    means = rng.normal(size=(2000, 4)) * np.sqrt([9.0, 4.0, 2.0, 1.0]) @ turn
    points, names = map_of_means(means)
    variance = np.linalg.eigvalsh(np.cov(means.T, bias=True))[::-1]
    np.testing.assert_allclose(points.var(axis=0), variance[:2], rtol=1e-9)
    np.testing.assert_allclose(np.cov(points.T)[0, 1], 0.0, atol=1e-9)
    share = 100 * variance / variance.sum()
    assert names == tuple(f"principal axis {i + 1}, {share[i]:.0f} % of the variance" for i in range(2))
    np.testing.assert_allclose(map_of_means(-means)[0], -points)  # the axes' signs do not hang on the data's


def test_one_dimension_and_single_rows_are_shown_too() -> None:
    points, names = map_of_means(np.array([[1.0], [2.0], [3.0]]), np.array([4, 9, 4]))
    np.testing.assert_array_equal(points, [[1, 0], [2, 1], [3, 0]])
    assert names == ("z", "class")
    assert map_of_means(np.ones((1, 5)))[0].shape == (1, 2)


def test_names_that_cover_each_other_move_apart() -> None:
    places = spread_apart(np.array([[0.0, 0.0], [0.01, 0.001], [5.0, 5.0]]), (0.2, 0.1))
    gap = np.abs(places[0] - places[1])
    assert gap[0] >= 0.2 - 1e-6 or gap[1] >= 0.1 - 1e-6
    np.testing.assert_array_equal(places[2], [5.0, 5.0])


def test_bars_are_sorted_and_dead_dimensions_are_marked() -> None:
    model = Linear((4, 4), GREY, latent_dim=4)
    kl = [0.5, 0.001, 2.0, 0.002]
    spread = np.array([1.0, 0.0999, 1.0, 0.1001])  # variances on either side of 0.01
    means = np.array([[-1.0], [1.0]]) * spread
    ax = plots.kl_per_dimension(model, evaluation(kl_per_dimension=kl), means=means)
    assert [bar.get_height() for bar in drawn(ax).patches] == [2.0, 0.5, 0.002, 0.001]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["3", "1", "4", "2"]
    (crosses,) = ax.get_lines()
    np.testing.assert_array_equal(crosses.get_xdata(), [3])
    assert ax.texts[0].get_text() == "3 of 4 active, × dead"


def test_dead_dimensions_are_told_from_rows_or_from_their_count() -> None:
    x = np.zeros((6, 4, 4), dtype=np.uint8)
    x[:, 0, 0] = [0, 16, 0, 16, 0, 16]  # only the first dimension of the code varies
    model = Linear((4, 4), GREY)
    assert plots.kl_per_dimension(model, x).texts[0].get_text() == "1 of 2 active, × dead"
    deep = Linear((4, 4), GREY, latent_dim=3)
    ax = plots.kl_per_dimension(deep, evaluation(kl_per_dimension=[1.0, 3.0, 2.0], active_units=2))
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), [2])
    with pytest.raises(ConfigError, match="reports no KL"):
        plots.kl_per_dimension(model, evaluation())
    with pytest.raises(ConfigError, match="does not split over its 2 latent dimensions"):
        plots.kl_per_dimension(model, evaluation(kl_per_dimension=[5.0], active_units=2))


def test_best_median_and_worst_are_what_they_are_called() -> None:
    values = np.array([5.0, np.nan, 1.0, 9.0, 3.0, 7.0, 8.0, 2.0, 6.0])
    picked = pick_scored(values, 2)
    assert {name: values[rows].tolist()[:2] for name, rows in picked.items() if name != "worst"} == {
        "best": [9.0, 8.0],
        "median": [6.0, 5.0],
    }
    assert picked["worst"].tolist() == [1, 2]
    assert {name: rows.tolist() for name, rows in pick_scored(np.array([4.0]), 8).items()} == {
        "best": [0],
        "median": [0],
        "worst": [0],
    }


def test_scored_items_carry_their_scores() -> None:
    model = Linear((4, 4), GREY)
    values = np.arange(40, dtype=np.float64) - 20.3
    ax = plots.scored_items(model, X, evaluation(per_row=values), n=3)
    shown = "18.7 17.7 16.7 0.7 −0.3 −1.3 −20.3 −19.3 −18.3"
    assert [text.get_text() for text in ax.texts] == shown.split()
    with pytest.raises(ConfigError, match="pass the same rows"):
        plots.scored_items(model, X[:5], evaluation(per_row=values))
    with pytest.raises(ConfigError, match="knows the groups"):
        plots.scored_items(model, X, groups=["good"])


def test_histograms_count_every_row() -> None:
    model, x = Flat((5,), Support("real")), table_split().x
    ax = plots.marginals(model, x, features=[1], random_state=3)
    data, model_data = (patch.get_data() for patch in drawn(ax).patches)
    edges = data.edges
    np.testing.assert_allclose(data.values, np.histogram(x[:, 1], edges)[0] / len(x))
    samples = np.clip(model.sample(len(x), random_state=3)[:, 1], edges[0], edges[-1])
    np.testing.assert_allclose(model_data.values, np.histogram(samples, edges)[0] / len(x))
    assert data.values.sum() == pytest.approx(1.0)


def test_tables_are_shown_by_their_columns_that_vary() -> None:
    model, x = Linear((5,), Support("real"), info={"feature_names": list("abcde")}), table_split().x
    ax = plots.marginals(model, x)
    assert [panel.get_title(loc="left") for panel in drawn(ax).child_axes] == ["a", "b", "d", "e"]
    ax = plots.reconstructions(model, x, features=[1])
    np.testing.assert_allclose(drawn(ax).collections[0].get_offsets(), np.stack([x[:, 1], x[:, 1]], axis=1))
    ax = plots.scored_items(model, x, n=2)
    cells = ax.collections[0].get_array()
    assert cells is not None
    assert cells.shape == (6, 4)
    with pytest.raises(ConfigError, match="column numbers from 0 to 4"):
        plots.marginals(model, x, features=[5])


def test_whole_numbers_get_a_bin_each() -> None:
    model = Flat((4, 4), Support("levels", 4))
    x = np.random.default_rng(0).integers(0, 4, (50, 4, 4)).astype(np.uint8)
    ax = plots.marginals(model, x, features=[2])
    assert drawn(ax).patches[0].get_data().edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]


def test_the_ranking_has_the_best_on_top() -> None:
    low = evaluation(name="low", log_prob=-9.0, standard_error=0.5, kind="exact")
    ax = plots.log_probs([evaluation(name="high", log_prob=-1.0, standard_error=0.25), low])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["low", "high"]
    first, second = (container[2][0].get_segments()[0] for container in drawn(ax).containers)
    np.testing.assert_allclose(first, [(-10.0, 0.0), (-8.0, 0.0)])
    np.testing.assert_allclose(second, [(-1.5, 1.0), (-0.5, 1.0)])


def test_tables_keep_their_names() -> None:
    """Verbs of a model of a DataFrame are asked with its columns, and other columns are refused."""
    pd = pytest.importorskip("pandas")
    asked: list[Any] = []

    class Named(Linear):
        feature_names_in_ = np.array(list("abcde"), dtype=object)

        def transform(self, x: Any, /) -> NDArray[np.float64]:
            asked.append(list(x.columns))
            return super().transform(np.asarray(x))

    frame = pd.DataFrame(table_split().x, columns=list("abcde"))
    plots.latent_scatter(Named((5,), Support("real")), frame)
    assert asked == [list("abcde")]
    with pytest.raises(DataError, match="in their order"):
        plots.latent_scatter(Named((5,), Support("real")), frame[list("abced")])

"""The pictures of the rulers: bounds where they lie, steps that add up, dimensions over the epochs, gradients by L."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from latentia.errors import ConfigError
from latentia.report import plots
from latentia.report.plots.health import kl_by_epoch, spaced
from latentia.report.style import LIGHT, class_colour
from tests.report.cases import GREY, Flat, Linear, found, gradient_table


def parts_of(ax: Axes) -> Any:
    """Return the same axes, whose parts are of kinds that types do not tell."""
    return ax


def words(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_text()]


def marks(ax: Axes) -> dict[float, tuple[str, str]]:
    """Return what stands where: the marker and its colour by position."""
    drawn = [line for line in ax.get_lines() if line.get_marker() in ("<", ">")]
    return {float(line.get_xdata()[0]): (str(line.get_marker()), to_hex(str(line.get_color()))) for line in drawn}  # type: ignore[arg-type,index]


def test_bounds_stand_where_they_are_and_point_to_the_truth() -> None:
    ladder, interval = parts_of(plots.bound_ladder(found())).child_axes
    blue = LIGHT["model"]
    assert marks(ladder) == dict.fromkeys([-103.0, -101.0, -100.75, -100.5, -100.25], (">", blue))
    assert marks(interval) == {-90.25: (">", blue), -90.0: ("<", blue)}
    (best,) = [line for line in ladder.get_lines() if line.get_gid() == "best"]
    assert set(best.get_xdata()) == {-100.0}
    low, high = ladder.get_xlim()
    assert low < -103.0 - 2 * 0.5  # with its error bar
    assert high > -100.0
    assert np.diff(interval.get_xlim()) == pytest.approx(high - low)
    said = words(ladder)
    assert said[:3] == ["best estimate of log p(x)", "−100.0 ± 2.0", "annealed importance sampling"]
    assert said.count("lower bound") == 3
    assert said.count("lower bound in expectation") == 3
    assert words(interval) == ["5 rows that the model generates", "lower and upper bound", "gap 0.250 ± 0.062"]


def test_error_bars_are_those_of_the_difference() -> None:
    ladder = parts_of(plots.bound_ladder(found())).child_axes[0]
    reaches = {
        container[0].get_xdata()[0]: float(np.ptp(container[2][0].get_segments()[0][:, 0]))
        for container in ladder.containers
    }
    assert reaches == pytest.approx({-103.0: 2.0, -101.0: 0.5, -100.75: 0.5, -100.5: 0.5, -100.25: 0.2})


def test_a_bound_far_below_is_an_arrow_and_near_ones_are_not() -> None:
    ladder = parts_of(plots.bound_ladder(found())).child_axes[0]
    assert -140.0 not in marks(ladder)
    (arrow,) = [text for text in ladder.texts if text.get_gid() == "far"]
    assert to_hex(arrow.arrow_patch.get_edgecolor()) == LIGHT["data"]  # not to be trusted
    near = found(prior={"log_prob": -106.0, "below": 6.0})
    ladder = parts_of(plots.bound_ladder(near)).child_axes[0]
    assert marks(ladder)[-106.0] == (">", LIGHT["data"])
    assert [text for text in ladder.texts if text.get_gid() == "far"] == []


def test_the_interval_is_shown_whole_where_it_is_wider_than_the_ladder() -> None:
    wide = found(bidirectional={"lower": -120.0, "upper": -90.0, "gap": 30.0, "gap_standard_error": 1.0})
    _, interval = parts_of(plots.bound_ladder(wide)).child_axes
    low, high = interval.get_xlim()
    assert low < -121.0
    assert high > -89.0


def steps(ax: Axes) -> list[tuple[float, float]]:
    """Return where each step begins and ends."""
    bars = [patch for patch in parts_of(ax).patches if patch.get_gid() == "part"]
    return [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]


def ends(ax: Axes) -> list[float]:
    return [float(line.get_xdata()[0]) for line in parts_of(ax).get_lines() if line.get_gid() == "end"]


def test_parts_step_down_from_the_reconstruction_to_the_bound() -> None:
    ax = plots.elbo_parts(found().parts)
    assert steps(ax) == [(-95.0, -95.75), (-95.75, -101.75), (-101.75, -103.0)]
    assert ends(ax) == [-95.0, -103.0]
    assert words(ax)[::2] == [
        "reconstruction, E[log p(x | z)]", "− mutual information of x and z", "− total correlation of z",
        "− dimension-wise KL to the prior", "= ELBO",
    ]  # fmt: skip
    assert words(ax)[-1] == "−103.0 ± 2.5"
    flow = found(decomposition={"total_correlation": None, "dimension_wise_kl": None}).parts
    assert steps(plots.elbo_parts(flow)) == [(-95.0, -95.75), (-95.75, -103.0)]


def test_gaps_step_up_from_the_bound_to_the_best_estimate() -> None:
    ax = plots.bound_gaps(found())
    assert steps(ax) == [(-103.0, -101.0), (-101.0, -100.0)]
    assert ends(ax) == [-103.0, -100.0]
    assert "+ approximation gap: the diagonal family" in words(ax)
    full = plots.bound_gaps(found(gaps={"family": "full"}))
    assert steps(full)[1] == (-101.0, -100.25)  # the full family's own gap
    assert steps(plots.bound_gaps(found(gaps={"family": "other"}))) == [(-103.0, -100.0)]


def test_few_dimensions_are_lines() -> None:
    model = Linear((4, 4), GREY)
    ax = parts_of(plots.kl_history(model))
    lines = {line.get_gid(): line for line in ax.get_lines()}
    np.testing.assert_allclose(lines["dimension 1"].get_xydata(), [(e, 6 / e) for e in range(1, 6)])
    np.testing.assert_allclose(lines["dimension 2"].get_ydata(), [4 / e for e in range(1, 6)])
    colours = {text.get_text(): to_hex(text.get_color()) for text in ax.texts}
    assert colours == {"z₁": class_colour(0), "z₂": class_colour(1)}


def test_many_dimensions_are_a_heat_map_with_the_largest_on_top() -> None:
    model = Linear((4, 4), GREY, latent_dim=9)
    model.history_ = [{"epoch": e, "train": {"kl": [float(d) * e for d in range(9)]}} for e in (1, 2, 3)]
    ax = parts_of(plots.kl_history(model))
    (image,) = ax.get_images()
    cells = np.asarray(image.get_array())
    tall, wide = cells.shape[0] // 9, cells.shape[1] // 3
    np.testing.assert_array_equal(cells[::tall, ::wide], [[d * e for e in (1, 2, 3)] for d in range(8, -1, -1)])
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == ["9", "8"]
    assert min(cells.shape) >= 480


def test_a_long_training_is_averaged_in_groups() -> None:
    model = Linear((4, 4), GREY, latent_dim=9)
    model.history_ = [{"epoch": e, "train": {"kl": [float(e)] * 9}} for e in range(1, 1201)]
    (image,) = parts_of(plots.kl_history(model)).get_images()
    first = np.asarray(image.get_array())[0]
    np.testing.assert_allclose(first[:2], [1.5, 3.5])
    assert len(first) == 600


def test_a_divergence_that_does_not_split_has_no_dimensions() -> None:
    model = Linear((4, 4), GREY, latent_dim=3)
    model.history_ = [{"epoch": 1, "train": {"kl": [7.0]}}, {"epoch": 2, "train": {"kl": 7.0}}, {"epoch": 3}]
    assert len(kl_by_epoch(model)[0]) == 0
    assert len(kl_by_epoch(Flat((4, 4), GREY))[0]) == 0
    with pytest.raises(ConfigError, match="no KL of single latent dimensions"):
        plots.kl_history(model)


def test_names_at_the_ends_of_lines_keep_their_order_and_their_distance() -> None:
    places = spaced(np.array([0.0, 0.01, 0.02, 1.0]), 0.1)
    assert np.diff(places).min() >= 0.1 - 1e-12
    assert places[0] >= 0.0
    assert places[3] == 1.0
    np.testing.assert_allclose(spaced(np.array([0.5, 0.5]), 0.1), [0.45, 0.55])


def test_gradients_are_drawn_against_their_samples() -> None:
    ax = plots.gradient_curves(gradient_table())
    variance, signal, bias = parts_of(ax).child_axes
    curves = {line.get_gid(): line for line in variance.get_lines()}
    np.testing.assert_allclose(curves["score function"].get_xydata(), [(1, 1000), (2, 500), (4, 250)])
    np.testing.assert_allclose(curves["score function, leave one out"].get_xydata(), [(2, 5), (4, 2.5)])
    assert to_hex(curves["reparameterised"].get_color()) == LIGHT["model"]
    assert (variance.get_xscale(), variance.get_yscale(), bias.get_yscale()) == ("log", "log", "linear")
    assert [label.get_text() for label in variance.get_xticklabels()] == ["1", "2", "4"]
    (floor,) = [line for line in signal.get_lines() if line.get_gid() == "noise"]
    assert floor.get_ydata()[0] == pytest.approx(0.8 / 10)
    ratios = {line.get_gid(): line.get_ydata() for line in bias.get_lines() if line.get_gid()}
    np.testing.assert_allclose(ratios["score function"], 1.0)
    with pytest.raises(ConfigError, match="no gradients of the decoder, but of encoder"):
        plots.gradient_curves(gradient_table(), part="decoder")

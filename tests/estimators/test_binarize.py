"""Grey images under a Bernoulli likelihood: refused, unless ``binarize`` says how they become zeros and ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import latentia as lt
from latentia.data import Support
from latentia.errors import DataError
from latentia.estimators.preprocessing import Preprocessing
from latentia.training import Noise, draw
from tests.estimators.cases import Array, binary, levels, raised, unit, vae
from tests.tolerance import assert_mean


def binarised(model: Any, x: Array) -> Array:
    drawn: Array = model.preprocessing_.store(x.reshape(len(x), -1))
    return drawn.reshape(x.shape)


# One row that runs through all grey values, so that both ends are in it: they must never flip.
GREYS = [
    (np.arange(256, dtype=np.uint8)[None], 255),
    (np.resize(np.arange(17, dtype=np.uint8), (1, 256)), 16),
    (np.linspace(0, 1, 256)[None], 1),
]


def test_static_draws_depend_on_seed_and_row_alone() -> None:
    x = levels((50, 6, 6))
    model = vae(binarize="static").fit(x)
    drawn = binarised(model, x)
    assert set(np.unique(drawn)) == {0, 1}
    np.testing.assert_array_equal(binarised(model, x[::-1])[::-1], drawn)
    np.testing.assert_array_equal(binarised(model, x[7:8])[0], drawn[7])
    np.testing.assert_array_equal(binarised(vae(binarize="static").fit(x), x), drawn)
    assert (binarised(vae(binarize="static", random_state=1).fit(x), x) != drawn).any()
    twins = np.repeat(x[:1], 2, axis=0)  # equal rows are one row
    np.testing.assert_array_equal(*binarised(model, twins))


@pytest.mark.parametrize(("x", "top"), GREYS)
def test_static_draws_have_the_grey_value_as_their_mean(x: Array, top: int) -> None:
    """2000 seeds for one row; where the grey value is at an end, every draw is that end."""
    support = {255: Support("levels", 256), 16: Support("levels", 17), 1: Support("unit")}[top]
    draws = np.concatenate([Preprocessing(support, (256,), "static", seed).store(x) for seed in range(2000)])
    assert_mean(draws, x[0] / top)
    ends = (x[0] == 0) | (x[0] == top)
    np.testing.assert_array_equal(draws.mean(0)[ends], x[0][ends] / top)


@pytest.mark.parametrize(("x", "top"), GREYS)
def test_dynamic_draws_of_training_have_the_grey_value_as_their_mean(x: Array, top: int) -> None:
    support = {255: Support("levels", 256), 16: Support("levels", 17), 1: Support("unit")}[top]
    pre = Preprocessing(support, (256,), "dynamic", 0)
    kept = pre.store(np.repeat(x, 500, axis=0), training=True)
    np.testing.assert_array_equal(kept[0], x[0].astype(kept.dtype))  # the grey values stay, for a draw in every step
    kind: Any = pre.noise_kind
    steps = [
        pre.batch(
            torch.from_numpy(kept), draw(Noise(kind, (256,)), 500, 0, "p", step, "cpu", torch.float32), torch.float32
        )
        for step in range(10)
    ]
    assert (steps[0] != steps[1]).any()
    assert_mean(torch.cat(steps).numpy(), x[0] / top)


def test_dynamic_is_evaluated_and_validated_on_the_static_draw() -> None:
    x = levels((60, 6, 6))
    dynamic, static = vae(binarize="dynamic").fit(x), vae(binarize="static").fit(x)
    np.testing.assert_array_equal(binarised(dynamic, x), binarised(static, x))
    as_bits = binarised(dynamic, x).astype(bool)
    # Truth values are binary already; only the noise behind the estimate is the same if the row is the same.
    np.testing.assert_array_equal(dynamic.score_samples(as_bits), dynamic.score_samples(x))
    assert dynamic.history_[0]["valid"] != static.history_[0]["valid"]  # but they were trained on other draws


def test_threshold_is_above_half() -> None:
    for x, half in [(levels((40, 5, 5)), 127.5), (levels((40, 25), 17), 8.0), (unit((40, 25)), 0.5)]:
        model = vae(binarize="threshold", support=None if half != 8.0 else "levels:17").fit(x)
        np.testing.assert_array_equal(binarised(model, x), x > half)


MAKERS = [vae, lambda **k: lt.IndependentPixels(random_state=0, **k), lambda **k: lt.PPCA(random_state=0, **k)]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("binarize", ["static", "dynamic", "threshold"])
def test_what_is_binary_already_stays_as_it_is(make: Any, binarize: str) -> None:
    x = binary((40, 5, 5))
    plain = make().fit(x)
    for form in (x, x.astype(bool), x.astype(float)):
        model = make(binarize=binarize).fit(form)
        assert str(model.support_) == "binary"
        np.testing.assert_array_equal(model.score_samples(x), plain.score_samples(x))
        np.testing.assert_array_equal(model.score_samples(x.astype(bool)), plain.score_samples(x))
    declared = make(binarize=binarize, support="levels:256").fit(x.astype(bool))  # truth values are no grey levels
    np.testing.assert_array_equal(declared.score_samples(x), plain.score_samples(x))


def test_training_rows_of_a_dynamic_run_move_with_every_step() -> None:
    """A constant grey of 0.5 has no information: what it is trained on must be noise, not the threshold's constant."""
    x = np.full((200, 16), 0.5)
    model = vae(binarize="dynamic", max_epochs=20, network="linear", learning_rate=1e-2).fit(x)
    assert model.history_[-1]["train"]["elbo"] == pytest.approx(-16 * np.log(2.0), abs=0.5)
    constant = vae(binarize="threshold", max_epochs=20, network="linear", learning_rate=1e-2).fit(x)
    assert constant.history_[-1]["train"]["elbo"] > -2.0


REFUSED = [
    (levels((30, 4, 4)), "from 5 to 244", "discretized_logistic"),
    (levels((30, 4, 4), 17), "from 0 to 16", "binomial"),
    (unit((30, 16)), "from 0 to 1", "gaussian"),
    (unit((30, 16)) * 9 - 3, "from -3 to 6", "gaussian"),
]


@pytest.mark.parametrize("make", [vae, lt.IndependentPixels])
@pytest.mark.parametrize(("x", "seen", "instead"), REFUSED)
def test_grey_under_bernoulli_is_refused_with_the_range_and_the_offer(
    make: Any, x: Array, seen: str, instead: str
) -> None:
    support = "levels:17" if instead == "binomial" else None
    message = raised(lambda: make(likelihood="bernoulli", support=support).fit(x), DataError)
    for words in (seen, 'binarize="static", "dynamic" or "threshold"', instead):
        assert words in message


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("binarize", ["static", "dynamic", "threshold"])
@pytest.mark.parametrize(("low", "high"), [(-0.5, 1.0), (0.0, 1.5), (0.0, 255.0)])
def test_reals_outside_of_zero_to_one_cannot_be_binarised(make: Any, binarize: str, low: float, high: float) -> None:
    x = unit((30, 16)) * (high - low) + low
    message = raised(lambda: make(binarize=binarize).fit(x), DataError)
    for words in (f"from {low:g} to {high:g}", "numbers from 0 to 1", "binarize"):
        assert words in message
    model = make(binarize=binarize).fit(unit((30, 16)))
    assert f"from {low:g} to {high:g}" in raised(lambda: model.score_samples(x), DataError)


def test_what_was_learned_of_binarisation_is_saved(tmp_path: Path) -> None:
    x = levels((30, 5, 5))
    model = vae(binarize="dynamic").fit(x)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(binarised(lt.load(tmp_path / "model"), x), binarised(model, x))

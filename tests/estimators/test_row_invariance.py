"""A row's values are its own: bit-equal alone, batched, permuted, in any memory layout, after saving and refitting."""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import nn

import latentia as lt
from tests.estimators.cases import Array, binary, levels, table, unit, vae

ROWS = 800  # more than one call of 768 rows


def own_networks() -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Linear(13, 150), nn.Tanh(), nn.Linear(150, 4))
        return encoder, nn.Sequential(nn.Linear(2, 150), nn.Tanh(), nn.Linear(150, 13))


# Input widths that are no multiple of 4 and outputs of few columns are where matrix products round by position.
CASES: Mapping[str, tuple[Callable[[], Any], Callable[[], Array]]] = {
    "linear, 13 columns": (lambda: vae(network="linear", latent_dim=1), lambda: table(ROWS, 13)),
    "linear, 13 columns, float64": (lambda: vae(network="linear", precision="float64"), lambda: table(ROWS, 13)),
    "53 columns through 150": (lambda: vae(hidden=(150,), latent_dim=3), lambda: table(ROWS, 53)),
    "53 columns, float64": (lambda: vae(hidden=(150,), latent_dim=1, precision="float64"), lambda: table(ROWS, 53)),
    "5 columns, bfloat16": (lambda: vae(hidden=(30,), precision="bfloat16"), lambda: table(ROWS, 5)),
    "network variance": (lambda: vae(likelihood="gaussian_network", hidden=(7,)), lambda: table(ROWS, 6)),
    "binary 7 × 7": (lambda: vae(hidden=(19,)), lambda: binary((ROWS, 7, 7))),
    "256 levels": (lambda: vae(), lambda: levels((ROWS, 5, 5))),
    "17 levels": (lambda: vae(support="levels:17"), lambda: levels((ROWS, 5, 5), 17)),
    "categories": (lambda: vae(support="categories:3"), lambda: levels((ROWS, 11), 3)),
    "dynamic": (lambda: vae(binarize="dynamic"), lambda: levels((ROWS, 6, 6))),
    "static, from reals": (lambda: vae(binarize="static"), lambda: unit((ROWS, 6, 6))),
    "convolutional": (lambda: vae(network="conv"), lambda: levels((ROWS, 6, 6, 3))),
    "own networks": (lambda: vae(network=own_networks()), lambda: table(ROWS, 13)),
    "PPCA, 13 columns": (lambda: lt.PPCA(random_state=0), lambda: table(ROWS, 13)),
    "PPCA of levels": (lambda: lt.PPCA(latent_dim=3, random_state=0), lambda: levels((ROWS, 5, 5))),
    "independent pixels": (lambda: lt.IndependentPixels(random_state=0), lambda: levels((ROWS, 5, 5))),
    "independent columns": (lambda: lt.IndependentPixels(random_state=0), lambda: table(ROWS, 13)),
}


@functools.cache
def fitted(name: str) -> tuple[Any, Array]:
    make, data = CASES[name]
    x = data()
    return make().fit(x), x


def values(model: Any, x: Any) -> dict[str, Array]:
    """Return what every verb says of every row."""
    found = {"score_samples": model.score_samples(x), "evaluate": model.evaluate(x, num_samples=3).per_row}
    if hasattr(model, "transform"):
        found |= {"transform": model.transform(x), "sd": model.posterior(x).sd, "reconstruct": model.reconstruct(x)}
    return found


def assert_equal(one: Mapping[str, Array], other: Mapping[str, Array], rows: Any = slice(None)) -> None:
    for name, expected in one.items():
        assert np.isfinite(expected).all()
        np.testing.assert_array_equal(other[name], expected[rows], err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_a_row_alone_batched_or_permuted(name: str) -> None:
    check_places(name)


@pytest.mark.parametrize("name", ["linear, 13 columns", "53 columns, float64", "own networks", "PPCA, 13 columns"])
def test_the_same_with_plain_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the product that every machine has, where this one has a faster one."""
    monkeypatch.setattr(sys.modules["latentia.networks.linear"], "_onednn", lambda: None)
    check_places(name)


def check_places(name: str) -> None:
    model, x = fitted(name)
    few = x[:24]
    together = values(model, few)
    order = np.random.default_rng(1).permutation(len(few))
    assert_equal(together, values(model, few[order]), order)
    for i in (1, 23):
        assert_equal(together, values(model, few[i : i + 1]), slice(i, i + 1))
    if hasattr(model, "transform"):  # rows 700 … are in the second call of one and in the first of the other
        everything, tail = model.transform(x), model.transform(x[700:])
        np.testing.assert_array_equal(tail, everything[700:])
        rolled = model.transform(np.roll(x, 333, axis=0))
        np.testing.assert_array_equal(np.roll(rolled, -333, axis=0), everything)
        decoded = model.inverse_transform(everything)
        np.testing.assert_array_equal(model.inverse_transform(tail), decoded[700:])


@pytest.mark.parametrize("name", ["linear, 13 columns", "256 levels", "static, from reals", "PPCA, 13 columns"])
def test_memory_layout_and_container_do_not_matter(name: str) -> None:
    model, x = fitted(name)
    few = x[:12]
    expected = values(model, few)
    wide = np.zeros((24, *x.shape[1:], 2), x.dtype)
    wide[::2, ..., 0] = few
    read_only = few.copy()
    read_only.flags.writeable = False
    flat = few.reshape(12, -1)
    swapped = few.astype(few.dtype.newbyteorder())
    forms = [np.asfortranarray(few), wide[::2, ..., 0], few[::-1][::-1], few.tolist(), read_only, flat, swapped]
    for form in [*forms, torch.from_numpy(few), pd.DataFrame(flat)]:
        assert_equal(expected, values(model, form))


@pytest.mark.parametrize("name", ["linear, 13 columns", "static, from reals", "PPCA, 13 columns"])
def test_equal_numbers_have_equal_values_in_every_precision(name: str) -> None:
    model, x = fitted(name)
    single = x[:20].astype(np.float32)
    single[0].flat[0] = -0.0 if name == "static, from reals" else single[0].flat[0]
    double = single.astype(np.float64)
    double[0].flat[0] += 0.0  # −0 and 0 are one number
    in_single = values(model, single)
    for verb, expected in values(model, double).items():
        if name.startswith("PPCA") and verb == "reconstruct":  # decodes a z that was rounded on its way
            np.testing.assert_allclose(in_single[verb], expected, rtol=1e-6, atol=1e-5)
        else:
            np.testing.assert_array_equal(in_single[verb], expected.astype(in_single[verb].dtype), err_msg=verb)


def test_minus_zero_is_zero() -> None:
    """The noise of a row is keyed by its bytes, and −0 has others than 0; a mean of exactly zero lets it through."""
    x = np.concatenate([np.round(table(20, 3)), -np.round(table(20, 3))])
    model = vae().fit(x, X_valid=x)
    np.testing.assert_array_equal(model.preprocessing_.to_json()["shift"], 0.0)
    zeros = np.zeros((2, 3))
    np.testing.assert_array_equal(model.score_samples(-zeros), model.score_samples(zeros))


@pytest.mark.parametrize("name", ["linear, 13 columns", "dynamic", "convolutional", "PPCA of levels", "categories"])
def test_saving_pickling_and_refitting_keep_every_bit(name: str, tmp_path: Path) -> None:
    model, x = fitted(name)
    few = x[:12]
    expected = values(model, few)
    model.save(tmp_path / "model")
    assert_equal(expected, values(lt.load(tmp_path / "model", device="cpu"), few))
    assert_equal(expected, values(pickle.loads(pickle.dumps(model)), few))
    assert_equal(expected, values(clone(model).fit(x), few))
    np.testing.assert_array_equal(lt.load(tmp_path / "model", device="cpu").sample(5), model.sample(5))


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("53 columns through 150", 1e-5),
        ("convolutional", 1e-5),
        ("53 columns, float64", 1e-10),
        ("PPCA, 13 columns", 1e-10),
    ],
)
def test_thread_counts_agree(name: str, tolerance: float) -> None:
    model, x = fitted(name)
    few, before = x[:6], model.num_threads_
    try:
        model.num_threads_ = 1
        one = values(model, few)
        model.num_threads_ = 2
        two = values(model, few)
    finally:
        model.num_threads_ = before
    for verb, expected in one.items():
        np.testing.assert_allclose(two[verb], expected, rtol=tolerance, atol=tolerance, err_msg=verb)


def test_a_row_on_either_side_of_a_block_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks bound memory; they must not show."""
    model, x = fitted("dynamic")

    def seen() -> list[Array]:
        z = model.transform(x)
        return [z, model.inverse_transform(z), model.evaluate(x, num_samples=1).per_row]

    expected = seen()
    monkeypatch.setattr("latentia.estimators.base.NUMBERS_PER_BLOCK", 1)
    assert model._rows_per_block < len(x)
    for one, other in zip(expected, seen(), strict=True):
        np.testing.assert_array_equal(one, other)

"""Bits per dimension, active units, and noise that belongs to a row's bytes and to nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from latentia.errors import ConfigError
from latentia.evaluation import RowNoise, active_units, bits_per_dim, map_rows
from tests.tolerance import assert_mean


def test_uniform_levels_cost_the_logarithm_of_their_number() -> None:
    assert bits_per_dim(-12 * math.log(256), 12) == pytest.approx(8.0)
    assert bits_per_dim(-math.log(2), 1) == pytest.approx(1.0)


def test_bits_per_dim_undo_the_scale_of_the_data() -> None:
    """The uniform density on [0, 1) for pixels divided by 256 has log p = 0, and still costs 8 bits."""
    assert bits_per_dim(0.0, 12, scale=256.0) == pytest.approx(8.0)
    # The same density written down in the two units: N(x; 0, 30²) over levels, N(x/256; 0, (30/256)²) over pixels.
    levels, pixels = -math.log(30.0), -math.log(30.0 / 256.0)
    assert bits_per_dim(5 * pixels, 5, scale=256.0) == pytest.approx(bits_per_dim(5 * levels, 5))


@pytest.mark.parametrize(("num_dims", "scale"), [(0, 1.0), (3, 0.0), (3, -1.0)])
def test_bits_per_dim_need_dimensions_and_a_scale(num_dims: int, scale: float) -> None:
    with pytest.raises(ConfigError, match="at least one dimension and a positive scale"):
        bits_per_dim(-1.0, num_dims, scale)


def test_active_units_vary_over_rows_by_more_than_a_hundredth() -> None:
    """Means ±a have variance a²: 0.0101 is active, 0.0099 and a constant far from zero are not."""
    signs = np.array([1.0, -1.0] * 50)[:, None]
    means = signs * np.sqrt([0.0101, 0.0099, 0.0]) + [0.0, 0.0, 7.0]
    assert active_units(means).tolist() == [True, False, False]
    assert active_units(means, threshold=0.001).tolist() == [True, True, False]


ROWS = np.random.default_rng(0).integers(0, 17, (500, 8), dtype=np.uint8)


def test_noise_follows_the_row_wherever_it_stands() -> None:
    order = np.random.default_rng(1).permutation(500)
    here, there = RowNoise(ROWS, 0, "score"), RowNoise(ROWS[order], 0, "score")
    for i in (0, 3, 499):
        assert torch.equal(there.normal(i, (3, 2)), here.normal(int(order[i]), (3, 2)))
    assert torch.equal(here.normal(5, (4,)), here.normal(5, (4,)))


def test_noise_changes_with_row_seed_and_purpose() -> None:
    reference = RowNoise(ROWS, 0, "score").normal(0, (4,))
    assert not torch.equal(reference, RowNoise(ROWS, 0, "score").normal(1, (4,)))
    assert not torch.equal(reference, RowNoise(ROWS, 1, "score").normal(0, (4,)))
    assert not torch.equal(reference, RowNoise(ROWS, 0, "sample").normal(0, (4,)))


def test_noise_has_the_law_it_names_over_rows() -> None:
    """One draw a row, 500 rows: mean and variance within five standard errors, neighbours uncorrelated."""
    noise = RowNoise(ROWS, 3, "score")
    normal = np.stack([noise.normal(i, (2,)).numpy() for i in range(500)]).astype(np.float64)
    assert_mean(normal, np.zeros(2))
    assert_mean(normal**2, np.ones(2))
    assert_mean(normal[1:] * normal[:-1], np.zeros(2))
    uniform = np.stack([noise.uniform(i, (2,)).numpy() for i in range(500)]).astype(np.float64)
    assert_mean(uniform, np.full(2, 0.5))
    assert_mean((uniform - 0.5) ** 2, np.full(2, 1 / 12))
    assert uniform.min() >= 0.0
    assert uniform.max() < 1.0


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 20])
def test_map_rows_gives_every_row_its_value_in_calls_of_one_shape(count: int) -> None:
    seen = []

    def double(chunk: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(chunk.shape))
        return chunk * 2

    rows = torch.arange(3.0 * count).reshape(count, 3)
    torch.testing.assert_close(map_rows(double, rows, rows_per_call=7), rows * 2)
    assert set(seen) == {(7, 3)}
    assert len(seen) == max(1, -(-count // 7))


def test_map_rows_is_bit_equal_for_a_row_alone_in_a_batch_and_permuted() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(37, 53), torch.nn.Tanh(), torch.nn.Linear(53, 20))
    rows = torch.from_numpy(np.random.default_rng(2).normal(size=(1000, 37)).astype(np.float32))
    whole = map_rows(layer, rows)
    order = torch.from_numpy(np.random.default_rng(3).permutation(1000))
    assert torch.equal(map_rows(layer, rows[order]), whole[order])
    for i in (0, 500, 999):
        assert torch.equal(map_rows(layer, rows[i : i + 1])[0], whole[i])

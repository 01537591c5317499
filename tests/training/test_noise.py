"""Noise and order are functions of (seed, purpose, step)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
import torch

from latentia.errors import ConfigError
from latentia.training import Noise, draw, key, permutation
from tests.tolerance import assert_mean

CPU = torch.device("cpu")


def test_key_is_a_stable_63_bit_hash_of_all_its_parts() -> None:
    keys = {key(0, "a"), key(1, "a"), key(0, "b"), key(0, "a", 0), key(0, "a", 1), key(0, "a", 1, 2), key(0, "a", 12)}
    assert len(keys) == 7
    assert all(0 <= one < 2**63 for one in keys)
    assert key(7, "train/vae/epsilon", 1200) == 3156892787537267227  # b2sum's; another would break stored runs


@pytest.mark.parametrize("kind", ["normal", "uniform", "bytes255"])
def test_draws_depend_on_the_key_only(kind: Literal["normal", "uniform", "bytes255"]) -> None:
    noise = Noise(kind, (2, 3))
    before = torch.get_rng_state()
    first = draw(noise, 5, 0, "p", 4, CPU, torch.float64)
    for seed, purpose, step in [(1, "p", 4), (0, "q", 4), (0, "p", 5)]:
        assert not torch.equal(first, draw(noise, 5, seed, purpose, step, CPU, torch.float64))
    torch.manual_seed(9)
    assert torch.equal(first, draw(noise, 5, 0, "p", 4, CPU, torch.float64))
    torch.set_rng_state(before)
    draw(noise, 5, 0, "p", 4, CPU, torch.float64)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == (5, 2, 3)
    assert first.dtype == (torch.uint8 if kind == "bytes255" else torch.float64)


def test_threads_do_not_disturb_each_other() -> None:
    noise, alone = Noise("normal", (100,)), {}
    for step in range(200):
        alone[step] = draw(noise, 10, 0, "p", step, CPU, torch.float32)
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda step: draw(noise, 10, 0, "p", step, CPU, torch.float32), range(200))
        assert all(torch.equal(one, alone[step]) for step, one in enumerate(together))


def test_bytes255_makes_a_bernoulli_draw_of_exactly_byte_over_255() -> None:
    noise = draw(Noise("bytes255", ()), 100_000, 0, "p", 0, CPU, torch.float64)
    assert (int(noise.min()), int(noise.max())) == (0, 254)  # so byte 0 is never on and byte 255 always
    for byte in (1, 100, 254):
        assert_mean((noise < byte).numpy().astype(float), byte / 255)


def test_normal_and_uniform_have_their_moments() -> None:
    normal = draw(Noise("normal", ()), 100_000, 0, "p", 0, CPU, torch.float64).numpy()
    uniform = draw(Noise("uniform", ()), 100_000, 0, "p", 0, CPU, torch.float64).numpy()
    assert_mean(normal, 0.0)
    assert_mean(normal**2, 1.0)
    assert_mean(uniform, 0.5)
    assert_mean(uniform**2, 1 / 3)


def test_a_permutation_has_every_row_once_and_depends_on_seed_and_epoch() -> None:
    first = permutation(101, 0, 0, CPU)
    assert sorted(first.tolist()) == list(range(101))
    assert torch.equal(first, permutation(101, 0, 0, CPU))
    assert not torch.equal(first, permutation(101, 0, 1, CPU))
    assert not torch.equal(first, permutation(101, 1, 0, CPU))


def test_an_unknown_kind_is_refused() -> None:
    make: Callable[..., Noise] = Noise
    with pytest.raises(ConfigError, match="'gamma'; choose 'normal', 'uniform' or 'bytes255'"):
        make("gamma", ())

"""Whether a latent space is used: no alarm at unused dimensions, always one at posterior collapse."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from latentia.errors import ConfigError
from latentia.evaluation import Mean, health
from latentia.evaluation.health import COLLAPSED, HEALTHY, UNINFORMATIVE


def _means(active: int, latent_dim: int, rows: int = 200) -> np.ndarray[Any, np.dtype[np.float64]]:
    means = np.zeros((rows, latent_dim))
    means[:, :active] = np.random.default_rng(0).normal(0.0, 0.9, (rows, active))
    return means


def _kl(*per_dimension: float, rows: int = 200) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.tile(per_dimension, (rows, 1))


def test_unused_dimensions_of_many_are_normal() -> None:
    """As of the reference on binarised MNIST: 22 of 50 dimensions in use, and nothing to warn of."""
    found = health(_means(22, 50), _kl(*[1.1] * 22, *[0.0004] * 28))
    assert found.verdict == HEALTHY
    assert found.warning is None
    assert (found.active_units, found.unused, found.lost) == (22, 28, None)
    assert "28 dimensions with a KL below 0.01 nats (normal" in str(found)
    assert health(_means(1, 50), _kl(2.0, *[0.0] * 49)).warning is None
    assert health(_means(3, 3), _kl(1.0, 1.0, 1.0)).unused == 0


@pytest.mark.parametrize("kl", [0.0, 0.003, 0.0099])
def test_a_latent_space_that_is_unused_as_a_whole_has_collapsed(kl: float) -> None:
    found = health(_means(0, 50), _kl(*[kl] * 50))
    assert found.verdict == COLLAPSED
    assert found.warning is not None
    assert found.warning.startswith("posterior collapse: q(z | x) is the prior")
    for remedy in ("KL warm-up", "free bits", "smaller weight", "weaker decoder"):
        assert remedy in found.warning
    assert found.warning in str(found)
    assert "normal" not in str(found)


def test_one_dimension_that_says_next_to_nothing_is_collapse_too() -> None:
    """0.04 nats in one dimension of fifty: no row could be told from another by it."""
    assert health(_means(0, 50), _kl(0.04, *[0.0] * 49)).verdict == COLLAPSED
    assert health(_means(1, 50), _kl(0.11, *[0.0] * 49)).verdict == HEALTHY


def test_a_code_that_costs_and_is_the_same_for_every_row_says_nothing() -> None:
    found = health(_means(0, 4), _kl(0.5, 0.5, 0.5, 0.5))
    assert found.verdict == UNINFORMATIVE
    assert found.warning is not None
    assert "costs 2.00 nats but its mean is the same for every x" in found.warning


def test_means_vary_in_units_of_the_prior() -> None:
    """A learned prior with a standard deviation of 0.05: means that vary by 0.04 are active, by 0.004 are not."""
    means = np.array([[0.04, 0.004], [-0.04, -0.004]] * 50)
    assert health(means, _kl(1.0, 1.0, rows=100)).verdict == UNINFORMATIVE
    found = health(means, _kl(1.0, 1.0, rows=100), prior_stddev=[0.05, 0.05])
    assert (found.verdict, found.active_units) == (HEALTHY, 1)


def test_a_divergence_that_does_not_split_is_judged_as_a_whole() -> None:
    found = health(_means(3, 10), _kl(12.0))
    assert (found.verdict, found.unused, found.kl_per_dimension) == (HEALTHY, None, None)
    assert "unused" not in str(found)
    assert health(_means(0, 10), _kl(0.09)).verdict == COLLAPSED
    assert health(_means(0, 50), _kl(0.49)).verdict == COLLAPSED  # 50 × 0.01 nats
    assert health(_means(5, 50), _kl(0.51)).verdict == HEALTHY


def _epoch(*kl: float) -> dict[str, Any]:
    return {"epoch": 1, "train": {"elbo": -1.0, "kl": list(kl)}}


def test_the_history_says_what_was_lost_and_since_when() -> None:
    history = [_epoch(0.5, 0.2, 0.05), _epoch(0.3, 0.001, 0.0), _epoch(0.002, 0.0, 0.0), _epoch(0.001, 0.0, 0.0)]
    found = health(_means(0, 3), _kl(0.001, 0.0, 0.0), history=history)
    assert (found.lost, found.collapsed_since) == (2, 3)
    assert found.warning is not None
    assert found.warning.startswith("posterior collapse since epoch 3:")
    assert "2 of them carried 0.1 nats" in str(found)
    never_used = health(_means(0, 3), _kl(0.001, 0.0, 0.0), history=history[2:])
    assert (never_used.lost, never_used.collapsed_since) == (0, 1)
    alive = health(_means(1, 3), _kl(0.5, 0.001, 0.0), history=history[:2])
    assert (alive.lost, alive.collapsed_since, alive.warning) == (1, None, None)


@pytest.mark.parametrize("history", [None, [], [{"epoch": 1, "train": {"elbo": -1.0}}], [{"epoch": 1}], [_epoch(1.0)]])
def test_a_history_without_the_divergence_is_no_history(history: list[dict[str, Any]] | None) -> None:
    found = health(_means(2, 3), _kl(1.0, 1.0, 0.0), history=history)
    assert (found.lost, found.collapsed_since) == (None, None)


def test_numbers_as_text_and_as_json() -> None:
    found = health([[0.9, 0.0], [-0.9, 0.0]], [[1.2, 0.0], [1.1, 0.0]], aggregated_gap=Mean(0.42, 0.03))
    assert str(found).splitlines() == [
        "latent space of 2 dimensions on 2 rows: healthy",
        "  active units 1 of 2",
        "  rate         1.15 ± 0.05 nats",
        "  unused       1 dimensions with a KL below 0.01 nats (normal: the prior switches off what is not needed)",
        "  prior gap    0.42 ± 0.03 nats: KL(q(z) ‖ p(z)), the most that a richer prior could gain",
    ]
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["rate"] == pytest.approx(1.15)
    assert content["aggregated_gap_standard_error"] == 0.03
    assert content["kl_per_dimension"] == pytest.approx([1.15, 0.0])
    assert (content["verdict"], content["warning"], content["latent_dim"]) == ("healthy", None, 2)
    alone = health([[0.9]], [[1.2]]).to_json()
    assert alone["rate_standard_error"] is None


@pytest.mark.parametrize(
    ("means", "kl"), [((3, 2), (3, 3)), ((3, 2), (4, 2)), ((0, 2), (0, 2)), ((3,), (3,)), ((3, 2), (3, 2, 1))]
)
def test_shapes_that_do_not_fit_are_refused(means: tuple[int, ...], kl: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"posterior_mean must have shape \(rows, latent_dim\) and kl the same"):
        health(np.zeros(means), np.zeros(kl))


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be finite numbers"):
        health([[math.nan, 0.0]], [[1.0, 1.0]])
    with pytest.raises(ConfigError, match="must be finite numbers"):
        health([[0.0, 0.0]], [[math.inf, 1.0]])

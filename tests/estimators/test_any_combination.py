"""Any prior with any posterior and objective: fitted, scored, sampled, saved and loaded, compiled or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import latentia as lt
from tests.estimators.cases import binary, levels, table, vae

COMBINATIONS: list[dict[str, Any]] = [
    {"prior": "learned"},
    {"prior": "mixture:components=4", "variational_family": "full"},
    {"prior": "vamp:components=5"},
    {"prior": "vamp:components=5", "variational_family": "full", "objective": "iwae_dreg", "num_samples": 3},
    {
        "prior": "vamp:components=5",
        "variational_family": "mixture:components=2",
        "objective": "piwae",
        "num_samples": 2,
    },
    {"prior": "mixture", "variational_family": "mixture", "objective": "miwae:outer=3", "num_samples": 2},
    {"prior": "learned", "variational_family": "full", "objective": "beta_tc", "beta": 4.0, "kl_warmup_epochs": 2},
    {"prior": "mixture", "objective": "mmd:kernel=rbf", "kl_warmup_epochs": 2, "kl_annealing": "cyclic"},
    {"variational_family": "mixture", "objective": "score_function", "num_samples": 3},
    {"variational_family": "full", "objective": "score_function:baseline=mean", "prior": "vamp:components=3"},
    {"objective": "ciwae:weight=0.3", "num_samples": 3, "variational_family": "full"},
    {"objective": "elbo:free_bits=0.2", "prior": "mixture", "num_samples": 2},
    {"objective": "elbo:capacity=2,capacity_epochs=2", "variational_family": "mixture"},
    {"prior": "flow", "variational_family": "flow", "objective": "iwae", "num_samples": 2},
]


@pytest.mark.parametrize("arguments", COMBINATIONS, ids=lambda a: "-".join(f"{v}" for v in a.values()))
def test_it_fits_scores_samples_saves_and_loads(arguments: dict[str, Any], tmp_path: Path) -> None:
    if "flow" in arguments.values():
        pytest.importorskip("zuko", reason="needs zuko: install the extra 'flows'")
    x = binary((60, 12))
    model = vae(max_epochs=2, num_importance_samples=8, **arguments).fit(x)
    scores = model.score_samples(x[:7])
    assert np.isfinite(scores).all()
    assert np.array_equal(scores[2:3], model.score_samples(x[2:3]))  # a row's score is its own
    assert model.sample(3).shape == (3, 12)
    assert np.isfinite(model.posterior(x).mean).all()
    assert (model.posterior(x).sd > 0).all()
    model.save(tmp_path / "model")
    loaded = lt.load(tmp_path / "model")
    assert np.array_equal(loaded.score_samples(x[:7]), scores)
    assert np.array_equal(loaded.sample(3, random_state=1), model.sample(3, random_state=1))


@pytest.mark.parametrize("rows", [levels((50, 6), 17), table(50, 6)], ids=["levels", "real"])
def test_pseudo_inputs_live_in_the_range_of_the_data_and_are_no_rows_of_them(rows: Any) -> None:
    model = vae(max_epochs=2, prior="vamp:components=9").fit(rows)
    prior: Any = model.module_.prior
    inputs = prior.inputs().detach().numpy()
    stored = model.preprocessing_.store(rows.reshape(len(rows), -1)).astype(np.float64)
    if model.support_.kind == "levels":
        assert inputs.min() >= 0
        assert inputs.max() <= 16
    assert np.abs(inputs[:, None] - stored[None]).max(-1).min() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("arguments", COMBINATIONS[3:6] + COMBINATIONS[7:8], ids=lambda a: str(a["objective"]))
def test_the_compiled_step_is_the_ordinary_one(arguments: dict[str, Any]) -> None:
    x = binary((64, 12))
    ends = [
        vae(max_epochs=2, batch_size=16, precision="float64", compile=c, **arguments).fit(x).history_[-1]["train"]
        for c in (False, True)
    ]
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, rtol=1e-7, atol=1e-9, err_msg=name)

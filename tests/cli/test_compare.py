"""``compare``: several runs in one table and on one page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import latentia
from latentia import data
from tests.cli.commands import run


@pytest.fixture(scope="module")
def ppca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "linear"
    outcome = run(
        "fit", "ppca", "digits", "--set", "latent_dim=3", "--out", folder, "--no-report", "--no-baselines", "-q"
    )
    assert outcome.code == 0, outcome.stderr
    return folder


def test_one_table_from_what_was_recorded(fitted: Path, ppca: Path) -> None:
    document = run("compare", fitted, ppca, "--json").json
    assert document["page"] is None
    assert [row["run"] for row in document["runs"]] == [str(fitted), str(ppca)]
    for row, folder in zip(document["runs"], (fitted, ppca), strict=True):
        recorded = json.loads((folder / "run.json").read_text())["evaluations"][0]
        assert {key: row[key] for key in recorded} == recorded
        assert row["data"] == "digits"
    shown = run("compare", fitted, ppca).stdout
    assert "run (VAE)" in shown
    assert "linear (PPCA)" in shown
    assert "digits, test split" in shown
    assert "lower bound on the log-mass" in shown


def test_a_page_side_by_side(fitted: Path, ppca: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    outcome = run("compare", fitted, ppca, "--out", page)
    assert outcome.code == 0, outcome.stderr
    assert f"page: {page}" in outcome.stdout
    text = page.read_text()
    assert "linear" in text
    assert "<svg" in text or "<img" in text
    assert run("compare", fitted, ppca, "--out", page).code == 2
    assert run("compare", fitted, ppca, "--out", page, "--overwrite").code == 0
    assert run("compare", fitted, "--out", tmp_path / "one.html").code == 2
    assert run("compare", fitted, ppca, "--out", tmp_path / "page.png").code == 2


def test_models_without_numbers_are_evaluated(tmp_path: Path) -> None:
    digits = data.load("digits")
    model = latentia.IndependentPixels().fit(digits.train)
    model.save(tmp_path / "saved")
    row = run("compare", tmp_path / "saved", "--json").json["runs"][0]
    assert row["log_prob"] == pytest.approx(model.score(digits.test.x), abs=1e-9)


def test_different_data_get_tables_of_their_own_and_no_page(fitted: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "other.npy", np.random.default_rng(0).normal(size=(50, 3)))
    other = tmp_path / "other-run"
    arguments = ["--set", "latent_dim=1", "--no-report", "--no-baselines", "-q"]
    assert run("fit", "ppca", tmp_path / "other.npy", "--out", other, *arguments).code == 0
    outcome = run("compare", fitted, other)
    assert outcome.code == 0
    assert outcome.stdout.count("test split") == 2
    refused = run("compare", fitted, other, "--out", tmp_path / "page.html")
    assert refused.code == 1
    assert "the runs were fitted to different data (digits, other)" in refused.stderr


def test_seeds_count_as_runs_and_what_has_no_model_is_left_out(fitted: Path, own_copy: Path, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    own_copy.rename(seeds / "seed-3")
    unfinished = tmp_path / "unfinished" / "checkpoints" / "step-000000000"
    unfinished.mkdir(parents=True)
    outcome = run("compare", seeds, unfinished.parents[1], "--json")
    assert outcome.code == 0
    assert [row["run"] for row in outcome.json["runs"]] == [str(seeds / "seed-3")]
    assert "is left out: it has no model yet" in outcome.stderr
    outcome = run("compare", unfinished.parents[1])
    assert outcome.code == 1
    assert "none of these folders holds a fitted model" in outcome.stderr
    assert run("compare", tmp_path).code == 1


def test_a_record_without_numbers_is_named(own_copy: Path) -> None:
    record = json.loads((own_copy / "run.json").read_text())
    record["evaluations"][0]["log_prob"] = "\x1b[31m-1"
    (own_copy / "run.json").write_text(json.dumps(record))
    outcome = run("compare", own_copy)
    assert outcome.code == 1
    assert "records no log p(x)" in outcome.stderr

"""``latentia fit``: what it prints, writes and refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import latentia
from latentia import data, storage
from latentia.cli.baselines import Comparison
from latentia.evaluation import Evaluation
from tests.cli.commands import Outcome, register_dummies, run
from tests.cli.dummy_estimator import Dummy


@pytest.fixture
def _dummies(monkeypatch: pytest.MonkeyPatch) -> None:
    register_dummies(monkeypatch)


def test_fit_leaves_a_model_its_numbers_and_its_report(first_fit: tuple[Path, Outcome]) -> None:
    folder, outcome = first_fit
    assert "digits: 1,437 training, 180 validation and 180 test rows of 8 × 8, support levels:17" in outcome.stderr
    assert "likelihood: binomial" in outcome.stderr
    for name in ("VAE", "IndependentPixels", "PPCA", "log p(x), nats", "bits/dim", "ELBO, nats", "active units"):
        assert name in outcome.stdout
    assert f"report: {folder / 'report.html'}" in outcome.stdout
    assert (folder / "report.html").stat().st_size > 10_000
    assert "lower bound on the log-mass" in (folder / "run.json").read_text()
    assert "Reported numbers" in (folder / "README.md").read_text()


def test_the_numbers_are_those_of_the_model(first_fit: tuple[Path, Outcome]) -> None:
    folder, _ = first_fit
    model, digits = latentia.load(folder), data.load("digits")
    own, *others = json.loads((folder / "run.json").read_text())["evaluations"]
    again = model.evaluate(digits.test.x)
    assert own == again.to_json()
    assert own["num_samples"] == 8
    baseline = latentia.IndependentPixels().fit(digits.train)
    assert [other["name"] for other in others] == ["IndependentPixels", "PPCA"]
    assert others[0] == baseline.evaluate(digits.test.x).to_json()
    differences = again.per_row - baseline.score_samples(digits.test.x)
    comparison = json.loads((folder / "run.json").read_text())["comparisons"][0]
    assert comparison["difference"] == pytest.approx(differences.mean(), abs=1e-9)
    assert comparison["standard_error"] == pytest.approx(differences.std(ddof=1) / math.sqrt(180), abs=1e-9)
    assert model.latent_dim == 2
    assert model.random_state == 3


def test_every_number_is_on_the_card(first_fit: tuple[Path, Outcome]) -> None:
    own = json.loads((first_fit[0] / "run.json").read_text())["evaluations"][0]
    lines = (first_fit[0] / "README.md").read_text().splitlines()
    start = lines.index("## Reported numbers")
    header, rule, row = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[start + 4 : start + 7])
    assert set(rule) == {"---"}
    assert dict(zip(header, row, strict=True)) == {
        "on": "digits, test split",
        "n": "180",
        "log p(x), nats": f"{own['log_prob']:.2f} ± {own['standard_error']:.2f}",
        "what it is": "importance-weighted lower bound",
        "K": "8",
        "bits/dim": f"{own['bits_per_dim']:.3f}",
        "ELBO, nats": f"{own['elbo']:.2f} ± {own['elbo_standard_error']:.2f}",
        "rate, nats": f"{own['rate']:.2f}",
        "distortion, nats": f"{own['distortion']:.2f}",
        "active units": f"{own['active_units']} of 2",
        "effective sample size": f"{own['effective_sample_size']:.1f}",
        "precision": "float32",
    }


def test_fit_twice_gives_the_same_weights(fitted: Path, tmp_path: Path) -> None:
    settings = {"latent_dim": 2, "hidden": [32], "max_epochs": 3, "num_importance_samples": 8}
    config = tmp_path / "settings.json"
    config.write_text(json.dumps(settings))
    out = tmp_path / "again"
    outcome = run("fit", "vae", "digits", "--config", config, "--seed", 3, "--out", out, "--no-report", "-q", "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    weights = [storage.open_folder(folder).manifest.files["model.safetensors"].sha256 for folder in (fitted, out)]
    assert weights[0] == weights[1]
    document = outcome.json
    assert document["report"] is None
    assert document["out"] == str(out)
    assert document["source"]["data"] == "digits"
    assert not (out / "report.html").exists()


def test_a_folder_that_holds_something_is_refused(own_copy: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in own_copy.rglob("*") if path.is_file()}
    outcome = run("fit", "ppca", "digits", "--out", own_copy)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "is not empty: add --resume to go on with the run in it, --overwrite to replace it" in outcome.stderr
    assert {path: path.read_bytes() for path in own_copy.rglob("*") if path.is_file()} == before
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "README.md").write_text("my thesis")
    outcome = run("fit", "ppca", "digits", "--out", other, "--overwrite")
    assert outcome.code == 1
    assert "holds no run" in outcome.stderr
    assert (other / "README.md").read_text() == "my thesis"
    outcome = run("fit", "ppca", "digits", "--out", other / "README.md")
    assert outcome.code == 1
    assert "is a file" in outcome.stderr


def test_overwrite_replaces_the_run_and_keeps_what_is_not_its_own(own_copy: Path) -> None:
    (own_copy / "notes.txt").write_text("keep me")
    outcome = run(
        "fit", "ppca", "digits", "--out", own_copy, "--overwrite", "--no-report", "--set", "latent_dim=3", "-q"
    )
    assert outcome.code == 0
    assert (own_copy / "notes.txt").read_text() == "keep me"
    assert not (own_copy / "checkpoints").exists()
    assert not (own_copy / "report.html").exists()
    model = latentia.load(own_copy)
    assert type(model).__name__ == "PPCA"
    assert model.latent_dim == 3


def test_overwrite_loses_nothing_when_the_new_fit_is_refused(own_copy: Path) -> None:
    before = {path: path.read_bytes() for path in own_copy.rglob("*") if path.is_file()}
    for arguments in (
        ["vae", "digits", "--set", "likelihood=bernoulli"],
        ["ppca", "digits", "--set", "latent_dim=0"],
    ):
        outcome = run("fit", *arguments, "--out", own_copy, "--overwrite")
        assert outcome.code == 1, outcome.stderr
        assert {path: path.read_bytes() for path in own_copy.rglob("*") if path.is_file()} == before
    small = ["--set", "hidden=8", "--set", "max_epochs=1", "--no-baselines", "--no-report", "-q"]
    assert run("fit", "vae", "digits", *small, "--out", own_copy, "--overwrite").code == 0
    assert len(latentia.load(own_copy).history_) == 1


def test_one_fit_replaces_several_seeds(own_copy: Path, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    own_copy.rename(seeds / "seed-3")
    (seeds / "seeds.json").write_text("{}")
    small = ["--set", "hidden=8", "--set", "max_epochs=1", "--no-baselines", "--no-report", "-q"]
    assert run("fit", "vae", "digits", *small, "--out", seeds, "--overwrite").code == 0
    assert not (seeds / "seeds.json").exists()
    assert not (seeds / "seed-3").exists()
    assert len(latentia.load(seeds).history_) == 1


def test_a_locked_run_is_not_overwritten(own_copy: Path) -> None:
    with storage.RunLock(own_copy):
        outcome = run("fit", "ppca", "digits", "--out", own_copy, "--overwrite", "-q")
    assert outcome.code == 1
    assert "is in use by process" in outcome.stderr
    assert (own_copy / "model.safetensors").exists()


def test_unknown_words_offer_the_nearest_and_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, code, sentence in (
        (["vae", "digitz"], 1, "did you mean digits? Known are digits, mnist"),
        (["vea", "digits"], 2, "there is no estimator 'vea': did you mean 'vae'?"),
        (["vae"], 2, "fit needs data: a path, or one of digits"),
        ([], 2, "fit needs an estimator: one of vae, ppca"),
    ):
        outcome = run("fit", *arguments)
        assert (outcome.code, outcome.stdout) == (code, "")
        assert sentence in outcome.stderr
        assert outcome.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_another_version_goes_on_only_by_force(own_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["latent_dim=2", "hidden=32", "max_epochs=4", "num_importance_samples=8"]
    fit = ["fit", "vae", "digits", "--seed", 3, "--out", own_copy, "--no-report", "--no-baselines", "-q"]
    fit += [word for setting in settings for word in ("--set", setting)]
    assert run(*fit, "--force").code == 2  # says nothing of itself
    monkeypatch.setattr(latentia, "__version__", "9.9.9")
    refused = run(*fit, "--resume")
    assert refused.code == 1
    assert "or --resume --force in the shell" in refused.stderr
    assert len(latentia.load(own_copy).history_) == 3
    assert run(*fit, "--resume", "--force").code == 0
    assert len(latentia.load(own_copy).history_) == 4


def test_nothing_is_left_by_a_fit_that_cannot_begin(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("a,b\nx,1\ny,2\n")
    outcome = run("fit", "ppca", tmp_path / "words.csv", "--out", tmp_path / "run")
    assert outcome.code == 1
    assert "holds text" in outcome.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for more in ([], ["--seeds", 2]):
        outcome = run("fit", "vae", "digits", "--out", tmp_path / "file" / "run", "--set", "max_epochs=10000", *more)
        assert outcome.code == 1
        assert outcome.stderr.splitlines()[-1].startswith("error: ")


def test_grey_data_under_a_bernoulli_likelihood_is_refused(tmp_path: Path) -> None:
    outcome = run("fit", "vae", "digits", "--set", "likelihood=bernoulli", "--out", tmp_path / "run")
    assert outcome.code == 1
    assert "binarize" in outcome.stderr


@pytest.mark.usefixtures("_dummies")
def test_the_baseline_must_be_beaten_where_that_is_asked_for(tmp_path: Path) -> None:
    for z, code in (("5", 0), ("1e6", 1)):
        outcome = run("fit", "dummy", "digits", "--out", tmp_path / z, "--no-report", "--beat-baseline", z)
        assert outcome.code == code, outcome.stderr
        assert "Dummy lies" in outcome.stdout
        assert "nats above IndependentPixels" in outcome.stdout
    assert "at least 1e+06 above it were asked for" in outcome.stderr
    asked = ["--no-baselines", "--no-report", "--beat-baseline", "1"]
    outcome = run("fit", "dummy", "digits", "--out", tmp_path / "without", *asked)
    assert outcome.code == 1
    assert "--beat-baseline needs the baselines" in outcome.stderr


@pytest.mark.usefixtures("_dummies")
def test_nothing_is_beaten_by_what_has_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Dummy, X: np.ndarray, **_: object) -> Evaluation:
        return Evaluation(
            "Dummy", "gaussian", len(X), "exact", math.nan, math.nan, 2, per_row=np.full(len(X), math.nan)
        )

    monkeypatch.setattr(Dummy, "evaluate", broken)
    outcome = run("fit", "dummy", "digits", "--out", tmp_path / "run", "--no-report", "--beat-baseline", "0")
    assert outcome.code == 1
    assert "Dummy cannot be compared with IndependentPixels: log p(x) of a row is not a finite number" in outcome.stderr
    comparison = json.loads((tmp_path / "run" / "run.json").read_text())["comparisons"][0]
    assert comparison["difference"] is None
    assert comparison["standard_errors"] is None


def test_a_comparison_says_what_it_knows() -> None:
    assert str(Comparison("a", "b", 3.0, 0.5)) == "a lies 3.00 ± 0.50 nats above b (6.0 standard errors)"
    assert str(Comparison("a", "b", -3.0, 0.5)) == "a lies 3.00 ± 0.50 nats below b (6.0 standard errors)"
    assert Comparison("a", "b", -3.0, 0.5).standard_errors == -6.0
    assert Comparison("a", "b", 0.0, 0.0).standard_errors == 0.0
    assert Comparison("a", "b", 1.0, 0.0).standard_errors == math.inf
    one_row = Comparison("a", "b", 3.0, math.nan)
    assert math.isnan(one_row.standard_errors)
    assert str(one_row) == "a lies 3.00 nats above b, and no standard error can be given"


def test_a_table_with_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 3))
    path = tmp_path / "my table.csv"
    lines = [f"{a!r},{b!r},{c!r},{'xy'[i % 2]},{i}" for i, (a, b, c) in enumerate(values.tolist())]
    path.write_text("\n".join(["a,b,c,kind,row", *lines]) + "\n")
    out = tmp_path / "run"
    arguments = ["--label", "kind", "--drop", "row", "--set", "latent_dim=1", "--no-report"]
    outcome = run("fit", "ppca", path, "--out", out, *arguments)
    assert outcome.code == 0, outcome.stderr
    assert "160 training, 20 validation and 20 test rows of 3, support real" in outcome.stderr
    model = latentia.load(out)
    assert model.n_features_in_ == 3
    evaluated = run("evaluate", out, "--json")
    assert evaluated.json["n"] == 20
    assert evaluated.json["log_prob"] == pytest.approx(
        json.loads((out / "run.json").read_text())["evaluations"][0]["log_prob"]
    )
    for more in ([], ["--label", "kind", "--drop", "row"]):  # known from the fit, or said again
        scored = run("score", out, path, "--json", *more)
        assert scored.code == 0, scored.stderr
        assert scored.json["n"] == 200
        assert run("evaluate", out, "--data", path, "--json", *more).json["log_prob"] == scored.json["log_prob"]
    bare = tmp_path / "bare.csv"
    bare.write_text("b,c,a\n1,2,0.5\n")  # the names count, not the order
    expected = model.score(np.array([[0.5, 1, 2]]))
    assert run("score", out, bare, "--json").json["log_prob"] == pytest.approx(expected, abs=1e-12)
    bare.write_text("a,b,d\n0.5,1,2\n")
    wrong = run("score", out, bare)
    assert wrong.code == 1
    assert "not those that the model was fitted to: 'c' is missing, 'd' is unknown" in wrong.stderr
    path.write_text(path.read_text().replace(lines[0], "0,0,0,x,0"))
    changed = run("evaluate", out)
    assert changed.code == 1
    assert "have changed since" in changed.stderr

"""``diagnose`` and ``gradients``: the library's numbers in tables, pictures and the record; misuse in a sentence."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import latentia
from latentia import data
from latentia.cli.console import silence
from latentia.cli.gradients import sample_counts
from latentia.cli.progress import stage_progress
from latentia.cli.records import read_record
from latentia.estimators import diagnosis
from latentia.estimators.gradients import gradients, untrained
from latentia.evaluation import inference_gaps
from latentia.report.diagnosis import read
from latentia.report.selection import choose_rows
from tests.cli.commands import Outcome, run

SMALL = ("-n", 12, "--samples", 20, "--chains", 2, "--temperatures", 5, "--leapfrog-steps", 2)
BATCH = ("-n", 6, "--samples", "2,1", "--repeats", 4)


@pytest.fixture(scope="module", autouse=True)
def _few_steps() -> Iterator[None]:
    """Optimise the posteriors of single rows for a few steps only: what they reach is tested where they live."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnosis, "inference_gaps", partial(inference_gaps, num_steps=3, num_samples=10))
        yield


@pytest.fixture(scope="module")
def diagnosed(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Outcome]:
    """Diagnose a copy of the run, with pictures."""
    folder = tmp_path_factory.mktemp("rulers")
    copy = Path(shutil.copytree(fitted, folder / "run"))
    outcome = run("diagnose", copy, *SMALL, "--out", folder / "pictures", "--json")
    assert outcome.code == 0, outcome.stderr
    return copy, folder / "pictures", outcome


def test_diagnose_gives_the_librarys_numbers(diagnosed: tuple[Path, Path, Outcome]) -> None:
    document = diagnosed[2].json
    model: latentia.VAE = latentia.load(diagnosed[0])
    x = data.load("digits").test.x
    rows = choose_rows(len(x), 12, 0)
    expected = model.diagnose(x[rows], num_samples=20, num_chains=2, num_temperatures=5, num_leapfrog_steps=2)
    plain = json.loads(json.dumps(expected.to_json()))
    for name in ("health", "decomposition", "gaps"):
        assert document[name] == plain[name]
    for name in ("prior", "annealed", "bidirectional"):
        assert {key: document[name][key] for key in plain[name]} == plain[name]
    assert document["prior"]["untrusted"] == int(expected.prior.untrusted.sum())
    scored = model.evaluate(x[rows], num_samples=20)
    assert document["importance"]["log_prob"] == pytest.approx(expected.importance.value, abs=1e-9)
    below = (expected.gaps.log_prob - scored.per_row).mean()
    assert document["importance"]["below"] == pytest.approx(below, abs=1e-12)
    assert document["rows"] == "12 of the 180 test rows of digits, chosen with seed 0"
    assert document["kept"] is True


def test_diagnose_writes_pictures_and_numbers(diagnosed: tuple[Path, Path, Outcome]) -> None:
    run_folder, pictures, outcome = diagnosed
    names = sorted(path.name for path in pictures.iterdir())
    assert names == ["diagnosis.json", *(f"{n}.{k}" for n in ("gaps", "ladder", "parts") for k in ("png", "svg"))]
    for name in ("gaps", "ladder", "parts"):
        with Image.open(pictures / f"{name}.png") as picture:
            assert min(picture.size) > 300
            assert len(np.unique(np.asarray(picture))) > 10
        assert (pictures / f"{name}.svg").read_text().startswith("<?xml")
    assert json.loads((pictures / "diagnosis.json").read_text())["gaps"] == outcome.json["gaps"]
    refused = run("diagnose", run_folder, *SMALL, "--out", pictures)
    assert refused.code == 2
    assert "exists: add --overwrite to replace it" in refused.stderr
    (pictures.parent / "file").write_text("precious")
    assert run("diagnose", run_folder, *SMALL, "--out", pictures.parent / "file").code == 2


def test_the_report_draws_a_diagnosis_of_these_weights_only(
    diagnosed: tuple[Path, Path, Outcome], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(diagnosed[0], tmp_path / "run"))
    assert run("report", copy).code == 0
    assert "Bounds on log p(x)" in (copy / "report.html").read_text()
    record = json.loads((copy / "run.json").read_text())
    kept = read_record(copy)
    assert kept is not None
    assert kept.diagnosis is not None
    assert read(kept.diagnosis).n == 12
    record["diagnosis"]["weights"] = "0" * 64
    (copy / "run.json").write_text(json.dumps(record))
    outcome = run("report", copy)
    assert outcome.code == 0
    assert "is of other weights, and left out" in outcome.stderr
    assert "Bounds on log p(x)" not in (copy / "report.html").read_text()
    record["diagnosis"] = 3
    (copy / "run.json").write_text(json.dumps(record))
    assert "is no record of a run" in run("report", copy).stderr


def test_a_record_without_a_diagnosis_is_written_as_ever(fitted: Path) -> None:
    assert "diagnosis" not in json.loads((fitted / "run.json").read_text())


def test_diagnose_says_it_in_tables(own_copy: Path) -> None:
    outcome = run("diagnose", own_copy, *SMALL, "--on", "valid")
    assert outcome.code == 0, outcome.stderr
    for words in (
        "Bounds on log p(x): 12 of the 180 valid rows of digits, chosen with seed 0", "Monte Carlo over the prior",
        "not to be trusted for", "ELBO, best full q", "annealed importance sampling", "lower bound in expectation",
        "best estimate", "What the ELBO lacks", "amortisation gap", "What the ELBO is made of", "mutual information",
        "at most log 12 = 2.48 nats", "latent dimensions the posterior mean varies",
    ):  # fmt: skip
        assert words in outcome.stdout
    assert "4 of 6: annealed importance sampling" in outcome.stderr
    assert f"next: latentia report {own_copy}" in outcome.stderr
    assert run("diagnose", own_copy, *SMALL, "--quiet").stderr == ""


def test_diagnose_other_rows(own_copy: Path, rows_file: Path) -> None:
    document = run("diagnose", own_copy, *SMALL, "--on", rows_file, "--json").json
    assert document["rows"] == f"12 of the 180 rows of {rows_file}, chosen with seed 0"
    few = ("-n", 1000, *SMALL[2:])
    np.save(own_copy / "three.npy", np.load(rows_file)[:3])
    document = run("diagnose", own_copy, *few, "--on", own_copy / "three.npy", "--json").json
    assert (document["n"], document["rows"]) == (3, f"all 3 rows of {own_copy / 'three.npy'}")


def test_diagnose_is_refused_in_a_sentence(fitted: Path, tmp_path: Path, rows_file: Path) -> None:
    digits = data.load("digits")
    for name, model in (("ppca", latentia.PPCA(latent_dim=2)), ("pixels", latentia.IndependentPixels())):
        model.fit(digits.train).save(tmp_path / name)
        outcome = run("diagnose", tmp_path / name)
        assert outcome.code == 1
        assert "which has no learned posterior to diagnose: its log p(x) comes from a formula" in outcome.stderr
    for arguments in (["-n", 1], ["--samples", 1], ["--temperatures", 0], ["--chains", 0], ["--leapfrog-steps", 0]):
        assert run("diagnose", fitted, *arguments).code == 2
    outcome = run("diagnose", fitted, "--on", "nowhere")
    assert outcome.code == 1
    assert "there is no data set or file nowhere" in outcome.stderr
    np.save(tmp_path / "one.npy", np.load(rows_file)[:1])
    outcome = run("diagnose", fitted, "--on", tmp_path / "one.npy")
    assert outcome.code == 1
    assert "at least 2 rows" in outcome.stderr


def test_a_model_saved_from_python_is_diagnosed_and_not_kept(fitted: Path, tmp_path: Path) -> None:
    latentia.load(fitted).save(tmp_path / "bare")
    outcome = run("diagnose", tmp_path / "bare", *SMALL, "--json")
    assert outcome.code == 0
    assert outcome.json["kept"] is False
    assert "has no record to keep the diagnosis in" in outcome.stderr


def test_gradients_of_a_fitted_model_are_the_librarys(fitted: Path, tmp_path: Path) -> None:
    outcome = run("gradients", fitted, *BATCH, "--out", tmp_path / "g", "--json")
    assert outcome.code == 0, outcome.stderr
    x = data.load("digits").train.x
    table = gradients(latentia.load(fitted), x[choose_rows(len(x), 6, 0)], sample_counts=(1, 2), repeats=4)
    document: dict[str, Any] = outcome.json
    assert document["on"].startswith("6 of the 1,437 train rows of digits")
    for mine, theirs in zip(document["rows"], table.to_json()["rows"], strict=True):
        assert mine == theirs
    names = sorted(path.name for path in (tmp_path / "g").iterdir())
    assert names == ["decoder.png", "decoder.svg", "encoder.png", "encoder.svg", "gradients.json"]


def test_gradients_of_an_untrained_model(tmp_path: Path) -> None:
    settings = ("--set", "latent_dim=2", "--set", "hidden=8", "--seed", 5)
    outcome = run("gradients", "--fresh", "vae", "digits", *settings, *BATCH)
    assert outcome.code == 0, outcome.stderr
    digits = data.load("digits")
    model = untrained({"latent_dim": 2, "hidden": (8,), "random_state": 5}, digits.train)
    x = digits.train.x
    table = gradients(model, x[choose_rows(len(x), 6, 0)], sample_counts=(1, 2), repeats=4)
    (score,) = table.select(estimator="score function", num_samples=2, part="encoder")
    assert f"{score.variance:.2e} ({score.signal_to_noise:.2f})" in outcome.stdout
    assert "score function, leave one out" in outcome.stdout
    assert "times the variance of the reparameterised one" in outcome.stdout
    assert "an untrained vae, 6 of the 1,437 train rows of digits" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--fresh", "ppca", "digits"], 1, "has no gradient to estimate, choose a vae"),
        (["--fresh", "vea", "digits"], 2, "there is no estimator 'vea'"),
        (["--fresh", "vae"], 2, "needs an estimator and data"),
        (["--fresh", "vae", "digits", "--on", "digits"], 2, "--on takes train, valid or test with --fresh"),
        (["--fresh", "vae", "digits", "--set", "latent_dims=2"], 2, "there is no setting 'latent_dims'"),
        (["--fresh", "vae", "digits", "--set", "prior=vamp:component=5"], 1, "it has only 'components'"),
        (["RUN", "digits"], 2, "a data set goes with --fresh"),
        (["RUN", "--set", "latent_dim=2"], 2, "--set goes with --fresh"),
        (["RUN", "--samples", "1,0"], 2, "--samples takes whole numbers from 1"),
        (["RUN", "--samples", "many"], 2, "--samples takes whole numbers from 1"),
        (["RUN", "-n", "1"], 2, "-n"),
        (["RUN", "--repeats", "1"], 2, "--repeats"),
    ],
)
def test_gradients_are_refused_in_a_sentence(arguments: list[str], code: int, words: str, fitted: Path) -> None:
    outcome = run("gradients", *(str(fitted) if word == "RUN" else word for word in arguments))
    assert outcome.code == code
    assert words in outcome.stderr
    assert outcome.stdout == ""


def test_numbers_of_samples_are_read() -> None:
    assert sample_counts("1, 2,4,") == (1, 2, 4)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_stages_are_a_clock_on_a_terminal_and_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    shown = []
    for stream, quiet in ((Terminal(), False), (io.StringIO(), False), (Terminal(), True)):
        silence(quiet)
        try:
            with contextlib.redirect_stderr(stream), stage_progress(2) as progress:
                assert (progress is None) == quiet
                if progress is not None:
                    progress("first [red]")
                    progress("second")
        finally:
            silence(False)
        shown.append(stream.getvalue())
    assert "2 of 2: second" in shown[0]
    assert "\x1b[2K" in shown[0]  # the clock goes when it is done
    assert shown[1] == "1 of 2: first [red]\n2 of 2: second\n"
    assert shown[2] == ""

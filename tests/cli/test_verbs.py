"""``evaluate``, ``sample``, ``encode``, ``decode``, ``reconstruct``, ``score`` and ``report`` on a real run."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import latentia
from latentia import data
from latentia.cli import arrays, main
from tests.cli.commands import run


@pytest.fixture(scope="module")
def model(fitted: Path) -> latentia.VAE:
    loaded: latentia.VAE = latentia.load(fitted)
    return loaded


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return data.load("digits").test.x


def test_evaluate_reads_the_test_split(fitted: Path, model: latentia.VAE, x: np.ndarray) -> None:
    outcome = run("evaluate", fitted, "--samples", 5, "--json", "--quiet")
    assert (outcome.code, outcome.stderr) == (0, "")
    document = outcome.json
    assert {key: document[key] for key in model.evaluate(x, num_samples=5).to_json()} == model.evaluate(
        x, num_samples=5
    ).to_json()
    assert document["num_samples"] == 5
    assert document["rows"] == "the test split of digits"
    shown = run("evaluate", fitted)
    assert f"{model.score(x):.1f} ±" in shown.stdout
    assert "evaluating on the test split of digits" in shown.stderr


def test_evaluate_other_data(fitted: Path, model: latentia.VAE, x: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "some.npy", x[:7])
    document = run("evaluate", fitted, "--data", tmp_path / "some.npy", "--json").json
    assert document["n"] == 7
    assert document["log_prob"] == pytest.approx(model.score(x[:7]), abs=1e-12)
    assert run("evaluate", fitted, "--data", "digitz").code == 1


def test_evaluate_in_bfloat16(fitted: Path, model: latentia.VAE, x: np.ndarray) -> None:
    document = run("evaluate", fitted, "--samples", 5, "--precision", "bfloat16", "--json").json
    assert document["precision"] == "bfloat16"
    expected = model.evaluate(x, num_samples=5, precision="bfloat16")
    assert document["log_prob"] == expected.log_prob != model.evaluate(x, num_samples=5).log_prob
    refused = run("evaluate", fitted, "--precision", "float16")
    assert refused.code == 2
    assert "float32" in refused.stderr


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("verb", ["evaluate", "score"])
def test_long_scoring_shows_how_far_it_is_on_a_terminal_only(
    verb: str, fitted: Path, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [verb, fitted, *([rows_file] if verb == "score" else []), "--json"]
    assert "180/180" not in run(*arguments).stderr
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = []
    for more in ([], ["--quiet"]):
        stderr, stdout = Terminal(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            assert main([str(argument) for argument in (*arguments, *more)]) == 0
        json.loads(stdout.getvalue())
        shown.append(stderr.getvalue())
    assert "180/180" in shown[0]
    assert shown[1] == ""


def test_encode_decode_reconstruct(
    fitted: Path, model: latentia.VAE, x: np.ndarray, rows_file: Path, tmp_path: Path
) -> None:
    z, decoded, again = tmp_path / "z.npy", tmp_path / "x.npy", tmp_path / "again.npy"
    assert run("encode", fitted, rows_file, "--out", z).code == 0
    assert run("decode", fitted, z, "--out", decoded).code == 0
    assert run("reconstruct", fitted, rows_file, "--out", again).code == 0
    np.testing.assert_array_equal(np.load(z), model.transform(x))
    np.testing.assert_array_equal(np.load(decoded), model.inverse_transform(model.transform(x)))
    np.testing.assert_array_equal(np.load(again), model.reconstruct(x))
    assert np.load(again).shape == (180, 8, 8)


def test_chunks_change_nothing(
    fitted: Path, model: latentia.VAE, x: np.ndarray, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "rows_per_chunk", lambda _: 7)
    for verb, expected in (
        ("encode", model.transform(x)),
        ("reconstruct", model.reconstruct(x)),
        ("score", model.score_samples(x)),
    ):
        out = tmp_path / f"{verb}.npy"
        outcome = run(verb, fitted, rows_file, "--out", out)
        assert outcome.code == 0, outcome.stderr
        np.testing.assert_array_equal(np.load(out), expected)
    document = run("score", fitted, rows_file, "--json").json
    rows = model.score_samples(x)
    assert document["n"] == 180
    assert document["log_prob"] == pytest.approx(rows.mean(), abs=1e-9)
    assert document["standard_error"] == pytest.approx(rows.std(ddof=1) / np.sqrt(180), abs=1e-9)


def test_score_as_a_table(fitted: Path, model: latentia.VAE, x: np.ndarray, rows_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    outcome = run("score", fitted, rows_file, "--out", out, "-K", 3)
    assert outcome.code == 0
    with out.open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["log_prob"]
    expected = model.evaluate(x, num_samples=3).per_row
    np.testing.assert_array_equal([float(row[0]) for row in rows[1:]], expected)
    assert "mean log p(x), nats" in outcome.stdout


def test_encode_as_a_table(fitted: Path, model: latentia.VAE, x: np.ndarray, rows_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "z.csv"
    assert run("encode", fitted, rows_file, "--out", out).code == 0
    with out.open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(model.get_feature_names_out())
    np.testing.assert_array_equal(np.array(rows[1:], dtype=np.float32), model.transform(x))
    refused = run("reconstruct", fitted, rows_file, "--out", tmp_path / "x.csv")
    assert refused.code == 1
    assert "rows of shape 8 × 8 do not fit a .csv file: write a .npy file" in refused.stderr
    assert not (tmp_path / "x.csv").exists()


def test_samples_are_those_of_the_model_whatever_their_number(
    fitted: Path, model: latentia.VAE, tmp_path: Path
) -> None:
    few, many, other = tmp_path / "few.npy", tmp_path / "many.npy", tmp_path / "other.npy"
    for out, count, seed in ((few, 10, 5), (many, 2500, 5), (other, 10, 6)):  # many: three blocks
        assert run("sample", fitted, "-n", count, "--seed", seed, "--out", out).code == 0
        expected = model.sample(count, random_state=seed)
        np.testing.assert_array_equal(np.load(out), expected)
        assert np.load(out).dtype == expected.dtype == np.uint8
    np.testing.assert_array_equal(np.load(many)[:10], np.load(few))
    assert not np.array_equal(np.load(few), np.load(other))


def test_pictures(fitted: Path, model: latentia.VAE, rows_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples.png"
    assert run("sample", fitted, "-n", 9, "--seed", 1, "--out", out).code == 0
    with Image.open(out) as picture:
        pixels = np.asarray(picture)
    side = 3 * 8 + 2
    zoom = 600 // side
    assert pixels.shape == (side * zoom, side * zoom)
    items = model.sample(9, random_state=1)
    grid = pixels[::zoom, ::zoom]
    for index, item in enumerate(items):
        top, left = 9 * (index // 3), 9 * (index % 3)
        np.testing.assert_array_equal(grid[top : top + 8, left : left + 8], np.rint(item / 16 * 255))
    assert run("reconstruct", fitted, rows_file, "--out", tmp_path / "again.png").code == 0
    assert run("encode", fitted, rows_file, "--out", tmp_path / "z.png").code == 2


def test_pictures_of_grey_values_made_binary_are_black_and_white(rows_file: Path, tmp_path: Path) -> None:
    vae = latentia.VAE(latent_dim=2, hidden=(16,), max_epochs=1, binarize="dynamic", random_state=0)
    vae.fit(data.load("digits").train).save(tmp_path / "binary")
    drawn, again = tmp_path / "samples.png", tmp_path / "again.png"
    assert run("sample", tmp_path / "binary", "-n", 16, "--out", drawn).code == 0
    with Image.open(drawn) as picture:
        assert set(np.unique(np.asarray(picture))) >= {0, 255}  # and the grey of the gaps
    assert run("reconstruct", tmp_path / "binary", rows_file, "--out", again).code == 0
    zoom = 600 // (14 * 9 - 1)  # 180 items in 14 columns
    with Image.open(again) as picture:
        first = np.asarray(picture)[: 8 * zoom : zoom, : 8 * zoom : zoom]
    np.testing.assert_array_equal(first, np.rint(vae.reconstruct(np.load(rows_file))[0] * 255.0))
    assert first.max() > 100


def test_an_output_is_never_lost(fitted: Path, rows_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "z.npy"
    out.write_bytes(b"precious")
    refused = run("encode", fitted, rows_file, "--out", out)
    assert (refused.code, out.read_bytes()) == (2, b"precious")
    assert "add --overwrite to replace it" in refused.stderr
    wide = tmp_path / "wide.npy"
    np.save(wide, np.zeros((3, 5)))
    failed = run("encode", fitted, wide, "--out", out, "--overwrite")
    assert (failed.code, out.read_bytes()) == (1, b"precious")
    assert "X has 5 features, but VAE is expecting 64 features as input" in failed.stderr
    assert run("encode", fitted, rows_file, "--out", out, "--overwrite").code == 0
    assert np.load(out).shape == (180, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wide.npy", "z.npy"]
    assert run("encode", fitted, rows_file, "--out", tmp_path / "z.txt").code == 2
    assert run("encode", fitted, rows_file, "--out", tmp_path).code == 2


@pytest.mark.parametrize("name", ["evil.pkl", "evil.pt", "evil.npy", "evil.ckpt"])
def test_pickles_are_refused_and_never_run(name: str, fitted: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    payload = f"cbuiltins\nopen\n(V{canary}\nVw\ntR.".encode()  # protocol 0: would create the file when loaded
    (tmp_path / name).write_bytes(payload)
    for verb in ("encode", "decode", "reconstruct", "score"):
        outcome = run(verb, fitted, tmp_path / name, "--out", tmp_path / "out.npy")
        assert outcome.code == 1
        assert "is a pickle, which runs code when it is opened" in outcome.stderr
    evil = tmp_path / name
    for arguments in (["evaluate", fitted, "--data", evil], ["fit", "ppca", evil], ["info", evil]):
        assert run(*arguments).code == 1
    assert not canary.exists()


def test_report_again(own_copy: Path, tmp_path: Path) -> None:
    before = (own_copy / "report.html").read_text()
    (own_copy / "report.html").unlink()
    assert run("report", own_copy, "--json").json == {"report": str(own_copy / "report.html")}
    assert (own_copy / "report.html").stat().st_size > 0.5 * len(before)
    elsewhere = tmp_path / "page.html"
    assert run("report", own_copy, "--out", elsewhere).stdout == f"{elsewhere}\n"
    assert elsewhere.exists()


def test_a_model_saved_from_python_knows_its_data(tmp_path: Path) -> None:
    digits = data.load("digits")
    latentia.PPCA(latent_dim=2).fit(digits.train).save(tmp_path / "named")
    assert run("evaluate", tmp_path / "named", "--json").json["n"] == 180
    latentia.PPCA(latent_dim=2).fit(digits.train.x).save(tmp_path / "unnamed")
    outcome = run("evaluate", tmp_path / "unnamed")
    assert outcome.code == 1
    assert "does not say which data it was fitted to: name them with --data" in outcome.stderr


def test_a_model_without_latents_says_so(tmp_path: Path, rows_file: Path) -> None:
    latentia.IndependentPixels().fit(data.load("digits").train).save(tmp_path / "pixels")
    outcome = run("encode", tmp_path / "pixels", rows_file, "--out", tmp_path / "z.npy")
    assert outcome.code == 1
    assert "is a IndependentPixels, which has no latents to encode" in outcome.stderr
    assert run("score", tmp_path / "pixels", rows_file, "--json").json["n"] == 180


def test_a_run_without_its_record_or_data(own_copy: Path, tmp_path: Path) -> None:
    record = json.loads((own_copy / "run.json").read_text())
    (own_copy / "run.json").write_text(json.dumps({**record, "source": {}}))
    damaged = run("evaluate", own_copy)
    assert damaged.code == 1
    assert "is no record of a run" in damaged.stderr
    (own_copy / "run.json").unlink()
    assert run("evaluate", own_copy, "--json").json["n"] == 180  # the model names its data itself
    moved = tmp_path / "moved"
    shutil.move(own_copy, moved)
    assert run("evaluate", moved, "-q").code == 0

"""File names, model cards and folders of strangers: nothing in them reaches the terminal or the page as a command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from latentia import storage
from latentia.cli.console import clean, error, finite, number, one_line, print_json, print_table
from tests.cli.commands import run

EVIL = "a\x1b[31m\x07\r\n\x9b2J\u202egnp[red]b[/red]<script>"


def test_clean_leaves_no_character_that_steers_a_terminal() -> None:
    text = clean(EVIL + "\udcff\u2028\x00\x7f")
    assert text.isprintable()
    assert text.startswith("a\\x1b[31m\\x07\\r\\n\\x9b2J\\u202egnp[red]b[/red]<script>\\udcff\\u2028\\x00\\x7f")
    assert clean("Größe 3 µm – σ² 漢字") == "Größe 3 µm – σ² 漢字"
    assert one_line("a\n  b\tc") == "a b c"


def test_tables_take_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("[bold]x", "y"), [(EVIL, 1)], title="[link=http://evil]t[/link]", right=("y",))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[bold]x" in shown
    assert "[red]b[/red]<script>" in shown
    assert "[link=http://evil]t[/link]" in shown
    print_table(("x", "y"), [("harmless", 1)], title="t", right=("y",))
    harmless = capsys.readouterr().out
    assert shown.count("\n") == harmless.count("\n")  # the line break in the cell made no line


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    error(f"no file {EVIL}\nsecond")
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "\x1b" not in shown
    assert "\x9b" not in shown


def test_json_holds_finite_numbers_or_null(capsys: pytest.CaptureFixture[str]) -> None:
    content = {
        "a": np.float32(np.nan),
        "b": [np.inf, -1.5],
        "c": np.arange(2),
        "d": Path("x"),
        "e": {1: EVIL},
        "f": True,
    }
    print_json(content)
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert "\x1b" not in shown
    assert json.loads(shown) == {"a": None, "b": [None, -1.5], "c": [0, 1], "d": "x", "e": {"1": EVIL}, "f": True}
    assert finite(np.bool_(True)) is True
    assert (number(None), number(float("nan")), number("7"), number(1234.5)) == ("–", "–", "–", "1,234.50")


def test_file_names_are_shown_escaped(fitted: Path, tmp_path: Path) -> None:
    rows = tmp_path / f"{EVIL.replace('/', '')}.npy"
    np.save(rows, np.zeros((2, 8, 8), dtype=np.uint8))
    out = tmp_path / f"out{EVIL.replace('/', '')}.csv"
    outcomes = [
        run("score", fitted, rows, "--out", out),
        run("score", fitted, rows, "--out", out),
        run("encode", fitted, f"{rows}x", "--out", tmp_path / "z.npy"),
        run("info", rows),
        run("info", f"{rows}x"),
        run("verify", rows),
        run("evaluate", fitted, "--data", rows),
        run("fit", "ppca", f"{rows}x"),
        run("fit", EVIL, "digits"),
        run("fit", "ppca", "digits", "--set", f"{EVIL}=3"),
        run("fit", "ppca", "digits", "--set", f"latent_dim={EVIL}"),
        run("fit", "ppca", "digits", "--config", f"{EVIL}.json"),
        run("data", "info", EVIL),
        run(EVIL),
        run("info", f"--{EVIL}"),
        run("compare", rows),
        run("report", f"{rows}x"),
    ]
    assert [outcome.code for outcome in outcomes] == [0, 2, 1, 1, 1, 1, 0, 1, 2, 2, 2, 2, 1, 2, 2, 1, 1]
    for outcome in outcomes:
        for line in (outcome.stdout + outcome.stderr).splitlines():
            assert line.isprintable(), line
        assert outcome.code == 0 or outcome.stderr.count("\n") == 1, outcome.stderr


def test_a_model_card_cannot_steer_the_terminal(own_copy: Path) -> None:
    opened = storage.open_folder(own_copy)
    files = {name: opened.read(name, 1 << 24) for name in opened.manifest.files}
    config = json.loads(files["config.json"])
    config["fitted"]["info_"]["name"] = EVIL
    config["parameters"][f"[bold]{EVIL}"] = EVIL
    config["fitted"]["evaluations_"] = [{"name": EVIL, "kind": EVIL, "n": EVIL, "log_prob": EVIL}]
    storage.write_files(
        own_copy,
        {
            **files,
            "README.md": f"# card {EVIL}\n\n[link=http://x]y[/link]\n".encode(),
            "config.json": json.dumps(config).encode(),
        },
    )
    (own_copy / "run.json").unlink()
    card = run("info", own_copy, "--card")
    assert card.code == 0
    assert "[link=http://x]y[/link]" in card.stdout
    shown = run("info", own_copy)
    assert shown.code == 0
    assert "[red]b[/red]<script>" in shown.stdout
    for line in (card.stdout + shown.stdout).splitlines():
        assert line.isprintable(), line
    document = run("info", own_copy, "--card", "--json")
    assert document.json["data"]["name"] == EVIL
    assert document.stdout.isascii()


def test_info_says_what_a_folder_holds(fitted: Path) -> None:
    document = run("info", fitted, "--json").json
    assert document["estimator"] == "VAE"
    assert document["settings"]["latent_dim"] == 2
    assert document["data"]["name"] == "digits"
    assert document["support"] == "levels:17"
    assert document["event shape"] == [8, 8]
    assert document["epochs"] == 3
    assert document["fitted to"] == "digits"
    assert [item["name"] for item in document["evaluations"]] == ["VAE", "IndependentPixels", "PPCA"]
    assert document["files"]["model.safetensors"] == (fitted / "model.safetensors").stat().st_size
    shown = run("info", fitted).stdout
    for text in ("settings: latent_dim", "log p(x) of VAE", "levels:17", "binomial", "report.html"):
        assert text in shown


@pytest.mark.parametrize("content", ["[]", "{}", '{"fitted": 3}', "nonsense", '{"a": NaN}', "[" * 10_000])
def test_info_of_a_strange_configuration(content: str, own_copy: Path) -> None:
    storage.write_files(own_copy, {"config.json": content.encode()})
    outcome = run("info", own_copy)
    assert outcome.code == 1
    assert "config.json" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 2}', '{"format": 1, "source": {"drop": 3}}', "nonsense"])
def test_info_of_a_strange_record(content: str, own_copy: Path) -> None:
    (own_copy / "run.json").write_text(content)
    for command in ("info", "evaluate"):
        outcome = run(command, own_copy)
        assert outcome.code == 1
        assert "run.json" in outcome.stderr
        assert outcome.stderr.count("\n") == 1


def test_verify_names_the_damaged_file(own_copy: Path) -> None:
    assert run("verify", own_copy).code == 0
    intact = run("verify", own_copy, "--json").json
    assert intact["intact"]
    assert {item["file"] for item in intact["files"]} >= {"config.json", "model.safetensors", "state.json"}
    weights = next((own_copy / "checkpoints").glob("*/model.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (own_copy / "README.md").unlink()
    outcome = run("verify", own_copy, "--json")
    assert outcome.code == 1
    assert not outcome.json["intact"]
    assert {item["file"] for item in outcome.json["files"] if item["problem"]} == {"model.safetensors", "README.md"}
    assert outcome.stderr.count("\n") == 2
    shown = run("verify", own_copy)
    assert sum(line.rstrip().endswith("damaged") for line in shown.stdout.splitlines()) == 2
    (own_copy / "manifest.json").write_text("{")
    assert "manifest.json" in run("verify", own_copy).stderr


def test_verify_follows_no_link(own_copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (own_copy / "README.md").unlink()
    (own_copy / "README.md").symlink_to(secret)
    (own_copy / "seed-1").symlink_to(tmp_path)
    (own_copy / "checkpoints" / "step-9").symlink_to(tmp_path)
    assert "is a symbolic link, which is not opened" in run("verify", own_copy).stderr
    assert run("info", own_copy, "--card").code == 1
    assert all("seed-1" not in item["folder"] for item in run("verify", own_copy, "--json").json["files"])

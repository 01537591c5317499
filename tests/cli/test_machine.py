"""``doctor`` and ``data``: what is here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import latentia
from latentia import data
from latentia.cli import doctor
from tests.cli.commands import run


def test_doctor_says_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("LATENTIA_DATA", str(tmp_path))
    document = run("doctor", "--json").json
    assert document["latentia"].startswith(latentia.__version__)
    assert f"numpy {np.__version__}" in document["packages"]
    assert document["data folder"] == f"{tmp_path}: mnist"
    assert "torch uses" in document["threads"]
    assert "GiB free" in document["disk"]
    monkeypatch.setenv("LATENTIA_DATA", str(tmp_path / "nothing"))
    assert "no such folder" in run("doctor", "--json").json["data folder"]
    monkeypatch.delenv("LATENTIA_DATA")
    assert "LATENTIA_DATA is not set" in run("doctor").stdout


def test_doctor_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise ImportError("libsomething.so is missing\x1b[31m")

    monkeypatch.setitem(doctor._QUESTIONS, "CUDA", broken)
    outcome = run("doctor")
    assert outcome.code == 0
    assert "cannot tell: ImportError: libsomething.so is missing\\x1b[31m" in outcome.stdout


def test_data_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTIA_DATA", str(tmp_path))
    rows = {row["name"]: row for row in run("data", "list", "--json").json}
    assert set(rows) == set(data.names())
    assert rows["digits"]["present"]
    assert not rows["frey_faces"]["present"]
    assert "freyfaces.npz" in rows["frey_faces"]["where"]
    shown = run("data", "list").stdout
    for text in ("digits", "8 × 8", "levels:17", "1,437 / 180 / 180", "comes with scikit-learn"):
        assert text in shown


def test_data_info(tmp_path: Path) -> None:
    document = run("data", "info", "digits", "--json").json
    assert document["rows"] == {"train": 1437, "valid": 180, "test": 180}
    assert document["support"] == {"kind": "levels", "levels": 17}
    assert document["fingerprint"] == data.load("digits").info.fingerprint
    shown = run("data", "info", "digits").stdout
    for text in ("1,437 train / 180 valid / 180 test", "8 × 8", "CC BY 4.0", "uint8"):
        assert text in shown
    np.save(tmp_path / "ink.npy", np.tile(np.array([0, 1], dtype=np.uint8), (50, 2)))
    shown = run("data", "info", tmp_path / "ink.npy").stdout
    assert "binary" in shown
    assert "40 train / 5 valid / 5 test" in shown
    missing = run("data", "info", "digitz")
    assert (missing.code, missing.stdout) == (1, "")
    assert "did you mean digits?" in missing.stderr

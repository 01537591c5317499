"""The table of numbers, as plain text."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from latentia.errors import ConfigError
from latentia.report import numbers_table
from latentia.report.tables import paired_sentence
from tests.report.cases import evaluation


def test_every_number_has_its_place_and_its_digits() -> None:
    full = evaluation(
        bits_per_dim=1.38,
        elbo=-63.456,
        elbo_standard_error=0.4,
        rate=7.125,
        distortion=56.3312,
        kl_per_dimension=[7.0, 0.125, 0.0],
        active_units=1,
    )
    exact = evaluation(name="IndependentPixels", kind="exact", num_samples=None, log_prob=-130.04, standard_error=1.26)
    table = numbers_table([full, exact])
    assert table.header == (
        "model", "log p(x), nats", "bits/dim", "ELBO, nats", "rate, nats", "distortion, nats", "active units",
        "parameters", "log p(x) is",
    )  # fmt: skip
    assert table.rows == (
        ("VAE", "-61.23 ± 0.35", "1.380", "-63.46 ± 0.40", "7.12", "56.33", "1 of 3", "54,468",
         "importance-weighted lower bound, K = 128"),
        ("IndependentPixels", "-130.0 ± 1.3", "–", "–", "–", "–", "–", "54,468", "exact"),
    )  # fmt: skip


def test_columns_that_apply_to_none_are_left_out() -> None:
    table = numbers_table([evaluation(kind="exact", num_samples=None)])
    assert table.header == ("model", "log p(x), nats", "parameters", "log p(x) is")


def test_names_are_made_harmless() -> None:
    assert numbers_table([evaluation(name="\x1b[2J<b>\nVAE")]).rows[0][0] == "<b> VAE"
    assert numbers_table([evaluation()], ["other"]).rows[0][0] == "other"


def test_what_cannot_be_a_table_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one evaluation"):
        numbers_table([])
    with pytest.raises(ConfigError, match="as many names"):
        numbers_table([evaluation()], ["a", "b"])


def test_models_are_compared_row_by_row() -> None:
    rows = np.array([-10.0, -20.0, -30.0, -40.0])
    differences = np.array([1.0, 2.0, 3.0, 4.0])  # mean 2.5, standard deviation √(5/3), standard error 0.645
    mine, theirs = evaluation(per_row=rows + differences), evaluation(name="PPCA", kind="exact", per_row=rows)
    assert paired_sentence(mine, theirs) == "VAE’s bound lies 2.50 ± 0.65 nats above PPCA."
    assert paired_sentence(theirs, mine) == "PPCA lies 2.50 ± 0.65 nats below VAE’s bound."
    assert paired_sentence(theirs, mine, ("a", "\nb")) == "a lies 2.50 ± 0.65 nats below b’s bound."
    assert paired_sentence(mine, evaluation(per_row=rows[:3])) == ""
    assert paired_sentence(mine, evaluation()) == ""
    assert paired_sentence(evaluation(per_row=rows * np.nan), theirs) == ""


def test_neither_table_nor_plots_import_matplotlib_before_they_draw() -> None:
    code = "import sys, latentia.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

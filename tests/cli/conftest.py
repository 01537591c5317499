"""One fitted run for all tests of the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from latentia import data
from tests.cli.commands import Outcome, run


@pytest.fixture(scope="session")
def first_fit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """Fit a small VAE to the digits, and keep what the command said."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    outcome = run(
        "fit", "vae", "digits", "--set", "latent_dim=2", "--set", "hidden=32", "--set", "max_epochs=3", "--set",
        "num_importance_samples=8", "--seed", 3, "--out", folder,
    )  # fmt: skip
    assert outcome.code == 0, outcome.stderr
    return folder, outcome


@pytest.fixture(scope="session")
def fitted(first_fit: tuple[Path, Outcome]) -> Path:
    """Give the folder of the fitted run; not to be changed."""
    return first_fit[0]


@pytest.fixture
def own_copy(fitted: Path, tmp_path: Path) -> Path:
    """Give a copy of the run that a test may damage."""
    return Path(shutil.copytree(fitted, tmp_path / "copy"))


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the test rows of the digits as a file."""
    path = tmp_path_factory.mktemp("rows") / "digits.npy"
    np.save(path, data.load("digits").test.x)
    return path

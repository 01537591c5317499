"""Scikit-learn's own checks, all of them: no expected failure, no skip, no tag that opts out."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# The library's defaults but for the number of epochs, which bears on how well a model fits and not on any convention.
ESTIMATORS = ["VAE(network='linear', max_epochs=2)", "VAE(network='mlp', max_epochs=2)", "PPCA()"]

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")  # the checks feed degenerate rows on purpose, of which the library warns
from sklearn.utils.estimator_checks import check_estimator
from latentia import PPCA, VAE
results = check_estimator(eval(sys.argv[1]), on_fail=None, on_skip=None)
print(json.dumps([(row["check_name"], row["status"], str(row["exception"])) for row in results]))
"""


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_check_passes_and_none_is_skipped(estimator: str) -> None:
    pytest.importorskip("pandas", reason="two of the checks need pandas")
    # SciPy reads this when it is imported; without it one check is skipped.
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, estimator]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert [row for row in results if row[1] != "passed"] == []
    assert len(results) >= 47

"""Make the golden files of this version: a saved model and a run folder that every later version must read.

They go to ``tests/golden/<version>`` and are committed once, with the release of the version; those of an earlier
version are never made again, for what they hold is what that version wrote. Size: some tens of kB.

    python tools/make_golden.py                 tests/golden/<version>; refuses a folder that is there
    python tools/make_golden.py --out FOLDER    somewhere else, to look at
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import latentia as lt

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
ROWS = 8  # of the test split, whose scores are kept


def estimator(**changes: Any) -> lt.VAE:
    """Return the estimator, not fitted."""
    settings: dict[str, Any] = {"latent_dim": 2, "hidden": (8,), "max_epochs": 1, "num_importance_samples": 16}
    return lt.VAE(**{**settings, "device": "cpu", "random_state": 0, **changes})


def make(folder: Path) -> None:
    """Fit a tiny VAE to digits, and write its model, its run folder and the scores of a few rows."""
    digits = lt.data.load("digits")
    folder.mkdir(parents=True)
    model = estimator(run_dir=folder / "run").fit(digits.train)
    model.save(folder / "model")
    checkpoints = sorted((folder / "run" / "checkpoints").iterdir())
    for old in checkpoints[:-1]:
        shutil.rmtree(old)
    rows = digits.test.x[:ROWS]
    expected = {
        "rows": rows.tolist(),
        "score_samples": model.score_samples(rows).tolist(),
        "mean": model.transform(rows).tolist(),
        "step": int(checkpoints[-1].name.removeprefix("step-")),
        "train_elbo": model.history_[-1]["train"]["elbo"],
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=GOLDEN / lt.__version__)
    out: Path = parser.parse_args().out
    if out.exists():
        parser.error(f"{out} is there already: golden files of a version are made once")
    make(out)
    print(f"{out}: {sum(path.stat().st_size for path in out.rglob('*') if path.is_file()):,} bytes")


if __name__ == "__main__":
    main()

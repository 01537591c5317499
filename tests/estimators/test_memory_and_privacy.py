"""Large inputs pass through in blocks; a saved model holds no training row."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch

import latentia as lt
from tests.estimators.cases import Array, levels, vae

# Anonymous memory only: pages of the mapped file itself belong to nobody and may go at any time.
SCRIPT = """
import sys, threading, time
import numpy as np
import latentia as lt

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

def watch():
    while not done:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.002)

kind, path, verb = sys.argv[1:4]
rows = np.load(path, mmap_mode="r")
model = {
    "vae": lambda: lt.VAE(network="linear", latent_dim=2, max_epochs=1, binarize=sys.argv[4] or None,
                          num_importance_samples=1, random_state=0, num_threads=1),
    "ppca": lambda: lt.PPCA(latent_dim=2),
    "independent": lambda: lt.IndependentPixels(),
}[kind]().fit(np.array(rows[:200]))
getattr(model, verb)(rows[:2000])  # what is made once is made now
done, peak, before = [], [0], anonymous()
thread = threading.Thread(target=watch)
thread.start()
result = getattr(model, verb)(rows)
done.append(True)
thread.join()
print(peak[0] - before, result.nbytes // 1024, len(result))
"""


def growth(kind: str, verb: str, rows: int, folder: Path, binarize: str = "", width: int = 28) -> float:
    """Return by how many megabytes a process grows beyond its output when it meets a memory map of so many rows."""
    path = folder / "rows.npy"
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(rows, width, width))
    pattern = levels((1000, width, width))
    for start in range(0, rows, 1000):
        mapped[start : start + 1000] = pattern[: rows - start]
    mapped.flush()
    del mapped
    command = [sys.executable, "-c", SCRIPT, kind, str(path), verb, binarize]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    peak, output, count = (int(text) for text in done.stdout.split())
    assert count == rows
    return (peak - output) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """25,000 rows of 784 bytes: 20 MB mapped, 78 MB as single precision."""
    assert growth("vae", "transform", 25_000, tmp_path) < 40


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("kind", "verb", "binarize"),
    [
        ("vae", "transform", ""),
        ("vae", "transform", "threshold"),
        ("ppca", "transform", ""),
        ("ppca", "score_samples", ""),
        ("independent", "score_samples", ""),
    ],
)
def test_three_hundred_thousand_rows_take_a_hundred_megabytes(
    kind: str, verb: str, binarize: str, tmp_path: Path
) -> None:
    assert growth(kind, verb, 300_000, tmp_path, binarize) < 100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_scores_of_a_vae_take_no_more_memory_for_more_rows(tmp_path: Path) -> None:
    """20,000 wide rows, 204 MB mapped, 816 MB as single precision."""
    assert growth("vae", "score_samples", 20_000, tmp_path, width=101) < 100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits address space")
def test_a_fit_under_a_limit_of_memory_falls_back_to_smaller_passes() -> None:
    """The real thing: torch's own allocator fails, and the fit comes through."""
    script = """
import resource, warnings
import numpy as np, torch
import latentia as lt

x = np.random.default_rng(0).normal(size=(1024, 20_000)).astype(np.float32)
model = lambda: lt.VAE(network="linear", latent_dim=1, max_epochs=1, batch_size=1024, num_samples=4, random_state=0,
                       validation_fraction=0, likelihood="gaussian_fixed")
model().fit(x[:8])
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 1_000_000_000,) * 2)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    fitted = model().fit(x)
print(sum("memory ran out" in str(w.message) for w in caught) > 0, np.isfinite(fitted.history_[0]["train"]["elbo"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr


# 45: nothing of the training rows is inside


def assert_no_row_inside(folder: Path, rows: Array) -> None:
    """Scan every file for the bytes of any row in any type, and the model's tensors for any row up to scale and shift.

    The optimiser's moments in checkpoints are left out of the second: the gradient of a unit that one row alone
    excites is that row times a number. Checkpoints are for resuming, a model is for giving away.
    """
    flat = rows.reshape(len(rows), -1)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    for path in files:
        content = path.read_bytes()
        for dtype in (rows.dtype, np.float64, np.float32, np.float16, np.uint8):
            for row in flat.astype(dtype):
                assert row.tobytes() not in content, (path.name, dtype)
        for row in flat:
            assert ", ".join(map(str, row.tolist()[:6])) not in content.decode("latin1"), path.name
    centred = flat - flat.mean(1, keepdims=True, dtype=np.float64)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    for path in files:
        if path.name not in ("model.safetensors", "ema.safetensors", "best.safetensors"):
            continue
        for name, value in safetensors.torch.load(path.read_bytes()).items():
            numbers = value.double().numpy()
            for vectors in (numbers, numbers.T):
                for width in {flat.shape[1]} & {vectors.shape[-1] if vectors.ndim else 0}:
                    candidates = vectors.reshape(-1, width)
                    candidates = candidates - candidates.mean(1, keepdims=True)
                    norms = np.linalg.norm(candidates, axis=1, keepdims=True)
                    likeness = np.abs(candidates / np.where(norms == 0, 1, norms) @ centred.T)
                    assert likeness.max() < 0.999, (path.name, name)


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: vae(max_epochs=3, **k),
        lambda **k: vae(network="conv", ema_decay=0.9, patience=2, **k),
        lambda **k: vae(binarize="dynamic", **k),
        lambda **k: vae(support="real", **k),
    ],
)
def test_no_training_row_is_in_any_file_of_a_run_or_a_model(make: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 6, 6)).astype(np.uint8)  # rows without any likeness
    model = make(run_dir=tmp_path / "run").fit(x)
    model.evaluate(x)
    model.save(tmp_path / "run")
    assert_no_row_inside(tmp_path / "run", x)


@pytest.mark.parametrize("make", [lt.PPCA, lt.IndependentPixels])
def test_no_training_row_is_in_a_closed_form(make: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 12))
    make().fit(x).save(tmp_path / "model")
    assert_no_row_inside(tmp_path / "model", x)


def test_the_scan_can_find_a_row(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(20, 12))
    model = lt.PPCA(latent_dim=1).fit(x)
    model.module_.mean.copy_(model.module_.mean.new_tensor(3.0 * x[7] + 1.0))
    model.save(tmp_path / "model")
    with pytest.raises(AssertionError, match="mean"):
        assert_no_row_inside(tmp_path / "model", x)


def test_a_pickled_estimator_holds_no_row_either() -> None:
    x = np.random.default_rng(0).normal(size=(40, 9))
    for model in (vae(precision="float64").fit(x), lt.PPCA().fit(x), lt.IndependentPixels().fit(x)):
        content = pickle.dumps(model)
        assert not any(row.tobytes() in content for row in x)

"""How far an evaluation is: rows are counted across the blocks in which they are scored."""

from __future__ import annotations

import numpy as np
import pytest

import latentia as lt
from latentia.estimators import base


def test_finished_rows_are_counted_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(800, 2)).astype(np.float32)
    vae = lt.VAE(latent_dim=1, hidden=(4,), max_epochs=1, random_state=0).fit(x)
    seen: list[int] = []
    silent = vae.evaluate(x, num_samples=1)
    monkeypatch.setattr(base, "NUMBERS_PER_BLOCK", 1)  # blocks of one call, 768 rows
    told = vae.evaluate(x, num_samples=1, progress=seen.append)
    assert seen == list(range(1, 801))
    np.testing.assert_array_equal(told.per_row, silent.per_row)

"""A compiled step under the later likelihoods is the ordinary one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import latentia as lt
from tests.estimators.cases import MIXED, mixed, table, vae

KINDS = lt.likelihood("mixed", real="student_t", levels="discretized_logistic_mixture")
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "mixed": (mixed(64), {"support": MIXED, "likelihood": KINDS}),
    "full": (table(64, 5), {"likelihood": "gaussian_full"}),
    "low rank": (table(64, 5), {"likelihood": "gaussian_low_rank:rank=2"}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("x", "arguments"), CASES.values(), ids=CASES)
def test_the_compiled_step_is_the_ordinary_one(x: Any, arguments: dict[str, Any]) -> None:
    ends = [
        vae(max_epochs=2, batch_size=16, precision="float64", compile=c, **arguments).fit(x).history_[-1]["train"]
        for c in (False, True)
    ]
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, rtol=1e-7, atol=1e-9, err_msg=name)

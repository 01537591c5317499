"""What every test shares: clean global state, float64 on request, and real data where there is some."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")  # no window is ever opened, here or in a child process
for name in ("COLUMNS", "LINES"):  # the size of the terminal that started the tests must not matter; xdist sets it
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _restore_global_state() -> Iterator[None]:
    """Give torch's and NumPy's global state back as it was: no test depends on which ran before it."""
    dtype, threads, grad = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002 - the legacy generator is the point
    yield
    torch.set_default_dtype(dtype)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    torch.set_grad_enabled(grad)
    if torch.are_deterministic_algorithms_enabled() != deterministic:  # the call imports torch's compiler: a second
        torch.use_deterministic_algorithms(deterministic)
    torch.set_rng_state(torch_state)
    np.random.set_state(numpy_state)  # noqa: NPY002
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


@pytest.fixture
def float64() -> Iterator[None]:
    """Make float64 torch's default for one test: `@pytest.mark.usefixtures("float64")`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def needs_data() -> Callable[[str], Path]:
    """Give the folder of a real data set, or skip the test and say where the files would have to be."""

    def folder(name: str) -> Path:
        root = os.environ.get("LATENTIA_DATA")
        if not root:
            pytest.skip(f"needs real data: set LATENTIA_DATA to a folder that holds {name}/")
        path = Path(root).expanduser() / name
        if not path.is_dir():
            pytest.skip(f"needs real data: {name}/ is not in the folder that LATENTIA_DATA names")
        return path

    return folder

"""What the readers of built-in image data sets share; the sets are in ``handwriting.py`` and ``pictures.py``.

A reader gets the path of each file and a seed, which matters only where no split was published, and returns the parts
"train", "valid" and "test", each images (N, H, W) or (N, H, W, C) and labels or None.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentia.data.splits import Part, split_rows
from latentia.data.support import Support
from latentia.errors import DataError
from latentia.storage import read_npz, show

__all__ = ["GREY", "SEEDED", "arrays_of", "labels_of", "tenth_for_validation", "unpack_bits", "without_split"]

Array = NDArray[Any]

GREY = Support("levels", 256)
SEEDED = "80/10/10 by chance with seed {seed}; no split was published"


def without_split(x: Array, y: Array | None, seed: int) -> dict[str, Part]:
    """Divide rows without a published split 80/10/10 by chance."""
    valid, test, train = split_rows(len(x), seed, 0.1, 0.1)
    rows = {"train": train, "valid": valid, "test": test}
    return {part: (x[where], None if y is None else labels_of(y[where])) for part, where in rows.items()}


def tenth_for_validation(x: Array, y: NDArray[np.int64], seed: int, groups: Array | None = None) -> dict[str, Part]:
    """Take a tenth of the training rows for validation; rows of one group stay together."""
    valid, train = split_rows(len(x) if groups is None else groups, seed, 0.1)
    return {"train": (x[train], y[train]), "valid": (x[valid], y[valid])}


def labels_of(values: Array) -> NDArray[np.int64]:
    """Return labels in the type they are stored in."""
    return values.astype(np.int64)


def unpack_bits(bits: Array) -> Array:
    """Turn rows of 98 bytes into images of 28 × 28 zeros and ones."""
    if bits.dtype != np.uint8 or bits.ndim != 2 or bits.shape[1] != 98:
        raise DataError(f"packed 28 × 28 images are rows of 98 uint8, but shape {bits.shape} {bits.dtype} came")
    return np.unpackbits(bits, axis=1).reshape(-1, 28, 28)


def arrays_of(path: Path, *needed: str) -> dict[str, Array]:
    """Read the arrays that a ``.npz`` file must hold; what else it holds is passed over."""
    arrays = read_npz(path)
    if missing := [name for name in needed if name not in arrays]:
        raise DataError(f"{show(path)} holds {', '.join(arrays)}, but {', '.join(missing)} are needed")
    return arrays

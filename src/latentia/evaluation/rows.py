"""Row-wise functions over many rows, such that no row's result depends on the others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Matrix-product kernels treat the rows of a block alike but differ between blocks of unlike shape; a fixed number of
# rows that every register tile divides (2⁸·3) gives each row the same arithmetic wherever it stands.
ROWS_PER_CALL = 768


@torch.inference_mode()
def map_rows(function: Callable[[Tensor], Tensor], rows: Tensor, rows_per_call: int = ROWS_PER_CALL) -> Tensor:
    """Apply a row-wise function in calls of one fixed shape, the last one padded with zeros.

    Parameters
    ----------
    function
        Maps (M, ...) to (M, ...), each row by itself.
    rows
        Shape (N, ...), N ≥ 0.
    rows_per_call
        M; the results are bit-equal for any order and grouping of rows as long as M stays the same.

    Returns
    -------
    torch.Tensor
        shape (N, ...).
    """
    out: Tensor | None = None
    for start in range(0, max(len(rows), 1), rows_per_call):
        chunk = rows[start : start + rows_per_call]
        count = len(chunk)
        if count < rows_per_call:
            padding = rows.new_zeros(rows_per_call - count, *rows.shape[1:])
            chunk = torch.cat([chunk, padding])
        result = function(chunk)
        if out is None:
            out = result.new_empty(len(rows), *result.shape[1:])
        out[start : start + count] = result[:count]
    if out is None:  # pragma: no cover - the loop runs at least once
        msg = "no rows"
        raise AssertionError(msg)
    return out

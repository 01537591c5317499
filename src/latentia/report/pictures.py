"""Items of data as pictures: one rule from a support to grey or colour, and sheets of many items.

0 is black and the largest value white, everywhere: binary ink 1 is white on black, k levels run from black to white,
probabilities are grey. Reals share one scale, from the smallest to the largest value of the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sheet", "as_pictures", "is_picture", "shared_limits", "sheet"]

if TYPE_CHECKING:
    from latentia.data import Support

LARGEST_SIDE = 96  # pixels of one item on a sheet; larger items are shrunk by averaging blocks
SHEET_SIDE = 900  # pixels that a sheet is enlarged to at least half of, so that a browser only ever shrinks it

Floats = NDArray[np.float64]


def is_picture(event_shape: tuple[int, ...]) -> bool:
    """Say whether items of this shape are shown as images: (H, W), (H, W, 1) or (H, W, 3)."""
    if len(event_shape) == 2:
        return min(event_shape) > 1
    return len(event_shape) == 3 and event_shape[-1] in (1, 3)


def shared_limits(support: Support, *arrays: NDArray[Any]) -> tuple[float, float]:
    """Find the values shown as black and as white; the arrays matter only where the support sets no bounds."""
    if support.kind in ("levels", "categories") and support.levels is not None:
        return 0.0, float(max(support.levels - 1, 1))
    if support.kind in ("binary", "unit"):
        return 0.0, 1.0
    finite = [array[np.isfinite(array)] for array in map(np.asarray, arrays)]
    if not any(part.size for part in finite):
        return 0.0, 1.0
    low = 0.0 if support.kind == "positive" else float(min(part.min() for part in finite if part.size))
    high = float(max(part.max() for part in finite if part.size))
    return (low, high) if high > low else (low, low + 1.0)


def as_pictures(items: NDArray[Any], limits: tuple[float, float]) -> Floats:
    """Turn items (n, H, W) or (n, H, W, C) into red, green and blue in [0, 1], (n, h, w, 3), h and w at most 96."""
    values = np.asarray(items, dtype=np.float64)
    if values.ndim == 3:
        values = values[..., None]
    low, high = limits
    values = np.clip((np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / (high - low), 0.0, 1.0)
    block = -(-max(values.shape[1:3]) // LARGEST_SIDE)
    if block > 1:
        height, width = (max(side // block, 1) for side in values.shape[1:3])
        tall, wide = min(block, values.shape[1]), min(block, values.shape[2])
        values = values[:, : height * tall, : width * wide]
        values = values.reshape(len(values), height, tall, width, wide, -1).mean(axis=(2, 4))
    return np.broadcast_to(values, (*values.shape[:3], 3)) if values.shape[-1] == 1 else values


class Sheet(NamedTuple):
    """A sheet of pictures and where each stands on it, in pixels."""

    canvas: NDArray[np.uint8]  # (height, width, 4): red, green, blue, opacity
    tops: tuple[int, ...]  # of each row
    lefts: tuple[int, ...]  # of each column
    tall: int  # of one picture
    wide: int


def sheet(pictures: Floats, columns: int, *, gap: float = 0.06, row_gaps: Sequence[float] = ()) -> Sheet:
    """Lay pictures out row by row, each pixel enlarged by the same whole number, with transparent gaps.

    Parameters
    ----------
    pictures
        (n, h, w, 3) in [0, 1]; a picture of nan leaves its place empty.
    columns
        Items in a row; the last row may be shorter.
    gap
        The space between columns, as a fraction of an item's width.
    row_gaps
        The spaces below the first, second, … row, as fractions of an item's height, and from the start again; `gap`
        when not given.
    """
    count, height, width, _ = pictures.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    zoom = max(1, round(SHEET_SIDE / max(rows * height, columns * width)))
    tall, wide = height * zoom, width * zoom
    spaces = [round(space * tall) for space in (row_gaps or (gap * width / height,))]
    tops = np.cumsum([0, *(tall + spaces[row % len(spaces)] for row in range(rows - 1))])
    lefts = np.arange(columns) * (wide + round(gap * wide))
    canvas = np.zeros((int(tops[-1]) + tall, int(lefts[-1]) + wide, 4), dtype=np.uint8)
    for index, picture in enumerate(pictures):
        if np.isnan(picture).any():
            continue
        top, left = tops[index // columns], lefts[index % columns]
        place = canvas[top : top + tall, left : left + wide]
        place[..., :3] = np.round(picture * 255).astype(np.uint8).repeat(zoom, axis=0).repeat(zoom, axis=1)
        place[..., 3] = 255
    return Sheet(canvas, tuple(map(int, tops)), tuple(map(int, lefts)), tall, wide)

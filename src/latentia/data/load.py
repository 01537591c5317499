"""``load``: a data set by its name or from a file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from latentia.data import registry
from latentia.data.files import load_path
from latentia.data.splits import Dataset, make_dataset
from latentia.data.support import Support
from latentia.errors import DataError
from latentia.storage import show

__all__ = ["load"]


def load(
    name_or_path: str | Path,
    *,
    support: str | Support | None = None,
    label: str | None = None,
    drop: Sequence[str] = (),
    seed: int = 0,
    download: bool = True,
) -> Dataset:
    """Load a data set by its name, or the data in a file or folder, as training, validation and test rows.

    A name is looked for in ``$LATENTIA_DATA/<name>/``, then in the cache, and then downloaded where a file with a
    published checksum exists. A path may be ``.npy``, ``.npz``, ``.csv``, ``.parquet``, idx (also ``.gz``), or a folder
    of images whose sub-folders are classes. Data without a split are divided 80/10/10 by chance.

    Parameters
    ----------
    name_or_path
        One of :func:`latentia.data.names`, or a path. A name wins; write ``./digits`` for a folder of that name.
    support
        The values that the data can take, such as "binary" or "levels:17". By default a named set knows it, and a file
        follows :meth:`Support.infer`.
    label
        The column of a table, or the array of a ``.npz`` file, that holds the classes; it is kept out of x.
    drop
        Columns or arrays to leave out.
    seed
        What decides the division into parts where none was published, at least 0.
    download
        Whether a missing data set may be downloaded.

    Returns
    -------
    dataset
        Its ``train``, ``valid`` and ``test`` rows and its ``info``.

    Raises
    ------
    DataError
        If there is no such data set, it is not here, or its values cannot be used; the sentence says what to do.
    StorageError
        If a file is damaged, too large or unsafe.

    Examples
    --------
    >>> digits = load("digits")
    >>> digits.train
    Split(digits train: 1437 × 8 × 8 uint8, levels:17, 10 classes)
    """
    if seed < 0:
        raise DataError(f"seed is {seed}, but it must be at least 0")
    wanted = None if support is None else Support.parse(support)
    source = registry.find(str(name_or_path))
    if source is None:
        return load_path(_existing(name_or_path), support=wanted, label=label, drop=drop, seed=seed)
    if label is not None or drop:
        raise DataError(f"label and drop are for files, but {source.info.name} is a built-in data set: leave them out")
    dataset = source.load(seed, download)
    if wanted is None or wanted == source.info.support:
        return dataset
    splits = {part.name: part for part in (dataset.train, dataset.valid, dataset.test)}
    for part in splits.values():
        wanted.check(part.x, f"the {part.name} part of {source.info.name}")
    info = replace(source.info, support=wanted)
    return make_dataset(info, {name: (wanted.cast(part.x), part.y) for name, part in splits.items()})


def _existing(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.exists():
        return path
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or path.suffix:
        raise DataError(f"{show(text)} does not exist: check the path")
    close = difflib.get_close_matches(text, registry.names(), 1)
    hint = f"did you mean {close[0]}? Known are" if close else "known are"
    raise DataError(f"there is no data set or file {show(text)}: {hint} {', '.join(registry.names())}, or give a path")

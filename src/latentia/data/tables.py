"""Tables: ``.csv`` (also ``.csv.gz``) and ``.parquet`` files, by pandas, as columns of numbers."""

from __future__ import annotations

import difflib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentia.errors import DataError
from latentia.storage import default_cap, read_inflated, refuse_pickle, show

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_table"]


def read_table(path: Path, label: str | None, drop: Sequence[str]) -> tuple[pd.DataFrame, NDArray[Any] | None]:
    """Read a table whose columns, but for ``label`` and ``drop``, hold numbers.

    Parameters
    ----------
    path
        ``.csv`` with a header line, separated by commas, UTF-8; also ``.csv.gz``; or ``.parquet``.
    label
        The column that holds the classes, numbers or text; it is taken out.
    drop
        Columns to leave out.

    Returns
    -------
    table
        Numbers and truth values only; missing values are NaN.
    labels
        (N,): numbers as they are, other values as text and None where one is missing; or None without ``label``.

    Raises
    ------
    DataError
        If the file is no such table, or a column holds text; it names the column.
    """
    try:
        import pandas as pd
    except ImportError:
        raise DataError(
            f'reading {show(path.name)} needs pandas: pip install "latentia[tables]", or convert the file to .npy'
        ) from None
    refuse_pickle(path)
    frame = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
    frame.columns = pd.Index([show(name) for name in frame.columns])
    for name in (*drop, *([] if label is None else [label])):
        _check_column(frame, name, path)
    labels = None if label is None else _labels(frame[label])
    frame = frame.drop(columns=[*drop, *([] if label is None else [label])])
    if frame.shape[1] == 0 or len(frame) == 0:
        raise DataError(
            f"{show(path.name)} has {len(frame)} rows of {frame.shape[1]} columns left: there is nothing in it"
        )
    return _numbers(frame, path), labels


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    content = io.BytesIO(read_inflated(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            head = pd.read_csv(content, header=None, nrows=1, dtype=str, encoding="utf-8-sig", keep_default_na=False)
            _check_header([str(name) for name in head.iloc[0]], path)
            content.seek(0)
            # index_col=False: otherwise a row with one value too many silently shifts all columns.
            options: dict[str, Any] = {"index_col": False, "low_memory": False, "encoding": "utf-8-sig"}
            if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):  # from then on numbers are read exactly anyway
                options["float_precision"] = "round_trip"
            frame: pd.DataFrame = pd.read_csv(content, **options)
            return frame
    except UnicodeDecodeError:
        raise DataError(f"{show(path.name)} is not UTF-8 text: save it as UTF-8") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise DataError(f"{show(path.name)} is no table separated by commas: {show(error)}") from None


def _check_header(names: list[str], path: Path) -> None:
    if len(names) == 1 and (separator := next((mark for mark in ";\t|" if mark in names[0]), "")):
        shown = "tabs" if separator == "\t" else f"'{separator}'"
        raise DataError(f"{show(path.name)} seems to be separated by {shown}: save it separated by commas")
    if all(_is_number(name) for name in names):
        raise DataError(
            f"the first line of {show(path.name)} holds numbers only, but the names of the columns are needed there: "
            "add a first line with names"
        )
    for position, name in enumerate(names):
        if not name.strip():
            raise DataError(
                f"column {position + 1} of {show(path.name)} has no name (row numbers, written by pandas?): "
                "give it one, or save the table with index=False"
            )
        if name in names[:position]:
            raise DataError(f"two columns of {show(path.name)} are named {show(name)}: rename one")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(
            f'reading {show(path.name)} needs pyarrow: pip install "latentia[tables]", or convert the file to .npy'
        ) from None
    try:
        with path.open("rb") as stream:
            file = pq.ParquetFile(stream)
            needed = file.metadata.num_rows * max(1, file.metadata.num_columns) * 8
            cap = default_cap(path.stat().st_size)
            if needed > cap:
                raise DataError(f"{show(path.name)} unpacks to about {needed:,} bytes, but at most {cap:,} are allowed")
            frame: pd.DataFrame = file.read().to_pandas()
            return frame
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{show(path.name)} is no .parquet file or is damaged: {show(error)}") from None


def _check_column(frame: pd.DataFrame, name: str, path: Path) -> None:
    columns = list(frame.columns)
    if name not in columns:
        close = difflib.get_close_matches(name, columns, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        some = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
        raise DataError(f"{show(path.name)} has no column {show(name)}: {hint}It has {some}")


def _labels(column: pd.Series[Any]) -> NDArray[Any]:
    import pandas as pd

    missing = column.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=float, na_value=np.nan) if missing.any() else column.to_numpy()
    labels = np.empty(len(column), object)
    labels[:] = [None if gone else str(value) for value, gone in zip(column, missing, strict=True)]
    return labels


def _numbers(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Refuse columns of anything but numbers and truth values, and give the rest plain NumPy types."""
    import pandas as pd

    bad = [str(name) for name, column in frame.items() if not _is_real(column)]
    if bad:
        raise DataError(_no_numbers(frame[bad[0]], bad, path))
    columns = {}
    for name, column in frame.items():
        kind = column.dtype
        if isinstance(kind, np.dtype):
            columns[name] = column.to_numpy()
        elif column.isna().any():
            columns[name] = column.to_numpy(dtype=float, na_value=np.nan)
        else:
            columns[name] = column.to_numpy(dtype=kind.numpy_dtype if hasattr(kind, "numpy_dtype") else float)
    return pd.DataFrame(columns)


def _is_real(column: pd.Series[Any]) -> bool:
    import pandas as pd

    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype)


def _no_numbers(column: pd.Series[Any], bad: Sequence[str], path: Path) -> str:
    import pandas as pd

    present = column.dropna()
    odd = present[pd.to_numeric(present, errors="coerce").isna()] if _is_text(present) else present
    example = f" (for example {show(repr(odd.iloc[0]))})" if len(odd) else ""
    kind = "text" if _is_text(present) else f"values of type {show(column.dtype)}"
    others = ", ".join(bad[1:12]) + (", …" if len(bad) > 12 else "")
    more = f"; nor do {others} hold numbers" if others else ""
    return (
        f"column {bad[0]} of {show(path.name)} holds {kind}{example}, but only numbers can be modelled{more}: "
        "name such columns in drop, or one in label if it holds the classes"
    )


def _is_text(column: pd.Series[Any]) -> bool:
    return bool(len(column)) and all(isinstance(value, str) for value in column)

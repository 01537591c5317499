"""Data with what is known about them: named sets and files, as training, validation and test rows.

Start reading at ``load.py``; ``support.py`` says what values data can take.
"""

from latentia.data import handwriting as _handwriting  # importing them registers their data sets
from latentia.data import pictures as _pictures
from latentia.data.files import check_rows, read
from latentia.data.load import load
from latentia.data.registry import Row, Source, describe, names, register
from latentia.data.splits import Dataset, Info, Split, fingerprint, split_rows
from latentia.data.support import Support

__all__ = [
    "Dataset",
    "Info",
    "Row",
    "Source",
    "Split",
    "Support",
    "check_rows",
    "describe",
    "fingerprint",
    "load",
    "names",
    "read",
    "register",
    "split_rows",
]

del _handwriting, _pictures

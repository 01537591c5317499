"""What a fitted estimator looks like: plots, one table of numbers, and pages that stand alone.

`write` makes the page of one estimator and `compare` that of several; every picture on them is a function in `plots`.
Start reading at `sections.py` (what a page holds) and `style.py` (how it looks).
"""

from __future__ import annotations

from latentia.report import plots
from latentia.report.comparison import compare
from latentia.report.model_report import write
from latentia.report.tables import NumbersTable, numbers_table

__all__ = ["NumbersTable", "compare", "numbers_table", "plots", "write"]

"""What commands share: options, and flags whose help shows no value."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = [
    "Command",
    "Device",
    "Drop",
    "File",
    "Group",
    "Json",
    "Label",
    "Out",
    "Overwrite",
    "Precision",
    "Quiet",
    "Run",
    "Samples",
    "Seed",
    "Where",
]


class Precision(StrEnum):
    """How a decoder's matrix products are computed."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes: only results and errors.")]
Device = Annotated[str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda or cuda:1.", show_default="auto")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a fitted model.", show_default=False)]
File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help=".npy, .npz, .csv, .parquet, idx, folder of images.", show_default=False),
]
Label = Annotated[str | None, typer.Option(metavar="COLUMN", help="The column of a table that holds the class.")]
Drop = Annotated[list[str], typer.Option(metavar="COLUMN", help="A column of a table to leave out; repeatable.")]
Samples = Annotated[
    int | None,
    typer.Option(
        "--samples", "-K", metavar="K", min=1, help="Importance samples a row. Default: what the model was built with."
    ),
]
Seed = Annotated[int, typer.Option(metavar="SEED", min=0, max=2**32 - 1, help="The same seed gives the same numbers.")]
Where = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="DATA",
        help="train, valid or test: a split of the run's own data; or other data, by name (test split) or path.",
    ),
]
Out = Annotated[Path, typer.Option(metavar="FILE", help=".npy (written in chunks) or .csv.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]


class Command(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> Any:
        """Return its parameters; a flag takes no value, and so its help shows none."""
        return _flags_without_values(super().get_params(ctx))


class Group(TyperGroup):
    """A command with commands of its own."""

    def get_params(self, ctx: Any) -> Any:
        """Return its parameters; a flag takes no value, and so its help shows none."""
        return _flags_without_values(super().get_params(ctx))


def _flags_without_values(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    return params

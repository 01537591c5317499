"""Every error that Latentia raises on purpose; each message says what came, what is allowed and what to do."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

__all__ = [
    "ConfigError",
    "CorruptedError",
    "DataError",
    "DivergedError",
    "Interrupted",
    "LatentiaError",
    "ResumeError",
    "RunLockedError",
    "StorageError",
    "warn",
]

_PACKAGE = str(Path(__file__).parent) + os.sep


class LatentiaError(Exception):
    """The base of all errors of this library."""


class ConfigError(LatentiaError, ValueError):
    """An argument or a combination of arguments that cannot work."""


class DataError(LatentiaError, ValueError):
    """Data that a model or a reader cannot take."""


class StorageError(LatentiaError, OSError):
    """A file or a folder that cannot be read or written."""


class CorruptedError(StorageError):
    """A file whose content is not what its manifest says."""


class RunLockedError(StorageError):
    """A run folder that another process is writing to."""


class DivergedError(LatentiaError, RuntimeError):
    """Training that met non-finite losses or gradients too many times in a row."""


class ResumeError(LatentiaError, RuntimeError):
    """A run that cannot go on as asked: its configuration, data or format has changed."""


class Interrupted(LatentiaError):  # noqa: N818 - the run is fine and can be resumed: it is no error of anyone's
    """Training stopped by a signal, after the step was finished and the state saved.

    Parameters
    ----------
    message
        What happened and how to go on.
    exit_code
        What a command line should exit with: 75 after SIGTERM, 130 after Ctrl-C.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type[Interrupted], tuple[str, int]]:
        return type(self), (str(self), self.exit_code)  # an estimator that was stopped keeps it, and is pickled


def warn(message: str) -> None:
    """Give a ``UserWarning`` that points at the first line outside of this library: the caller's own."""
    import inspect  # slow to import, and rarely needed

    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)

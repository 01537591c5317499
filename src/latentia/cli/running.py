"""One command from its arguments to its exit code: every way in which it can end is turned into one line."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from latentia.cli import exits
from latentia.cli.app import app
from latentia.cli.console import clean, debug_mode, debugging, error, note, one_line, prepare_streams, silence
from latentia.errors import Interrupted, LatentiaError

__all__ = ["run"]


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; prints errors, never raises them."""
    prepare_streams()
    silence(False)
    debug_mode(False)
    with _messages_as_notes():
        try:
            code = app(args=None if arguments is None else list(arguments), prog_name="latentia", standalone_mode=False)
        except (KeyboardInterrupt, typer.Abort):
            code = exits.INTERRUPTED
        except Interrupted as stopped:
            error(stopped)
            return stopped.exit_code
        except exits.UsageError as wrong:
            error(wrong)
            return exits.USAGE
        except Exception as failure:  # noqa: BLE001 - the outermost frame: whatever it is, the person gets one line
            return _failed(failure)
        if code == exits.INTERRUPTED:  # typer itself turns KeyboardInterrupt into this code, without a word
            error("stopped by Ctrl-C")
    return code if isinstance(code, int) else exits.OK


def _failed(failure: Exception) -> int:
    if hasattr(failure, "format_message"):  # the parser's own: an unknown option, a missing argument
        return _misused(failure)
    if debugging():
        for line in traceback.format_exc().splitlines():
            sys.stderr.write(clean(line) + "\n")
        error(f"{type(failure).__name__}: {failure}")
    elif isinstance(failure, LatentiaError):
        error(failure)
    elif isinstance(failure, MemoryError):
        error("out of memory: use a smaller batch_size, fewer importance samples or fewer rows")
    elif isinstance(failure, OSError) and failure.strerror:
        place = f": {str(failure.filename)!r}" if failure.filename is not None else ""
        error(f"{failure.strerror}{place}")
    else:
        # scikit-learn's sentences about arrays are ValueErrors with advice in later lines: the first says it.
        first = str(failure).strip().splitlines() or [""]
        kind = "" if isinstance(failure, ValueError) else f"{type(failure).__name__}: "
        error(f"{kind}{first[0]} (LATENTIA_DEBUG=1 shows the traceback)")
    return exits.FAILURE


def _misused(failure: Any) -> int:
    context = getattr(failure, "ctx", None)
    message = one_line(failure.format_message()).rstrip(".")
    path = context.command_path if context is not None else "latentia"
    error(f"{message} (see {path} --help)")
    return int(getattr(failure, "exit_code", exits.USAGE))


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


@contextlib.contextmanager
def _messages_as_notes() -> Iterator[None]:
    """Show warnings and the library's log records as notes of one line, without file names and source lines."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        note(f"warning: {one_line(message)}")

    logger, handler = logging.getLogger("latentia"), _Notes(logging.INFO)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(level, logging.INFO) if level else logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)

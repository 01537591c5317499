"""Ctrl-C and SIGTERM: finish the step, save, leave."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["EXIT_CODES", "StopSignals"]

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 75}


class StopSignals:
    """While in the ``with`` block, notes a signal in `received` instead of dying of it; a second Ctrl-C stops at once.

    Outside the main thread, where Python allows no handlers, it does nothing.

    Parameters
    ----------
    terminate
        Whether to note SIGTERM too, which makes sense where the state is saved.
    """

    def __init__(self, terminate: bool) -> None:
        self.received: signal.Signals | None = None
        self._wanted = [signal.SIGINT, signal.SIGTERM] if terminate else [signal.SIGINT]
        self._before: dict[signal.Signals, Any] = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received is signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in self._wanted:
                before = signal.getsignal(number)
                # A signal that is ignored (nohup, a background shell) stays ignored; a foreign C handler (None) stays.
                if before is not None and before is not signal.SIG_IGN:
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()

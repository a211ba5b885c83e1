"""Ctrl-C outside a run, which minds it by itself; nothing heavy is imported here."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

INTERRUPTED = 130
MESSAGE = "\ninterrupted"


class Interruptible:
    """Ctrl-C ends the process at once while modules are loaded, and is a KeyboardInterrupt later.

    Compiled modules swallow an exception raised while they are loaded, and go on with half a
    module. Nothing is written before all are there.

    Attributes:
        loading: whether modules are being loaded.
        asked: whether Ctrl-C came after that.
    """

    def __init__(self) -> None:
        self.loading, self.asked = True, False
        self._ours = False

    def __enter__(self) -> Interruptible:
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self._ours = usual and threading.current_thread() is threading.main_thread()
        if self._ours:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.loading:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{MESSAGE}\n".encode())
            os._exit(INTERRUPTED)
        self.asked = True
        raise KeyboardInterrupt

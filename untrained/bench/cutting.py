"""Stop code that has no time limit of its own, by a signal of the system."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Cut(BaseException):
    """The time is used up; no Exception, so that nobody on the way takes it for an error."""


@contextlib.contextmanager
def cut_after(seconds: float) -> Iterator[None]:
    """Raise `Cut` inside once `seconds` have passed, between two calls of torch.

    It takes the alarm of the system: in the main thread, where there is one (not on Windows), and
    where nobody else has set it. Elsewhere nothing is cut.
    """
    able = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not able or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    before = signal.signal(signal.SIGALRM, _cut)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _cut(number: int, frame: Any) -> None:
    raise Cut

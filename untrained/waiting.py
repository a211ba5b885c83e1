"""Work that takes long without optimiser steps: how long it may go on, and who is told so."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

EVERY = 0.5  # seconds between two calls of `tell`


class TimeIsUp(BaseException):
    """The work did not end in the time it was given, or was asked to end.

    No `Exception`, as KeyboardInterrupt is none: libraries turn those into errors of their own.
    """


@dataclass
class _Wait:
    limit: float
    tell: Callable[[float], bool] | None
    began: float = field(default_factory=time.monotonic)
    told: float = 0.0

    def look(self) -> None:
        passed = time.monotonic() - self.began
        if passed > self.limit:
            raise TimeIsUp
        if self.tell is not None and passed >= self.told + EVERY:
            self.told = passed
            if self.tell(passed):
                raise TimeIsUp


_NOW: ContextVar[_Wait | None] = ContextVar("wait", default=None)


@contextlib.contextmanager
def waiting(limit: float, tell: Callable[[float], bool] | None = None) -> Iterator[None]:
    """Bound the time of what is done inside, as far as it calls `tick`.

    Args:
        limit: seconds.
        tell: called about twice a second with the seconds that have passed; True ends the work.

    Raises:
        TimeIsUp: from `tick`, once the limit has passed or `tell` has said so.
    """
    token = _NOW.set(_Wait(limit, tell))
    try:
        yield
    finally:
        _NOW.reset(token)


def tick() -> None:
    """Look at the clock, where somebody waits: called in every iteration of a classical method.

    Raises:
        TimeIsUp: see `waiting`.
    """
    wait = _NOW.get()
    if wait is not None:
        wait.look()

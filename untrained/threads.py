"""How many CPU threads torch takes in the thread that asks, and in no other.

`torch.set_num_threads` sets two numbers: that of the calling thread, and the one with which
threads begin that have not computed anything yet. The second is put back here at once.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch

PIXELS = 40_000
"""From so many on, 200 x 200, an image is worth more than one thread."""

PIXELS_ASLEEP = 100_000
"""Likewise where idle threads sleep, and have to be woken for each of a step's operations."""

_LOCK = threading.Lock()
"""Held while the number with which threads begin may be another than the program's."""

_ASKED: ContextVar[bool] = ContextVar("asked", default=False)
"""Whether the number of this thread was asked for as it is."""


def current_threads() -> int:
    """The number of CPU threads of the calling thread."""
    with _LOCK:
        return torch.get_num_threads()


def set_threads(count: int) -> int:
    """Take `count` CPU threads in the calling thread from now on; how many it took before.

    Other threads keep theirs, those that are yet to come among them.
    """
    with _LOCK:
        before = torch.get_num_threads()
        if before != count:
            at_first: int = _in_new_thread(torch.get_num_threads)
            try:
                torch.set_num_threads(count)
            finally:
                _in_new_thread(lambda: torch.set_num_threads(at_first))
    return before


@contextlib.contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Inside, the calling thread takes `count` CPU threads."""
    before = set_threads(count)
    try:
        yield
    finally:
        set_threads(before)


@contextlib.contextmanager
def asked_threads(count: int | None) -> Iterator[None]:
    """`use_threads`, also where an image is too small to gain by them; None changes nothing."""
    if count is None:
        yield
        return
    token = _ASKED.set(True)
    try:
        with use_threads(count):
            yield
    finally:
        _ASKED.reset(token)


def threads_for(sides: Sequence[int]) -> int:
    """How many CPU threads a run takes for images of these sides.

    1 for images of fewer than PIXELS pixels (PIXELS_ASLEEP where idle threads sleep), which gain
    little or nothing by more; else those of the calling thread. What `asked_threads` was given is
    taken as it is. The load of the machine has no say, or the same run would have other bits on
    another day.
    """
    count = current_threads()
    least = PIXELS_ASLEEP if _asleep() else PIXELS
    return count if _ASKED.get() or _size(sides) >= least else 1


def _asleep() -> bool:
    """Whether idle threads sleep at once; the default is to spin for milliseconds."""
    return os.environ.get("OMP_WAIT_POLICY", "").strip().upper() == "PASSIVE"


def _size(sides: Sequence[int]) -> int:
    """Pixels, three times as many per axis beyond two: kernels have three taps along each."""
    return math.prod(sides) * 3 ** max(0, len(sides) - 2)


def _in_new_thread(ask: Callable[[], Any]) -> Any:
    """What `ask` answers in a thread of its own, which has computed nothing before."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    thread.join()
    return answers[0]

"""The number of CPU threads that torch uses in the calling thread, and in no other.

`torch.set_num_threads` sets two numbers: that of the calling thread, and the one with which
threads begin that have not computed anything yet. The second is restored here at once.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

PIXELS = 100_000
"""From so many on, 316 x 316, an image is worth two threads; measured by
benchmarks/idle_threads.py."""

PIXELS_OF_MANY = 40_000
"""Likewise where there are more than two threads to take."""

_LOCK = threading.Lock()
"""Held while the number with which threads begin may be another than the program's."""


def current_threads() -> int:
    """Return the number of CPU threads of the calling thread."""
    with _LOCK:
        return torch.get_num_threads()


def set_threads(count: int) -> int:
    """Set the CPU threads of the calling thread to `count`; return how many they were before.

    Other threads keep theirs, and threads that start later begin as they would have.
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
    """Use `count` CPU threads in the calling thread inside a `with` block."""
    before = set_threads(count)
    try:
        yield
    finally:
        set_threads(before)


@contextlib.contextmanager
def at_most_threads(count: int | None) -> Iterator[None]:
    """Use at most `count` CPU threads in the calling thread inside a `with` block.

    `threads_for` may take fewer for small images. None changes nothing.
    """
    with use_threads(current_threads() if count is None else count):
        yield


def threads_for(sides: Sequence[int]) -> int:
    """Return how many CPU threads a run takes for images of these sides.

    1 for images of fewer than PIXELS pixels (PIXELS_OF_MANY where there are more than two threads),
    which a second one speeds up by a fifth at most, and slows down many times where other programs
    want the cores; else those of the calling thread. How busy the machine is must not matter: the
    last digits of the result depend on the number of threads.
    """
    count = current_threads()
    return count if _size(sides) >= (PIXELS if count <= 2 else PIXELS_OF_MANY) else 1


def _size(sides: Sequence[int]) -> int:
    """Count the pixels, times 3 per axis beyond two: kernels have three taps along each."""
    return math.prod(sides) * 3 ** max(0, len(sides) - 2)


def _in_new_thread(ask: Callable[[], Any]) -> Any:
    """Call `ask` in a new thread, which has computed nothing before, and return its answer."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    thread.join()
    return answers[0]

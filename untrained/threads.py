"""How many CPU threads torch takes in the thread that asks, and in no other.

`torch.set_num_threads` sets two numbers: that of the calling thread, and the one with which
threads begin that have not computed anything yet. The second is put back here at once.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch

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


def _in_new_thread(ask: Callable[[], Any]) -> Any:
    """What `ask` answers in a thread of its own, which has computed nothing before."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    thread.join()
    return answers[0]

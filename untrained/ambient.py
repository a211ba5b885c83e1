"""Keep the caller's settings of torch (default type, autocast) out of our computations."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

_LOCK = threading.Lock()
_inside: list[torch.dtype] = []
"""The caller's default type, once for each call under way; all threads share torch's."""


@contextlib.contextmanager
def single_precision() -> Iterator[None]:
    """Compute in float32: without ambient autocast, and with float32 as torch's default type.

    What a method wants in half precision it says itself. The default type belongs to the whole
    process; it is put back when the last of the calls that are under way at a time has ended.
    """
    with contextlib.ExitStack() as stack:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(_float32())
        yield


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    with _LOCK:
        _inside.append(_inside[0] if _inside else torch.get_default_dtype())
        if torch.get_default_dtype() != torch.float32:
            torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _LOCK:
            before = _inside.pop()
            if not _inside and before != torch.float32:
                torch.set_default_dtype(before)

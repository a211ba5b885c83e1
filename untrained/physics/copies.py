"""Copies of an operator that share its constants."""

from __future__ import annotations

import copy
from typing import TypeVar

from untrained.physics.base import Physics

P = TypeVar("P", bound=Physics)


def twin(physics: P) -> P:
    """Return another operator of the same constants, shared until one of them is replaced."""
    other = copy.copy(physics)
    other._buffers = dict(physics._buffers)
    return other


def among(physics: P, images: slice, *names: str) -> P:
    """Return the operator of some images of a batch; `names` are constants with a row for each."""
    some = twin(physics)
    for name in names:
        rows = getattr(physics, name)
        setattr(some, name, None if rows is None else rows[images])
    return some

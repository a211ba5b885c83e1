"""A note in a table, and the inputs that give it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odd_inputs import Command, Python


@dataclass(frozen=True)
class Row:
    """A note and what gives it.

    Attributes:
        words: a part of it that no other note has.
        command: of a folder, the arguments of the command line.
        python: the arguments of `reconstruct` that give it in Python; None where only the reader
            of a file can know.
        before: patches, as of `monkeypatch.setattr`.
    """

    words: str
    command: Callable[[Path], Command] | None
    python: Python | None = None
    before: tuple[tuple[str, Any], ...] = ()

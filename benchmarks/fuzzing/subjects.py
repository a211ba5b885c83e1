"""What a reader is to be fuzzed: its valid file, its mutants, and the command that reads it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SIDE = 24
FAST = ("--method", "adjoint")
"""Most mutants are only to be read; a classical answer takes hardly any time."""
NET = ("--steps", "2")
"""The usual network for some of them, so that odd values reach it."""
SMALL = ("--set", "net.widths=8,8", "--set", "net.skip=2", "--set", "engine.precision=fp32")


@dataclass(frozen=True)
class Subject:
    """A reader.

    Attributes:
        name: of the reader.
        file: name of the file that is mutated.
        command: arguments; `{file}` is the mutant, `{out}` an unused place, `{dir}` its folder.
        make: writes the valid file at this path, and what it needs beside it.
        mutate: (valid file, draw) -> the mutant's bytes.
        engine: whether `reconstruct`'s methods take turns.
        accepted: what a refusal says that comes after the file was read whole.
    """

    name: str
    file: str
    command: tuple[str, ...]
    make: Callable[[Path], None]
    mutate: Callable[[Path, random.Random], bytes]
    engine: bool = True
    accepted: str = ""

    def arguments(self, file: Path, out: Path, number: int) -> list[str]:
        """The command for mutant `number`."""
        places = {"file": str(file), "out": str(out), "dir": str(file.parent)}
        given = [part.format(**places) for part in self.command]
        if not self.engine:
            return given
        network = (number and number % 10 == 0) or "phase" in given
        return [*given, *(NET if network else self._fast())]

    def _fast(self) -> tuple[str, ...]:
        return NET if "nldeblur" in self.command else FAST


def read(task: str, *more: str) -> tuple[str, ...]:
    return ("reconstruct", task, "{file}", "--quiet", "--out", "{out}", *more)


def read_with(task: str, beside: str, option: str) -> tuple[str, ...]:
    return ("reconstruct", task, "{dir}/" + beside, option, "{file}", "--quiet", "--out", "{out}")

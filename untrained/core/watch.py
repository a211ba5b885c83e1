"""Watchers look on while a network is fitted: progress, a reference, an interruption."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from untrained.core.rule import Frame, Stopped
from untrained.core.state import State


class Watch:
    """Looks on: progress, a reference for the record, an interruption. Never changes a run."""

    def prepare(self, phase: str) -> None:
        """What a phase needs before its first step, such as a classical image, is under way."""

    def begin(self, phase: str, total: int, step: int) -> None:
        """A phase of at most `total` steps begins, or goes on, at `step`."""

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Further numbers for the history, each `(G,)`; the same names at every step."""
        return {}

    def step(self, frame: Frame, columns: dict[str, float]) -> None:
        """A step was taken; `columns` is its row of the history (problem 0)."""

    def end(self, phase: str) -> None:
        """The phase ended."""

    def alone(self, row: int) -> Watch:
        """What looks on where only further seeds of the caller's problem `row` are solved."""
        return self

    def say(self, text: str) -> None:
        """Something a person who waits should know."""

    def busy(self, what: str, seconds: float) -> None:
        """Work without steps goes on, for so long already."""

    def left(self) -> float:
        """Seconds that such work may take from now on; 0 = it should end at once."""
        return math.inf

    def interrupted(self) -> Stopped | None:
        """Why the run should pause now, keeping its state; None to go on."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """What it has to remember across a resume: tensors and plain values, no code."""
        return {}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take up what `state_dict` gave; called after `begin`, or instead for a phase done."""

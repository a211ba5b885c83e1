"""Watchers look on while a network is fitted: progress, a reference, an interruption."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from untrained.core.rule import Frame, Stopped
from untrained.core.state import State


class Watch:
    """Observe a run without changing it: progress, a reference for the record, an interruption."""

    def prepare(self, phase: str) -> None:
        """Note that a phase prepares its first step, for example by a classical image."""

    def begin(self, phase: str, total: int, step: int) -> None:
        """Note that a phase of at most `total` steps begins, or goes on, at `step`."""

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Return further numbers for the history, each `(G,)`; the same names at every step."""
        return {}

    def step(self, frame: Frame, columns: dict[str, float]) -> None:
        """Note that a step was taken; `columns` is its row of the history (problem 0)."""

    def end(self, phase: str) -> None:
        """Note that the phase ended."""

    def alone(self, row: int) -> Watch:
        """Return a watcher for the further seeds of the caller's problem `row` alone."""
        return self

    def say(self, text: str) -> None:
        """Show a message to a person who waits."""

    def busy(self, what: str, seconds: float) -> None:
        """Note that work without steps (`what`) has taken so many seconds already."""

    def left(self) -> float:
        """Return the seconds that such work may still take; 0 = it should end at once."""
        return math.inf

    def interrupted(self) -> Stopped | None:
        """Return why the run should pause now, keeping its state; None to go on."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return what it has to remember across a resume: tensors and plain values, no code."""
        return {}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; after `begin`, or alone for a finished phase."""

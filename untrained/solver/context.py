"""Hold what all stages of one call share: checkpoint, watchers, precision, learned weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from untrained.core.rule import Stopped
from untrained.core.start import StartWeights
from untrained.core.watch import Watch
from untrained.solver.checkpoint import Checkpoint


@dataclass(frozen=True)
class RunContext:
    """Hold what all stages of one call share: checkpoint, watchers, precision, learned weights.

    Attributes:
        checkpoint: where the stages are stored.
        watch: the watchers.
        device: where networks run.
        half: whether networks run under bfloat16 autocast.
        start: weights learned elsewhere, that every network starts from; None without any.
    """

    checkpoint: Checkpoint
    watch: tuple[Watch, ...]
    device: torch.device
    half: bool
    start: StartWeights | None = None

    @contextlib.contextmanager
    def watched(self, stage: str) -> Iterator[None]:
        """Call the watchers when a stage is prepared and, error or not, when it ends."""
        for w in self.watch:
            w.prepare(stage)
        try:
            yield
        finally:
            for w in self.watch:
                w.end(stage)

    def begin(self, stage: str, total: int, step: int) -> None:
        """Tell the watchers that a stage of at most `total` steps begins at `step`."""
        for w in self.watch:
            w.begin(stage, total, step)

    def say(self, text: str) -> None:
        """Let the watchers show a message to a person who waits."""
        for w in self.watch:
            w.say(text)

    def pause(self) -> Stopped | None:
        """Return the reason of the first watcher that wants the run to pause now; None to go on."""
        return next(filter(None, (w.interrupted() for w in self.watch)), None)

    def watchers_memory(self) -> dict[str, dict[str, Any]]:
        """Return what the watchers remember, by the names of their classes."""
        return {type(w).__name__: w.state_dict() for w in self.watch if w.state_dict()}

    def recall(self, saved: dict[str, dict[str, Any]]) -> None:
        """Restore what the watchers remembered, by the names of their classes."""
        for w in self.watch:
            if type(w).__name__ in saved:
                w.load_state_dict(saved[type(w).__name__])

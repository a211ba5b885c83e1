"""`state.pt`: what a run needs to go on after it was killed. Tensors and text, no code."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from untrained.errors import UserError
from untrained.files import atomic_write, make_directory
from untrained.threads import current_threads

FILE = "state.pt"
EVERY_SECONDS = 10.0


class Checkpoint:
    """The phases of one run: those finished, and the one under way.

    A procedure of several phases (fit, refit, one per problem of a group) stores each finished
    phase; a resumed run gets it back instead of repeating it.

    `resumed_from` has one entry per sitting that took the run up again: the optimiser steps, over
    all phases, that it did not have to repeat.

    Args:
        run_dir: where `state.pt` lives; None = nothing is kept.
        settings: what must agree for a run to be taken up again, as plain JSON values.

    Raises:
        UserError: `state.pt` is damaged or belongs to other settings.
    """

    def __init__(self, run_dir: str | Path | None, settings: dict[str, Any]) -> None:
        self.path = None if run_dir is None else make_directory(run_dir) / FILE
        self.settings = json.loads(json.dumps(settings))
        self.finished: dict[str, Any] = {}
        self.running: dict[str, Any] = {}
        self.resumed_from: list[int] = []
        self.threads = current_threads()
        self._saved_at = -float("inf")  # the first step is saved at once
        self._cost = 0.0
        if self.path is not None and self.path.exists():
            self._load()

    def due(self) -> bool:
        """Whether it is time to save: at once, then every 10 s, at most 25 s where it is slow."""
        waited = time.monotonic() - self._saved_at
        return self.path is not None and waited > max(EVERY_SECONDS, min(25.0, 20 * self._cost))

    def save(self, phase: str, step: int, state: dict[str, Any]) -> None:
        """Store the phase under way, `step` steps into it."""
        self.running = {"phase": phase, "step": step, "state": state}
        self._write()

    def finish(self, phase: str, outcome: dict[str, Any]) -> None:
        """Store a finished phase."""
        self.finished[phase] = outcome
        self.running = {}
        self._write()

    def resume(self, phase: str) -> dict[str, Any] | None:
        """The state of `phase` where it was left, or None."""
        if self.running.get("phase") != phase:
            return None
        return self.running["state"]

    def _write(self) -> None:
        if self.path is None:
            return
        began = time.monotonic()
        content = {
            "settings": json.dumps(self.settings),
            "finished": self.finished,
            "running": self.running,
            "resumed_from": self.resumed_from,
            "threads": self.threads,
        }
        with atomic_write(self.path) as stream:
            torch.save(content, stream)
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - began

    def _load(self) -> None:
        assert self.path is not None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            settings = json.loads(content["settings"])
            self.finished, self.running = content["finished"], content["running"]
            self.resumed_from = list(content["resumed_from"])
            self.threads = int(content["threads"])
            before = sum(int(phase["steps"]) for phase in self.finished.values())
            self.resumed_from.append(before + int(self.running.get("step", 0)))
        except Exception as error:
            raise UserError(
                f"{self.path} cannot be read ({type(error).__name__}): it is damaged or not a "
                "state of this program; start again with --overwrite"
            ) from error
        changed = _differences(settings, self.settings)
        if changed:
            raise UserError(
                f"{self.path} was made with other settings ({'; '.join(changed[:4])}); resume "
                "with those settings, or start again with --overwrite or another --out"
            )


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[str] = []
        for key in sorted({*old, *new}):
            path = f"{name}.{key}" if name else key
            found += _differences(old.get(key), new.get(key), path)
        return found
    return [] if old == new else [f"{name} was {old!r}, now {new!r}"]

"""The checkpoint `state.pt`: what `Stage.state_dict` gives, and what `--resume` refuses."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from untrained._version import versions
from untrained.errors import UserError
from untrained.files import is_sealed, is_whole, make_directory, remove_stale_parts, sealed_write
from untrained.folder import STATE as FILE
from untrained.solver.memory import is_out_of_memory
from untrained.threads import current_threads

EVERY_SECONDS = 10.0
MOST_THREADS = 1024  # beyond any machine
LAYOUT = 4
"""Version of what is stored; increase it when `Stage.state_dict` changes."""
VERSIONS = ("untrained", "torch", "platform")
"""Versions on which the bits of a run depend; another version of Python gives the same bits."""


class Checkpoint:
    """Keep the stages of one run: those finished, and the one under way.

    A fit of several stages (first fit, refit, one per problem of a group) stores each finished
    stage; a resumed run gets it back instead of repeating it.

    The file ends with a checksum, which is checked before anything in it is read: a state that
    lost a single bit is refused.

    `resumed_from` has one entry per sitting that took the run up again: the optimiser steps, over
    all stages, that it did not have to repeat.

    Args:
        run_dir: where `state.pt` lives; None = nothing is kept.
        settings: what must agree for a run to be taken up again, as plain JSON values.

    Raises:
        UserError: `state.pt` is damaged, was written by other versions, or belongs to other
            settings; it says whether the work in it is lost or kept.
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
        if self.path is not None:
            remove_stale_parts(self.path)
            if self.path.exists() or self.path.is_symlink():
                self._load()

    def due(self) -> bool:
        """Return whether it is time to save: at once, then every 10 s, at most 25 s if slow."""
        waited = time.monotonic() - self._saved_at
        return self.path is not None and waited > max(EVERY_SECONDS, min(25.0, 20 * self._cost))

    def save(self, stage: str, step: int, state: dict[str, Any]) -> None:
        """Store the stage under way, `step` steps into it."""
        self.running = {"stage": stage, "step": step, "state": state}
        self._write()

    def finish(self, stage: str, left: dict[str, Any]) -> None:
        """Store what a finished stage left."""
        self.finished[stage] = left
        self.running = {}
        self._write()

    def resume(self, stage: str) -> dict[str, Any] | None:
        """Return the saved state of a stage that was interrupted; None if there is none."""
        if self.running.get("stage") != stage:
            return None
        return self.running["state"]

    @contextlib.contextmanager
    def taken_up(self) -> Iterator[None]:
        """Turn an error raised while a state is restored into a `UserError` with the file's name.

        Raises:
            UserError: whatever failed inside, but for a lack of memory.
        """
        try:
            yield
        except Exception as error:
            if self.path is None or is_out_of_memory(error):
                raise
            raise _unreadable(self.path, error) from error

    def _write(self) -> None:
        if self.path is None:
            return
        began = time.monotonic()
        content = {
            "layout": LAYOUT,
            "settings": json.dumps(self.settings),
            "versions": versions(),
            "finished": self.finished,
            "running": self.running,
            "resumed_from": self.resumed_from,
            "threads": self.threads,
        }
        with sealed_write(self.path) as stream:
            torch.save(content, stream)
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - began

    def _load(self) -> None:
        assert self.path is not None
        content = _read(self.path)
        _require_same_versions(self.path, content["versions"])
        changed = _differences(json.loads(content["settings"]), self.settings)
        if changed:
            raise UserError(
                f"{self.path} was made with other settings ({'; '.join(changed[:4])}); the work in "
                "it is kept: resume with those settings, or start again with --overwrite or "
                "another --out"
            )
        self.finished, self.running = content["finished"], content["running"]
        self.threads = content["threads"]
        before = sum(int(stage["steps"]) for stage in self.finished.values())
        self.resumed_from = [*content["resumed_from"], before + int(self.running.get("step", 0))]


def _read(path: Path) -> dict[str, Any]:
    """Read a state that is bit for bit what was written.

    Raises:
        UserError: it is not.
    """
    if not is_sealed(path):
        raise UserError(
            f"{path} is no state that this program wrote, or it lost its end, and with it the "
            "work; it was not touched: move it away and start again, or choose another --out"
        )
    if not is_whole(path):
        raise UserError(
            f"{path} is damaged: its checksum is not that of its contents. The work in it is "
            "lost; start again with --overwrite"
        )
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        layout = content.get("layout", 1)
        if layout == LAYOUT:  # before its parts, which another layout need not have
            _check(content)
    except Exception as error:  # what torch raises depends on its version
        raise _unreadable(path, error) from error
    if layout != LAYOUT:
        raise UserError(
            f"{path} was written by an untrained whose states have another layout ({layout}, here "
            f"{LAYOUT}); the work in it is kept: resume with that version, or start again with "
            "--overwrite"
        )
    return content


def _unreadable(path: Path, error: Exception) -> UserError:
    """Name the file whose checksum is right and whose parts are not those of this run."""
    return UserError(
        f"{path} is whole, but untrained and torch {torch.__version__} cannot read it here "
        f"({type(error).__name__}); the work is kept: resume with the versions that wrote it, "
        "or start again with --overwrite"
    )


def _check(content: dict[str, Any]) -> None:
    """Raise what is wrong with the parts of a state, if anything is."""
    json.loads(content["settings"])
    kinds = {"versions": dict, "finished": dict, "running": dict, "resumed_from": list}
    wrong = [name for name, kind in kinds.items() if not isinstance(content[name], kind)]
    if wrong or not 1 <= int(content["threads"]) <= MOST_THREADS:
        raise ValueError(f"its {', '.join(wrong) or 'threads'}")
    for stage in content["finished"].values():
        int(stage["steps"])


def _require_same_versions(path: Path, before: dict[str, str]) -> None:
    now = versions()
    changed = [name for name in VERSIONS if before.get(name) != now[name]]
    if changed:
        was, there = (" and ".join(f"{n} {v[n]}" for n in changed) for v in (before, now))
        raise UserError(
            f"{path} was written by {was}, and this is {there}: to go on would give other bits. "
            "The work in it is kept: resume with those versions, or start again with --overwrite"
        )


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[str] = []
        for key in sorted({*old, *new}):
            path = f"{name}.{key}" if name else key
            found += _differences(old.get(key), new.get(key), path)
        return found
    return [] if old == new else [f"{name} was {old!r}, now {new!r}"]

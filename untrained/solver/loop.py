"""One phase of a run: the loop, from its start or from where a checkpoint left it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from untrained.core.recipe import Recipe
from untrained.core.rule import Watch
from untrained.group import Group
from untrained.problem import Problem
from untrained.solver.checkpoint import Checkpoint
from untrained.solver.stage import LEAN, Loop, Outcome
from untrained.solver.track import Track


@dataclass(frozen=True)
class Sitting:
    """What all phases of one call have in common."""

    kept: Checkpoint
    watch: tuple[Watch, ...]
    half: bool


def phase(
    sitting: Sitting,
    name: str,
    recipes: Sequence[Recipe],
    problem: Problem | Group,
    held: Problem | None,
    seed: int | Sequence[int],
    weights: dict[str, Tensor] | None = None,
    rows: Sequence[int] | None = None,
    tracks: Mapping[int, Track] | None = None,
) -> list[Outcome]:
    """The loop, from the start or from where a checkpoint left it."""
    kept, watch = sitting.kept, sitting.watch
    if name in kept.finished:
        with kept.taken_up():
            done = kept.finished[name]
            _recall(watch, done["watch"])
            return [Outcome.of(one).to(problem.device) for one in done["outcomes"]]
    with _watched(watch, name):
        loop = Loop(recipes, problem, held, seed, sitting.half, rows, tracks)
        if weights is not None:
            loop.s.take_weights(weights)
        if loop.lean:
            _say(watch, LEAN)
        saved = kept.resume(name)
        if saved is not None:
            with kept.taken_up():
                loop.load_state_dict(saved)
        for w in watch:
            w.begin(name, loop.total, loop.s.step)
        with kept.taken_up():
            _recall(watch, (saved or {}).get("watch", {}))
        while not loop.over():
            try:
                loop.step(watch)
            except (MemoryError, RuntimeError) as error:
                _say(watch, loop.leaner(error))
                continue
            loop.pause = next(filter(None, (w.interrupted() for w in watch)), None)
            if loop.pause or kept.due():
                kept.save(name, loop.s.step, {**loop.state_dict(), "watch": _remembered(watch)})
    label = name.rpartition("/")[2]
    replaced = recipes[0].stop.refit if label == "fit" else label != "refit"
    outcomes = loop.outcomes(label, replaced)
    if all(one.finished for one in outcomes):
        plain = [one.plain() for one in outcomes]
        steps = sum(one.steps for one in outcomes)
        kept.finish(name, {"outcomes": plain, "steps": steps, "watch": _remembered(watch)})
    return outcomes


@contextlib.contextmanager
def _watched(watch: tuple[Watch, ...], name: str) -> Iterator[None]:
    """A phase that the watchers see begin and, error or not, end."""
    for w in watch:
        w.prepare(name)
    try:
        yield
    finally:
        for w in watch:
            w.end(name)


def _say(watch: tuple[Watch, ...], text: str) -> None:
    for w in watch:
        w.say(text)


def _remembered(watch: tuple[Watch, ...]) -> dict[str, dict[str, Any]]:
    """The watchers' memories by the names of their classes."""
    return {type(w).__name__: w.state_dict() for w in watch if w.state_dict()}


def _recall(watch: tuple[Watch, ...], saved: dict[str, dict[str, Any]]) -> None:
    for w in watch:
        if type(w).__name__ in saved:
            w.load_state_dict(saved[type(w).__name__])

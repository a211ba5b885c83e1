"""The one loop.

`solve` calls `method.loss` and takes one optimiser step N times, then `method.advance`, K times.
It alone owns randomness, precision, the guard against NaN, checkpoint and resume. Measurements
are split before anything else when the stop rule holds some out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from untrained.core.checkpoint import Checkpoint
from untrained.core.engine import Engine
from untrained.core.loop import LEAN, Loop, Outcome
from untrained.core.machine import pick_device
from untrained.core.method import Method
from untrained.core.recipe import NetSpec, Recipe
from untrained.core.result import Result
from untrained.core.rule import Guard, Last, MaxSteps, Never, Output, Stop, Stopped, Watch
from untrained.errors import Diverged
from untrained.group import Group
from untrained.nets import Compact
from untrained.problem import Problem


def solve(
    method: Method,
    problem: Problem,
    *,
    net: NetSpec | None = None,
    engine: Engine | None = None,
    stop: Stop | None = None,
    output: Output | None = None,
    guard: Guard | None = None,
    steps: int = 0,
    watch: Sequence[Watch] = (),
    seed: int = 0,
    device: str | torch.device = "auto",
    run_dir: str | Path | None = None,
) -> Result:
    """Fit an untrained network to a problem.

    Args:
        method: the equations.
        problem: measurements and physics; a group `(G, ...)` is solved in turn, each problem
            with the same seed, so that a group equals its singles.
        net: the network's description.
        engine, stop, output, guard: see their classes.
        steps: budget in optimiser steps; 0 = the method's own.
        watch: watchers (progress, reference, interruption).
        seed: names all randomness.
        device: `auto`, `cpu`, `cuda`, `mps`.
        run_dir: keep a checkpoint there, and take up the one found there.

    Returns:
        The result; `result.image` is `(G, C, ...)` in the units of the measurements.

    Raises:
        UserError: a checkpoint of other settings, a rule that lacks what it needs.
        Diverged: the objective became NaN before any image could be kept.
    """
    recipe = Recipe(
        method=method,
        net=net or Compact(),
        engine=engine or Engine(),
        stop=stop or Never(),
        output=output or Last(keep_best=True),
        guard=guard,
        weighting=problem.weighting,
        steps=steps,
    )
    return solve_recipe(recipe, problem, watch=watch, seed=seed, device=device, run_dir=run_dir)


def solve_recipe(
    recipe: Recipe,
    problem: Problem,
    *,
    watch: Sequence[Watch] = (),
    seed: int = 0,
    device: str | torch.device = "auto",
    run_dir: str | Path | None = None,
    settings: dict[str, Any] | None = None,
) -> Result:
    """`solve` for a ready recipe. `settings` is what else must agree for a resume (data hash)."""
    place = pick_device(device)
    problem = problem.weighted(recipe.weighting).to(place)
    half = recipe.engine.resolve(place) == "bf16"
    kept = _checkpoint(recipe, seed, place, run_dir, settings)
    with _threads(kept):
        solved: list[Outcome] = []
        for i in range(len(problem.y)):
            alone = problem.select(i)
            if solved and not solved[-1].finished:
                solved.append(_not_begun(alone, solved[-1]))
                continue
            solved.append(_one(recipe, alone, f"{i}/", kept, tuple(watch), seed, half))
    return _result(solved, recipe, seed, place, kept)


def fit_together(
    recipe: Recipe,
    group: Group,
    *,
    watch: Sequence[Watch] = (),
    seed: int = 0,
    device: str | torch.device = "auto",
    run_dir: str | Path | None = None,
    settings: dict[str, Any] | None = None,
) -> Result:
    """Fit problems of their own physics in one go, by networks that share what the method says.

    Nothing is held out: what is sought is the weights, not the images. The arguments are those of
    `solve_recipe`; a weight that is shared is `(1, ...)` in the result.
    """
    place = pick_device(device)
    group = group.weighted(recipe.weighting).to(place)
    half = recipe.engine.resolve(place) == "bf16"
    kept = _checkpoint(recipe, seed, place, run_dir, settings)
    with _threads(kept):
        fitted = _phase(recipe, group, None, "fit", kept, tuple(watch), seed, half)
    return _result([fitted], recipe, seed, place, kept)


def _checkpoint(
    recipe: Recipe,
    seed: int,
    place: torch.device,
    run_dir: str | Path | None,
    settings: dict[str, Any] | None,
) -> Checkpoint:
    return Checkpoint(
        run_dir,
        {
            "recipe": {k: v for k, v in recipe.to_dict().items() if k != "source"},
            "seed": seed,
            "device": place.type,
            "precision": recipe.engine.resolve(place),
            **(settings or {}),
        },
    )


def _result(
    solved: list[Outcome], recipe: Recipe, seed: int, place: torch.device, kept: Checkpoint
) -> Result:
    return Result(
        image=torch.cat([one.image for one in solved]),
        history=solved[0].history,
        origins=solved[0].origins,
        stop=[one.stop for one in solved],
        recipe=recipe,
        seed=seed,
        steps=solved[0].steps,
        seconds=sum(one.seconds for one in solved),
        cpu_seconds=sum(one.cpu_seconds for one in solved),
        device=str(place),
        precision=recipe.engine.resolve(place),
        threads=kept.threads,
        resumed_from=kept.resumed_from,
        finished=all(one.finished for one in solved),
        rival=[one.rival for one in solved],
        weights={n: torch.cat([one.weights[n] for one in solved]) for n in solved[0].weights},
        z=None if solved[0].z is None else torch.cat([o.z for o in solved if o.z is not None]),
    )


def _one(
    recipe: Recipe,
    problem: Problem,
    prefix: str,
    kept: Checkpoint,
    watch: tuple[Watch, ...],
    seed: int,
    half: bool,
) -> Outcome:
    """One problem: split, fit, and where the stop rule asks for it fit everything again."""
    fit, held = problem, None
    if recipe.stop.holdout:
        fit, held = problem.split(recipe.stop.holdout, seed)
    if recipe.trial and held is not None:
        return _with_rival(recipe, problem, (fit, held), prefix, kept, watch, seed, half)
    first = _phase(recipe, fit, held, f"{prefix}fit", kept, watch, seed, half)
    if not (recipe.stop.refit and first.finished):
        return first
    row = {k: float(v[first.stop.step - 1]) for k, v in first.history.items() if k != "phase"}
    again, weights = _again(recipe, first)
    again = replace(again, output=recipe.output.settled(row))
    whole = problem.after(fit)
    try:
        last = _phase(again, whole, None, f"{prefix}refit", kept, watch, seed, half, weights)
    except Diverged as error:
        return _not_refitted(first, str(error))
    if last.stop.rule == "diverged":
        return _not_refitted(first, last.stop.reason)
    stopped = Stopped(
        first.stop.rule,
        first.stop.step,
        f"{first.stop.reason}; then all measurements were fitted for {last.steps}"
        f"{'' if weights is None else ' more'} steps",
    )
    return replace(
        last,
        stop=stopped if last.finished else last.stop,
        history=_joined(first.history, last.history),
        origins={**last.origins, **first.origins},
        steps=first.steps + last.steps,
        seconds=first.seconds + last.seconds,
        cpu_seconds=first.cpu_seconds + last.cpu_seconds,
    )


def _with_rival(
    recipe: Recipe,
    problem: Problem,
    split: tuple[Problem, Problem],
    prefix: str,
    kept: Checkpoint,
    watch: tuple[Watch, ...],
    seed: int,
    half: bool,
) -> Outcome:
    """Try the method and its rival, and run the one that predicts held-out measurements better."""
    assert recipe.rival is not None
    rivals = (recipe.method, recipe.rival)
    short = replace(recipe, rival=None).with_steps(recipe.trial)
    errors = []
    for name, method in zip(("probe", "rival"), rivals, strict=True):
        tried = replace(short, method=method.within(short.budget))
        found = _phase(tried, *split, f"{prefix}{name}", kept, watch, seed, half)
        if not found.finished:
            return found
        errors.append(min(map(float, found.history["held-out error"])))
    won = errors[1] < errors[0]
    alone = replace(recipe, method=rivals[won], rival=None)
    found = _one(alone, problem, prefix, kept, watch, seed, half)
    why = (
        f"before, {short.budget} steps of each had shown that {rivals[0].told} predicts held-out "
        f"measurements {'worse' if won else 'no worse'} ({errors[0]:.3g}) than "
        f"{rivals[1].told} ({errors[1]:.3g})"
    )
    stop = replace(found.stop, reason=f"{found.stop.reason}; {why}")
    return replace(found, stop=stop, rival=won)


def _again(recipe: Recipe, first: Outcome) -> tuple[Recipe, dict[str, Tensor] | None]:
    """The fit of all measurements, and the weights it starts from (None: drawn as before)."""
    step = first.stop.step
    if not recipe.stop.carry or step < first.steps:
        return replace(recipe, stop=MaxSteps(step)), None  # the same steps, rates included
    engine = recipe.engine.gentler(GENTLE)
    steps = max(1, round(recipe.stop.carry * step))
    return replace(recipe, stop=Never(), steps=steps, engine=engine), first.weights


def _not_refitted(first: Outcome, why: str) -> Outcome:
    reason = f"{first.stop.reason}; the fit of all measurements failed: {why}"
    return replace(first, stop=replace(first.stop, reason=reason))


def _not_begun(problem: Problem, previous: Outcome) -> Outcome:
    """A problem of a group that was interrupted before its turn: its adjoint image."""
    return replace(
        previous,
        image=problem.to_units(problem.estimate()),
        stop=replace(previous.stop, step=0, reason=f"not begun: {previous.stop.reason}"),
        seconds=0.0,
        cpu_seconds=0.0,
    )


def _phase(
    recipe: Recipe,
    problem: Problem | Group,
    held: Problem | None,
    name: str,
    kept: Checkpoint,
    watch: tuple[Watch, ...],
    seed: int,
    half: bool,
    weights: dict[str, Tensor] | None = None,
) -> Outcome:
    """The loop, from the start or from where a checkpoint left it."""
    if name in kept.finished:
        done = dict(kept.finished[name])
        _recall(watch, done.pop("watch", {}))
        return Outcome(**{**done, "stop": Stopped(**done["stop"])}).to(problem.device)
    with _watched(watch, name):
        loop = Loop(recipe, problem, held, seed, half)
        if weights is not None:
            loop.s.take_weights(weights)
        if loop.lean:
            _say(watch, LEAN)
        saved = kept.resume(name)
        if saved is not None:
            loop.load_state_dict(saved)
        for w in watch:
            w.begin(name, loop.total, loop.s.step)
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
    outcome = loop.outcome(label, replaced=label == "fit" and recipe.stop.refit)
    if outcome.finished:
        kept.finish(name, {**outcome.plain(), "watch": _remembered(watch)})
    return outcome


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


GENTLE = 0.3
"""Learning rate of a fit that goes on from another one's weights, relative to a first fit's."""


def _joined(
    first: dict[str, list[float | str]], second: dict[str, list[float | str]]
) -> dict[str, list[float | str]]:
    """Two histories one after the other; a column that one lacks is NaN there."""
    counts = len(first["step"]), len(second["step"])
    nan = float("nan")
    return {
        name: first.get(name, [nan] * counts[0]) + second.get(name, [nan] * counts[1])
        for name in {**first, **second}
    }


@contextlib.contextmanager
def _threads(kept: Checkpoint) -> Iterator[None]:
    """Run on the thread count of the first sitting: the bits depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(kept.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)

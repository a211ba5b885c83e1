"""The one loop.

`solve` calls `method.loss` and takes one optimiser step N times, then `method.advance`, K times.
It alone owns randomness, precision, the guard against NaN, checkpoint and resume. Measurements
are split before anything else when the stop rule holds some out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from untrained.ambient import single_precision
from untrained.core.engine import Engine
from untrained.core.machine import pick_device
from untrained.core.method import Method
from untrained.core.recipe import NetSpec, Recipe
from untrained.core.result import Result
from untrained.core.rule import Guard, Last, Never, Output, Stop, Watch
from untrained.group import Group
from untrained.nets import Compact
from untrained.problem import Problem
from untrained.solver.batching import Member, side_by_side
from untrained.solver.checkpoint import Checkpoint
from untrained.solver.loop import Sitting, phase
from untrained.solver.refit import solve_members
from untrained.solver.stage import Outcome
from untrained.solver.track import Track
from untrained.threads import threads_for, use_threads


@single_precision()
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


@single_precision()
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
    each = solve_each(
        recipe,
        problem.each(),
        seeds=[seed] * len(problem),
        watch=watch,
        device=device,
        run_dir=run_dir,
        settings=settings,
    )
    return as_one(each)


@single_precision()
def solve_each(
    recipe: Recipe,
    problems: Sequence[Problem],
    *,
    seeds: Sequence[int],
    watch: Sequence[Watch] = (),
    device: str | torch.device = "auto",
    run_dir: str | Path | None = None,
    settings: dict[str, Any] | None = None,
    track: Track | None = None,
) -> list[Result]:
    """Solve problems of one image each, every one with its own seed; a result for each.

    With `track`, the data term of an earlier fit of each step, one that goes wrong is ended.

    In turn on a CPU. A GPU takes as many side by side as its memory holds (`engine.together`),
    as far as one operator can stand for theirs (see `joined`); each stops by itself. Those that an
    interruption left without a step have their adjoint image.
    """
    recipe.check()
    place = pick_device(device)
    half = recipe.engine.resolve(place) == "bf16"
    with use_threads(threads_for(problems[0].x_shape[1:])):
        kept = _checkpoint(recipe, list(seeds), place, run_dir, settings)
    sitting = Sitting(kept, tuple(watch), half)
    members = [
        Member(row, problem.weighted(recipe.weighting).to(place), seed, track)
        for row, (problem, seed) in enumerate(zip(problems, seeds, strict=True))
    ]
    solved: list[Outcome] = []
    with use_threads(sitting.kept.threads):  # those of the first sitting: the bits depend on it
        for some in side_by_side(recipe, members, place):
            if not all(one.finished for one in solved):
                solved += [_not_begun(member.problem, solved[-1]) for member in some]
                continue
            solved += solve_members(sitting, recipe, some)
    return [
        _result(one, recipe, seed, place, sitting.kept)
        for one, seed in zip(solved, seeds, strict=True)
    ]


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
    with use_threads(threads_for(group.x_shape[1:])):
        kept = _checkpoint(recipe, [seed], place, run_dir, settings)
    sitting = Sitting(kept, tuple(watch), half)
    with use_threads(sitting.kept.threads):
        fitted = phase(sitting, "fit", [recipe] * len(group), group, None, seed)
    return _result(fitted[0], recipe, seed, place, sitting.kept)


def _checkpoint(
    recipe: Recipe,
    seeds: list[int],
    place: torch.device,
    run_dir: str | Path | None,
    settings: dict[str, Any] | None,
) -> Checkpoint:
    return Checkpoint(
        run_dir,
        {
            "recipe": {k: v for k, v in recipe.to_dict().items() if k != "source"},
            "seed": seeds[0] if len(set(seeds)) == 1 else seeds,
            "device": place.type,
            "precision": recipe.engine.resolve(place),
            **(settings or {}),
        },
    )


def _result(
    one: Outcome, recipe: Recipe, seed: int, place: torch.device, kept: Checkpoint
) -> Result:
    return Result(
        image=one.image,
        history=one.history,
        origins=one.origins,
        stop=[one.stop],
        recipe=recipe,
        seed=seed,
        steps=one.steps,
        seconds=one.seconds,
        cpu_seconds=one.cpu_seconds,
        device=str(place),
        precision=recipe.engine.resolve(place),
        threads=kept.threads,
        resumed_from=kept.resumed_from,
        finished=one.finished,
        candidate=[one.candidate],
        dropped=one.dropped,
        weights=one.weights,
        z=one.z,
        guide=one.guide,
    )


def as_one(each: Sequence[Result]) -> Result:
    """The results of several images as one, with the history of the first."""
    first = each[0]
    if len(each) == 1:
        return first
    stds = [one.std for one in each if one.std is not None]  # none of what was interrupted
    guides = [one.guide for one in each if one.guide is not None]
    return replace(
        first,
        image=torch.cat([one.image for one in each]),
        guide=torch.cat(guides) if len(guides) == len(each) else None,
        stop=[stop for one in each for stop in one.stop],
        seconds=sum(one.seconds for one in each),
        cpu_seconds=sum(one.cpu_seconds for one in each),
        finished=all(one.finished for one in each),
        candidate=[chosen for one in each for chosen in one.candidate],
        std=torch.cat(stds) if len(stds) == len(each) else None,
        weights={n: torch.cat([one.weights[n] for one in each]) for n in first.weights},
        z=None if first.z is None else torch.cat([one.z for one in each if one.z is not None]),
    )


def _not_begun(problem: Problem, previous: Outcome) -> Outcome:
    """A problem of a group that was interrupted before its turn: its adjoint image."""
    return replace(
        previous,
        image=problem.to_units(problem.estimate()),
        stop=replace(previous.stop, step=0, reason=f"not begun: {previous.stop.reason}"),
        steps=0,
        seconds=0.0,
        cpu_seconds=0.0,
        guide=None,
    )

"""Fit problems from start to end: which stages a fit consists of, and in which order.

Measurements are split before anything else where the stop rule holds some out; then trials, if
there are candidates to choose between; then the first fit; then, where the rule asks for it, a
refit of all measurements. Each is a stage, and `loop.py` runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from untrained.ambient import single_precision
from untrained.core.recipe import Recipe
from untrained.core.start import StartWeights
from untrained.core.watch import Watch
from untrained.machine import pick_device
from untrained.problem import Problem
from untrained.problem.group import Group
from untrained.problem.stacking import stack_problems
from untrained.solver.batching import Member, members_stage, side_by_side
from untrained.solver.checkpoint import Checkpoint
from untrained.solver.context import RunContext
from untrained.solver.fit import Fit, stack_fits
from untrained.solver.loop import run_stage
from untrained.solver.refit import plan_refit, refit_all
from untrained.solver.snapshot import Snapshot
from untrained.solver.stage_input import FIRST, StageInput
from untrained.solver.track import Track
from untrained.solver.trial import Trials, try_candidates
from untrained.threads import threads_for, use_threads


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
    start: StartWeights | None = None,
) -> Fit:
    """Fit the images of a problem by one recipe and one seed.

    The arguments are those of `untrained.solve`; `settings` is what else must agree for a resume
    (the hash of the data).
    """
    each = solve_each(
        recipe,
        problem.each(),
        seeds=[seed] * len(problem),
        watch=watch,
        device=device,
        run_dir=run_dir,
        settings=settings,
        start=start,
    )
    return stack_fits(each)


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
    start: StartWeights | None = None,
    split: int | None = None,
) -> list[Fit]:
    """Fit problems of one image each, every one with its own seed; a fit for each.

    With `track`, the data term at each step of an earlier fit, a fit whose data term grows far
    beyond it is ended. With `split`, that seed says for all what is held out.

    On a CPU the problems are fitted in turn. On a GPU as many are fitted side by side as its
    memory holds (`engine.together`), if their operators can be joined to one (see
    `stack_problems`); each stops by itself. A problem that was not begun before an interruption
    gets its adjoint image.
    """
    recipe.check()  # before `_context`, which makes the run's folder
    place = pick_device(device)
    if start is not None and start.prior is not None:
        settings = {**(settings or {}), "prior": start.prior.provenance.sha256}
    context = _context(
        recipe, seeds, threads_for(problems[0].x_shape[1:]), watch, place, run_dir, settings
    )
    context = replace(context, start=start)
    members = [
        Member(row, problem.weighted(recipe.weighting).to(place), seed, track, split)
        for row, (problem, seed) in enumerate(zip(problems, seeds, strict=True))
    ]
    solved: list[Fit] = []
    # As many threads as when the run was begun, on whatever machine: the bits depend on it.
    with use_threads(context.checkpoint.threads):
        for some in side_by_side(recipe, members, place, None if start is None else start.prior):
            # Once a fit was interrupted, the later ones are not begun: a resumed run takes them up.
            if not all(one.finished for one in solved):
                solved += [_not_begun(member.problem, solved[-1]) for member in some]
                continue
            solved += solve_members(context, recipe, some)
    return [_completed(one, recipe, seed, context) for one, seed in zip(solved, seeds, strict=True)]


def fit_together(
    recipe: Recipe,
    group: Group,
    *,
    watch: Sequence[Watch] = (),
    seed: int = 0,
    device: str | torch.device = "auto",
    run_dir: str | Path | None = None,
    settings: dict[str, Any] | None = None,
    start: StartWeights | None = None,
) -> Fit:
    """Fit problems of their own physics in one go, by networks that share what the method says.

    Nothing is held out: what is sought is the weights, not the images. The arguments are those of
    `solve_recipe`; a weight that is shared is `(1, ...)` in the result.
    """
    place = pick_device(device)
    group = group.weighted(recipe.weighting).to(place)
    context = _context(
        recipe, [seed], threads_for(group.x_shape[1:]), watch, place, run_dir, settings
    )
    context = replace(context, start=start)
    with use_threads(context.checkpoint.threads):
        fitted = run_stage(context, StageInput(FIRST, [recipe] * len(group), group, [seed]))
    return _completed(fitted[0], recipe, seed, context)


@single_precision()
def go_on(
    recipe: Recipe,
    problem: Problem,
    snapshot: Snapshot,
    *,
    seed: int,
    watch: Sequence[Watch] = (),
    device: str | torch.device = "auto",
    run_dir: str | Path | None = None,
    settings: dict[str, Any] | None = None,
    start: StartWeights | None = None,
) -> Fit:
    """Fit one image in one stage from weights and variables that another fit left.

    Nothing is held out and nothing refitted; the optimiser begins anew. The arguments are those of
    `solve_recipe`.
    """
    place = pick_device(device)
    context = _context(
        recipe, [seed], threads_for(problem.x_shape[1:]), watch, place, run_dir, settings
    )
    stage = StageInput(
        FIRST,
        [recipe],
        problem.weighted(recipe.weighting).to(place),
        [seed],
        weights=snapshot.weights,
        variables=snapshot.variables,
    )
    context = replace(context, start=start)
    with use_threads(context.checkpoint.threads):
        (fitted,) = run_stage(context, stage)
    return _completed(fitted, recipe, seed, context)


def solve_members(context: RunContext, recipe: Recipe, members: Sequence[Member]) -> list[Fit]:
    """Fit problems side by side, through all stages; a fit for each, in their order."""
    problems, hidden = [m.problem for m in members], []
    # Before anything else: neither a method nor the scale of a problem may see what is held out.
    if recipe.stop.holdout:
        seeds = [m.seed if m.split is None else m.split for m in members]
        halves = [
            m.problem.split(recipe.stop.holdout, seed)
            for m, seed in zip(members, seeds, strict=True)
        ]
        problems, hidden = [fit for fit, _ in halves], [held for _, held in halves]
    fit, held = stack_problems(problems), stack_problems(hidden) if hidden else None
    # Each split draws what is held out by its own seed; then one operator may no longer do for all.
    if fit is None or (hidden and held is None):
        return [one for m in members for one in solve_members(context, recipe, [m])]
    # Before the first fit: `_solve_chosen` calls this function again, with the chosen candidate
    # alone and the same split.
    if recipe.trial and held is not None:
        trials = try_candidates(context, recipe, members, fit, held)
        if not trials.finished:  # interrupted: nothing is chosen yet
            return list(trials.fits[-1])
        return _solve_chosen(context, recipe, members, trials)
    watched = {m.row: m.track for m in members if m.track is not None}
    stage = members_stage(FIRST, members, [recipe] * len(members), fit)
    tracks = watched if watched or held is not None else None
    first = run_stage(context, replace(stage, held=held, tracks=tracks))
    if not (recipe.stop.refit and all(one.finished for one in first)):
        return first
    # Last, and on all measurements: m.problem is the problem before it was split.
    refits = [
        plan_refit(recipe, replace(m, problem=m.problem.after(part)), one)
        for m, part, one in zip(members, problems, first, strict=True)
    ]
    last = refit_all(context, refits)
    return [last[m.row] for m in members]


def _solve_chosen(
    context: RunContext, recipe: Recipe, members: Sequence[Member], trials: Trials
) -> list[Fit]:
    """Fit every problem by the method that its trials chose; those of one method side by side."""
    chosen = [trials.choose(index) for index in range(len(members))]
    solved: dict[int, Fit] = {}
    for number in sorted(set(chosen)):
        some = [m for m, best in zip(members, chosen, strict=True) if best == number]
        alone = replace(recipe, method=trials.candidates[number], alternative=None)
        fits = solve_members(context, alone, some)
        solved |= {m.row: one for m, one in zip(some, fits, strict=True)}
    return [trials.record(index, solved[m.row]) for index, m in enumerate(members)]


def _context(
    recipe: Recipe,
    seeds: Sequence[int],
    threads: int,
    watch: Sequence[Watch],
    place: torch.device,
    run_dir: str | Path | None,
    settings: dict[str, Any] | None,
) -> RunContext:
    """Open the checkpoint of a call; it remembers the number of threads of a new run."""
    precision = recipe.engine.resolve(place)
    # A new checkpoint notes the threads in use; one that is found brings those it was begun with.
    with use_threads(threads):
        checkpoint = Checkpoint(
            run_dir,
            {
                "recipe": {k: v for k, v in recipe.to_dict().items() if k != "source"},
                "seed": seeds[0] if len(set(seeds)) == 1 else list(seeds),
                "device": place.type,
                "precision": precision,
                **(settings or {}),
            },
        )
    return RunContext(checkpoint, tuple(watch), place, precision == "bf16")


def _completed(one: Fit, recipe: Recipe, seed: int, context: RunContext) -> Fit:
    """Add to a fit what holds for the whole call."""
    checkpoint = context.checkpoint
    return replace(
        one,
        recipe=recipe,
        seed=seed,
        device=str(context.device),
        precision="bf16" if context.half else "fp32",
        threads=checkpoint.threads,
        resumed_from=tuple(checkpoint.resumed_from),
    )


def _not_begun(problem: Problem, previous: Fit) -> Fit:
    """Return the adjoint image of a problem that was not begun before an interruption."""
    why = previous.stop[0]
    return replace(
        previous,
        image=problem.to_units(problem.estimate()),
        stop=(replace(why, step=0, reason=f"not begun: {why.reason}"),),
        steps=0,
        seconds=0.0,
        cpu_seconds=0.0,
        guide=None,
    )

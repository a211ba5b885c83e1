"""Fit all measurements, after a first fit of some has chosen the number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from untrained.core.recipe import Recipe
from untrained.core.rule import Last, MaxSteps, Never
from untrained.errors import Diverged
from untrained.problem.stacking import stack_problems
from untrained.solver.batching import Member, members_stage
from untrained.solver.context import RunContext
from untrained.solver.fit import Fit, joined_columns
from untrained.solver.loop import run_stage
from untrained.solver.stage import DIVERGED, OFF_TRACK
from untrained.solver.stage_input import REFIT

GENTLE = 0.3
"""Factor of the learning rate in a fit that continues from another fit's weights."""


@dataclass(frozen=True)
class Refit:
    """Describe the fit of all measurements that follows a first fit of some.

    Attributes:
        member: what is fitted.
        first: the first fit.
        recipe: how it is fitted now.
        weights: those that it starts from; None = drawn as before.
        variables: likewise the method's trained variables.
    """

    member: Member
    first: Fit
    recipe: Recipe
    weights: dict[str, Tensor] | None
    variables: dict[str, Tensor] | None = None


def refit_all(context: RunContext, refits: Sequence[Refit]) -> dict[int, Fit]:
    """Carry out refits, side by side where they are alike; a fit for each member's row."""
    done: dict[int, Fit] = {}
    for alike in _group_alike(refits):
        done |= _refit_alike(context, alike)
    return done


def plan_refit(recipe: Recipe, member: Member, first: Fit) -> Refit:
    """Decide how all measurements are fitted: anew, or warm from the first fit's weights."""
    step = first.stop[0].step
    recipe = replace(recipe, output=recipe.output.with_choices_fixed(first.chosen_row()))
    # The weights at hand are those of the last step: they serve only where that was the chosen one.
    if not recipe.stop.warm_refit or step < first.steps:
        same_steps = replace(recipe, stop=MaxSteps(step))  # the budget, and so the rates, are kept
        return Refit(member, first, same_steps, None)
    engine = recipe.engine.gentler(GENTLE)
    steps = max(1, round(recipe.stop.warm_refit * step))
    warm = replace(recipe, stop=Never(), steps=steps, engine=engine)
    return Refit(member, first, warm, first.weights, first.variables)


def _group_alike(refits: Sequence[Refit]) -> list[list[Refit]]:
    """Group those that go side by side: one budget, one engine, and the same kind of start."""
    kinds: list[tuple[bool, Recipe]] = []
    groups: list[list[Refit]] = []
    for one in refits:
        kind = (one.weights is None, replace(one.recipe, stop=Never(), output=Last()))
        if kind not in kinds:
            kinds.append(kind)
            groups.append([])
        groups[kinds.index(kind)].append(one)
    return groups


def _refit_alike(context: RunContext, refits: Sequence[Refit]) -> dict[int, Fit]:
    """Carry out refits of one kind; a fit for each member's row."""
    members = [r.member for r in refits]
    whole = stack_problems([m.problem for m in members])
    if whole is None:
        return {row: one for r in refits for row, one in _refit_alike(context, [r]).items()}
    given = [r.weights for r in refits if r.weights is not None]
    weights = {name: torch.cat([own[name] for own in given]) for name in given[0]} if given else {}
    shown = [r.variables for r in refits if r.variables]
    variables = {n: torch.cat([own[n] for own in shown]) for n in shown[0]} if shown else None
    stage = members_stage(REFIT, members, [r.recipe for r in refits], whole)
    tracks = {r.member.row: _track(r) for r in refits}
    try:
        last = run_stage(
            context, replace(stage, weights=weights or None, variables=variables, tracks=tracks)
        )
    except Diverged as error:
        return {r.member.row: _fall_back(r, str(error)) for r in refits}
    return {r.member.row: _both(r, one) for r, one in zip(refits, last, strict=True)}


def _track(refit: Refit) -> list[float]:
    """Return, for each step of the second fit, the data term that it must not exceed by far."""
    data = [float(value) for value in refit.first.history["data"]]
    return data if refit.weights is None else data[-1:]  # it goes on where the first one ended


def _both(refit: Refit, last: Fit) -> Fit:
    """Join a first fit and the fit of all measurements that followed it."""
    first, ended = refit.first, last.stop[0]
    if ended.rule in (DIVERGED, OFF_TRACK):
        return _fall_back(refit, ended.reason).with_cost_of(last)
    more = "" if refit.weights is None else " more"
    then = f"then all measurements were fitted for {last.steps}{more} steps"
    return replace(
        last,
        stop=first.with_reason(then).stop if last.finished else last.stop,
        history=joined_columns(first.history, last.history),
        origins={**last.origins, **first.origins},
    ).with_cost_of(first)


def _fall_back(refit: Refit, why: str) -> Fit:
    """Return the first fit in place of a failed second, with its closing step applied."""
    first, part = refit.first, refit.member.problem.part
    assert part is not None
    image = part.to_units(refit.recipe.output.finish(part, part.from_units(first.image)))
    dropped = (
        f"the fit of all measurements failed, and its image was dropped for the first's: {why}"
    )
    return replace(first.with_reason(dropped), image=image, dropped=dropped)

"""What becomes of problems side by side: split, fitted, and fitted again on everything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Last, MaxSteps, Never, Stopped
from untrained.errors import Diverged
from untrained.joined import joined
from untrained.problem import Problem
from untrained.solver.batching import Member
from untrained.solver.loop import Sitting, phase
from untrained.solver.stage import DIVERGED, OFF_TRACK, Outcome
from untrained.solver.track import Track

GENTLE = 0.3
"""Learning rate of a fit that goes on from another one's weights, relative to a first fit's."""


def solve_members(sitting: Sitting, recipe: Recipe, members: Sequence[Member]) -> list[Outcome]:
    """Problems side by side: split, fit, and where the stop rule asks for it fit everything again.

    The answers are in the order of the members.
    """
    problems, hidden = [m.problem for m in members], []
    if recipe.stop.holdout:
        halves = [m.problem.split(recipe.stop.holdout, m.seed) for m in members]
        problems, hidden = [fit for fit, _ in halves], [held for _, held in halves]
    fit, held = joined(problems), joined(hidden) if hidden else None
    if fit is None or (hidden and held is None):  # what is held out of them has set them apart
        return [one for m in members for one in solve_members(sitting, recipe, [m])]
    if recipe.trial and held is not None:
        return _after_trials(sitting, recipe, members, fit, held)
    watched = {m.row: m.track for m in members if m.track is not None}
    first = _members_phase(
        sitting,
        "fit",
        [recipe] * len(members),
        members,
        fit,
        held,
        tracks=watched if watched or held is not None else None,
    )
    if not (recipe.stop.refit and all(one.finished for one in first)):
        return first
    refits = [
        _refit(recipe, replace(m, problem=m.problem.after(part)), one)
        for m, part, one in zip(members, problems, first, strict=True)
    ]
    last: dict[int, Outcome] = {}
    for alike in _of_one_kind(refits):
        last |= _refitted(sitting, alike)
    return [last[m.row] for m in members]


@dataclass(frozen=True)
class Refit:
    """The fit of all measurements that follows a first fit of some.

    Attributes:
        member: what is fitted.
        first: the first fit.
        recipe: how it is fitted now.
        weights: those that it starts from; None = drawn as before.
    """

    member: Member
    first: Outcome
    recipe: Recipe
    weights: dict[str, Tensor] | None


def _refit(recipe: Recipe, member: Member, first: Outcome) -> Refit:
    step = first.stop.step
    recipe = replace(recipe, output=recipe.output.settled(first.chosen()))
    if not recipe.stop.carry or step < first.steps:
        same_steps = replace(recipe, stop=MaxSteps(step))  # rates included
        return Refit(member, first, same_steps, None)
    engine = recipe.engine.gentler(GENTLE)
    steps = max(1, round(recipe.stop.carry * step))
    return Refit(
        member, first, replace(recipe, stop=Never(), steps=steps, engine=engine), first.weights
    )


def _of_one_kind(refits: Sequence[Refit]) -> list[list[Refit]]:
    """Those that can be fitted side by side: one budget, one engine, and the same kind of start."""
    kinds: list[tuple[bool, Recipe]] = []
    alike: list[list[Refit]] = []
    for one in refits:
        kind = (one.weights is None, replace(one.recipe, stop=Never(), output=Last()))
        if kind not in kinds:
            kinds.append(kind)
            alike.append([])
        alike[kinds.index(kind)].append(one)
    return alike


def _refitted(sitting: Sitting, refits: Sequence[Refit]) -> dict[int, Outcome]:
    """Refits of one kind, by the rows of their members."""
    members, recipes = [r.member for r in refits], [r.recipe for r in refits]
    whole = joined([m.problem for m in members])
    if whole is None:
        return {row: one for r in refits for row, one in _refitted(sitting, [r]).items()}
    given = [r.weights for r in refits if r.weights is not None]
    weights = (
        {name: torch.cat([own[name] for own in given]) for name in given[0]} if given else None
    )
    try:
        tracks = {r.member.row: _track(r) for r in refits}
        last = _members_phase(sitting, "refit", recipes, members, whole, None, weights, tracks)
    except Diverged as error:
        return {r.member.row: _not_refitted(r, str(error)) for r in refits}
    return {r.member.row: _followed(r, one) for r, one in zip(refits, last, strict=True)}


def _track(refit: Refit) -> list[float]:
    """Return the data term that the second fit should have at each of its steps, at most twice."""
    data = [float(value) for value in refit.first.history["data"]]
    return data if refit.weights is None else data[-1:]  # it goes on where the first one ended


def _followed(refit: Refit, last: Outcome) -> Outcome:
    """A first fit and the fit of everything after it, as one outcome."""
    first = refit.first
    if last.stop.rule in (DIVERGED, OFF_TRACK):
        failed = _not_refitted(refit, last.stop.reason)
        return replace(
            failed,
            steps=failed.steps + last.steps,
            seconds=failed.seconds + last.seconds,
            cpu_seconds=failed.cpu_seconds + last.cpu_seconds,
        )
    stopped = Stopped(
        first.stop.rule,
        first.stop.step,
        f"{first.stop.reason}; then all measurements were fitted for {last.steps}"
        f"{'' if refit.weights is None else ' more'} steps",
    )
    return replace(
        last,
        stop=stopped if last.finished else last.stop,
        history=_joined_history(first.history, last.history),
        origins={**last.origins, **first.origins},
        steps=first.steps + last.steps,
        seconds=first.seconds + last.seconds,
        cpu_seconds=first.cpu_seconds + last.cpu_seconds,
    )


def _after_trials(
    sitting: Sitting,
    recipe: Recipe,
    members: Sequence[Member],
    fit: Problem,
    held: Problem,
) -> list[Outcome]:
    """Try every candidate, and run the one that predicts held-out measurements best."""
    candidates = recipe.candidates
    trials: list[list[Outcome]] = []
    for number, method in enumerate(candidates):
        alone = replace(recipe, method=method, alternative=None).with_steps(recipe.trial)
        found = _members_phase(
            sitting, f"trial {number}", [alone] * len(members), members, fit, held
        )
        if not all(one.finished for one in found):
            return found
        trials.append(found)
    tried = list(zip(*trials, strict=True))  # of each member, every candidate's
    errors = [[_least_error(one) for one in own] for own in tried]
    chosen = [own.index(min(own)) for own in errors]
    solved: dict[int, Outcome] = {}
    for number in sorted(set(chosen)):
        some = [m for m, best in zip(members, chosen, strict=True) if best == number]
        alone = replace(recipe, method=candidates[number], alternative=None)
        for member, one in zip(some, solve_members(sitting, alone, some), strict=True):
            solved[member.row] = replace(one, candidate=number)
    return [
        _with_trials(solved[m.row], candidates, least, own)
        for m, least, own in zip(members, errors, tried, strict=True)
    ]


def _least_error(trial: Outcome) -> float:
    """The least held-out error on the way; infinite of a trial that diverged."""
    errors = [float(error) for error in trial.history["held-out error"]]
    return min((error for error in errors if math.isfinite(error)), default=math.inf)


def _with_trials(
    one: Outcome, candidates: Sequence[Method], errors: Sequence[float], trials: Sequence[Outcome]
) -> Outcome:
    """The outcome with the verdict in its reason, and what the trials took in its costs."""
    best = candidates[one.candidate].description
    others = ", ".join(
        f"{method.description} ({error:.3g})"
        for number, (method, error) in enumerate(zip(candidates, errors, strict=True))
        if number != one.candidate
    )
    why = (
        f"before, trials of {trials[0].steps} steps had shown that {best} predicts held-out "
        f"measurements best (error {errors[one.candidate]:.3g}), not {others}"
    )
    return replace(
        one,
        stop=replace(one.stop, reason=f"{one.stop.reason}; {why}"),
        steps=one.steps + sum(trial.steps for trial in trials),
        seconds=one.seconds + sum(trial.seconds for trial in trials),
        cpu_seconds=one.cpu_seconds + sum(trial.cpu_seconds for trial in trials),
    )


def _not_refitted(refit: Refit, why: str) -> Outcome:
    """The first fit's image, closed as it would have been without a second."""
    first, part = refit.first, refit.member.problem.part
    assert part is not None
    image = part.to_units(refit.recipe.output.finish(part, part.from_units(first.image)))
    dropped = (
        f"the fit of all measurements failed, and its image was dropped for the first's: {why}"
    )
    stop = replace(first.stop, reason=f"{first.stop.reason}; {dropped}")
    return replace(first, image=image, stop=stop, dropped=dropped)


def _members_phase(
    sitting: Sitting,
    label: str,
    recipes: Sequence[Recipe],
    members: Sequence[Member],
    problem: Problem,
    held: Problem | None,
    weights: dict[str, Tensor] | None = None,
    tracks: Mapping[int, Track] | None = None,
) -> list[Outcome]:
    """A phase whose name tells whose it is."""
    rows = [m.row for m in members]
    name = f"{','.join(map(str, rows))}/{label}"
    seeds = [m.seed for m in members]
    return phase(sitting, name, recipes, problem, held, seeds, weights, rows, tracks)


def _joined_history(
    first: dict[str, list[float | str]], second: dict[str, list[float | str]]
) -> dict[str, list[float | str]]:
    """Two histories one after the other; a column that one lacks is NaN there."""
    counts = len(first["step"]), len(second["step"])
    nan = float("nan")
    return {
        name: first.get(name, [nan] * counts[0]) + second.get(name, [nan] * counts[1])
        for name in {**first, **second}
    }

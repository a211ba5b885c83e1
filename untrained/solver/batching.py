"""Decide which problems of a call are fitted side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from untrained.core.recipe import Recipe
from untrained.machine import available_memory
from untrained.priors import Prior
from untrained.problem import Problem
from untrained.problem.stacking import stack_problems
from untrained.solver.memory import memory_need
from untrained.solver.stage_input import StageInput
from untrained.solver.track import Track

MOST = 64
"""Largest number of networks side by side; so many keep a large GPU busy, and more gain nothing."""


@dataclass(frozen=True)
class Member:
    """Hold one problem of a call.

    Attributes:
        row: its number there.
        problem: its measurements.
        seed: its own.
        track: the data term of an earlier fit, to notice one that goes wrong; None without any.
        split: seed of what is held out; None = the member's own.
    """

    row: int
    problem: Problem
    seed: int
    track: Track | None = None
    split: int | None = None


def side_by_side(
    recipe: Recipe, members: Sequence[Member], device: torch.device, prior: Prior | None = None
) -> list[list[Member]]:
    """Group the members that are fitted at once, in their order.

    Neighbours go together until the group has the size of `engine.together` or of the free
    memory, or until no one operator can stand for theirs.
    """
    most = _most(recipe, members, device, prior)
    groups: list[list[Member]] = []
    for member in members:
        if groups and len(groups[-1]) < most and _go_together(groups[-1][0], member):
            groups[-1].append(member)
        else:
            groups.append([member])
    return groups


def members_stage(
    label: str, members: Sequence[Member], recipes: Sequence[Recipe], problem: Problem
) -> StageInput:
    """Describe a stage of members side by side, under a name that tells whose it is.

    Args:
        label: what the stage is: `fit`, `refit`, `trial 0`.
        members: the problems, as the caller numbers them.
        recipes: one for each.
        problem: what is fitted of them, joined.
    """
    rows = [m.row for m in members]
    name = f"{','.join(map(str, rows))}/{label}"
    return StageInput(name, recipes, problem, [m.seed for m in members], rows=rows)


def _go_together(one: Member, other: Member) -> bool:
    return stack_problems([one.problem, other.problem]) is not None


def _most(
    recipe: Recipe, members: Sequence[Member], device: torch.device, prior: Prior | None
) -> int:
    if not recipe.engine.groups(device) or len(members) < 2:
        return 1
    if recipe.engine.together:
        return recipe.engine.together
    need = memory_need(recipe, members[0].problem, prior)
    return max(1, min(MOST, int(available_memory(device) / need.full)))

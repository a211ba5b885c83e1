"""Stack problems of one kind to one problem with an axis for them, where that can be done."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from untrained.physics.base import Physics
from untrained.problem.problem import Problem


def stack_problems(problems: Sequence[Problem]) -> Problem | None:
    """Stack problems to one of `(G, ...)` measurements; one problem is itself.

    What they know stays theirs: adjoint and classical images, scale, guides, held-out measurements,
    operator norm and mean squared singular value are those of each alone. `select(g)` gives
    problem g back.

    Returns:
        None where they have to be solved in turn: they differ in shape, weighting, noise level,
        number of guides, or one operator cannot stand for all of theirs.
        Operators agree if they are one object or hold the same numbers; some can be joined (MRI:
        one mask and coil maps of their own, `Physics.joined`).
    """
    first = problems[0]
    if len(problems) == 1:
        return first
    physics = _one_physics([p.physics for p in problems])
    if physics is None or not all(_alike(first, p) for p in problems[1:]):
        return None
    whole = copy.copy(first)
    whole.physics = physics
    whole.y = torch.cat([p.y for p in problems])
    whole.scale = torch.cat([p.scale for p in problems])
    whole.adjoint_level = torch.cat([p.adjoint_level for p in problems])
    if not all(_same(p.guide, first.guide) for p in problems):
        whole.guide = _cat([p.guide for p in problems])
    whole.keep = _cat([p.keep for p in problems])
    whole.importance = _cat([p.importance for p in problems])
    whole.seen = first.seen if all(_same(p.keep, first.keep) for p in problems) else None
    whole.singles = tuple(problems)
    whole.forget()
    whole.part = None
    whole._norms, whole._means = {}, {}
    return whole


def _alike(a: Problem, b: Problem) -> bool:
    return (
        a.x_shape == b.x_shape
        and a.y.shape[1:] == b.y.shape[1:]
        and a.weighting == b.weighting
        and a.sigma == b.sigma
        and _shape(a.guide) == _shape(b.guide)
        and (a.keep is None) == (b.keep is None)
        and (a.importance is None) == (b.importance is None)
    )


def _shape(value: Tensor | None) -> tuple[int, ...]:
    return () if value is None else tuple(value.shape)


def _cat(parts: list[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known else None


def _one_physics(each: list[Physics]) -> Physics | None:
    first = each[0]
    if all(_same(first, other) for other in each[1:]):
        return first
    alike = all(type(other) is type(first) for other in each)
    return first.joined(each[1:]) if alike else None


def _same(a: Any, b: Any) -> bool:
    """Tell whether two operators, or what they are made of, hold the same values."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        dense = a.layout == torch.strided == b.layout
        return dense and a.shape == b.shape and bool(torch.equal(a, b))
    if isinstance(a, Physics):
        return _same(dict(vars(a)), dict(vars(b)))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(_same, a, b))
    return isinstance(a, bool | int | float | str) and a == b

"""Linearise the image that a method shows, as a function of all that the method trains."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor

from untrained.ambient import single_precision
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.start import StartWeights
from untrained.core.state import State
from untrained.errors import UserError
from untrained.lab.jacobian import Jacobian, Weights
from untrained.physics import Physics
from untrained.problem import Problem
from untrained.solver.snapshot import Snapshot
from untrained.solver.stage import Stage
from untrained.solver.stage_input import FIRST, StageInput

NET = "net/"


class Silent(Physics):
    """An operator that answers zeros: an image's derivative does not depend on what is measured."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.x_shape, tuple(problem.y.shape[1:]))
        self.support = problem.physics.support
        self.complex_image = problem.physics.complex_image

    def A(self, x: Tensor) -> Tensor:
        """Return zeros."""
        return x.new_zeros(len(x), *(self.y_shape or ()))

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return zeros."""
        return y.new_zeros(len(y), *(self.x_shape or ()))

    def weight(self, r: Tensor, name: str) -> Tensor:
        """Return the residual."""
        return r


@single_precision()
def image_jacobian(
    recipe: Recipe,
    problem: Problem,
    snapshot: Snapshot,
    *,
    seed: int,
    start: StartWeights | None = None,
) -> Jacobian:
    """Linearise a method's image at a snapshot of its run, `(C, ...)` in network units.

    What moves is what the method trains: weights, or some of them, and variables such as z. The
    image is the one that `Method.loss` returns, or f(z) where that cannot be differentiated.

    Args:
        recipe: as it was run, its candidate chosen.
        problem: what was fitted, one image.
        snapshot, seed, start: of the run.

    Raises:
        UserError: neither can be differentiated.
    """
    problem = problem.weighted(recipe.weighting)
    s = Stage(StageInput(FIRST, [recipe], problem, [seed]), False, start).s
    for part in s.module.modules():  # functional transforms do not follow what is computed twice
        if getattr(part, "lean", False):
            part.lean = False  # type: ignore[assignment]
    s.step = snapshot.step
    s.take_weights(snapshot.weights)
    for name, value in snapshot.variables.items():
        s[name] = value
    recipe.method.loss(s)  # what the objective computes once is computed with the true operator
    s.problem = _silenced(problem)
    moving: Weights = {name: value.detach()[0] for name, value, _ in s.trained()}

    for show in (_of_objective, _of_network):
        try:
            made = Jacobian(partial(_with, s, recipe.method, show), moving)
            made.forward(torch.zeros_like(made.flatten(moving)))
            return made
        except (RuntimeError, KeyError) as error:
            failed = error
    raise UserError(
        f"'{recipe.method.name}' cannot be linearised: its image cannot be differentiated as a "
        "function of its weights; take --uncertainty ensemble or sgld (uncertainty= in Python)"
    ) from failed


def _with(
    s: State, method: Method, show: Callable[[Method, State], Tensor], own: Weights
) -> Tensor:
    """Compute the image with other values of what is trained; the state stays as it was."""
    weights, tensors = s.weights, s.tensors
    inside = {n.removeprefix(NET): v[None] for n, v in own.items() if n.startswith(NET)}
    outside = {n: v[None] for n, v in own.items() if not n.startswith(NET)}
    try:
        s.weights, s.tensors = {**weights, **inside}, {**tensors, **outside}
        return show(method, s)
    finally:
        s.weights, s.tensors = weights, tensors


def _of_objective(method: Method, s: State) -> Tensor:
    return method.loss(s)[0][0]


def _of_network(method: Method, s: State) -> Tensor:
    """Compute f(z): for a method that differentiates inside its objective."""
    return s.net(s["z"])[0]


def _silenced(problem: Problem) -> Problem:
    """Copy a problem of which A is never computed; what was computed once is kept."""
    other = copy.copy(problem)
    other.physics = cast(Physics, Silent(problem)).to(problem.device)
    other.seen = None
    other._quick = other
    other._norms, other._means = dict(problem._norms), dict(problem._means)
    other.cache = dict(problem.cache)
    return other

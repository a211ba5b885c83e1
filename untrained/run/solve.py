"""`solve`: a method, a problem and their settings in, a result out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from untrained.about import About
from untrained.ambient import single_precision
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import NetSpec, Recipe
from untrained.core.rule import Guard, Last, Never, Output, Stop
from untrained.core.start import StartWeights
from untrained.core.watch import Watch
from untrained.nets import Compact
from untrained.priors import Prior
from untrained.problem import Problem
from untrained.result import Result
from untrained.solver.procedure import solve_recipe


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
    start: StartWeights | None = None,
    prior: Prior | None = None,
) -> Result:
    """Fit an untrained network to a problem.

    The loop itself, and a step of it, is `untrained/solver/loop.py`.

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
        start: weights learned elsewhere, that the network starts from (`Weights.start`).
        prior: a pre-trained network that the method asks.

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
    if prior is not None:
        start = replace(start or StartWeights(), prior=prior)
    fit = solve_recipe(
        recipe, problem, watch=watch, seed=seed, device=device, run_dir=run_dir, start=start
    )
    return Result.of(fit, About())

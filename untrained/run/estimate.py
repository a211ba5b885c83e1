"""Estimate the memory and time of a run before it: `--dry-run`; `solver/memory.py` counts.

The network is first traced on torch's `meta` device, which computes nothing and counts what the
backward pass has to keep. Where that fits into memory, a few real steps of the very run are then
taken and measured, for LIMIT seconds at most; where it does not, or where they take longer, the
count itself is the answer.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from untrained.core.recipe import Recipe
from untrained.core.role import role
from untrained.core.rule import Frame
from untrained.core.watch import Watch
from untrained.machine import available_memory, peak_memory_mb, pick_device
from untrained.methods import Card
from untrained.methods.house import House
from untrained.pretrain.train import going_on, learning_group, training_recipe
from untrained.priors import Prior
from untrained.problem import Problem
from untrained.problem.group import Group
from untrained.rules import Posterior
from untrained.run.classical_time import classical_seconds, counted_seconds, step_seconds
from untrained.run.plan import Plan
from untrained.solver.fit import Fit
from untrained.solver.memory import memory_need
from untrained.solver.procedure import fit_together, solve_recipe
from untrained.uncertainty.settings import SGLD, Ensemble, Way
from untrained.uncertainty.walk import SHORTEST
from untrained.waiting import TimeIsUp, tick, waiting

STEPS = 5
WARM = 2
LIMIT = 2.0  # seconds of measuring: with start and reading the answer comes within 5
OVERHEAD = 2.0  # of a step over its products alone: normalisation, optimiser, operator
PRODUCT = 2.3  # steps that a product with J and J^T takes: 1.8 at 128x128, 2.8 at 256x256, one core
KEPT = 3.0  # copies of the samples of an error bar: themselves, their parts, what is being made
REPORT_MB = 60.0  # drawing the report, after the network's memory has been given back


def estimate(
    chosen: Plan,
    problem: Problem,
    device: str = "auto",
    *,
    seeds: int = 1,
    slices: int = 1,
    sure: Way | None = None,
) -> dict[str, Any]:
    """Estimate the steps, time and memory of a run, as plain values.

    Args:
        chosen: the plan.
        problem: its measurements.
        device: where it would run.
        seeds: how many are averaged; those after the first fit all measurements at once.
        slices: how many images follow one another.
        sure: how an error bar is found; then nothing is refitted, and what it adds is counted.

    Returns:
        `method preset task network parameters steps seconds peak_memory_mb measured note`, and
        `second`, the same of the second stage, where there is one: it is in steps and seconds;
        `seconds` is of all optimiser steps of the whole budget, which a stop rule may cut short;
        `measured` tells whether real steps were taken.
    """
    place = pick_device(device)
    facts: dict[str, Any] = {
        "method": chosen.card.name,
        "preset": chosen.preset,
        "task": chosen.task,
        "device": str(place),
    }
    if chosen.recipe is None:
        seconds, how = classical_seconds(chosen.card.name, problem.select(0))
        total = None if seconds is None else round(seconds * slices, 1)
        return {**facts, "seconds": total, "note": f"a classical method, no network; time {how}"}
    recipe, one, stop = chosen.recipe, problem.select(0), chosen.recipe.stop
    start = chosen.start(one)
    passes = 1 + (stop.warm_refit or 1.0) if stop.refit else 1.0
    passes += len(recipe.candidates) * recipe.trial / recipe.budget + (seeds - 1)
    if sure is not None:
        recipe = replace(recipe, stop=stop.without_refit())
        passes = _passes(recipe, sure, seeds)

    def take(few: Recipe, **how: Any) -> Fit:
        few = replace(few, method=few.candidates[0], alternative=None)
        return solve_recipe(few, one, device=device, start=start, **how)

    found = facts | _needs(recipe, one, place, passes, slices, take, chosen.prior)
    if sure is not None and found.get("peak_memory_mb") is not None:
        kept = KEPT * samples_of(sure, seeds) * (one.n_image + one.y[0].numel() / 2)
        found["peak_memory_mb"] = round(found["peak_memory_mb"] + 4 * kept / 2**20)
        found["uncertainty"] = sure.name
    if chosen.then is not None:
        known = one.knowing(one.physics.unknowns())
        then = chosen.then.seeds(1)
        second = estimate(chosen.then, known, device, seeds=then, slices=slices)
        return _of_both(found, second)
    return found


def _of_both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Add the second stage of a run to the first, whose network is the one that is named.

    The second stage begins when the first has given its memory back.
    """
    times = [one.get("seconds") for one in (first, second)]
    peaks = [one.get("peak_memory_mb") for one in (first, second)]
    each = "; ".join(
        f"{one['method']} {one['steps']} steps"
        + ("" if one.get("seconds") is None else f" in {one['seconds']:g} s")
        for one in (first, second)
    )
    return first | {
        "steps": first["steps"] + second["steps"],
        "seconds": None if None in times else round(sum(times), 1),  # type: ignore[arg-type]
        "peak_memory_mb": None if None in peaks else max(peaks),  # type: ignore[type-var]
        "measured": first["measured"] and second["measured"],
        "note": f"two stages: {each}; {first['note']}",
        "second": second,
    }


def _passes(recipe: Recipe, sure: Way, seeds: int) -> float:
    """Count the budgets' worth of steps that fit and error bar take together."""
    trials = len(recipe.candidates) * recipe.trial / recipe.budget
    if isinstance(sure, Ensemble):
        return seeds * (1 + trials)
    if isinstance(sure, SGLD):
        own = isinstance(recipe.output, Posterior)
        walk = 0 if own else sure.steps or max(SHORTEST, recipe.budget)
        return 1 + trials + walk / recipe.budget
    # Conjugate gradients took all of their iterations wherever they were counted.
    products = sure.probes + (sure.rank or sure.samples * (2 + sure.iterations))
    return 1 + trials + PRODUCT * products / recipe.budget


def samples_of(sure: Way, seeds: int) -> int:
    """Count the images, or vectors of such size, that an error bar keeps."""
    if isinstance(sure, Ensemble):
        return seeds
    return sure.keep if isinstance(sure, SGLD) else sure.samples + 2 * max(sure.probes, sure.rank)


def estimate_training(
    card: Card,
    task: str,
    problems: Sequence[Problem],
    *,
    preset: str = "fast",
    settings: Sequence[str] = (),
    steps: int = 0,
    device: str = "auto",
    references: Sequence[Tensor | None] = (),
    prior: Prior | None = None,
) -> dict[str, Any]:
    """Estimate a training; arguments as of `pretrain.train`, the answer as of `estimate`."""
    place = pick_device(device)
    recipe, start = training_recipe(card, task, preset, settings, steps), None
    if prior is not None:
        recipe, start = going_on(card, recipe, prior, problems)
    group = learning_group(card.trained(), recipe, problems, task, references, prior)

    def take(few: Recipe, **how: Any) -> Fit:
        return fit_together(few, group, device=device, start=start, **how)

    facts = {"method": card.name, "preset": preset, "task": task, "device": str(place)}
    return facts | {"images": len(group)} | _needs(recipe, group, place, 1.0, 1, take)


def _needs(
    recipe: Recipe,
    problem: Problem | Group,
    place: torch.device,
    passes: float,
    runs: int,
    take: Callable[..., Fit],
    prior: Prior | None = None,
) -> dict[str, Any]:
    """Estimate network, steps, time and memory of `runs` runs of `passes` times the budget.

    `take` takes a few real steps of one; `prior` is the pre-trained network that a step asks.
    """
    need = memory_need(recipe, problem, prior)
    facts: dict[str, Any] = {
        "network": _network(recipe),
        "parameters": need.parameters,
        "image": list(problem.x_shape),
        "steps": round(recipe.budget * passes) * runs,
    }
    if prior is not None:
        facts["prior"] = f"{prior.provenance.architecture}, {prior.parameter_count:,} weights"
        facts["prior_memory_mb"] = round(prior.stored_bytes / 2**20, 1)
    room = available_memory(place)
    if need.lean > room:
        note = f"needs more than the {room / 2**20:.0f} MiB that are free here; nothing was run"
        peak = (peak_memory_mb(torch.device("cpu")) or 0.0) + need.lean / 2**20
        return {**facts, "seconds": None, "peak_memory_mb": peak, "measured": False, "note": note}
    # without its matrix (see `CT.without_matrix`) a step takes another time
    large = problem.select(0).physics.matrix_free
    measured = None if large else _measure(recipe, take)
    if measured is None:
        asked = need.products / (1 if recipe.method.differentiates else recipe.method.inner)
        return facts | _counted(recipe, problem, place, need.full, passes * runs, asked)
    per_step, start = measured
    peak_now = peak_memory_mb(place)
    note = f"measured over {STEPS - WARM} real steps"
    if isinstance(problem, Problem):
        note += f"; the stop rule {role(recipe.stop, recipe.budget)}"
    if need.full > room:
        note += "; memory is short, so that inner images are computed twice instead of kept"
    return {
        **facts,
        "seconds_per_step": round(per_step, 4),
        "seconds": round((start + per_step * recipe.budget * passes) * runs, 1),
        "peak_memory_mb": None if peak_now is None else round(peak_now + REPORT_MB),
        "measured": True,
        "note": note,
    }


def _counted(
    recipe: Recipe,
    problem: Problem | Group,
    place: torch.device,
    kept: float,
    passes: float,
    asked: float = 0.0,
) -> dict[str, Any]:
    """Estimate time and memory by counting, where real steps take too long to be measured.

    `asked` are the operations of the pre-trained network that a step asks.
    """
    per_step = OVERHEAD * (_products(recipe, problem) + asked) / _rate(place)
    one, before = problem.select(0), 0.0
    what = "the network alone"
    if one.physics.has_jacobian:
        before = _before(recipe, one)
        what = "network and first image"
    elif one.physics.has_gram or (one.physics.matrix_free and not one.physics.matrix_bytes):
        # products of such an operator take as long as the network, or longer
        per_step += len(problem) * step_seconds(one)
        before = _before(recipe, one)
        what = "network, operator and first image"
    bytes_of = one.physics.matrix_bytes
    peak = (peak_memory_mb(torch.device("cpu")) or 0.0) + (kept + bytes_of) / 2**20 + REPORT_MB
    return {
        "seconds_per_step": round(per_step, 4),
        "seconds": round(per_step * recipe.budget * passes + before, 1),
        "peak_memory_mb": round(peak),
        "measured": False,
        "note": f"counted: a few real steps, and what comes before them, take over {LIMIT:g} s "
        f"here; the time is that of {what}, a rough guess",
    }


def _before(recipe: Recipe, problem: Problem) -> float:
    """Estimate the seconds of the classical image that a method begins with."""
    if not (isinstance(recipe.method, House) and recipe.method.guided):
        return 0.0
    times = 2 if recipe.stop.refit else 1  # of what is fitted at first, and of everything
    return times * (counted_seconds("baseline", problem) or 0.0)


def _products(recipe: Recipe, problem: Problem | Group) -> float:
    """Count the floating-point operations of a step's forward and backward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    inputs = recipe.method.copies * recipe.method.channels_of_input(problem.x_shape)
    counter = FlopCounterMode(display=False)
    with torch.device("meta"):
        module = recipe.build(problem.select(0))
        sides = getattr(module, "input_sides", problem.x_shape[1:])
        with counter, torch.no_grad():
            module(torch.empty(len(problem), inputs, *sides))
    return 3.0 * counter.get_total_flops()


def _rate(place: torch.device) -> float:
    """Measure the floating-point operations a second of a convolution like a network's."""
    x, weight = torch.ones(1, 32, 96, 96, device=place), torch.ones(32, 32, 3, 3, device=place)
    times = []
    for _ in range(4):
        began = time.perf_counter()
        float(torch.nn.functional.conv2d(x, weight, padding=1).sum())
        times.append(time.perf_counter() - began)
    return 2.0 * 9 * 32 * 32 * 96 * 96 / max(min(times), 1e-9)


class _Stopwatch(Watch):
    def __init__(self) -> None:
        self.times: list[float] = []

    def step(self, frame: Frame, columns: dict[str, float]) -> None:
        self.times.append(time.perf_counter())
        tick()


def _measure(recipe: Recipe, take: Callable[..., Fit]) -> tuple[float, float] | None:
    """Measure (seconds per step, seconds before the first) on a few real steps of every phase.

    They are taken with a checkpoint, so that its writing counts in time and in peak memory. None
    where they take longer than LIMIT.
    """
    watch = _Stopwatch()
    try:
        with tempfile.TemporaryDirectory() as folder, waiting(LIMIT):
            result = take(replace(recipe, steps=STEPS), watch=[watch], run_dir=folder)
    except TimeIsUp:
        return None
    first = watch.times[:STEPS]
    per_step = (first[-1] - first[WARM - 1]) / (len(first) - WARM)
    return per_step, max(0.0, result.seconds - per_step * result.steps)


def _network(recipe: Recipe) -> str:
    net: Any = recipe.net
    given = [f"{f.name}={getattr(net, f.name)!r}" for f in dataclasses.fields(net)]
    return f"{type(net).__name__}({', '.join(given)})"

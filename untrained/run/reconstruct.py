"""`reconstruct`: measurements and physics in, a result out; `reconstructor`: deepinv's shape."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from untrained.ambient import single_precision
from untrained.checks import check_contents, check_measurements, check_sigma, check_unit_range
from untrained.classical import CLASSICAL
from untrained.core.machine import peak_memory_mb, pick_device
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import MaxSteps, Output, Stop, Stopped, Watch
from untrained.core.start import StartWeights
from untrained.doubts import doubts, mended
from untrained.errors import Note, UserError
from untrained.folder import WORK
from untrained.physics import Physics, as_physics
from untrained.physics.check import adjoint_notes
from untrained.physics.footprint import whole
from untrained.physics.foreign import is_ours
from untrained.pretrain import Weights, load_weights
from untrained.problem import Problem
from untrained.problem.scaling import own_level
from untrained.result import Result
from untrained.rules.watch import INTERRUPTED, Progress, Reference
from untrained.run.evaluate import checked_reference, evaluate
from untrained.run.plan import Plan, plan
from untrained.solver.fit import Fit, stack_fits
from untrained.solver.procedure import solve_each
from untrained.solver.stage import DIVERGED, OFF_TRACK
from untrained.tasks import find_task
from untrained.threads import current_threads, threads_for, use_threads
from untrained.waiting import TimeIsUp, waiting

CALLER = 5
"""Frames from a warning to who called `reconstruct`: itself, and its three decorators."""


@torch.inference_mode(False)
@torch.enable_grad()
@single_precision()
def reconstruct(
    y: Tensor,
    physics: Any,
    method: str | Method = "auto",
    preset: str = "fast",
    seed: int = 0,
    seeds: int = 1,
    device: str = "auto",
    stop: str | Stop = "auto",
    output: str | Output = "auto",
    uncertainty: str | None = None,
    truth: Tensor | None = None,
    progress: bool = True,
    *,
    sigma: float | None = None,
    guide: Tensor | None = None,
    weights: str | Path | Weights | None = None,
    data_range: float | None = None,
    settings: Sequence[str] = (),
    steps: int = 0,
    compare: bool = True,
    run_dir: str | Path | None = None,
) -> Result:
    """Reconstruct images from measurements.

    Args:
        y: measurements `(B, ...)` float32; complex ones as two real channels.
        physics: anything with `A(x)` and `A_adjoint(y)`: ours, a deepinv operator, your own.
        method, preset: see `untrained list methods` and `untrained list presets`; or a `Method`,
            such as `untrained.methods.DIP(jitter=0.05)` or one of your own (see `plan`).
        seed: names all randomness; the same seed gives the same bits on one device and version.
        seeds: average this many runs with consecutive seeds, and not fewer than the preset does
            (`best` of `house`: 3); the result has their spread, `std`.
        device: `auto`, `cpu`, `cuda`, `mps`.
        stop: `auto`, `none`, or a rule such as `heldout`, `wmv | steps:2000`; or a `Stop`.
        output: `auto`, `last`, `average`, `best`; or an `Output`.
        uncertainty: None, or `seeds` (needs seeds > 1).
        truth: a reference `(B, C, ...)` in the units of y, for the record only: it feeds the
            PSNR columns of the history and nothing else.
        progress: show a bar with time left.
        sigma: standard deviation of the noise in the units of y, if known.
        guide: clean images of similar content `(M, C, ...)`, for the methods that need some.
        weights: a file that `untrained pretrain` wrote, or what `pretrain.train` returned, for
            the methods that start from learned weights.
        data_range: range of the PSNR; default 1 for photographs, max |truth| otherwise.
        settings: `FIELD=VALUE` assignments as with `--set`.
        steps: budget in optimiser steps; 0 = the preset's.
        compare: also compute the classical answer, for the report; given up after five minutes
            (beside a classical method one), and not begun for `fbp` of a large scan.
        run_dir: keep a checkpoint there and resume from the one found there.

    Returns:
        The result; `result.image` is `(B, C, ...)` in the units of the measurements.
        `result.notes` tells what was decided on your behalf and what looks wrong in the input;
        each note is also a warning of category `untrained.Note`.

    Raises:
        UserError: unknown names, shapes that do not agree, values that are not finite or, in a
            photograph, far outside [0, 1], measurements that contradict their operator, an
            operator of your own whose `A_adjoint` is none.
    """
    if uncertainty not in (None, "seeds"):
        raise UserError(f"uncertainty={uncertainty!r} is unknown; known: None, 'seeds'")
    seed = whole("seed", seed, least=0)
    check_measurements(y)
    y, physics, notes = mended(y, as_physics(physics, y=y.detach().float()))
    problem = whole_problem(y, light(method, physics), sigma, guide)
    if problem.unit_range and problem.traits.measures == "pixels":
        check_unit_range(y.detach())
    notes += doubts(y, physics, check_sigma(sigma))
    check_contents(problem.y)
    inexact = _adjoint(physics, problem)
    learned = load_weights(weights) if isinstance(weights, str | Path) else weights
    chosen = plan(
        find_task(problem.task).name,
        method=method,
        preset=preset,
        settings=settings,
        steps=steps,
        stop=stop,
        output=output,
        weights=learned,
    )
    chosen.check_guide(guide is not None)
    if uncertainty is not None and chosen.seeds(seeds) < 2:
        raise UserError("uncertainty='seeds' is the spread of several runs: give seeds=2 or more")
    result = run(
        chosen,
        problem,
        seed=seed,
        seeds=seeds,
        device=device,
        truth=truth,
        data_range=data_range,
        watch=[Progress(chosen.card.name)] if progress else [],
        compare=compare,
        run_dir=run_dir,
    )
    result = result.with_notes([*physics.first_note(), *notes, *result.notes, *inexact])
    for note in result.notes:
        warnings.warn(note, Note, stacklevel=CALLER)
    return result


def run(
    chosen: Plan,
    problem: Problem,
    *,
    seed: int = 0,
    seeds: int = 1,
    device: str = "auto",
    truth: Tensor | None = None,
    data_range: float | None = None,
    watch: Sequence[Watch] = (),
    compare: bool = True,
    run_dir: str | Path | None = None,
) -> Result:
    """Carry out a plan; see `reconstruct` for the arguments."""
    with use_threads(threads_for(problem.x_shape[1:])):
        return _run(
            chosen, problem, seed, seeds, device, truth, data_range, watch, compare, run_dir
        )


def _run(
    chosen: Plan,
    problem: Problem,
    seed: int,
    seeds: int,
    device: str,
    truth: Tensor | None,
    data_range: float | None,
    watch: Sequence[Watch],
    compare: bool,
    run_dir: str | Path | None,
) -> Result:
    count = chosen.seeds(seeds)
    place = pick_device(device)
    problem = problem.to(place)
    digests = [chosen.digest(one) for one in problem.each()]
    truth, data_range = checked_reference(truth, data_range, problem)
    if chosen.recipe is None:
        fit = _classical(chosen, problem, seed, place, watch)
    else:
        if truth is not None and data_range is not None:
            watch = [Reference(truth, data_range, problem.traits.ambiguous_orientation), *watch]
        start, own = chosen.start(problem), problem.each()
        each = _networks(
            chosen.recipe, own, start, digests, seed, count, str(place), watch, run_dir
        )
        fit = stack_fits(each)
    return _result(chosen, problem, fit, truth, data_range, digests, count, compare, watch)


def run_each(
    chosen: Plan,
    problems: Sequence[Problem],
    *,
    seed: int = 0,
    seeds: int = 1,
    device: str = "auto",
    truths: Sequence[Tensor | None],
    data_ranges: Sequence[float | None],
    watch: Sequence[Watch] = (),
    compare: bool = True,
    run_dir: str | Path | None = None,
) -> list[Result]:
    """Carry out a plan of a network on single images with physics of their own.

    Other arguments as of `run`, with a truth and a data range for each; a result for each.
    """
    assert chosen.recipe is not None
    count = chosen.seeds(seeds)
    place = pick_device(device)
    problems = [problem.to(place) for problem in problems]
    digests = [chosen.digest(problem) for problem in problems]
    starts = [chosen.start(problem) for problem in problems]  # each is asked whether they fit it
    checked = [checked_reference(*one) for one in zip(truths, data_ranges, problems, strict=True)]
    known, ranges = zip(*checked, strict=True)
    if all(truth is not None for truth in known):
        watch = [Reference(known, ranges, problems[0].traits.ambiguous_orientation), *watch]
    fits = _networks(
        chosen.recipe, problems, starts[0], digests, seed, count, str(place), watch, run_dir
    )
    return [
        _result(chosen, problem, fit, truth, width, [digest], count, compare, watch)
        for fit, problem, truth, width, digest in zip(
            fits, problems, known, ranges, digests, strict=True
        )
    ]


def _result(
    chosen: Plan,
    problem: Problem,
    fit: Fit,
    truth: Tensor | None,
    data_range: float | None,
    data: Sequence[str],
    seeds: int,
    compare: bool,
    watch: Sequence[Watch],
) -> Result:
    _require_finite(fit)
    about = evaluate(
        chosen,
        problem,
        fit,
        truth=truth,
        data_range=data_range,
        data=data,
        seeds=seeds,
        compare=compare,
        watch=watch,
    )
    # After the evaluation, which is a part of the run and may take the most memory of all.
    peak = peak_memory_mb(problem.device)
    return Result.of(replace(fit, peak_memory_mb=peak), about)


def reconstructor(
    method: str | Method = "auto", preset: str = "fast", **options: Any
) -> Reconstructor:
    """A module with deepinv's call: `model(y, physics) -> x`.

    Args:
        method, preset: as in `reconstruct`.
        options: further keyword arguments of `reconstruct`, checked by it.
    """
    return Reconstructor(method, preset, options)


class Reconstructor(nn.Module):
    """`model(y, physics) -> x`, a plain tensor without gradients; see `reconstructor`."""

    def __init__(self, method: str | Method, preset: str, options: dict[str, Any]) -> None:
        super().__init__()
        unknown = [name for name in options if name not in signature(reconstruct).parameters]
        if unknown:
            raise UserError(f"reconstructor: reconstruct has no argument '{unknown[0]}'")
        self.method, self.preset = method, preset
        self.options = {"progress": False, "compare": False, **options}

    def forward(self, y: Tensor, physics: Any) -> Tensor:
        """Measurements `(B, ...)` -> images `(B, C, ...)`."""
        return reconstruct(y, physics, self.method, self.preset, **self.options).image


# ---------------------------------------------------------------------------------------------


FEW_PRODUCTS = ("fbp", "adjoint")
"""Methods that hardly need the operator: of large scans no matrix is built for them."""


def light(method: str | Method, physics: Physics) -> Physics:
    """Give the operator as a method needs it: without its matrix where few products are asked."""
    return physics.without_matrix() if method in FEW_PRODUCTS else physics


def whole_problem(
    y: Tensor, physics: Physics, sigma: float | None, guide: Tensor | None
) -> Problem:
    """Measurements and physics as a problem; photographs that are dim or bright at their level."""
    check_measurements(y)
    level = own_level(y.detach().float(), physics)
    return Problem(y, physics, sigma=sigma, guide=guide, level=level)


def _require_finite(fit: Fit) -> None:
    """Refuse an image with values that are none, whatever made them.

    Raises:
        UserError: says how many.
    """
    bad = int((~fit.image.isfinite()).sum())
    if bad:
        raise UserError(
            f"the reconstruction holds {bad} values that are NaN or infinite: measurements, sigma "
            "or operator hold values out of all proportion; check their units"
        )


def _adjoint(physics: Physics, problem: Problem) -> tuple[str, ...]:
    """Note what is wrong with the adjoint of a user's own operator; ours are tested."""
    if is_ours(physics):
        return ()
    return adjoint_notes(problem.physics, problem.x_shape, physics.class_name(), len(problem))


def _networks(
    recipe: Recipe,
    problems: Sequence[Problem],
    start: StartWeights | None,
    digests: Sequence[str],
    seed: int,
    seeds: int,
    device: str,
    watch: Sequence[Watch],
    run_dir: str | Path | None,
) -> list[Fit]:
    """A run of every image, or the mean of several seeds of it.

    The first seed finds the number of steps by its stop rule; the others take that many on all
    measurements.
    """
    settings = {"data": list(digests)}
    found = solve_each(
        recipe,
        problems,
        seeds=[seed] * len(problems),
        watch=watch,
        device=device,
        run_dir=run_dir,
        settings=settings,
        start=start,
    )
    if seeds == 1:
        return found
    for i, first in enumerate(found):
        others: list[Fit] = []
        if all(one.finished for one in found):
            others = solve_each(
                replace(first.final_recipe(), stop=MaxSteps(max(1, first.stop[0].step))),
                [problems[i]] * (seeds - 1),
                seeds=range(seed + 1, seed + seeds),
                watch=[w.alone(i) for w in watch],
                device=device,
                run_dir=None if run_dir is None else Path(run_dir) / WORK / f"seeds-{i}",
                settings=settings,
                start=start,
                track=_last_track(first),
            )
        found[i] = _mean(first, others)
    return found


LOST = (OFF_TRACK, DIVERGED)
"""Rules that end a fit whose image is of no use."""


def _last_track(first: Fit) -> list[float]:
    """Return the data term at each step of the last fit of the first seed."""
    phases, data = first.history["phase"], first.history.get("data", [])
    return [float(v) for phase, v in zip(phases, data, strict=False) if phase == phases[-1]]


def _mean(first: Fit, others: list[Fit]) -> Fit:
    """Return the mean of the seeds that came to a good end; the first alone where no other did."""
    runs = [first, *others]
    ended = [one for one in others if one.finished]
    lost = [one for one in ended if one.stop[0].rule in LOST]
    done = [first, *[one for one in ended if one.stop[0].rule not in LOST]]
    images = torch.stack([r.image for r in done])
    stop, dropped = first.stop[0], first.dropped
    cut = [one for one in others if not one.finished]
    if cut and first.finished:
        reason = f"{cut[0].stop[0].reason}; {len(done)} of {len(runs)} seeds are in the image"
        stop = Stopped(cut[0].stop[0].rule, stop.step, reason)
    if lost:
        seeds = ", ".join(str(one.seed) for one in lost)
        why = f"seed {seeds} was dropped from the mean: {lost[0].stop[0].reason}"
        dropped = f"{dropped}; {why}" if dropped else why
    return replace(
        first,
        image=images.mean(0),
        stop=(stop,),
        std=images.std(0) if len(done) > 1 else torch.zeros_like(images[0]),
        steps=sum(r.steps for r in runs),
        seconds=sum(r.seconds for r in runs),
        cpu_seconds=sum(r.cpu_seconds for r in runs),
        finished=all(r.finished for r in runs),
        dropped=dropped,
    )


def _classical(
    chosen: Plan, problem: Problem, seed: int, place: torch.device, watch: Sequence[Watch]
) -> Fit:
    """The answer of a classical method, unless a watcher ends it."""
    began, cpu = time.perf_counter(), time.process_time()
    image = problem.to_units(_solved(chosen.card.name, problem, watch))
    return Fit(
        image=image,
        history={"phase": [], "step": []},
        stop=(Stopped("solver", 0, "a classical answer: solved to its own tolerance"),),
        recipe=None,
        seed=seed,
        steps=0,
        seconds=time.perf_counter() - began,
        cpu_seconds=time.process_time() - cpu,
        device=str(place),
        precision="fp32",
        threads=current_threads(),
    )


def _solved(name: str, problem: Problem, watch: Sequence[Watch]) -> Tensor:
    """A classical image in network units; watchers are told while it takes long, and may end it.

    Raises:
        UserError: the time limit passed. Such a method has no image before its last step.
        KeyboardInterrupt: it was interrupted.
    """

    def tell(seconds: float) -> bool:
        for one in watch:
            one.busy("solving", seconds)
        return any(one.interrupted() is not None for one in watch)

    try:
        with waiting(math.inf, tell):
            return problem.cached(name, CLASSICAL[name])
    except TimeIsUp:
        asked = [found for one in watch if (found := one.interrupted()) is not None]
        if any(one.rule == INTERRUPTED for one in asked):
            raise KeyboardInterrupt from None
        raise UserError(
            f"'{name}' did not end within the time limit, and keeps nothing on the way: give it "
            "more time (--time-limit), or take fbp, cgsense or adjoint, which are quick"
        ) from None
    finally:
        for one in watch:
            one.end(name)

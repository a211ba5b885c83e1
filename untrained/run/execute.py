"""Carry out a plan: fit networks or solve classically, and evaluate what comes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from untrained.classical import CLASSICAL
from untrained.core.rule import Stopped
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.machine import peak_memory_mb, pick_device
from untrained.problem import Problem
from untrained.result import Result
from untrained.rules.watch import INTERRUPTED, Reference
from untrained.run.case import Case, RunSettings
from untrained.run.evaluate import evaluate
from untrained.run.plan import Plan
from untrained.run.scores import checked_reference
from untrained.run.second import solve_known
from untrained.run.sure import ErrorBar, error_bars, members
from untrained.solver.fit import Fit, stack_fits
from untrained.threads import current_threads, threads_for, use_threads
from untrained.uncertainty.ensemble import solve_ensemble
from untrained.waiting import TimeIsUp, waiting


def run(chosen: Plan, cases: Sequence[Case], settings: RunSettings) -> list[Result]:
    """Carry out a plan on every case; a result for each.

    The images of all cases are fitted in turn, or side by side where a GPU has the memory.
    """
    # Around everything: the bits depend on the number of threads.
    with use_threads(threads_for(cases[0].problem.x_shape[1:])):
        device = pick_device(settings.device)
        count = members(chosen, settings.seeds, settings.sure, cases[0].problem)
        seeds = range(settings.seed, settings.seed + count)
        cases = [_checked(replace(case, problem=case.problem.to(device))) for case in cases]
        data = [[chosen.digest(one) for one in case.problem.each()] for case in cases]
        watch = settings.watch
        moved = "kernel" in chosen.unknown
        bars: list[ErrorBar | None] = [None] * len(cases)
        if settings.sure is not None:
            watch = [*_watch_references(cases), *watch]
            bars = [*error_bars(chosen, cases, settings, seeds, data, str(device), watch)]
            fits = [bar.fit for bar in bars if bar is not None]
        elif chosen.recipe is None:
            fits = [_solve_classically(chosen.card.name, case.problem, settings) for case in cases]
        else:
            watch = [*_watch_references(cases, moved), *watch]  # its columns come first
            # For every case, since this also checks that the weights fit it; one is used for all.
            starts = [chosen.start(case.problem) for case in cases]
            each = solve_ensemble(
                chosen.recipe,
                [one for case in cases for one in case.problem.each()],
                seeds=seeds,
                start=starts[0],
                data=[digest for own in data for digest in own],
                device=str(device),
                watch=watch,
                run_dir=settings.run_dir,
            )
            if chosen.then is not None:
                each = solve_known(
                    chosen.then,
                    [one for case in cases for one in case.problem.each()],
                    each,
                    seed=settings.seed,
                    device=str(device),
                    watch=watch,
                    run_dir=settings.run_dir,
                )
            fits = _by_case(each, cases)
        results = []
        for case, fit, own, bar in zip(cases, fits, data, bars, strict=True):
            _require_finite(fit)  # before it is measured
            about = evaluate(
                chosen,
                case.problem,
                fit,
                truth=case.truth,
                data_range=case.data_range,
                data=own,
                seeds=len(seeds),
                compare=settings.compare,
                watch=watch,
            )
            about = about if bar is None else bar.described(about)
            # After the evaluation, which may take the most memory of all.
            fit = replace(fit, peak_memory_mb=peak_memory_mb(device), samples=None, spread=None)
            results.append(Result.of(fit, about))
        return results


def _checked(case: Case) -> Case:
    """Check the reference of a case, and find the range of its PSNR."""
    truth, data_range = checked_reference(case.truth, case.data_range, case.problem)
    return replace(case, truth=truth, data_range=data_range)


def _watch_references(cases: Sequence[Case], moved: bool = False) -> list[Watch]:
    """Return a watcher that records the PSNR at every step, if every reference is known."""
    truths: list[Tensor] = []
    ranges: list[float] = []
    for case in cases:
        if case.truth is None or case.data_range is None:
            return []
        truths += case.truth.split(1)
        ranges += [case.data_range] * len(case.truth)
    return [Reference(truths, ranges, cases[0].problem.traits.ambiguous_orientation, moved)]


def _by_case(each: Sequence[Fit], cases: Sequence[Case]) -> list[Fit]:
    """Stack the fits of the images of each case; a fit for each case."""
    fits, begin = [], 0
    for case in cases:
        end = begin + len(case.problem)
        fits.append(stack_fits(each[begin:end]))
        begin = end
    return fits


def _require_finite(fit: Fit) -> None:
    """Refuse an image with NaN or infinite values, whatever caused them.

    Raises:
        UserError: says how many.
    """
    bad = int((~fit.image.isfinite()).sum())
    if bad:
        raise UserError(
            f"the reconstruction holds {bad} values that are NaN or infinite: measurements, sigma "
            "or operator hold values out of all proportion; check their units"
        )


def _solve_classically(name: str, problem: Problem, settings: RunSettings) -> Fit:
    """Solve a problem by a classical method, unless a watcher ends it."""
    began, cpu = time.perf_counter(), time.process_time()
    image = problem.to_units(_solved(name, problem, settings.watch))
    return Fit(
        image=image,
        history={"phase": [], "step": []},
        stop=(Stopped("solver", 0, "a classical answer: solved to its own tolerance"),),
        recipe=None,
        seed=settings.seed,
        steps=0,
        seconds=time.perf_counter() - began,
        cpu_seconds=time.process_time() - cpu,
        device=str(pick_device(settings.device)),
        precision="fp32",
        threads=current_threads(),
    )


def _solved(name: str, problem: Problem, watch: Sequence[Watch]) -> Tensor:
    """Compute a classical image in network units; watchers see how long it takes and may end it.

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

"""Average the fits of several seeds: the mean is the image, the spread its deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from untrained.core.recipe import Recipe
from untrained.core.rule import MaxSteps, Stopped
from untrained.core.start import StartWeights
from untrained.core.watch import Watch
from untrained.folder import WORK
from untrained.problem import Problem
from untrained.solver.fit import Fit
from untrained.solver.procedure import solve_each
from untrained.solver.stage import DIVERGED, OFF_TRACK


def solve_ensemble(
    recipe: Recipe,
    problems: Sequence[Problem],
    *,
    seeds: Sequence[int],
    start: StartWeights | None,
    data: Sequence[str],
    device: str,
    watch: Sequence[Watch],
    run_dir: str | Path | None,
) -> list[Fit]:
    """Fit every image once for each seed; a fit for each image, the mean over its seeds.

    The first seed finds the number of steps by its stop rule; the others take that many on all
    measurements.

    Args:
        recipe, problems: what is fitted, problems of one image each.
        seeds: the seeds, at least one.
        start: learned weights that the networks start from; None = drawn at random.
        data: a hash of each problem, which must agree for a resume.
        device, watch, run_dir: as of `untrained.solve`.
    """
    settings = {"data": list(data)}
    found = solve_each(
        recipe,
        problems,
        seeds=[seeds[0]] * len(problems),
        watch=watch,
        device=device,
        run_dir=run_dir,
        settings=settings,
        start=start,
    )
    if len(seeds) == 1:
        return found
    for i, first in enumerate(found):
        others: list[Fit] = []
        if all(one.finished for one in found):
            others = solve_each(
                replace(first.final_recipe(), stop=MaxSteps(max(1, first.stop[0].step))),
                [problems[i]] * (len(seeds) - 1),
                seeds=seeds[1:],
                watch=[w.alone(i) for w in watch],
                device=device,
                run_dir=None if run_dir is None else Path(run_dir) / WORK / f"seeds-{i}",
                settings=settings,
                start=start,
                track=_last_track(first),
            )
        found[i] = _average(first, others)
    return found


LOST = (OFF_TRACK, DIVERGED)
"""Names of the ends after which the image of a fit is not used."""


def _last_track(first: Fit) -> list[float]:
    """Return the data term at each step of the last fit of the first seed."""
    phases, data = first.history["phase"], first.history.get("data", [])
    return [float(v) for phase, v in zip(phases, data, strict=False) if phase == phases[-1]]


def _average(first: Fit, others: list[Fit]) -> Fit:
    """Average the seeds whose fits did not fail; the first alone where no other is left."""
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

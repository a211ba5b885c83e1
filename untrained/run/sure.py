"""Reconstruct with an error bar: what it applies to, and every image of a call in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from untrained.about import About
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.folder import WORK
from untrained.physics.photons import Stabilised
from untrained.problem import Problem
from untrained.run.case import Case, RunSettings
from untrained.run.plan import Plan
from untrained.solver.fit import Fit, stack_fits
from untrained.uncertainty.quantify import Sure, quantify
from untrained.uncertainty.settings import MEMBERS, Ensemble, Linearised, Way
from untrained.uncertainty.summary import join

UNFINISHED = "there is no error bar yet"


def members(chosen: Plan, asked: int, way: Way | None, problem: Problem) -> int:
    """Return the number of seeds of a run, and check that the error bar asked for applies.

    Args:
        chosen: the plan.
        asked: with --seeds; 1 is the default, for an ensemble MEMBERS.
        way: the error bar; None = none.
        problem: what is measured.

    Raises:
        UserError: a way that cannot serve this method or task; what to take instead.
    """
    if way is None:
        return chosen.seeds(asked)
    if isinstance(problem.physics, Stabilised):
        raise UserError(
            "--uncertainty: the intervals would be those of the transformed photon counts, not of "
            "the image; leave out --photons and 'photons' in the file, or leave out --uncertainty"
        )
    if chosen.recipe is None:
        raise UserError(
            f"'{chosen.card.name}' is a classical method, which has no network to vary: leave "
            "--uncertainty out (uncertainty= in Python), or take a method that fits one, such as "
            "house or dip"
        )
    if chosen.unknown:
        raise UserError(
            f"unknown of the operator: {', '.join(chosen.unknown)}; the doubt about it is not part "
            "of an error bar: leave --uncertainty out (uncertainty= in Python), or give what was "
            "found"
        )
    if isinstance(way, Linearised) and not problem.linear:
        raise UserError(
            f"--uncertainty linearised needs a linear operator, and that of {chosen.task} is not: "
            "take --uncertainty sgld or ensemble (uncertainty= in Python)"
        )
    if not isinstance(way, Ensemble):
        if asked > 1:
            raise UserError(
                f"--uncertainty {way.name} draws about one run: leave --seeds out (seeds= in "
                "Python), or take --uncertainty ensemble"
            )
        return 1
    if problem.traits.ambiguous_orientation:
        raise UserError(
            f"the images of an ensemble are compared pixel by pixel, and on {chosen.task} each "
            "seed may find the image turned or moved: take --uncertainty sgld (uncertainty= in "
            "Python)"
        )
    count = max(MEMBERS if asked == 1 else asked, chosen.recipe.seeds)
    if chosen.weights is not None and chosen.weights.whole:
        if way.bootstrap:
            return count
        raise UserError(
            f"'{chosen.card.name}' starts from learned weights and draws nothing at random, so "
            "that the members of an ensemble would be equal: take --set "
            "uncertainty.bootstrap=true, or --uncertainty sgld or linearised"
        )
    return chosen.seeds(count)


@dataclass(frozen=True, eq=False)
class ErrorBar:
    """Hold the fit of a case and the error bars of its images; without them if interrupted."""

    fit: Fit
    each: tuple[Sure, ...]

    def described(self, about: About) -> About:
        """Add the error bars to what a report tells."""
        told = join([one.uncertainty for one in self.each])
        if told is None:
            return about
        half = _stacked([one.half for one in self.each])
        null = _stacked([one.null_std for one in self.each])
        return replace(about, uncertainty=told, half=half, null_std=null)


def error_bars(
    chosen: Plan,
    cases: Sequence[Case],
    settings: RunSettings,
    seeds: Sequence[int],
    data: Sequence[Sequence[str]],
    device: str,
    watch: Sequence[Watch],
) -> list[ErrorBar]:
    """Reconstruct every image of every case with an error bar, one after another.

    Arguments as of `execute.run`; once one was interrupted the others are not begun.
    """
    assert chosen.recipe is not None
    assert settings.sure is not None
    total = sum(len(case.problem) for case in cases)
    row, bars, paused = 0, list[ErrorBar](), False
    for case, digests in zip(cases, data, strict=True):
        each: list[Sure] = []
        for i, one in enumerate(case.problem.each()):
            if paused:
                each.append(Sure(_not_begun(one, bars[-1].fit if not each else each[-1].fit)))
                continue
            sure = quantify(
                chosen.recipe,
                one,
                settings.sure,
                settings.level,
                seeds=seeds,
                start=chosen.start(one),
                data=[digests[i]],
                device=device,
                watch=[w.alone(row) for w in watch] if total > 1 else watch,
                run_dir=_place(settings.run_dir, row, total),
                truth=None if case.truth is None else case.truth[i : i + 1],
            )
            paused = not sure.fit.finished
            if paused:
                sure = replace(sure, fit=sure.fit.with_reason(UNFINISHED))
            each.append(sure)
            row += 1
        bars.append(ErrorBar(stack_fits([one.fit for one in each]), tuple(each)))
    return bars


def _place(run_dir: str | Path | None, row: int, total: int) -> Path | None:
    """Return the folder of the state of an image of a call."""
    if run_dir is None:
        return None
    return Path(run_dir) if total == 1 else Path(run_dir) / WORK / f"slice-{row}"


def _not_begun(problem: Problem, previous: Fit) -> Fit:
    """Return the adjoint image of a problem that was not begun before an interruption."""
    image = problem.to_units(problem.estimate())
    return replace(previous, image=image, std=None, guide=None, steps=0)


def _stacked(images: Sequence[Tensor | None]) -> Tensor | None:
    known = [one for one in images if one is not None]
    return torch.cat(known) if known and len(known) == len(images) else None

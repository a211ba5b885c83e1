"""What a job computes: the stopped image, the trajectory of the whole budget, and their scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from untrained.bench.coverage import plain_values
from untrained.bench.job import Job, file_digest
from untrained.bench.score import Limit, Score, Scored
from untrained.core.recipe import Recipe
from untrained.core.rule import Never, Output
from untrained.core.watch import Watch
from untrained.data import TASKS, Measurement, read_guides
from untrained.errors import UserError
from untrained.machine import pick_device
from untrained.problem import Problem
from untrained.result import Result
from untrained.run.case import Case, RunSettings
from untrained.run.execute import run
from untrained.solver.fit import Fit
from untrained.solver.procedure import solve_recipe
from untrained.solver.stage import DIVERGED

History = dict[str, list[float | str]]


@dataclass
class Measured:
    """A job's outcome.

    Attributes:
        result: of the run with its own stop rule.
        axes: of the saved image.
        scores: `stopped final oracle oracle_step ssim`; None where there is no such number.
        uncertainty: how the error bar was found and how often its intervals hold, as in the
            `result.json` of a run; None without one.
        history: of every phase; the whole budget on all measurements is phase `curve`.
        curve: that phase's name; empty for a classical method, and where the cut came before.
        cut: whether the time limit ended the job.
        full_seconds: of the second run, which only the scores needed.
        finished: False when it was paused and can be taken up again.
    """

    result: Result
    axes: str
    scores: dict[str, float | None]
    history: History
    uncertainty: dict[str, Any] | None = None
    curve: str = ""
    cut: bool = False
    full_seconds: float = 0.0
    finished: bool = True


def measure(
    job: Job, state: Path, *, time_limit: float, device: str, watch: Sequence[Watch] = ()
) -> Measured:
    """Carry out a job; a pure function of it, unless the time limit cuts it.

    Args:
        job: what to do.
        state: directory of its checkpoints; those found there are taken up.
        time_limit: seconds after which it is cut, over all calls; 0 = none.
        device: where.
        watch: further watchers, for example one that pauses.

    Raises:
        UserError: the file changed since the grid was read, holds several slices or no
            reference; whatever the method raises.
    """
    hardware = pick_device(device)
    m = _load(job)
    score = Score(m, job.case.region, hardware)
    guide = read_guides(m, [path for path, _ in job.case.guides]) if job.case.guides else None
    problem = Problem(m.y, m.physics, sigma=m.sigma, guide=guide).to(hardware)
    chosen, scored, limit = job.plan(), Scored(score), Limit(time_limit)
    watchers = [scored, limit, *watch]
    settings = RunSettings(
        seed=job.seed,
        device=str(hardware),
        watch=watchers,
        compare=False,
        run_dir=state / "stopped",
        sure=job.way(),
        level=job.run.level,
    )
    # Only the record of an error bar sees the truth; else the watcher alone does.
    truth = score.known() if settings.sure is not None else None
    (result,) = run(chosen, [Case(problem, truth)], settings)
    scores: dict[str, float | None] = {
        "stopped": score.psnr(result.image),
        "ssim": score.ssim(result.image),
    }
    measured = Measured(result, m.axes, scores, result.history)
    if settings.sure is not None:
        # No oracle: an interval belongs to an image of a part of the measurements.
        _ended(measured, result)
        measured.uncertainty = plain_values(result.uncertainty)
        return measured
    if chosen.recipe is None or not _ended(measured, result):
        return measured
    measured.curve = _whole_phase(chosen.recipe, result)
    if result.finished and not measured.curve:
        again = solve_recipe(
            replace(result.final_recipe(), stop=Never()),
            problem,
            seed=job.seed,
            device=str(hardware),
            watch=watchers,
            run_dir=state / "full",
            settings={"data": job.case.digest},
            start=chosen.start(problem),
        )
        if not _ended(measured, again):
            return measured
        measured.curve, measured.full_seconds = "full", again.seconds
        measured.history = _appended(result.history, again.history)
    if measured.curve:
        whole = problem.weighted(chosen.recipe.weighting)
        scores.update(_scores(measured, scored, score, result.final_recipe().output, whole))
    return measured


def _ended(measured: Measured, result: Fit) -> bool:
    """Tell whether a run came to its end, or the time limit cut it; else it was paused."""
    measured.cut = not result.finished and result.stop[0].rule == "time limit"
    measured.finished = result.finished or measured.cut
    return measured.finished


def _load(job: Job) -> Measurement:
    case = job.case
    for file, digest in ((case.file, case.digest), *case.guides):
        if file_digest(file) != digest:
            raise UserError(f"{file} is not the file that the grid was read with; run it again")
    slices = TASKS[case.task].load(case.file, **json.loads(case.options))
    if len(slices) != 1:
        raise UserError(f"{case.file} gives {len(slices)} slices; a case is one: options slice = N")
    return slices[0]


def _whole_phase(recipe: Recipe, result: Fit) -> str:
    """Name the phase of a run that took the whole budget on all measurements; "" if none did.

    Without held-out measurements a run that diverged, or was cut, would go the same way again:
    its trajectory is what there is.
    """
    phases = result.history["phase"]
    if recipe.stop.holdout:
        return "refit" if phases.count("refit") >= recipe.budget else ""
    ended = not result.finished or result.stop[0].rule == DIVERGED
    return "fit" if ended or len(phases) >= recipe.budget else ""


def _appended(first: History, second: History) -> History:
    """Join two histories, the second as phase `full`; a column that one lacks is NaN there."""
    second = {**second, "phase": ["full"] * len(second["step"])}
    missing: dict[bool, list[float | str]] = {
        False: [float("nan")] * len(first["step"]),
        True: [float("nan")] * len(second["step"]),
    }
    return {
        name: first.get(name, missing[False]) + second.get(name, missing[True])
        for name in {**first, **second}
    }


def _scores(
    measured: Measured, scored: Scored, score: Score, output: Output, problem: Problem
) -> dict[str, float | None]:
    """Score the whole trajectory: `final` and `oracle`, after the output rule's closing step."""

    def closed(image: Tensor | None) -> float:
        assert image is not None
        finished = output.finish(problem, problem.from_units(image))
        return score.psnr(problem.to_units(finished))

    rows = [i for i, phase in enumerate(measured.history["phase"]) if phase == measured.curve]
    best, best_step = -float("inf"), 0
    for name in ("psnr", "psnr_output"):
        for i in rows:
            value = float(measured.history[name][i])
            if value > best:
                best, best_step = value, int(measured.history["step"][i])
    final = closed(scored.last)
    return {
        "final": final,
        "oracle": max(best, final, closed(scored.best)),
        "oracle_step": best_step,
    }

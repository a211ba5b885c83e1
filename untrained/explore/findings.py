"""Explore a file: contents, the likely task, what looks wrong, and the command to run next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from untrained.classical.sliding_dct import quick_tv
from untrained.classical.weight import noise_level
from untrained.data import TASKS, Measurement
from untrained.doubts import residual_doubts
from untrained.errors import Doubt, UserError
from untrained.explore.contents import Entry, list_contents
from untrained.explore.fold import OPTION, fold_doubts
from untrained.explore.guess import Guess, guess
from untrained.explore.trajectories import trajectory_facts
from untrained.problem import Problem

QUICK_WEIGHT = 2e-4  # of total variation, relative to ||A||^2: little, so that the data are fitted


@dataclass(frozen=True)
class Findings:
    """What was found in a file.

    Attributes:
        path: the file.
        entries: the arrays that it holds.
        guess: the task it looks like; None where nothing tells, or where the task was given.
        task: the task that it was read as; "" for none.
        facts: what was read, and what was decided while reading.
        suspicious: what looks wrong, the likeliest cause first.
        command: what to run next; "" where the file cannot be read as it is.
        measurement, problem: what the loader read, and the problem of it; None where it refused.
    """

    path: str
    entries: tuple[Entry, ...]
    guess: Guess | None
    task: str
    facts: tuple[str, ...] = ()
    suspicious: tuple[str, ...] = ()
    command: str = ""
    measurement: Measurement | None = None
    problem: Problem | None = None


def explore(path: str | Path, task: str = "") -> Findings:
    """Look into a file.

    Args:
        path: a file of any format that `untrained list formats` names.
        task: what to read it as; "" = what it looks like.

    Raises:
        UserError: no such file, a format that is not read, damage, or an unknown task.
    """
    if task and task not in TASKS:
        raise UserError(f"there is no task '{task}'; known: {', '.join(TASKS)}")
    entries = list_contents(path)
    found = Guess(task, "") if task else guess(path, entries, list(TASKS))
    if found is None:
        return Findings(str(path), entries, None, "")
    options = {"key": found.key} if found.key else {}
    if found.options:
        options["angles"] = found.options[1]
    try:
        measurement = TASKS[found.task].load(str(path), **options)[0]
    except UserError as error:
        return Findings(str(path), entries, found, found.task, suspicious=(Doubt(error),))
    problem = Problem(measurement.y, measurement.physics, sigma=measurement.sigma)
    notes = measurement.notes
    folded = fold_doubts(measurement)
    doubts = [*(note for note in notes if isinstance(note, Doubt)), *folded]
    return Findings(
        path=str(path),
        entries=entries,
        guess=found,
        task=found.task,
        facts=(
            *measurement.physics.first_note(),
            *trajectory_facts(measurement.physics),
            *_facts(problem),
            *(note for note in notes if not isinstance(note, Doubt)),
        ),
        suspicious=(*doubts, *_misfit(problem, doubts)),
        command=shlex.join([*_command(path, found), *(OPTION if folded else ())]),
        measurement=measurement,
        problem=problem,
    )


def _facts(problem: Problem) -> tuple[str, ...]:
    """Say how noisy a picture is."""
    if not problem.traits.only_noise or problem.sigma is not None:
        return ()
    sigma = noise_level(problem, problem.estimate())
    return (f"its noise has a standard deviation of about {255 * sigma:.1f} of 255",)


def _misfit(problem: Problem, doubts: Sequence[str]) -> tuple[str, ...]:
    """Doubt the geometry of a scan by the residual of a quick total-variation image."""
    if problem.traits.measures != "views" or doubts:
        return ()  # what is known to be wrong already leaves a residual, too
    with torch.no_grad():
        image = quick_tv(problem, QUICK_WEIGHT)
    return residual_doubts(problem, image)


def _command(path: str | Path, found: Guess) -> list[str]:
    """Return the words of the command that reconstructs the file."""
    words = ["untrained", "reconstruct", found.task, str(path)]
    words += ["--key", found.key] if found.key else []
    return [*words, *found.options]

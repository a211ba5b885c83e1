"""What is told of a result: the classical answer beside it, its measures, and remarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from untrained.classical import CLASSICAL, SHOWN, guide_name
from untrained.core.result import About, Mixture, Result
from untrained.core.rule import Watch
from untrained.doubts import level_doubts, residual_doubts
from untrained.errors import UserError
from untrained.metrics import (
    OTHER_UNITS,
    comparable,
    known_part,
    nrmse,
    other_units,
    psnr,
    same_view,
    ssim,
    usual_range,
)
from untrained.plan import Plan
from untrained.problem import Problem
from untrained.rules.output import CLASSICAL_ERROR
from untrained.rules.stop import HELD_OUT_ERROR
from untrained.waiting import TimeIsUp, waiting

COMPARISON, BESIDE_CLASSICAL = 300.0, 60.0
"""Seconds that the classical answer may take beside a network's image, and a classical one."""


def about(
    chosen: Plan,
    problem: Problem,
    result: Result,
    truth: Tensor | None,
    data_range: float | None,
    compare: bool,
    watch: Sequence[Watch] = (),
) -> About:
    """What a report tells of a result: its classical answer, its measures, and remarks.

    Args:
        chosen, problem, result: what was planned, of what, and what came of it.
        truth, data_range: a reference and the range of its PSNR, if there is one.
        compare: whether the classical answer is computed.
        watch: who is told while that takes long, and may end it.
    """
    told = About(
        task=chosen.task,
        method=chosen.card.name,
        preset="" if chosen.recipe is None else chosen.preset,
        adjoint=problem.to_units(problem.estimate()),
        reference=truth,
        data_range=data_range,
    )
    if chosen.weights is not None:
        learned = chosen.weights
        facts = learned.facts()
        told.weights = {name: facts[name] for name in ("method", "inputs", "seed")}
        files = ", ".join(entry.get("name", "") for entry in learned.inputs) or "what was given"
        told.notes = (
            *learned.doubts(problem),
            f"it has the network and the start that {learned.method} learned from {files}",
        )
    told.notes += chosen.notes
    told.mixture = _mixture(problem, result)
    told.notes += _of_the_output(problem, result, told.mixture)
    if problem.unit_range:
        told.notes += level_doubts(float(problem.scale[0]))
    if compare:
        _add_classical(told, problem, result, watch)
        told.notes += _of_the_views(problem, told)
    if problem.traits.ambiguous_orientation:
        _turn(told, result.image)
    if told.reference is not None and data_range is not None:
        told.metrics = _measured(problem, result.image, told.reference, data_range)
        told.notes += _of_the_reference(problem, result.image, told.reference)
        if told.classical is not None:
            turned = problem.traits.ambiguous_orientation
            against = same_view(told.reference, told.classical) if turned else told.reference
            told.classical_metrics = _measured(problem, told.classical, against, data_range)
        if told.mixture is not None and result.guide is not None:
            turned = problem.traits.ambiguous_orientation
            against = same_view(told.reference, result.guide) if turned else told.reference
            of_guide = _measured(problem, result.guide, against, data_range)
            told.mixture = replace(told.mixture, classical_metrics=of_guide)
    return told


def _mixture(problem: Problem, result: Result) -> Mixture | None:
    """What an image is made of that leans on a classical one; of several, the first."""
    shares = result.history.get("network share")
    if not shares:
        return None
    # an unfinished refit counts its own steps, in which nothing of this changes
    row = result.stop[0].step - 1 if result.finished and result.stop[0].step else -1

    def known(column: str) -> float | None:
        value = float(result.history[column][row]) if column in result.history else math.nan
        return value if math.isfinite(value) else None

    return Mixture(
        float(shares[row]), guide_name(problem), known(HELD_OUT_ERROR), known(CLASSICAL_ERROR)
    )


def _of_the_output(problem: Problem, result: Result, mixture: Mixture | None) -> tuple[str, ...]:
    """What the output rule made of the network's images; of several, of the first."""
    which = "the image" if len(problem) == 1 else "the first image"
    notes: tuple[str, ...] = (result.dropped,) if result.dropped else ()
    if result.recipe is not None and result.recipe.undecided and result.finished:
        notes += (
            f"{which} was fitted with {result.settled().method.description}, which in trials "
            "predicted held-out measurements best",
        )
    if mixture is not None:
        notes += (f"{which} is {mixture.said}",)
    if (mu := result.history.get("closing mu")) and float(mu[0]):
        notes += (
            f"{which} was moved towards the measurements at the end (mu {float(mu[0]):g}), since "
            "that predicts held-out ones better",
        )
    return notes


def _add_classical(about: About, problem: Problem, result: Result, watch: Sequence[Watch]) -> None:
    """The classical answer: total variation, or the algorithm behind a nonlinear `initial`."""
    own = problem.physics.classical_name
    about.classical_name = SHOWN if problem.linear else own
    if about.classical_name == about.method:
        about.classical = result.image
    elif problem.linear:
        try:
            found = problem.to_units(_compared(problem, result, watch))
            if not bool(found.isfinite().all()):
                raise UserError("it became infinite or NaN")
            about.classical = found
        except UserError as error:  # what was asked for is there, and stays
            about.classical_name = ""
            about.notes += (f"there is no classical answer beside it: {error}",)
    elif own:
        about.classical, about.adjoint = about.adjoint, None


def _compared(problem: Problem, result: Result, watch: Sequence[Watch]) -> Tensor:
    """Compute the classical answer, unless it takes too long.

    Raises:
        UserError: it does; says what to do.
    """
    ask = f"--method {SHOWN} makes one, and takes its time"
    if result.recipe is None and problem.physics.few_views() is not None:
        raise UserError(f"of a scan this large it takes far longer than the image; {ask}")
    usual = COMPARISON if result.recipe is not None else BESIDE_CLASSICAL
    limit = min([usual, *(one.left() for one in watch)])

    def tell(seconds: float) -> bool:
        for one in watch:
            one.busy(f"comparing with {SHOWN}", seconds)
        return any(one.left() == 0 for one in watch)

    try:
        with waiting(limit, tell):
            return problem.cached(SHOWN, CLASSICAL[SHOWN])
    except TimeIsUp:
        why = f"it took longer than {limit:.0f} s" if limit else "the run was interrupted"
        raise UserError(f"{why}; {ask}; --no-compare leaves it out") from None
    finally:
        for one in watch:
            one.end("comparison")


def _of_the_views(problem: Problem, about: About) -> tuple[str, ...]:
    """Say where total variation cannot explain the views of a CT scan."""
    views = problem.traits.measures == "views"
    if about.classical is None or about.classical_name != SHOWN or not views:
        return ()
    images = problem.from_units(about.classical)
    each = (residual_doubts(one, images[i : i + 1]) for i, one in enumerate(problem.each()))
    return tuple(dict.fromkeys(note for notes in each for note in notes))


def _of_the_reference(problem: Problem, image: Tensor, truth: Tensor) -> tuple[str, ...]:
    """Ask about a reference that shows the image in other units."""
    image, truth = (comparable(x, problem.complex_image) for x in (image, truth))
    times = other_units(image, truth)
    return () if times is None else (OTHER_UNITS.format(times),)


def _turn(about: About, image: Tensor) -> None:
    """Amplitudes do not tell how an image is turned: everything is shown as `image` is."""
    for name in ("adjoint", "classical", "reference"):
        other = getattr(about, name)
        if other is not None:
            setattr(about, name, same_view(other, image))


def _measured(problem: Problem, image: Tensor, truth: Tensor, width: float) -> dict[str, float]:
    """PSNR, SSIM and NRMSE; complex images by magnitude."""
    image, truth = (comparable(x, problem.complex_image) for x in (image, truth))
    return {
        "psnr": psnr(image, truth, data_range=width),
        "ssim": ssim(image, truth, data_range=width),
        "nrmse": nrmse(image, truth),
    }


def checked_reference(
    truth: Tensor | None, data_range: float | None, problem: Problem
) -> tuple[Tensor | None, float | None]:
    """The reference, if there is one, of the image's shape, and the range of its PSNR."""
    if truth is None:
        return None, data_range
    if not isinstance(truth, Tensor) or not bool(truth[known_part(truth)].isfinite().all()):
        found = "NaN or infinite values" if isinstance(truth, Tensor) else type(truth).__name__
        raise UserError(
            f"truth must be a torch tensor of finite values (NaN around a part of it: not known "
            f"there), got {found}"
        )
    expected = (len(problem.y), *problem.x_shape)
    if tuple(truth.shape) != expected:
        raise UserError(
            f"the reference has shape {tuple(truth.shape)}, but the image is {expected}; crop or "
            "convert the reference (complex images are two channels)"
        )
    truth = truth.detach().float()
    width = data_range
    if width is None:
        width = usual_range(comparable(truth, problem.complex_image), unit=problem.unit_range)
    if not 0 < width < float("inf"):
        found = f"data_range={width}" if data_range is not None else "a reference of zeros"
        raise UserError(f"the range of the PSNR must be positive and finite, got {found}")
    return truth, width

"""Evaluate a fit: the classical answer beside it, its measures, and remarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from untrained.about import About, Mixture
from untrained.classical import CLASSICAL, SHOWN, baseline_name
from untrained.core.watch import Watch
from untrained.doubts import level_doubts, residual_doubts
from untrained.errors import UserError
from untrained.metrics import (
    OTHER_UNITS,
    comparable,
    moved_view,
    other_units,
    same_view,
)
from untrained.priors import Denoiser, Prior
from untrained.problem import Problem
from untrained.problem.digest import reference_digests
from untrained.rules.output import CLASSICAL_ERROR
from untrained.rules.prior_blend import PRIOR_ERROR, PRIOR_SHARE
from untrained.rules.stop import HELD_OUT_ERROR
from untrained.run.pictures import measurement_pictures
from untrained.run.plan import Plan
from untrained.run.scores import SUBPIXEL, scores_of
from untrained.solver.fit import Fit
from untrained.waiting import TimeIsUp, waiting

COMPARISON, BESIDE_CLASSICAL = 300.0, 60.0
"""Seconds that the classical answer may take beside a network's image, and beside a classical
one."""


@dataclass(frozen=True)
class Comparison:
    """Hold the classical answer beside a fit.

    Attributes:
        name: its method; empty without one.
        image: `(G, C, ...)` in the units of the measurements.
        notes: why there is none, or what it shows of the measurements.
    """

    name: str = ""
    image: Tensor | None = None
    notes: tuple[str, ...] = ()


def evaluate(
    chosen: Plan,
    problem: Problem,
    fit: Fit,
    *,
    truth: Tensor | None,
    data_range: float | None,
    data: Sequence[str],
    seeds: int,
    compare: bool,
    watch: Sequence[Watch] = (),
) -> About:
    """Compare a fit with the classical answer, measure it against the reference, and remark on it.

    Args:
        chosen, problem, fit: what was planned, of what, and what came of it.
        truth, data_range: a reference and the range of its PSNR, if there is one.
        data: a hash of measurements and operator of each image.
        seeds: how many seeds the image is the mean of.
        compare: whether the classical answer is computed.
        watch: watchers, which show how long that takes and may end it.
    """
    method = chosen.card.name
    adjoint: Tensor | None = problem.to_units(problem.estimate())
    mixture = _mixture(chosen, problem, fit)
    beside = _compare(method, problem, fit, adjoint, watch) if compare else Comparison()
    if beside.image is adjoint:  # shown once
        adjoint = None
    classical, reference = beside.image, truth
    if problem.traits.ambiguous_orientation:
        # Amplitudes do not tell how an image is turned: everything is shown as the image is.
        adjoint, classical, reference = (
            None if other is None else same_view(other, fit.image)
            for other in (adjoint, classical, reference)
        )

    moved = "kernel" in chosen.unknown
    scores = partial(scores_of, problem, fit, reference, data_range, moved)
    if moved and reference is not None:  # shown where the image is
        reference = moved_view(reference, fit.image, SUBPIXEL)
    if mixture is not None:
        mixture = replace(mixture, classical_metrics=scores(fit.guide))
    return About(
        task=chosen.task,
        method=method,
        preset="" if chosen.recipe is None else chosen.preset,
        data=tuple(data),
        reference_data=tuple(reference_digests(truth)),
        seeds=seeds,
        notes=(
            *_notes(chosen, problem, fit, mixture),
            *beside.notes,
            *_of_the_reference(problem, fit.image, reference),
        ),
        adjoint=adjoint,
        classical=classical,
        classical_name=beside.name,
        reference=reference,
        data_range=data_range,
        weights=_origin_of_weights(chosen),
        prior=None if chosen.prior is None else chosen.prior.facts(),
        metrics=scores(fit.image),
        classical_metrics=scores(classical),
        mixture=mixture,
        mesh=problem.physics.on_mesh(fit.image[0]),
        pictures=measurement_pictures(problem, fit),
        axes="TYX" if problem.physics.is_series else About.axes,
        found=problem.physics.named(fit.theta),
    )


def _notes(chosen: Plan, problem: Problem, fit: Fit, mixture: Mixture | None) -> tuple[str, ...]:
    """Collect the notes on the plan and on the fit."""
    return (
        *_of_the_weights(chosen, problem),
        *_of_the_prior(chosen),
        *chosen.notes,
        *_of_the_output(problem, fit, mixture),
        *(level_doubts(float(problem.scale[0])) if problem.unit_range else ()),
        *_of_the_flicker(problem, fit),
    )


def _of_the_flicker(problem: Problem, fit: Fit) -> tuple[str, ...]:
    """Return a note on the warping error of a processed video, before and after."""
    frames = problem.physics.frames
    if not problem.traits.processed or not isinstance(frames, Tensor):
        return ()
    from untrained.flicker import optical_flow, warping_error

    shown, made, ours = (
        video[0].movedim(1, 0).detach().cpu().double().numpy()
        for video in (frames, problem.to_units(problem.y), fit.image)
    )
    flow = optical_flow(shown)
    before, after = (warping_error(video, shown, flow) for video in (made, ours))
    return (f"warping error {after:.3g}, that of the processed frames {before:.3g}",)


def _origin_of_weights(chosen: Plan) -> dict[str, Any] | None:
    """Return the origin of the learned weights that a plan starts from; None without any."""
    if chosen.weights is None:
        return None
    facts = chosen.weights.facts()
    return {name: facts[name] for name in ("method", "inputs", "seed")}


def _of_the_weights(chosen: Plan, problem: Problem) -> tuple[str, ...]:
    """Return notes on the learned weights that a plan starts from."""
    learned = chosen.weights
    if learned is None:
        return ()
    files = ", ".join(entry.get("name", "") for entry in learned.inputs) or "what was given"
    return (
        *learned.doubts(problem),
        f"it has the network and the start that {learned.method} learned from {files}",
    )


ROUGH = 0.03
"""Least noise level of a prior, in units of images, from which on it is said."""


def _of_the_prior(chosen: Plan) -> tuple[str, ...]:
    """Return a note on the pre-trained network that a plan asks."""
    if chosen.prior is None:
        return ()
    origin, count = chosen.prior.provenance, chosen.prior.parameter_count
    low, high = getattr(chosen.prior, "levels", (0.0, 0.0))
    coarse = (
        f"the prior knows no noise below {low:.3g} (it may have been learned from noisy images): a "
        "sampler ends there, and finer detail is the measurements' alone",
    )
    return (
        *(coarse if ROUGH < low < high else ()),
        f"it asks {chosen.prior.kind} that was trained elsewhere ({origin.architecture}, "
        f"{count:,} weights{f', from {origin.file}' if origin.file else ''}): what its training "
        "images had in common can appear in the image, measured or not",
        *_of_the_levels(chosen),
    )


def _of_the_levels(chosen: Plan) -> tuple[str, ...]:
    """Return a note where a denoiser knows other noise levels than it is asked for."""
    if not isinstance(chosen.prior, Denoiser) or chosen.recipe is None:
        return ()
    least, greatest = chosen.prior.levels
    knows = f"{least:.3g} only" if least == greatest else f"{least:.3g} to {greatest:.3g}"
    asked = [one for one in chosen.recipe.method.levels_asked() if not least <= one <= greatest]
    if asked:
        return (
            f"noise of {asked[0]:.3g} is asked of the denoiser, and it was trained on {knows}: it "
            "is asked at the nearest level that it knows",
        )
    if least == greatest:
        return (f"the denoiser was trained on noise of {knows}, and is asked at that level alone",)
    return ()


def _mixture(chosen: Plan, problem: Problem, fit: Fit) -> Mixture | None:
    """Describe the mixture with a classical image, if there is one; of several images the first."""
    shares = fit.history.get("network share")
    if not shares:
        return None
    # an unfinished refit counts its own steps, in which nothing of this changes
    row = fit.stop[0].step - 1 if fit.finished and fit.stop[0].step else -1
    if chosen.then is not None:  # the last rows are those of the second stage
        row = -1

    def known(column: str) -> float | None:
        value = float(fit.history[column][row]) if column in fit.history else math.nan
        return value if math.isfinite(value) else None

    return Mixture(
        float(shares[row]),
        baseline_name(problem),
        known(HELD_OUT_ERROR),
        known(CLASSICAL_ERROR),
        prior=known(PRIOR_SHARE),
        prior_name="" if chosen.prior is None else f"plug and play, {_named(chosen.prior)}",
        prior_held_out=known(PRIOR_ERROR),
    )


def _named(prior: Prior) -> str:
    """Return the prior's file, or its architecture where it has none."""
    return prior.provenance.file or prior.provenance.architecture


def _of_the_output(problem: Problem, fit: Fit, mixture: Mixture | None) -> tuple[str, ...]:
    """Return notes on the choices of the output rule; of several images those of the first."""
    which = "the image" if len(problem) == 1 else "the first image"
    notes: tuple[str, ...] = (fit.dropped,) if fit.dropped else ()
    if fit.recipe is not None and fit.recipe.undecided and fit.finished:
        notes += (
            f"{which} was fitted with {fit.final_recipe().method.description}, which in trials "
            "predicted held-out measurements best",
        )
    if mixture is not None:
        notes += (f"{which} is {mixture.shares}",)
    if (mu := fit.history.get("closing mu")) and float(mu[0]):
        notes += (
            f"{which} was moved towards the measurements at the end (mu {float(mu[0]):g}), since "
            "that predicts held-out ones better",
        )
    return notes


def _compare(
    method: str, problem: Problem, fit: Fit, adjoint: Tensor | None, watch: Sequence[Watch]
) -> Comparison:
    """Find the classical answer: total variation, or the algorithm behind a nonlinear `initial`.

    Args:
        method: what made the image; where that is the classical method, the image is its answer.
        problem, fit: what was fitted.
        adjoint: the image that every method starts from; of a nonlinear operator it is the answer.
        watch: watchers, which show how long it takes and may end it.
    """
    own = problem.physics.classical_name
    name, image, notes = SHOWN if problem.solvable else own, None, []
    if name == method:
        image = fit.image
    elif problem.solvable:
        try:
            image = problem.to_units(_classical_answer(problem, fit, watch))
            if not bool(image.isfinite().all()):
                raise UserError("it became infinite or NaN")
        except UserError as error:  # the fit itself is there: only the comparison is left out
            name, image = "", None
            notes.append(f"there is no classical answer beside it: {error}")
    elif own:
        image = adjoint
    if image is not None and name == SHOWN:
        notes += _of_the_views(problem, image)
    return Comparison(name, image, tuple(notes))


def _classical_answer(problem: Problem, fit: Fit, watch: Sequence[Watch]) -> Tensor:
    """Compute the classical answer, unless it takes too long.

    Raises:
        UserError: it does; says what to do.
    """
    ask = f"--method {SHOWN} makes one, and takes its time"
    if fit.recipe is None and problem.physics.few_views() is not None:
        raise UserError(f"of a scan this large it takes far longer than the image; {ask}")
    usual = COMPARISON if fit.recipe is not None else BESIDE_CLASSICAL
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


def _of_the_views(problem: Problem, classical: Tensor) -> tuple[str, ...]:
    """Return notes on views of a CT scan that total variation cannot explain."""
    if problem.traits.measures != "views":
        return ()
    images = problem.from_units(classical)
    each = (residual_doubts(one, images[i : i + 1]) for i, one in enumerate(problem.each()))
    return tuple(dict.fromkeys(note for notes in each for note in notes))


def _of_the_reference(problem: Problem, image: Tensor, truth: Tensor | None) -> tuple[str, ...]:
    """Return a note where the reference seems to show the image in other units."""
    if truth is None:
        return ()
    image, truth = (comparable(x, problem.complex_image) for x in (image, truth))
    times = other_units(image, truth)
    return () if times is None else (OTHER_UNITS.format(times),)

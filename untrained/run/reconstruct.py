"""`reconstruct`: measurements and physics in, a result out; `reconstructor`: deepinv's shape."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from untrained.ambient import single_precision
from untrained.checks import (
    check_contents,
    check_measurements,
    check_sigma,
    check_unit_range,
    whole,
)
from untrained.core.method import Method
from untrained.core.rule import Output, Stop
from untrained.doubts import doubts, mended
from untrained.errors import Note, UserError
from untrained.physics import Physics, as_physics
from untrained.physics.check import adjoint_notes
from untrained.physics.foreign import is_ours
from untrained.pretrain import Weights, load_weights
from untrained.priors import Prior, load_prior
from untrained.problem import Problem
from untrained.problem.scaling import own_level
from untrained.result import Result
from untrained.rules.watch import Progress
from untrained.run.case import Case, RunSettings
from untrained.run.execute import run
from untrained.run.plan import plan
from untrained.run.tiles import Picture, choose_tiling, run_tiles, tiling_note
from untrained.tasks import find_task
from untrained.uncertainty.settings import (
    LEVEL,
    Way,
    check_level,
    find_way,
    parted_settings,
    with_settings,
)

CALLER = 5
"""Number of frames from a warning to the caller of `reconstruct`: itself and its decorators."""


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
    uncertainty: str | Way | None = None,
    truth: Tensor | None = None,
    progress: bool = True,
    *,
    sigma: float | None = None,
    guide: Tensor | None = None,
    weights: str | Path | Weights | None = None,
    prior: str | Path | Prior | None = None,
    data_range: float | None = None,
    settings: Sequence[str] = (),
    steps: int = 0,
    compare: bool = True,
    run_dir: str | Path | None = None,
    level: float = LEVEL,
    tile: int | None = None,
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
        uncertainty: None; `ensemble`, `sgld` or `linearised` for a calibrated error bar, or one of
            `untrained.uncertainty.settings` with settings of your own (`Ensemble(bootstrap=True)`):
            the result then has `std`, `lower`, `upper` and `uncertainty`. `seeds` (needs seeds > 1)
            is the spread of several runs, uncalibrated.
        level: nominal coverage of its intervals, in (0, 1).
        truth: a reference `(B, C, ...)` in the units of y, for the record only: it feeds the
            PSNR columns of the history and nothing else.
        progress: show a bar with time left.
        sigma: standard deviation of the noise in the units of y, if known.
        guide: clean images of similar content `(M, C, ...)`, for the methods that need some.
        weights: a file that `untrained pretrain` wrote, or what `pretrain.train` returned, for
            the methods that start from learned weights.
        prior: a pre-trained network, or its `FILE` or `FILE:ARCHITECTURE`, for the methods that
            ask one.
        data_range: range of the PSNR; default 1 for photographs, max |truth| otherwise.
        settings: `FIELD=VALUE` assignments as with `--set`.
        steps: budget in optimiser steps; 0 = the preset's.
        compare: also compute the classical answer, for the report; given up after five minutes
            (beside a classical method one), and not begun for `fbp` of a large scan.
        run_dir: keep a checkpoint there and resume from the one found there.
        tile: side of overlapping tiles, in pixels of the image, that one picture is worked on in
            (denoising, inpainting, deblurring, super-resolution); None: only where the whole does
            not fit into memory.

    Returns:
        The result; `result.image` is `(B, C, ...)` in the units of the measurements.
        `result.notes` tells what was decided on your behalf and what looks wrong in the input;
        each note is also a warning of category `untrained.Note`.

    Raises:
        UserError: unknown names, shapes that do not agree, values that are not finite or, in a
            photograph, far outside [0, 1], measurements that contradict their operator, an
            operator of your own whose `A_adjoint` is none.
    """
    sure = None if uncertainty == "seeds" else find_way(uncertainty)
    settings, own = parted_settings(settings)
    sure, level = with_settings(sure, own), check_level(level)
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
        prior=load_prior(prior) if isinstance(prior, str | Path) else prior,
        unknown=tuple(problem.physics.unknowns()),
    )
    chosen.check_guide(guide is not None)
    if uncertainty == "seeds" and chosen.seeds(seeds) < 2:
        raise UserError("uncertainty='seeds' is the spread of several runs: give seeds=2 or more")
    how = RunSettings(
        seed=seed,
        seeds=seeds,
        device=device,
        watch=[Progress(chosen.card.name)] if progress else [],
        compare=compare,
        run_dir=run_dir,
        sure=sure,
        level=level,
    )
    picture = Picture(y, physics, sigma, guide)
    tiling = choose_tiling(chosen, picture, tile, device, sure=sure is not None)
    if tiling is None:
        (result,) = run(chosen, [Case(problem, truth, data_range)], how)
    else:
        result = run_tiles(chosen, picture, tiling, how, truth=truth, data_range=data_range)
        notes = (*notes, tiling_note(tiling, tile))
    result = result.with_notes([*physics.first_note(), *notes, *result.notes, *inexact])
    for note in result.notes:
        warnings.warn(note, Note, stacklevel=CALLER)
    return result


def reconstructor(
    method: str | Method = "auto", preset: str = "fast", **options: Any
) -> Reconstructor:
    """Build a module with deepinv's call: `model(y, physics) -> x`.

    Args:
        method, preset: as in `reconstruct`.
        options: further keyword arguments of `reconstruct`, checked by it.
    """
    return Reconstructor(method, preset, options)


class Reconstructor(nn.Module):
    """Reconstruct as a module, `model(y, physics) -> x`, without gradients; see `reconstructor`."""

    def __init__(self, method: str | Method, preset: str, options: dict[str, Any]) -> None:
        super().__init__()
        unknown = [name for name in options if name not in signature(reconstruct).parameters]
        if unknown:
            raise UserError(f"reconstructor: reconstruct has no argument '{unknown[0]}'")
        self.method, self.preset = method, preset
        self.options = {"progress": False, "compare": False, **options}

    def forward(self, y: Tensor, physics: Any) -> Tensor:
        """Reconstruct images `(B, C, ...)` from measurements `(B, ...)`."""
        return reconstruct(y, physics, self.method, self.preset, **self.options).image


# ---------------------------------------------------------------------------------------------


FEW_PRODUCTS = ("fbp", "fdk", "adjoint")
"""Methods that use the operator a few times only, so that no matrix is built for large scans."""


def light(method: str | Method, physics: Physics) -> Physics:
    """Return the operator, without its matrix for a method that uses it a few times only."""
    return physics.without_matrix() if method in FEW_PRODUCTS else physics


def whole_problem(
    y: Tensor, physics: Physics, sigma: float | None, guide: Tensor | None
) -> Problem:
    """Build the problem of measurements and physics; dim or bright photographs keep their level."""
    check_measurements(y)
    level = own_level(y.detach().float(), physics)
    return Problem(y, physics, sigma=sigma, guide=guide, level=level)


def _adjoint(physics: Physics, problem: Problem) -> tuple[str, ...]:
    """Return notes on the adjoint of a user's own operator; ours are tested."""
    if is_ours(physics):
        return ()
    return adjoint_notes(problem.physics, problem.x_shape, physics.class_name(), len(problem))

"""Reconstruct one image with an error bar: fit, draw, calibrate, test, in that order and once."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from untrained.core.recipe import Recipe
from untrained.core.start import StartWeights
from untrained.core.watch import Watch
from untrained.problem import Problem
from untrained.solver.fit import Fit
from untrained.uncertainty.conformal import conformal_factor, coverage, fit_scale
from untrained.uncertainty.draw import Task, as_run, draw
from untrained.uncertainty.drawn import Drawn, centred, variance_of
from untrained.uncertainty.measured import measured_part
from untrained.uncertainty.roles import Roles, divide
from untrained.uncertainty.settings import Way
from untrained.uncertainty.summary import Uncertainty, against, gaussian_quantile


@dataclass(frozen=True, eq=False)
class Sure:
    """Hold a fit with its error bar; without one where the run was interrupted.

    Attributes:
        fit: its `std` is calibrated (half the interval is quantile times it), in the units of the
            measurements.
        uncertainty: how it was found.
        half: half of the interval's width, `(1, C, ...)`.
        null_std: the calibrated standard deviation of the part that no measurement speaks to,
            `(1, C, ...)`; None for a nonlinear operator.
    """

    fit: Fit
    uncertainty: Uncertainty | None = None
    half: Tensor | None = None
    null_std: Tensor | None = None


FLAT = 16
"""Samples of white noise that stand for a spread which is the same everywhere."""

PARTED = 8
"""Samples, at even distances, that are parted into what is measured and what is not."""


def quantify(
    recipe: Recipe,
    problem: Problem,
    way: Way,
    level: float,
    *,
    seeds: Sequence[int],
    start: StartWeights | None,
    data: Sequence[str],
    device: str,
    watch: Sequence[Watch],
    run_dir: Path | None,
    truth: Tensor | None,
) -> Sure:
    """Reconstruct one image and say how sure it is.

    Measurements are divided first (`Roles`). The fit sees one part, its stop rule another; a third
    calibrates; the last tells the coverage. Nothing is refitted afterwards, not even what the stop
    rule held out, since the width of the intervals belongs to this image.

    Args:
        recipe, problem: what is run, on which measurements of one image.
        way, level: how the spread is found, and the nominal coverage.
        seeds: of the members of an ensemble; the first one serves everything else.
        start, data, device, watch, run_dir: as of `solve_ensemble`.
        truth: a reference `(1, C, ...)`, for the record only.
    """
    recipe = as_run(recipe, way)
    roles = divide(problem, recipe.stop.holdout, seeds[0])
    task = Task(recipe, roles, seeds, start, {"data": list(data)}, device, watch, run_dir)
    drawn = draw(way, task)
    if drawn.samples is None or drawn.std is None:
        return Sure(replace(drawn.fit, samples=None, spread=None, finished=False))
    began, cpu = time.perf_counter(), time.process_time()
    sure = _calibrated(roles, problem, drawn, way, level, truth)
    spent = time.perf_counter() - began, time.process_time() - cpu
    fit = replace(
        sure.fit,
        samples=None,
        spread=None,
        seconds=sure.fit.seconds + spent[0],
        cpu_seconds=sure.fit.cpu_seconds + spent[1],
    )
    return replace(sure, fit=fit)


@torch.no_grad()
def _calibrated(
    roles: Roles, problem: Problem, drawn: Drawn, way: Way, level: float, truth: Tensor | None
) -> Sure:
    """Calibrate what was drawn; the test measurements are looked at last."""
    if drawn.std is not None and not bool(drawn.std.any()):
        drawn = _flat(drawn, roles.fit)
    fit, own, samples, raw_std = drawn.fit, roles.fit, drawn.samples, drawn.std
    assert samples is not None
    assert raw_std is not None
    image = own.from_units(fit.image)
    variance = _predicted_variance(own, image, samples)
    noise = float(own.residual_mean_square(image)[0]) ** 0.5 if own.sigma is None else own.sigma
    stopped = _residuals(roles, roles.stop, image, variance)
    scale = fit_scale(*stopped, roles.units_of(roles.stop), noise)

    def scores(part: Problem) -> Tensor:
        residual, v = _residuals(roles, part, image, variance)
        return residual.abs() / scale.spread(v).clamp_min(torch.finfo(v.dtype).tiny)

    quantile, exact = conformal_factor(
        scores(roles.calibrate), roles.units_of(roles.calibrate), level
    )
    tested = scores(roles.test)
    residual, v = _residuals(roles, roles.test, image, variance)
    raw = (v + (own.sigma or 0.0) ** 2).sqrt()
    parts = Parts.of(problem, samples) if problem.linear else None
    told = Uncertainty(
        method=way.name,
        level=level,
        factor=scale.factor,
        quantile=quantile,
        noise=scale.noise / max(float(own.y.square().sum() / own.n_visible) ** 0.5, 1e-30),
        guaranteed=exact,
        coverage_heldout=coverage(tested, quantile),
        coverage_raw=float((residual.abs() <= gaussian_quantile(level) * raw).double().mean()),
        chi_square=float(tested.square().mean()),
        chi_square_fit=_chi_square_fit(own, image, scale.noise),
        measured_share=None if parts is None else parts.share,
        units=roles.counts(),
        settings=dataclasses.asdict(way),
        facts=drawn.facts or {},
    )
    wide = quantile * scale.factor
    if truth is not None:
        real = own.from_units(truth)
        shares = against(real, image, raw_std, wide * raw_std, level)
        if parts is not None:
            shares |= _by_part(problem, parts, real, image, wide, level)
        told = replace(told, reference=shares)
    std = own.to_units(scale.factor * raw_std)
    null = None if parts is None else own.to_units(scale.factor * parts.null_std)
    return Sure(replace(fit, std=std), told, quantile * std, null)


def _flat(drawn: Drawn, own: Problem) -> Drawn:
    """Give every entry the same spread, where a way found none: an interval of one width."""
    assert drawn.std is not None
    even = own.supported(torch.ones_like(drawn.std))
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (FLAT, *even.shape[1:]), generator=generator) * 2.0 - 1
    samples = centred(signs.to(even) * even)
    return replace(drawn, std=even, samples=samples, facts={**(drawn.facts or {}), "flat": 1.0})


def _residuals(
    roles: Roles, part: Problem, image: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the residuals of a part's measurements and their variances, each `(m,)`."""
    residual = part.A(image) - part.y
    return roles.entries(part, residual), roles.entries(part, variance)


def _predicted_variance(own: Problem, image: Tensor, samples: Tensor) -> Tensor:
    """Compute the variance of every predicted measurement over the samples, `(1, ...)`.

    Of all measurements at once, those that are hidden from the fit included.
    """
    mean, square = torch.zeros_like(own.y), torch.zeros_like(own.y)
    for i, one in enumerate(samples):
        shown = own.physics.A(image + one[None]).to(own.y.dtype)
        before = shown - mean
        mean = mean + before / (i + 1)
        square = square + before * (shown - mean)
    return square / max(1, len(samples) - 1)


def _chi_square_fit(own: Problem, image: Tensor, noise: float) -> float | None:
    """Compute the mean of r^2 / sigma^2 over what was fitted; None without noise."""
    return float(own.residual_mean_square(image)[0]) / noise**2 if noise > 0 else None


@dataclass(frozen=True, eq=False)
class Parts:
    """Hold the spread of what the measurements determine, and of what they leave open.

    Attributes:
        measured_std, null_std: of the samples' parts, `(1, C, ...)`.
        share: of the variance of both, that of the measured part.
    """

    measured_std: Tensor
    null_std: Tensor
    share: float

    @classmethod
    def of(cls, problem: Problem, samples: Tensor) -> Parts:
        """Part the samples; see `measured_part`."""
        samples = samples[:: max(1, len(samples) // PARTED)][:PARTED]
        seen = measured_part(problem, samples)
        measured, null = variance_of(seen), variance_of(samples - seen)
        total = float((measured + null).sum())
        share = float(measured.sum()) / total if total > 0 else 1.0
        return cls(measured.sqrt()[None], null.sqrt()[None], share)


def _by_part(
    problem: Problem, parts: Parts, truth: Tensor, image: Tensor, wide: float, level: float
) -> dict[str, float]:
    """Compute the coverage of the reference's measured part and of its null space apart."""
    known = truth.isfinite()
    whole = torch.cat([truth.where(known, image), image])
    seen = measured_part(problem, whole)
    found: dict[str, float] = {}
    for name, std, of_both in (
        ("measured", parts.measured_std, seen),
        ("null", parts.null_std, whole - seen),
    ):
        real, ours = (one[None].where(known, torch.nan) for one in of_both)
        shares = against(real, ours, std, wide * std, level)
        found |= {f"{name}_{when}": share for when, share in shares.items()}
    return found

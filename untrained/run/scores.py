"""Scores of an image against a reference, and the check of the reference before it is used."""

from __future__ import annotations

from torch import Tensor

from untrained.errors import UserError
from untrained.metrics import (
    comparable,
    known_part,
    moved_view,
    nrmse,
    psnr,
    same_view,
    ssim,
    usual_range,
)
from untrained.problem import Problem
from untrained.solver.fit import Fit

SUBPIXEL = 4
"""Parts of a pixel by which a reference is moved to an image whose kernel was unknown."""


def scores_of(
    problem: Problem,
    fit: Fit,
    reference: Tensor | None,
    data_range: float | None,
    moved: bool,
    image: Tensor | None,
) -> dict[str, float] | None:
    """Measure an image against the reference, turned or moved as it is where that is ambiguous."""
    if image is None or reference is None or data_range is None:
        return None
    if moved:
        return _measured(problem, image, moved_view(reference, image, SUBPIXEL), data_range)
    turned = problem.traits.ambiguous_orientation and image is not fit.image
    against = same_view(reference, image) if turned else reference
    return _measured(problem, image, against, data_range)


def image_scores(
    problem: Problem, image: Tensor | None, truth: Tensor | None, data_range: float | None
) -> dict[str, float] | None:
    """Measure an image `(1, C, ...)` against a reference; None where one of them is missing."""
    if image is None or truth is None or data_range is None:
        return None
    return _measured(problem, image, truth, data_range)


def _measured(problem: Problem, image: Tensor, truth: Tensor, width: float) -> dict[str, float]:
    """Measure PSNR, SSIM and NRMSE; complex images by magnitude."""
    if problem.physics.is_series:  # frames are pictures: SSIM has no window in time
        image, truth = (x.movedim(2, 1).flatten(0, 1) for x in (image, truth))
    image, truth = (comparable(x, problem.complex_image) for x in (image, truth))
    return {
        "psnr": psnr(image, truth, data_range=width),
        "ssim": ssim(image, truth, data_range=width),
        "nrmse": nrmse(image, truth),
    }


def checked_reference(
    truth: Tensor | None, data_range: float | None, problem: Problem
) -> tuple[Tensor | None, float | None]:
    """Check a reference, if there is one, against the image's shape; find the range of its PSNR."""
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

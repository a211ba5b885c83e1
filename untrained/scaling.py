"""Images at O(1): the first image of a problem, its level, and what is divided by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.maths import level, magnitude, sum_squares

if TYPE_CHECKING:
    from untrained.problem import Problem


def matched_adjoint(p: Problem) -> Tensor:
    """c A^H y with the c for which A of it is closest to y; see `Problem.estimate`."""
    initial = getattr(p.physics, "initial", None)
    with torch.no_grad():
        if initial is not None:
            return initial(p.y)
        back = p.A_adjoint(p.y)
        forth = p.A(back)
        gain = (forth * p.y).flatten(1).sum(1) / sum_squares(forth).clamp_min(1e-30)
        image = back * per_problem(gain, back)
        fill = getattr(p.physics, "fill", None)
        return image if fill is None or p.keep is None else fill(image, p.keep)


def image_level(image: Tensor, task: str) -> Tensor:
    """99.9th percentile of the magnitude of each image, 1 for one of zeros, `(G,)`."""
    return level(magnitude(image) if task == "mri" else image.abs())


def scaled_guide(p: Problem, guide: Tensor) -> Tensor:
    """Clean images like those of p, each divided by its own level; see `Problem`.

    Raises:
        UserError: another shape than the image's, or values that are not finite.
    """
    if p.x_shape[0] == 2 and guide.ndim == len(p.x_shape) + 1 and guide.shape[1] == 1:
        guide = torch.cat([guide, torch.zeros_like(guide)], dim=1)
    if guide.ndim != len(p.x_shape) + 1 or tuple(guide.shape[1:]) != p.x_shape:
        raise UserError(
            f"the guide has shape {tuple(guide.shape)}, but the image is {p.x_shape}; give "
            "clean images (M, C, ...) of the very size of the reconstruction"
        )
    if not bool(guide.isfinite().all()):
        raise UserError("the guide holds NaN or infinite values; clean it first")
    guide = guide.float().to(p.device)
    return guide if p.unit_range else guide / per_problem(image_level(guide, p.task), guide)


def per_problem(value: Tensor, like: Tensor) -> Tensor:
    """`(G,)` with axes for the rest of `like`, `(G, ...)`."""
    return value.to(like.device).reshape(-1, *[1] * (like.ndim - 1))


def degree_scale(scale: Tensor, physics: Any) -> Tensor:
    """What scales the measurements where `scale` scales the image."""
    return scale ** float(getattr(physics, "degree", 1.0))

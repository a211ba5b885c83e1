"""What a physics says of itself, and what holds where it says nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from untrained.physics.autograd import image_shape
from untrained.tasks import CUSTOM, find_task


def image_shape_of(physics: Any, y: Tensor) -> tuple[int, ...]:
    """What the physics says, else the shape of its adjoint's image; () where it has none."""
    said = image_shape(physics)
    back = getattr(physics, "A_adjoint", None)
    if said is not None or not callable(back):
        return said or ()
    with torch.no_grad():
        return tuple(back(y[:1]).shape[1:])


def task_of(physics: Any, y_shape: tuple[int, ...], x_shape: tuple[int, ...]) -> str:
    """The physics' task; `custom` where it lacks what our methods for that task rely on."""
    task = str(getattr(physics, "task", CUSTOM))
    row = find_task(task)
    no_views = row.measures == "views" and not hasattr(physics, "weight")
    no_image = row.fills_image and y_shape != x_shape
    return CUSTOM if no_views or no_image else task


def held_out(
    physics: Any, y: Tensor, fraction: float, generator: torch.Generator, scattered: bool
) -> Tensor:
    """Which measurements to hold out, bool: as the physics says, else single ones at random."""
    own = getattr(physics, "holdout", None)
    own = getattr(physics, "scattered", own) if scattered else own
    if own is not None:
        return own(y, fraction, generator)
    drawn = torch.rand(y.shape[1:], generator=generator) < fraction
    return drawn.unsqueeze(0).to(y.device)


def what_was_read(physics: Any) -> tuple[str, ...]:
    """Say what an operator measures, as the first note of a run; none where nothing is known."""
    known = described(physics)
    return (f"read: {known}",) if known else ()


def described(physics: Any) -> str:
    """Say in a few words what an operator measures; of a stranger the shape of the image."""
    inner = getattr(physics, "physics", None)
    if inner is not None and hasattr(physics, "depth"):
        return f"{physics.depth} slices; each {described(inner)}"
    own = getattr(physics, "described", None)
    if callable(own):
        return str(own())
    shape = getattr(physics, "x_shape", None) or ()
    if not shape:
        return ""
    channels = f"{shape[0]} channel{'s' if shape[0] > 1 else ''}"
    return f"an image of {' x '.join(map(str, shape[1:]))}, {channels}"


def sampling_mask(physics: Any, y: Tensor) -> Tensor | None:
    """Its sampling mask, with the axes of y; None where it has none of that kind."""
    mask = getattr(physics, "mask", None)
    if not isinstance(mask, Tensor) or mask.ndim != y.ndim:
        return None
    return mask.to(y)

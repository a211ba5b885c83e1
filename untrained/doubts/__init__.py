"""What contradicts itself in measurements: said in a note, refused, or left out.

The command line asks while it reads a file, Python in `reconstruct`; both ask the same. A note is
one sentence for the user. Nothing here sees a reference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.doubts.ct import residual_doubts, scan_doubts, unmeasured_in_any
from untrained.doubts.mri import coil_noise, layout_doubts, line_doubts, noise_note
from untrained.doubts.photographs import (
    amplitude_doubts,
    kernel_doubts,
    level_doubts,
    mask_doubts,
    sigma_doubts,
)
from untrained.errors import UserError
from untrained.maths import to_complex
from untrained.physics.base import Physics
from untrained.physics.blur import Blur
from untrained.physics.ct import CT
from untrained.physics.inpaint import Inpaint
from untrained.physics.mri import MRI
from untrained.physics.phase import PhaseRetrieval
from untrained.physics.stack import Stack
from untrained.tasks import find_task

__all__ = ["doubts", "level_doubts", "mended", "residual_doubts"]


def mended(y: Tensor, physics: Physics) -> tuple[Tensor, Physics, tuple[str, ...]]:
    """Leave out what a CT scan did not measure, and weigh the coils of MRI by their noise.

    The images of a batch, and the slices of a volume, share the operator: what is dead in one of
    them is left out of all.

    Args:
        y: measurements `(B, ...)`, as given to `reconstruct`.
        physics: their operator; others than ours for CT and MRI stay as they are.

    Returns:
        Measurements, operator, and a note on each change.
    """
    if not isinstance(y, Tensor) or y.ndim < 4 or not bool(y.isfinite().all()):
        return y, physics, ()  # refused elsewhere, by name
    slices = physics.physics if isinstance(physics, Stack) else physics
    if isinstance(slices, CT) and tuple(y.shape[-2:]) == tuple(slices.y_shape or ())[-2:]:
        if slices.mask is not None:
            return y, physics, ()
        planes = (plane.T for plane in y.detach().flatten(0, -3).cpu().numpy())
        measured, notes = unmeasured_in_any(planes)
        if measured is None:
            return y, physics, ()
        part = slices.leaving_out(torch.from_numpy(measured.T.copy()))
        return y, Stack(part, physics.depth) if isinstance(physics, Stack) else part, notes
    if isinstance(physics, MRI) and tuple(y.shape[1:]) == physics.y_shape and len(y) == 1:
        noise = coil_noise((to_complex(y.detach()) * physics.mask.detach()[:, 0])[0].cpu().numpy())
        if noise is not None:
            weights = torch.from_numpy(1 / noise).to(y)
            return y * weights[:, None, None], physics.weighing(weights), (noise_note(noise),)
    return y, physics, ()


def doubts(y: Tensor, physics: Physics, sigma: float | None = None) -> tuple[str, ...]:
    """Doubt measurements and operator given in Python; each image of a batch, slices included.

    Args:
        y: measurements `(B, ...)`, real and finite, that fit the operator.
        physics: the operator as given.
        sigma: the noise level as given, in the units of y.

    Returns:
        Notes, each once.

    Raises:
        UserError: what is certain to be wrong.
    """
    notes: list[str] = []
    if not bool(y.any()):
        return ()  # refused elsewhere, by name
    with torch.no_grad():
        if isinstance(physics, Stack):
            for index in range(y.shape[2]):
                notes += _of_slices(y[:, :, index], physics.of_slice(index), sigma)
        else:
            notes += _of_slices(y, physics, sigma)
    return tuple(dict.fromkeys(notes))


def _require_measured(y: Tensor, physics: Physics) -> None:
    """Refuse a mask that keeps nothing of measurements that are not all zero."""
    mask = physics.sampling_mask(y)
    if mask is not None and bool(y.any()) and not bool((y * (mask != 0)).any()):
        raise UserError(
            "y is 0 wherever the mask of the physics says measured, and not elsewhere; 1 means "
            "measured: is the mask inverted? Give 1 - mask"
        )


def _of_slices(y: Tensor, physics: Physics, sigma: float | None) -> list[str]:
    notes: list[str] = []
    _require_measured(y, physics)
    for one in y.detach().cpu().split(1):
        if isinstance(physics, CT):
            for plane in one[0]:
                notes += scan_doubts(plane.T.numpy(), physics, "y")
        elif isinstance(physics, MRI):
            kspace = to_complex(one)[0].numpy()
            notes += layout_doubts(kspace, "y")
            notes += line_doubts(kspace * (physics.mask.detach()[0, 0] != 0).cpu().numpy())
        elif isinstance(physics, PhaseRetrieval):
            notes += amplitude_doubts(one[0].numpy(), "y")
        elif isinstance(physics, Inpaint):
            measured = physics.mask.detach().bool().expand_as(one)[0].cpu().numpy()
            notes += mask_doubts(one[0].numpy(), measured, "mask")
        pixels = physics.unit_range and one.ndim > 3
        if sigma is not None and pixels and (sigma > 1 or find_task(physics.task).only_noise):
            notes += sigma_doubts(one, sigma, option=False)
        if isinstance(physics, Blur):
            notes += kernel_doubts(physics.kernel.detach().cpu().numpy(), "the kernel")
    return notes

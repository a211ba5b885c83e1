"""What a loader hands on: measurements, physics, and everything decided on the user's behalf."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from untrained.data.formats.base import SAME, Companion, Units
from untrained.physics.base import Physics


@dataclass(frozen=True)
class Measurement:
    """One problem read from a file.

    Attributes:
        task: name of the task (a key of `TASKS`).
        y: measurements `(1, ...)`, float32, in the layout of the task (`(1, C, H, W)`;
            MRI `(1, 2, coils, H, W)`; CT `(1, C, detectors, angles)`).
        physics: the operator, with its `x_shape`.
        sigma: standard deviation of the noise in the units of y; None if unknown.
        reference: the true image `(1, *x_shape)`, for reporting only; None if unknown.
        data_range: the range of the PSNR; None without a reference where the range needs one.
        notes: one sentence for each decision that the user did not make.
        axes: `YX`, `CYX`, `ZYX`, `TYX` or `TCYX`, the meaning of the saved image's axes.
        source: the file (and slice) it came from.
        deep: whether that file is a picture of 16 bits, which a result's pictures are then, too.
        units: what 0 and 1 of the image are in that file.
        companion: how a result is written in that file's format, too; None where it is not.
    """

    task: str
    y: Tensor
    physics: Physics
    sigma: float | None
    reference: Tensor | None
    data_range: float | None
    notes: tuple[str, ...]
    axes: str
    source: str
    deep: bool = False
    units: Units = SAME
    companion: Companion | None = None

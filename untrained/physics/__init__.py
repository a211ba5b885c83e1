"""Forward operators: y = A x with the exact adjoint, and the ways in for operators of others."""

from untrained.physics.autograd import as_physics
from untrained.physics.base import LinearPhysics
from untrained.physics.blur import Blur
from untrained.physics.check import OperatorReport, check_operator, dot_test, is_linear
from untrained.physics.coilmaps import espirit_maps, estimate_maps, lowres_maps
from untrained.physics.ct import CT, FanBeam
from untrained.physics.deepinv import to_deepinv
from untrained.physics.denoise import Denoise
from untrained.physics.inpaint import Inpaint, box_mask, random_mask
from untrained.physics.masks import (
    calibration_block,
    random_mask_columns,
    sampling_pattern,
    vdrs_mask,
)
from untrained.physics.mri import MRI
from untrained.physics.superres import SuperRes

__all__ = [
    "CT",
    "MRI",
    "Blur",
    "Denoise",
    "FanBeam",
    "Inpaint",
    "LinearPhysics",
    "OperatorReport",
    "SuperRes",
    "as_physics",
    "box_mask",
    "calibration_block",
    "check_operator",
    "dot_test",
    "espirit_maps",
    "estimate_maps",
    "is_linear",
    "lowres_maps",
    "random_mask",
    "random_mask_columns",
    "sampling_pattern",
    "to_deepinv",
    "vdrs_mask",
]

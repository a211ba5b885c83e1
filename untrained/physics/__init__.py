"""Forward operators: y = A x with the exact adjoint, and the ways in for operators of others."""

from untrained.physics.base import Physics
from untrained.physics.bkse import BKSE, NonlinearBlur, load_bkse, random_code
from untrained.physics.bkse_network import BKSENetwork
from untrained.physics.blind import BlindBlur
from untrained.physics.blur import Blur
from untrained.physics.check import OperatorReport, check_operator, dot_test
from untrained.physics.coilmaps import espirit_maps, estimate_maps, lowres_maps
from untrained.physics.compressed import CompressedSensing
from untrained.physics.cone import ConeCT
from untrained.physics.counted import Counted
from untrained.physics.ct import CT, FanBeam
from untrained.physics.deepinv import to_deepinv
from untrained.physics.denoise import Denoise
from untrained.physics.eit import EIT
from untrained.physics.eit_mesh import Mesh, disc_mesh
from untrained.physics.foreign import as_physics, is_linear
from untrained.physics.inpaint import Inpaint, box_mask, random_mask
from untrained.physics.joint_maps import JointMRI
from untrained.physics.kinds import LinearPhysics, NonlinearPhysics
from untrained.physics.masks import (
    calibration_block,
    random_mask_columns,
    sampling_pattern,
    vdrs_mask,
)
from untrained.physics.mri import MRI
from untrained.physics.noncartesian import NonCartesianMRI
from untrained.physics.phase import PhaseRetrieval
from untrained.physics.photons import Photons
from untrained.physics.processed import Processed
from untrained.physics.series import Series
from untrained.physics.stack import Stack
from untrained.physics.superres import SuperRes

__all__ = [
    "BKSE",
    "CT",
    "EIT",
    "MRI",
    "BKSENetwork",
    "BlindBlur",
    "Blur",
    "CompressedSensing",
    "ConeCT",
    "Counted",
    "Denoise",
    "FanBeam",
    "Inpaint",
    "JointMRI",
    "LinearPhysics",
    "Mesh",
    "NonCartesianMRI",
    "NonlinearBlur",
    "NonlinearPhysics",
    "OperatorReport",
    "PhaseRetrieval",
    "Photons",
    "Physics",
    "Processed",
    "Series",
    "Stack",
    "SuperRes",
    "as_physics",
    "box_mask",
    "calibration_block",
    "check_operator",
    "disc_mesh",
    "dot_test",
    "espirit_maps",
    "estimate_maps",
    "is_linear",
    "load_bkse",
    "lowres_maps",
    "random_code",
    "random_mask",
    "random_mask_columns",
    "sampling_pattern",
    "to_deepinv",
    "vdrs_mask",
]

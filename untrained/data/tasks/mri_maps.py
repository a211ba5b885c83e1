"""Coil maps of a measurement of MRI: a file's, or estimated from the centre of its k-space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from untrained.data.formats import ArrayFile
from untrained.data.parameters import read_maps
from untrained.data.slices import read_slice
from untrained.data.tasks.mri_coils import Mixing
from untrained.errors import UserError
from untrained.physics.coilmaps import estimate_maps
from untrained.physics.joint_maps import JointMRI
from untrained.physics.masks import calibration_block, centre_crop
from untrained.physics.mri import MRI

HOW = ("auto", "espirit", "lowres")
HOW_NAMES = {"espirit": "ESPIRiT", "lowres": "low-resolution coil images"}
MOST_SENSITIVE = 1e6
CALIBRATION = "calibration"
"""Name of a scan of the centre of k-space in a file, from which coil maps are estimated."""
JOINT = "joint"
"""What maps are called that are corrected together with the image; `joint:WANTED` begins there."""


def joint_start(wanted: str | Path) -> str | None:
    """Return the maps that `joint` or `joint:WANTED` begins with; None where none are corrected."""
    kind, _, first = str(wanted).partition(":")
    return (first or "auto") if kind == JOINT else None


def maps_physics(
    mask: np.ndarray,
    maps: np.ndarray | torch.Tensor | None,
    wanted: str | Path,
    channels: int = 2,
) -> MRI:
    """Return the operator of a slice, of maps that are corrected where that is wanted.

    Args:
        mask: `(H, W)`.
        maps: what `find_maps` found.
        wanted: the option.
        channels: of an image, two for every set of maps.

    Raises:
        UserError: joint maps of a single coil.
    """
    size = (channels, mask.shape[0], mask.shape[1])
    if joint_start(wanted) is None:
        return MRI(mask, maps, size)
    if maps is None:
        raise UserError(
            "--maps joint corrects the maps of two coils or more, and this k-space has one coil: "
            "leave --maps out"
        )
    return JointMRI(mask, maps, size)


def refuse_joint(wanted: str | Path, why: str) -> None:
    """Refuse joint maps where they cannot be had; `why` names the option or the file."""
    if joint_start(wanted) is not None:
        raise UserError(
            f"--maps {wanted} corrects the maps of single slices on a grid, which {why} is not: "
            "take --maps auto"
        )


def find_maps(
    file: ArrayFile,
    index: int | None,
    kspace: np.ndarray,
    mask: np.ndarray,
    wanted: str | Path,
    mixing: Mixing | None,
    sets: int | None = None,
) -> tuple[np.ndarray | torch.Tensor | None, tuple[str, ...]]:
    """Find coil maps `(coils, H, W)` (None for one coil of map 1) and where they come from.

    Those of k-space whose coils were mixed; maps of a file are of the coils before. With `sets` 2
    or more they are estimated, `(1, sets, coils, H, W)`.
    """
    wanted = joint_start(wanted) or wanted
    coils = len(kspace) if mixing is None else mixing.matrix.shape[1]
    shape = (coils, *kspace.shape[1:])
    where = "k-space"
    if sets is not None and sets > 1:
        if CALIBRATION in file.keys:
            kspace, mask = _calibration(file, index, shape, mixing)
            where = "its calibration scan"
        return _several(file, kspace, mask, wanted, sets, where)
    if str(wanted) not in HOW:
        given = _fitting(read_maps(wanted), shape, f"--maps: {wanted}")
        return _mixed(given, mixing), (f"coil maps: from {wanted}",)
    if wanted == "auto" and "maps" in file.keys:
        stored = read_slice(file, "maps", index, 3)
        if stored.dtype.kind != "c":
            raise UserError(f"'maps' in {file.path} must be complex, found {stored.dtype}")
        given = _fitting(stored, shape, f"'maps' in {file.path}")
        return _mixed(given, mixing), ("coil maps: from the file",)
    if len(kspace) == 1:
        return None, ("a single coil: its map is taken as 1 everywhere",)
    if CALIBRATION in file.keys:
        kspace, mask = _calibration(file, index, shape, mixing)
        where = "its calibration scan"
    maps, used = estimate_maps(kspace, mask, str(wanted))  # type: ignore[arg-type]
    rows, columns = calibration_block(mask)
    if mixing is not None:
        maps = _of_one_brightness(maps, mixing)
    return maps, (
        f"coil maps: {HOW_NAMES[used]} from the fully sampled {rows}x{columns} centre of {where}",
    )


def _calibration(
    file: ArrayFile, index: int | None, shape: tuple[int, ...], mixing: Mixing | None
) -> tuple[np.ndarray, np.ndarray]:
    """Read the scan that maps are estimated from, in the middle of a grid of `shape`.

    Returns:
        k-space complex64 `(coils, H, W)`, zero where nothing was measured, and the mask of that.

    Raises:
        UserError: of other coils, larger than the image's k-space, or not complex.
    """
    label = file.label(CALIBRATION)
    values = read_slice(file, CALIBRATION, index, 3)
    fits = values.ndim == 3 and len(values) == shape[0] and values.dtype.kind == "c"
    if not fits or any(n > whole for n, whole in zip(values.shape, shape, strict=True)):
        raise UserError(
            f"{label} is {values.dtype} of shape {values.shape}; expected complex (coils, h, w), "
            f"the centre of k-space of {shape} (coils, H, W)"
        )
    kspace = np.zeros(shape, np.complex64)
    rows, columns = centre_crop((shape[1], shape[2]), (values.shape[1], values.shape[2]))
    kspace[:, rows, columns] = values
    mask = np.any(kspace != 0, axis=0)
    return (kspace if mixing is None else mixing.apply(kspace)), mask


def _several(
    file: ArrayFile,
    kspace: np.ndarray,
    mask: np.ndarray,
    wanted: str | Path,
    sets: int,
    where: str,
) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Estimate several sets of maps, `(1, sets, coils, H, W)`."""
    if str(wanted) not in ("auto", "espirit"):
        raise UserError(
            f"--map-sets {sets} estimates maps by ESPIRiT, and --maps {wanted} gives others: leave "
            "out one of the two"
        )
    if len(kspace) < sets:
        raise UserError(
            f"--map-sets {sets} takes at least {sets} coils, and k-space has {len(kspace)}"
        )
    maps, _ = estimate_maps(kspace, mask, "espirit", sets)
    rows, columns = calibration_block(mask)
    share = float((maps[1:] != 0).any(1).any(0).float().mean())
    passed = "; the file's own maps are left out" if "maps" in file.keys else ""
    return maps[None], (
        f"coil maps: {sets} sets, ESPIRiT from the fully sampled {rows}x{columns} centre of "
        f"{where}; the first is everywhere that the object is, the others on {share:.1%} of the "
        f"picture. The picture shows the root of the sum of squares of the {sets} components"
        f"{passed}",
    )


def _mixed(maps: np.ndarray, mixing: Mixing | None) -> np.ndarray:
    return maps if mixing is None else mixing.apply(maps)


def _of_one_brightness(maps: torch.Tensor, mixing: Mixing) -> torch.Tensor:
    """Scale maps of mixed coils so that those of the coils have sum_c |S_c|^2 = 1."""
    back = torch.from_numpy(np.linalg.pinv(mixing.matrix)).to(maps.dtype)
    size = torch.einsum("cv,vhw->chw", back, maps).abs().square().sum(0).sqrt()
    return torch.where(size > 0, maps / size.clamp_min(1e-20), maps)


def _fitting(maps: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if maps.shape != shape:
        raise UserError(f"{name} has shape {maps.shape}, but k-space is {shape} (coils, H, W)")
    if not np.any(maps):
        raise UserError(f"{name} is zero everywhere: no coil would see the image")
    largest = float(np.abs(maps).max())
    if not 1 / MOST_SENSITIVE <= largest <= MOST_SENSITIVE:
        raise UserError(
            f"{name} reaches {largest:.3g}; coil maps are about 1 (the root of the sum of their "
            "squares over the coils): divide them by it"
        )
    return maps.astype(np.complex64)

"""Samples on a trajectory (radial, spiral): its axes and units, image size, coil images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from untrained.data.arrays import read_one, read_optional, require_finite, single_precision
from untrained.data.formats import ArrayFile
from untrained.data.formats.base import list_names
from untrained.data.parameters import note_replaced
from untrained.errors import Doubt, UserError
from untrained.maths import fft2c
from untrained.physics.masks import centre_crop
from untrained.physics.nufft import (
    apply_normal,
    density_weights,
    normal_kernel,
    nufft_adjoint,
    require_finufft,
)

NAMES = (
    *("traj", "trajectory", "trajectories", "ktraj", "k_traj", "kspace_traj", "coords", "kcoords"),
)
PARTS = ("kx", "ky")
DENSITIES = ("dcf", "dcomp", "density_compensation")
EDGE = 0.51  # cycles per pixel; a little beyond the last sample of a grid
RADIANS = 3.3
ONE = 0.03  # how near to 1 the largest coordinate is of a trajectory between -1 and 1
SHORT = 0.1  # cycles per pixel: a trajectory that ends within may have another unit
LARGEST_SIDE = 2048
LEAST_SIDE = 32  # an image is not halved below
EMPTY = 0.05  # energy outside the middle half over that in it: the readout is oversampled
WIDE, BLOCK = 48, 32  # side of the low-resolution coil images, and of the k-space that is kept
STEPS = 12  # of their conjugate gradients


@dataclass(frozen=True)
class Trajectory:
    """Points of k-space and what was decided about them.

    Attributes:
        points: float64 `(shots, samples, 2)`, (kx, ky) in cycles per pixel.
        field_of_view: pixels, where the units of the file tell; else None.
        weights: density compensation of the file, float64 `(shots, samples)`; None without.
        notes: one sentence for each decision.
        label: what it is called in messages.
    """

    points: Tensor
    field_of_view: int | None
    weights: Tensor | None
    notes: tuple[str, ...]
    label: str


def trajectory_key(file: ArrayFile) -> str | None:
    """Find the name of a file's own trajectory; None where it has none."""
    return next((key for key in file.keys if key.lower() in NAMES), None)


def named_trajectory(file: ArrayFile) -> bool:
    """Tell whether a file holds its own trajectory; refuse one that only speaks of one."""
    hints = [key for key in file.keys if key.lower() in (*DENSITIES, *PARTS, "spokes")]
    if trajectory_key(file) is None and hints:
        raise UserError(
            f"{file.path} holds {list_names(hints)}, so its samples lie on a trajectory (radial, "
            "spiral), which it does not hold as 'traj': give --trajectory FILE, (shots, samples, "
            "2) in cycles per pixel; or take the key out where they do lie on a grid"
        )
    return trajectory_key(file) is not None


def read_trajectory(file: ArrayFile | None, option: str | Path | None) -> Trajectory:
    """Read the trajectory: the option's, else the file's own.

    Accepted are `(shots, samples, 2)`, `(samples, 2)` of a single shot, the same with the two
    coordinates first (as BART's and SigPy's files, read here), and a third coordinate of zeros.

    Raises:
        UserError: real numbers of another shape, values that are not finite, a third coordinate.
    """
    require_finufft()
    own = None if file is None else trajectory_key(file)
    notes: tuple[str, ...] = ()
    stored = None if own is None or file is None else file.read(own)
    if option is not None:
        values, label = read_one(option, "--trajectory", NAMES), f"--trajectory: {option}"
        notes = note_replaced("--trajectory", values, own or "", stored)
    else:
        assert stored is not None, "asked for the trajectory of a file that has none"
        assert file is not None
        values, label = stored, f"'{own}' in {file.path}"
    require_finite(values, label)
    if values.dtype.kind == "c" and not values.imag.any():
        values = values.real
    if values.dtype.kind == "c":
        values, notes = (
            np.stack([values.real, values.imag], -1),
            (*notes, f"{label} is complex: kx + i ky"),
        )
    points = _coordinates_last(values.astype(np.float64), label)
    points, view, units = _in_cycles(points, label)
    weights, density = (None, ()) if file is None else _density(file, points.shape[:2])
    return Trajectory(torch.from_numpy(points), view, weights, (*notes, *units, *density), label)


def _coordinates_last(values: np.ndarray, label: str) -> np.ndarray:
    """Bring coordinates to `(shots, samples, 2)`."""
    axes = [axis for axis in (-1, 0) if values.ndim >= 2 and values.shape[axis] in (2, 3)]
    if not axes or values.ndim not in (2, 3):
        raise UserError(
            f"{label} has shape {values.shape}; expected (shots, samples, 2), (kx, ky) of every "
            "sample of k-space, or (samples, 2) of a single shot"
        )
    points = np.moveaxis(values, axes[0], -1)
    points = points[None] if points.ndim == 2 else points
    if points.shape[-1] == 3:
        if np.abs(points[..., 2]).max() > 1e-6 * max(np.abs(points).max(), 1e-30):
            raise UserError(
                f"{label} has a third coordinate that is not zero; only trajectories in the plane "
                "are read. Of a stack of stars or spirals transform along the slices first, and "
                "reconstruct each"
            )
        points = points[..., :2]
    return np.ascontiguousarray(points)


def _in_cycles(points: np.ndarray, label: str) -> tuple[np.ndarray, int | None, tuple[str, ...]]:
    """Convert to cycles per pixel, find the field of view where units tell, and say so."""
    largest = float(np.abs(points).max())
    if not largest > 0:
        raise UserError(f"{label} is zero everywhere: no sample has a place")
    if largest <= EDGE:
        return points, None, _short_doubts(largest, label)
    if abs(largest - 1) <= ONE:
        note = (
            f"{label} reaches {largest:.3g}: taken as halves of the sampled band, -1 to 1, divided "
            "by 2; if these are radians per pixel, divide them by 2 pi before"
        )
        return points / (2 * max(1.0, largest)), None, (Doubt(note),)
    if largest <= RADIANS:
        note = f"{label} reaches {largest:.3g}: taken as radians per pixel, divided by 2 pi"
        return points / (2 * math.pi), None, (note,)
    side = 2 * round(largest)
    if side > LARGEST_SIDE:
        raise UserError(
            f"{label} reaches {largest:.4g}; expected cycles per pixel (within +-0.5), radians per "
            f"pixel (+-pi), or cycles per field of view (up to +-{LARGEST_SIDE // 2})"
        )
    note = (
        f"{label} reaches {largest:.4g}: taken as cycles per field of view of {side} pixels, "
        f"divided by {side}"
    )
    return points / side, side, (note,)


def _short_doubts(largest: float, label: str) -> tuple[str, ...]:
    """Doubt the scale of a trajectory that stays close to the centre of k-space."""
    if largest >= SHORT:
        return ()
    note = (
        f"{label} reaches only {largest:.3g} of the 0.5 cycles per pixel that an image can show: "
        "is it in another unit, such as cycles per millimetre (multiply it by the pixel size)?"
    )
    return (Doubt(note),)


def _density(file: ArrayFile, shape: tuple[int, ...]) -> tuple[Tensor | None, tuple[str, ...]]:
    key = next((key for key in file.keys if key.lower() in DENSITIES), None)
    values = None if key is None else read_optional(file, key)
    if values is None:
        return None, ("density compensation: computed (Pipe and Menon)",)
    label = f"'{key}' in {file.path}"
    require_finite(values, label)
    if values.size != math.prod(shape) or values.dtype.kind not in "biuf":
        raise UserError(
            f"{label} is {values.dtype} of shape {values.shape}; expected one weight for each of "
            f"{shape[0]} shots of {shape[1]} samples"
        )
    if values.min() < 0 or not values.max() > 0:
        raise UserError(f"{label} must not be negative, nor zero everywhere")
    weights = torch.from_numpy(values.astype(np.float64).reshape(shape))
    return weights, (f"density compensation: the file's '{key}'",)


def shaped_samples(kspace: np.ndarray, trajectory: Trajectory, label: str) -> np.ndarray:
    """Bring the samples of one slice to complex64 `(coils, shots, samples)`.

    Raises:
        UserError: real samples, or of another shape than the trajectory's.
    """
    shape = tuple(trajectory.points.shape[:2])
    require_finite(kspace, label)
    if kspace.dtype.kind != "c":
        raise UserError(f"{label} must be complex, found {kspace.dtype} of shape {kspace.shape}")
    known = kspace.shape[-2:] == shape
    alone = shape[0] == 1 and kspace.shape[-1] == shape[1]
    if not known and not alone:
        turned = kspace.ndim >= 2 and kspace.shape[-2:] == shape[::-1]
        hint = "; transpose its last two axes" if turned else ""
        raise UserError(
            f"{label} has shape {kspace.shape}, but {trajectory.label} has {shape[0]} shots of "
            f"{shape[1]} samples: expected (coils, {shape[0]}, {shape[1]}){hint}"
        )
    samples = single_precision(kspace, label).reshape(-1, *shape)
    if not samples.any():
        raise UserError(f"{label} is zero everywhere: there is nothing to reconstruct from")
    return samples


def image_size(
    file: ArrayFile, trajectory: Trajectory, samples: np.ndarray
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Find the sides of the image, and say where they are from.

    The file's `image_shape`, else those of its reference or maps, else the field of view that the
    distance of samples along a shot allows, halved while its outer half is empty.

    Raises:
        UserError: an `image_shape` that is none.
    """
    given = read_optional(file, "image_shape")
    if given is not None:
        sides = np.asarray(given).reshape(-1)
        fits = sides.size == 2 and sides.dtype.kind in "iuf" and (sides == np.round(sides)).all()
        if not fits or sides.min() < 2 or sides.max() > LARGEST_SIDE:
            raise UserError(
                f"'image_shape' in {file.path} must be two sides from 2 to {LARGEST_SIDE}, found "
                f"{np.asarray(given).tolist()}"
            )
        return (int(sides[0]), int(sides[1])), ()
    for key in ("reference", "maps"):
        if key in file.keys and len(file.shape(key)) >= 2:
            height, width = file.shape(key)[-2:]
            return (height, width), (f"image of {height} x {width}, as the file's {key}",)
    if trajectory.field_of_view is not None:
        side = trajectory.field_of_view
    else:
        step = (trajectory.points[:, 1:] - trajectory.points[:, :-1]).norm(dim=-1)
        largest = float(step.amax(1).median()) if step.numel() else 0.0
        if not largest > 1 / LARGEST_SIDE:
            raise UserError(
                f"{file.path}: the samples of its trajectory lie too close to tell the size of the "
                "image; add 'image_shape' to the file, for example [256, 256]"
            )
        side = 2 * round(0.5 / largest)
    whole = side
    while side >= 2 * LEAST_SIDE and side % 4 == 0 and _outside_empty(trajectory, samples, side):
        side //= 2
    note = f"image of {side} x {side}: the field of view that the distance of samples allows"
    if side < whole:
        note = (
            f"image of {side} x {side}: the readout is oversampled, of {whole} pixels the outer "
            "ones show nothing"
        )
    return (side, side), (f"{note}; another one as 'image_shape' in the file",)


def _outside_empty(trajectory: Trajectory, samples: np.ndarray, side: int) -> bool:
    """Tell whether the outer half of a quick image of the low frequencies shows nothing."""
    images, _ = low_resolution(trajectory, samples, (side, side))
    energy = images.abs().square().sum(0)
    rows, columns = centre_crop(
        (energy.shape[0], energy.shape[1]), (energy.shape[0] // 2, energy.shape[1] // 2)
    )
    inside = energy[rows, columns]
    outer = (energy.sum() - inside.sum()) / (energy.numel() - inside.numel())
    return bool(outer < EMPTY * inside.mean())


def low_resolution(
    trajectory: Trajectory, samples: np.ndarray, size: tuple[int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """Reconstruct every coil from the centre of k-space, on a grid of at most 48 x 48.

    Least squares by conjugate gradients with density compensation, the field of view being that
    of an image of `size`.

    Returns:
        Complex coil images `(coils, h, w)`, and (h, w).
    """
    sides = (min(WIDE, size[0]), min(WIDE, size[1]))
    factor = torch.tensor([size[1] / sides[1], size[0] / sides[0]], dtype=torch.float64)
    points = trajectory.points.flatten(0, 1) * factor
    near = (points.abs() < 0.5).all(-1)
    if int(near.sum()) < 2 * max(sides):
        raise UserError(
            "the trajectory has too few samples near the centre of k-space to see the coils there; "
            "is it in cycles per pixel, with the centre at 0? Or give coil maps with --maps FILE"
        )
    points = points[near]
    weights = density_weights(points, sides)
    values = torch.from_numpy(samples).flatten(1)[:, near]
    kernel = normal_kernel(points, weights, sides)
    wanted = nufft_adjoint(values * weights.float(), points, sides)
    images = _solved(wanted, kernel)
    if not bool(torch.isfinite(images.abs()).all()):
        raise UserError(
            f"{trajectory.label}: no image of the coils can be made from the samples near the "
            "centre of k-space; are these the places of these samples, in cycles per pixel, each "
            "a different one? Or give coil maps with --maps FILE"
        )
    return images, sides


def _solved(wanted: Tensor, kernel: Tensor) -> Tensor:
    """Solve F^H W F x = wanted for every coil by a few conjugate gradients."""
    x, r, d = torch.zeros_like(wanted), wanted, wanted
    energy = r.abs().square().flatten(1).sum(1)
    for _ in range(STEPS):
        forth = apply_normal(d, kernel)
        curvature = (d.conj() * forth).real.flatten(1).sum(1).clamp_min(1e-30)
        step = (energy / curvature)[:, None, None]
        x, r = x + step * d, r - step * forth
        before, energy = energy, r.abs().square().flatten(1).sum(1)
        d = r + (energy / before.clamp_min(1e-30))[:, None, None] * d
    return x


def gridded_centre(
    trajectory: Trajectory, samples: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Grid the centre of k-space, from which coil maps are estimated.

    Returns:
        k-space complex64 `(coils, H, W)`, zero outside its middle, and the mask of that.
    """
    images, sides = low_resolution(trajectory, samples, size)
    block = (min(BLOCK, sides[0]), min(BLOCK, sides[1]))
    kspace = torch.zeros(len(samples), *size, dtype=torch.complex64)
    outer, inner = centre_crop(size, block), centre_crop(sides, block)
    kspace[:, outer[0], outer[1]] = fft2c(images)[:, inner[0], inner[1]]
    mask = np.zeros(size, bool)
    mask[outer] = True
    return kspace.numpy(), mask


def with_density(trajectory: Trajectory, size: tuple[int, int]) -> Trajectory:
    """Compute the density compensation for an image of `size`; see `density_weights`."""
    weights = density_weights(trajectory.points.flatten(0, 1), size)
    return replace(trajectory, weights=weights.reshape(trajectory.points.shape[:2]))


def without_empty_shots(
    trajectory: Trajectory, samples: np.ndarray
) -> tuple[Trajectory, np.ndarray]:
    """Leave out shots that hold zeros in every coil: they were not measured."""
    kept = np.any(samples != 0, axis=(0, 2))
    if kept.all():
        return trajectory, samples
    chosen, weights = torch.from_numpy(kept), trajectory.weights
    note = f"{int((~kept).sum())} of {len(kept)} shots hold zeros in every coil: not measured"
    fewer = replace(
        trajectory,
        points=trajectory.points[chosen],
        weights=None if weights is None else weights[chosen],
        notes=(*trajectory.notes, note),
    )
    return fewer, np.ascontiguousarray(samples[:, kept])

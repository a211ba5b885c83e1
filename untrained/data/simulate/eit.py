"""Simulate electrical impedance tomography from a picture of conductivity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from untrained.data.formats.npz import write_npz
from untrained.data.images import read_picture
from untrained.data.ktc import LEVELS, electrodes_removed, measured_at_level
from untrained.data.parameters import check_seed
from untrained.data.tasks.eit_mesh_file import read_mesh
from untrained.errors import UserError, from_file
from untrained.physics.eit import EIT
from untrained.physics.eit_mesh import disc_mesh

RANGE = (0.1, 1.5)
"""Conductivities of black and white, where none are given; mid-grey is a tank's water, 0.8."""

IMPEDANCE, SPREAD = 1e-4, 0.3
CURRENT = 1.5
LEAST_LEFT = 4  # electrodes: with fewer there are no two independent injections
MOST_ELECTRODES = 256
FINER = 40  # edges of the simulation's mesh within a radius, twice as many as usual
SMALLEST = 8  # pixels a side


@dataclass(frozen=True)
class Tank:
    """What is put around a picture.

    Attributes:
        electrodes: their number, where there is no mesh.
        mesh: file of a mesh; None is a disc.
        level: of the challenge: n leaves out the first 2 (n - 1) electrodes.
        impedance: mean contact impedance, in units of length over conductivity.
        spread: standard deviation of its logarithm from one electrode to another.
        conductivity: values of black and white; None takes floats as they are, and `RANGE` for
            pictures of integers.
        water: whether the voltages of the background alone are measured too.
    """

    electrodes: int = 32
    mesh: str | Path | None = None
    level: int = 1
    impedance: float = IMPEDANCE
    spread: float = SPREAD
    conductivity: tuple[float, float] | None = None
    water: bool = True


def simulate_eit(
    clean: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    noise: float = 0.001,
    tank: Tank | None = None,
) -> tuple[str, ...]:
    """Drive currents through a picture of conductivity and measure voltages.

    Writes `voltages injections patterns reference_voltages nodes elements electrodes image_shape
    reference sigma seed`. The injections are those of the challenge: between neighbours of the
    even electrodes, and between all of them and four that are spread evenly; voltages are measured
    between neighbours. The voltages are computed on a finer mesh than the one that is
    written, with elements of second order, so that reconstructing does not undo the same errors.

    Args:
        clean: square picture of one channel; what lies outside the mesh does not count.
        out: .npz to write.
        seed: of contact impedances and noise.
        noise: standard deviation of the noise over the mean of |voltages|; stored in the units of
            the voltages as `sigma`.
        tank: electrodes, their contacts, and the rest; None is a tank like the challenge's.

    Raises:
        UserError: not such a picture, a conductivity that is not positive, or a number out of its
            range.
    """
    tank = tank or Tank()
    _check(tank, noise)
    image, notes = _conductivity(clean, tank.conductivity)
    if tank.mesh is None:
        coarse, about = disc_mesh(tank.electrodes), notes[:0]
        fine = disc_mesh(tank.electrodes, size=0.115 / FINER, edges=10)
    else:
        coarse, about = read_mesh(tank.mesh)
        with from_file(tank.mesh):
            fine = coarse.refined()
    injections, patterns = _protocol(len(coarse.electrodes), tank.level)
    draw = np.random.default_rng(check_seed(seed))
    spread = np.exp(tank.spread * draw.standard_normal(len(coarse.electrodes)))
    with from_file(clean):
        physics = EIT(
            fine, injections, patterns, (1, *image.shape), impedance=tank.impedance * spread
        )
        inside = physics.grid.inside
        _require_positive(image[inside], clean)
        background = float(np.median(image[inside]))
        image = np.where(inside, image, background)
        clear = physics.voltages(physics.to_elements(torch.from_numpy(image)[None]))
        empty = physics.voltages(np.full(len(fine.elements), background))
    sigma = noise * float(np.abs(clear).mean())
    arrays = {
        "voltages": clear + sigma * draw.standard_normal(clear.shape),
        "injections": injections,
        "patterns": patterns,
        **coarse.arrays(),
        "image_shape": np.array(image.shape),
        "reference": image.astype(np.float32),
        "sigma": np.asarray(sigma),
        "seed": np.asarray(seed),
    }
    if tank.water:
        arrays["reference_voltages"] = empty + sigma * draw.standard_normal(empty.shape)
    write_npz(out, arrays)
    return (*notes, *about)


def _check(tank: Tank, noise: float) -> None:
    if not 0 <= noise < math.inf:
        raise UserError(f"--noise must be a number >= 0, got {noise}")
    if not 0 < tank.impedance < math.inf:
        raise UserError(f"--impedance must be a number > 0, got {tank.impedance}")
    if not 0 <= tank.spread <= 3:
        raise UserError(f"--impedance-spread must be from 0 to 3, got {tank.spread}")
    if not 4 <= tank.electrodes <= MOST_ELECTRODES or tank.electrodes % 2:
        raise UserError(
            f"--electrodes must be an even number from 4 to {MOST_ELECTRODES}, got "
            f"{tank.electrodes}"
        )


def _conductivity(
    path: str | Path, wanted: tuple[float, float] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a picture as conductivities `(H, W)`, float64, and notes."""
    picture = read_picture(path, "clean image")
    planes, notes = picture.pixels, picture.notes
    if np.iscomplexobj(planes) or len(planes) != 1:
        raise UserError(
            f"{path} is {planes.dtype} of {len(planes)} channels; eit takes a real picture of one"
        )
    values = planes[0].astype(np.float64)
    if values.shape[0] != values.shape[1] or len(values) < SMALLEST:
        raise UserError(
            f"{path} has {values.shape[0]} x {values.shape[1]} pixels; a square around the body is "
            f"expected, {SMALLEST} x {SMALLEST} or more: crop it, or add a border"
        )
    if wanted is None and not picture.integer:
        return values, notes
    low, high = RANGE if wanted is None else wanted
    if not (0 < low < math.inf and 0 < high < math.inf):
        raise UserError(f"--conductivity LOW,HIGH must be above 0, got {low:g},{high:g}")
    if wanted is None:
        notes += (
            f"black is a conductivity of {low:g} and white of {high:g}; --conductivity LOW,HIGH "
            "takes others",
        )
    return low + (high - low) * values, notes


def _require_positive(values: np.ndarray, path: str | Path) -> None:
    if values.min() <= 0:
        raise UserError(
            f"{path} holds conductivities down to {values.min():.4g}; they must be above 0: add a "
            "little, or give --conductivity LOW,HIGH for values from 0 to 1"
        )


def _protocol(electrodes: int, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the challenge's injections `(L, I)` and patterns `(L, M)` for L electrodes."""
    removed = electrodes_removed(level)
    if electrodes - removed < LEAST_LEFT or electrodes % 2:
        raise UserError(
            f"level {level} leaves out {removed} of {electrodes} electrodes, and at least "
            f"{LEAST_LEFT} must be left, of an even number"
        )
    even = np.arange(0, electrodes, 2)
    pairs = list(zip(even, np.roll(even, -1), strict=True))
    for quarter in range(4):
        common = even[quarter * len(even) // 4]
        pairs += [(one, common) for one in even if one != common]
    injections = np.zeros((electrodes, len(pairs)))
    for column, (plus, minus) in enumerate(pairs):
        injections[[plus, minus], column] = CURRENT, -CURRENT
    patterns = np.zeros((electrodes, electrodes - 1))
    voltages = np.arange(electrodes - 1)
    patterns[voltages, voltages], patterns[voltages + 1, voltages] = 1, -1
    keep = measured_at_level(injections, patterns, level)
    return injections[:, keep.any(0)], patterns[:, keep.any(1)]


__all__ = ["LEVELS", "Tank", "simulate_eit"]

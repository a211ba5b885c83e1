"""Noise of counted photons: `photons` and `read_noise`, of the options or of the file."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from untrained.data.arrays import read_number
from untrained.data.formats import has_named_arrays, open_arrays
from untrained.data.parameters import note_replaced
from untrained.errors import UserError
from untrained.physics.base import Physics
from untrained.physics.photons import Photons

PHOTONS, READ_NOISE = "photons", "read_noise"
MOST_PHOTONS = 1e9


def photon_noise(
    path: str | Path, photons: float | None, read_noise: float | None
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Find the photons of a white pixel and the read-out noise; None where nothing is said.

    Args:
        path: the measured file; an .npz or .h5 may hold `photons` and `read_noise`.
        photons, read_noise: of the options, which take the place of the file's.

    Raises:
        UserError: numbers out of range, or read-out noise without photons.
    """
    stored: dict[str, float | None] = {PHOTONS: None, READ_NOISE: None}
    if has_named_arrays(path):
        with open_arrays(path, "input") as file:
            stored = {key: read_number(file, key) for key in stored}
    notes = note_replaced("--photons", photons, PHOTONS, stored[PHOTONS])
    notes += note_replaced("--read-noise", read_noise, READ_NOISE, stored[READ_NOISE])
    count = stored[PHOTONS] if photons is None else photons
    spread = stored[READ_NOISE] if read_noise is None else read_noise
    if count is None:
        if read_noise is not None:
            raise UserError("--read-noise is counted in photons: give --photons, too")
        return None, ()
    check_photons(count, spread or 0.0)
    more = f", and a read-out noise of {spread:.4g} photons" if spread else ""
    notes += (f"photon counts: {count:.4g} photons a white pixel{more}; the noise is Poisson's",)
    return (count, spread or 0.0), notes


def check_photons(photons: float, read_noise: float) -> None:
    """Raise a UserError for a number of photons or a read-out noise that cannot be."""
    if not 0 < photons <= MOST_PHOTONS:
        raise UserError(
            f"photons of a white pixel must be above 0 and at most 1e9, got {photons:g}"
        )
    if not 0 <= read_noise < math.inf:
        raise UserError(f"read-out noise must be at least 0 photons and finite, got {read_noise:g}")


def counted(physics: Physics, noise: tuple[float, float] | None, y: Tensor) -> Physics:
    """Return the operator with the noise of counted photons; as it is without any.

    Raises:
        UserError: pictures that reach far beyond white, which are no share of a white pixel.
    """
    if noise is None:
        return physics
    if float(torch.quantile(y.flatten()[:: max(1, y.numel() // 100_000)], 0.5)) > 4:
        raise UserError(
            "photons of a white pixel were given, and the picture is far brighter than white (1): "
            "divide the counts by the count of a white pixel, and give that number as photons"
        )
    return Photons(physics, *noise)

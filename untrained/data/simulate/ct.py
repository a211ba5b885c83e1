"""Simulate computed tomography from a clean picture or volume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.data.formats import has_one_slice
from untrained.data.formats.npz import write_npz
from untrained.data.images import check_photograph, read_image
from untrained.data.parameters import check_seed
from untrained.data.simulate.noise import add_white_noise
from untrained.data.simulate.photos import clean_picture
from untrained.data.slices import one_slice_error
from untrained.data.tasks.ct_cone import build_cone
from untrained.data.tasks.ct_scan import (
    CONE,
    build_operator,
    check_matrix,
    even_angles,
    read_fan,
    read_geometry,
    read_lengths,
)
from untrained.errors import UserError
from untrained.physics.cone import ConeCT
from untrained.physics.ct import CT

SOURCE, DETECTOR = 3.0, 4.5
"""Distances of the source to axis and panel where none are given, in widths of the volume."""

MOST_PHOTONS = 1e9


def simulate_ct(
    clean: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    angles: int = 60,
    noise: float | None = None,
    geometry: str | Path | None = None,
    volume: bool = False,
    photons: float | None = None,
) -> tuple[str, ...]:
    """Project along the rays of a scan.

    Writes `sinogram angles reference sigma seed`, the geometry and `image_shape`, or of a volume
    `volume_shape`; with `photons` `counts` and `flat` in place of `sinogram` and `sigma`.

    The views lie evenly over 180 degrees (fan and cone: 360). The detector sees the whole image;
    its bins are as wide as a pixel, unless the geometry says otherwise.

    Args:
        clean: picture of one channel, or with `volume` a volume (D, H, W).
        out: .npz to write.
        seed: of the noise.
        angles: number of views.
        noise: standard deviation of white noise over the mean of |sinogram|, 0.01 unless given; it
            is stored in the units of the sinogram as `sigma`.
        geometry: JSON file of `load_ct`'s geometry keys; None = a parallel beam, of a volume a cone
            beam whose source is 3 and whose panel 4.5 widths of the volume away.
        volume: whether `clean` is a volume, scanned by a cone beam.
        photons: mean count of a ray through nothing; counts then are Poisson, and path lengths
            are scaled so that the darkest ray keeps a share of exp(-2) of its photons.

    Raises:
        UserError: not a picture, a colour picture, a negative noise, no angle, a geometry that does
            not fit.
    """
    x, notes = _clean(clean, volume)
    if photons is not None and noise is not None:
        raise UserError("--photons counts photons, whose noise they bring along: leave out --noise")
    if photons is not None and not 1 <= photons <= MOST_PHOTONS:
        raise UserError(f"--photons must be between 1 and {MOST_PHOTONS:.0e}, got {photons:g}")
    noise = 0.01 if noise is None else noise
    if not 0 <= noise < math.inf:
        raise UserError(f"--noise must be a number >= 0, got {noise}")
    scan: dict[str, Any] = {} if geometry is None else read_geometry(geometry)
    physics, kept, views = _scan_of(x, scan, angles, volume)
    y = physics.A(x)
    arrays = kept | {"angles": views, "reference": x[0, 0].numpy(), "seed": np.asarray(seed)}
    if photons is None:
        sigma = noise * float(y.abs().mean())
        arrays |= {"sinogram": _stored(add_white_noise(y, sigma, seed)), "sigma": np.asarray(sigma)}
    else:
        arrays |= _counted(y, photons, seed)
        scale = float(arrays.pop("attenuation"))
        arrays["reference"] = (scale * x[0, 0]).numpy()
        notes += (f"the image was multiplied by {scale:.4g}, so that no ray loses more than 86 %",)
    write_npz(out, arrays)
    return notes


def _clean(path: str | Path, volume: bool) -> tuple[Tensor, tuple[str, ...]]:
    """Read a picture `(1, 1, H, W)`, or a volume `(1, 1, D, H, W)`."""
    if not volume:
        x, notes = clean_picture(path)
        if x.shape[1] != 1:
            raise UserError(
                f"{path} has {x.shape[1]} channels; ct takes a picture of one channel, or with "
                "--volume a volume"
            )
        return x, notes
    x, notes = read_image(path, "clean volume", pages=True)
    check_photograph(x.numpy(), path)
    if x.shape[1] == 1 or has_one_slice(path):
        raise one_slice_error(path)
    return x[:, None], notes


def _scan_of(
    x: Tensor, scan: dict[str, Any], angles: int, volume: bool
) -> tuple[CT | ConeCT, dict[str, np.ndarray], np.ndarray]:
    """Build the operator, the geometry's arrays to be stored, and the angles."""
    beam = scan.get("geometry", CONE if volume else "parallel")
    if (beam == CONE) != volume:
        raise UserError(
            "a cone beam scans a volume: give --volume and a volume (D, H, W)"
            if beam == CONE
            else f"--volume scans by a cone beam, and the geometry says '{beam}'"
        )
    shape = tuple(x.shape[2:])
    name = "volume_shape" if volume else "image_shape"
    if tuple(scan.get(name, shape)) != shape:
        raise UserError(f"the clean image is {shape}, and --geometry says {scan[name]}")
    scan = scan | {name: shape}
    views = even_angles(angles, beam != "parallel")
    if volume:
        width = float(max(shape[1:])) * scan.get("pixel_size", 1.0)
        scan = {"geometry": CONE, "source_origin": SOURCE * width, **scan}
        scan.setdefault("source_detector", scan["source_origin"] * DETECTOR / SOURCE)
        scan.setdefault("pixel_size", 1.0)
        physics: CT | ConeCT
        physics, _ = build_cone(scan, views, _panel(scan))
    else:
        check_matrix((shape[0], shape[1]), angles, "--angles")
        physics, _ = build_operator(scan, views, _bins(scan))
    return physics, {key: np.asarray(value) for key, value in scan.items()}, views


def _bins(scan: dict[str, Any]) -> int:
    """Count the bins that see the whole image from every side."""
    fan = read_fan(scan)
    pitch, pixel, _ = read_lengths(scan, fan)
    radius = pixel * math.hypot(*scan.get("image_shape", scan.get("volume_shape", ())[1:])) / 2
    if fan is None:
        return max(2, math.ceil(2 * radius / pitch))
    if radius >= fan.source_origin:
        return 2  # refused by the geometry itself
    width = pitch * fan.source_origin / fan.source_detector
    reach = radius / math.sqrt(1 - (radius / fan.source_origin) ** 2)
    return max(2, math.ceil(2 * (reach / width + abs(scan.get("detector_offset", 0.0)))))


def _panel(scan: dict[str, Any]) -> tuple[int, int]:
    """Count rows and columns of a panel that sees the whole volume from every side."""
    fan = read_fan(scan)
    assert fan is not None
    pitch, pixel, _ = read_lengths(scan, fan)
    depth, *sides = scan["volume_shape"]
    radius = pixel * math.hypot(*sides) / 2
    high = scan.get("slice_height", pixel) * depth / 2
    high *= fan.source_origin / max(fan.source_origin - radius, fan.source_origin / 100)
    shrink = fan.source_origin / fan.source_detector
    rows = 2 * (high / shrink / scan.get("detector_row_pitch", pitch))
    rows += 2 * abs(scan.get("detector_row_offset", 0.0))
    return max(2, math.ceil(rows)), _bins(scan)


def _stored(y: Tensor) -> np.ndarray:
    """Order measurements as files do: (angles, detectors), or (angles, rows, columns)."""
    return np.ascontiguousarray(y[0, 0].movedim(-1, 0).numpy())


def _counted(y: Tensor, photons: float, seed: int) -> dict[str, np.ndarray]:
    """Count photons behind an object whose densest ray has two mean free paths."""
    scale = 2.0 / max(float(y.max()), 1e-30)
    mean = photons * torch.exp(-scale * y.double())
    counts = np.random.default_rng(check_seed(seed)).poisson(mean.numpy())
    return {
        "counts": _stored(torch.from_numpy(counts.astype(np.float32))),
        "flat": np.asarray(photons),
        "attenuation": np.asarray(scale),
    }

"""CT of an object wider than the detector: an image of the usual size, and the one that is chosen.

    python benchmarks/truncated.py DATA > benchmarks/results/truncated.jsonl

DATA is the folder of public data sets. PSNR in dB inside the circle that all views see, of `fbp`
and `tv`; the image has as many pixels as the detector has bins, or the size that the views' ends
tell. A simulated abdomen of 90 x 63 pixels (60 views, noise of 1 %) against the truth, and the
measured tooth, of whose 320 bins the middle ones are kept, against filtered backprojection of all
its bins and views.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from scans import full_fbp, tooth

import untrained as ut
from untrained.classical import CLASSICAL
from untrained.doubts.ct_truncated import apparent_width, wide_side
from untrained.physics import CT
from untrained.physics.ct_geometry import FanBeam

SIDE, VIEWS, NOISE, RIM = 96, 60, 0.01, 2
FAN = FanBeam(200.0, 300.0)
PARTS = (  # centre x, y, half axes, turn in radians, attenuation: skin, organs, spine, gas, vessel
    (0.0, 0.0, 0.47, 0.33, 0.0, 0.018),
    (0.0, 0.01, 0.423, 0.29, 0.0, 0.02),
    (-0.17, -0.05, 0.17, 0.16, 0.3, 0.0212),
    (0.2, -0.08, 0.09, 0.11, 0.0, 0.0208),
    (0.17, 0.1, 0.05, 0.07, 0.0, 0.0215),
    (-0.2, 0.13, 0.05, 0.07, 0.0, 0.0215),
    (0.0, 0.19, 0.055, 0.05, 0.0, 0.034),
    (0.0, 0.19, 0.02, 0.02, 0.0, 0.02),
    (0.05, -0.12, 0.05, 0.04, 0.0, 0.002),
    (-0.02, -0.2, 0.06, 0.03, 0.0, 0.004),
    (0.09, 0.0, 0.02, 0.02, 0.0, 0.024),
    (-0.38, 0.05, 0.02, 0.05, 0.5, 0.03),
    (0.38, 0.05, 0.02, 0.05, -0.5, 0.03),
)


def abdomen(side: int, right: float = 0.0) -> np.ndarray:
    """Draw a section of an abdomen, float32 `(side, side)`, moved by `right` pixels of 96."""
    y, x = ((np.mgrid[:side, :side] - (side - 1) / 2) / SIDE).tolist()
    image = np.zeros((side, side), np.float32)
    for cx, cy, a, b, turn, value in PARTS:
        dx, dy = np.asarray(x) - cx - right / SIDE, np.asarray(y) - cy
        u = dx * np.cos(turn) + dy * np.sin(turn)
        v = dy * np.cos(turn) - dx * np.sin(turn)
        image[np.hypot(u / a, v / b) < 1] = value
    return image


def simulated(image: np.ndarray, bins: int, fan: FanBeam | None) -> tuple[np.ndarray, CT]:
    """Scan an image on too narrow a detector; the sinogram `(views, bins)` and its operator."""
    turn = 180.0 if fan is None else 360.0
    pitch = 1.0 if fan is None else fan.source_detector / fan.source_origin
    angles = np.arange(VIEWS) * turn / VIEWS
    physics = CT(image.shape, angles, bins, fan=fan, detector_pitch=pitch)
    y = physics.A(torch.from_numpy(image)[None, None])
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    return (y + NOISE * y.abs().mean() * noise)[0, 0].T.numpy(), physics


def score(image: np.ndarray, truth: np.ndarray, bins: int) -> float:
    """Measure PSNR inside the circle of `bins` pixels; what the image does not show is 0."""
    both = max(len(image), len(truth))
    a, b = (np.pad(one, (both - len(one)) // 2) for one in (image, truth))
    axis = np.arange(len(a)) - (len(a) - 1) / 2
    seen = np.hypot(axis[:, None], axis) < bins / 2 - RIM
    error = float(np.square(a - b)[seen].mean())
    return round(10 * np.log10(float(truth.max()) ** 2 / error), 2)


def row(name: str, sinogram: np.ndarray, physics: CT, truth: np.ndarray) -> dict[str, object]:
    """Reconstruct on both sizes."""
    bins, geometry = sinogram.shape[1], physics.geometry
    width = apparent_width(sinogram, geometry.detector_offset, geometry.angles)
    y = torch.from_numpy(np.ascontiguousarray(sinogram.T))[None, None]
    found: dict[str, object] = {"case": name, "bins": bins, "width": round(width, 3)}
    for kind, side in (("usual", bins), ("chosen", wide_side(bins, width))):
        angles = np.asarray(geometry.angles)
        one = CT(
            (side, side),
            angles,
            bins,
            detector_pitch=geometry.detector_pitch,
            detector_offset=geometry.detector_offset,
            fan=geometry.fan,
        )
        problem = ut.Problem(y, one)
        for method in ("fbp", "tv"):
            image = problem.to_units(CLASSICAL[method](problem))[0, 0].numpy()
            found[f"{method}_{kind}"] = score(image, truth, bins)
        found[f"side_{kind}"] = side
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    """Print a row of JSON a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    warnings.simplefilter("ignore", ut.Note)
    for name, image, bins, fan in (
        ("abdomen, 64 bins", abdomen(SIDE), 64, None),
        ("abdomen, 80 bins", abdomen(SIDE), 80, None),
        ("abdomen, 64 bins, fan", abdomen(SIDE), 64, FAN),
        ("abdomen, 64 bins, 12 to one side", abdomen(128, 12), 64, None),
    ):
        row(name, *simulated(image, bins, fan), image)
    sinogram, angles, geometry = tooth(data)
    reference = full_fbp(sinogram, angles, geometry)
    kept, first = slice(0, 180, 3), round(geometry.centre) - 70
    middle, centre = slice(first, first + 140), geometry.centre - first - 139 / 2
    part = CT((140, 140), angles[kept], 140, detector_offset=centre)
    row("tooth, 140 of 320 bins", sinogram[kept, middle], part, reference)


if __name__ == "__main__":
    main()

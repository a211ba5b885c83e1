"""Inputs worth a note: time series, cones, counts, trajectories, marks; each made small."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from odd_inputs import COLUMNS, KERNEL, NOISY, PIC, VIEWS, Command, coils, npy, npz, scan
from PIL import Image
from raw_scans import coil_images, header, lines_of, oversampled, write
from skimage import data

from untrained.data.phantoms import birdcage_maps, brain
from untrained.physics import NonCartesianMRI

SIDE = 32


def clip(folder: Path, *others: str) -> Path:
    """A folder of three frames, and of files that are no frames."""
    place = folder / "clip"
    place.mkdir()
    for t in range(3):
        Image.fromarray((255 * np.roll(PIC, t)).astype(np.uint8)).save(place / f"{t}.png")
    for name in others:
        (place / name).write_text("no picture")
    return place


def flickering(folder: Path) -> Command:
    made = np.stack([PIC * gain for gain in (0.8, 1.0, 0.9)])
    given = ["reconstruct", "video", npy(folder, np.stack([PIC] * 3)), "--processed"]
    small = ["--set", "net.width=2", "--set", "net.depth=2"]
    return [*given, npy(folder, made, "made.npy"), "--method", "dvp", "--steps", "2", *small]


def segmented(folder: Path) -> Command:
    """Grey values with noise, larger on every side than the truth."""
    disc = np.hypot(*np.mgrid[-16:16, -16:16]) < 9
    grey = np.pad(disc, 4) + 0.02 * np.random.default_rng(0).normal(size=(40, 40))
    given = [npy(folder, grey, "a.npy"), npy(folder, disc.astype(np.uint8), "b.npy")]
    return ["evaluate", *given, "--score", "htc"]


def cone(**changes: Any) -> Callable[[Path], Command]:
    views = np.random.default_rng(0).random((6, 10, 12)).astype(np.float32)
    arrays = {"sinogram": views, "angles": np.arange(6) * 60.0, "geometry": "cone"}
    arrays |= {"source_origin": 60.0, "source_detector": 90.0, **changes}
    return lambda folder: ["reconstruct", "ct", npz(folder, **arrays)]


def raw(folder: Path) -> Command:
    """Readouts of a scanner, twice oversampled."""
    path = write(folder / "raw.h5", header(), lines_of(oversampled(), range(32)))
    return ["reconstruct", "mri", str(path)]


def unscanned(where: str) -> Callable[[Path], Command]:
    """K-space of a small object with noise, and no scan of the noise alone."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 4, 64, 64)) * 0.02

    def make(folder: Path) -> Command:
        images = np.zeros((4, 64, 64), complex)
        images[:, 16:48, 16:48] = coil_images()
        axes = (-2, -1)
        full = np.fft.fft2(np.fft.ifftshift(images, axes=axes), norm="ortho")
        kspace = np.fft.fftshift(full, axes=axes) + noise[0] + 1j * noise[1]
        return ["reconstruct", "mri", npz(folder, kspace=kspace), "--noise-from", where]

    return make


def counted(**changes: Any) -> Callable[[Path], Command]:
    counts = np.random.default_rng(0).poisson(1000 * np.exp(-scan() / scan().max()))
    counts[3, 17] = 0
    arrays = {"counts": counts, "flat": 1000.0, "angles": VIEWS, "image_shape": [24, 24]}
    return lambda folder: ["reconstruct", "ct", npz(folder, **(arrays | changes))]


def described(**text: Any) -> dict[str, Any]:
    """List the options with which `ct` reads a scan and a description of its scanner."""
    return {"parameters_json": json.dumps(text)}


CONE = {"distanceSourceOrigin": 100.0, "distanceSourceDetector": 150.0, "geometryType": "Cone"}


def shots(samples: int = 2 * SIDE) -> np.ndarray:
    """40 golden spokes, (kx, ky) in cycles per pixel."""
    angles = np.arange(40) * np.pi * (np.sqrt(5) - 1) / 2
    radius = (np.arange(samples) - samples // 2) / samples
    return np.stack([np.cos(angles)[:, None] * radius, np.sin(angles)[:, None] * radius], -1)


def radial(*more: Any, samples: int = 2 * SIDE, **changes: Any) -> Callable[[Path], Command]:
    """A scan of golden spokes; `changes` take the stored arrays, or None for one that is new."""
    maps = torch.from_numpy(birdcage_maps(4, (SIDE, SIDE)).astype(np.complex64))
    physics = NonCartesianMRI(shots(samples), maps, 1.0)
    shown = torch.from_numpy(np.stack([brain(SIDE).real, brain(SIDE).imag])).float()
    y = physics.A(shown[None])[0].numpy()
    arrays = {"kspace": (y[0] + 1j * y[1]).astype(np.complex64), "traj": shots(samples)}
    arrays |= {name: change(arrays.get(name)) for name, change in changes.items()}
    return lambda folder: ["reconstruct", "mri", npz(folder, **arrays), *more]


def half_empty(kspace: np.ndarray) -> np.ndarray:
    """Every second shot was not measured."""
    return np.where(np.arange(kspace.shape[1])[:, None] % 2, kspace, 0)


def dynamic(folder: Path) -> Command:
    kspace = np.stack([coils() * np.roll(COLUMNS, t) for t in (0, 1)])
    maps = birdcage_maps(4, (48, 48)).astype(np.complex64)
    return ["reconstruct", "mri", npz(folder, kspace=kspace, maps=maps), "--series"]


def blurred(*more: Any) -> Callable[[Path], Command]:
    """A picture with a kernel in its file, of which the command says that it is unknown."""
    return lambda folder: [
        *("reconstruct", "deblur", npz(folder, measurement=NOISY, kernel=KERNEL)),
        *("--kernel", "estimate", *more),
    ]


def marked(folder: Path) -> Command:
    """Two photographs with the same ring."""
    ring = np.abs(np.hypot(*np.mgrid[-64:64, -64:64]) - 30) < 3
    for name, picture in (
        ("a.png", data.camera()[::4, ::4]),
        ("b.png", data.coins()[40:168, 60:188]),
    ):
        Image.fromarray(np.where(ring, 0, picture).astype(np.uint8)).save(folder / name)
    return ["reconstruct", "inpaint", folder / "a.png", "--mask-from", folder / "b.png"]

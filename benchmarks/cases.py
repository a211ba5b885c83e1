"""The measured cases of the evidence: real MRI and CT scans, and photographs.

    python benchmarks/cases.py DATA OUT

writes one measurement file per case into OUT, made from the public data sets in DATA as a user
would make them (`untrained simulate`, or binned and thinned-out measured views). The files are
not part of the project: most of the data may not be passed on.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from untrained.data import TASKS
from untrained.data.arrays import write_npy, write_npz
from untrained.physics.fbp import fbp
from untrained.physics.footprint import FanBeam, Geometry

BRAINS = {"t1": "brain_t1_8ch_230x180.npz", "mprage": "brain_mprage_4ch_256.npz"}
CROPS = {"0003": (40, 30), "0010": (100, 30), "0019": (30, 100)}
SIDE = 256


def make_mri(data: Path, out: Path) -> None:
    """Retrospective 4x (centre 8%) and 8x (4%) of the two brains, random columns, seed 0."""
    simulate = TASKS["mri"].simulate
    assert simulate is not None
    for name, file in BRAINS.items():
        for factor, centre in ((4, 0.08), (8, 0.04)):
            simulate(
                data / "mri_multicoil" / file,
                out / f"mri-{name}-{factor}x.npz",
                acceleration=factor,
                center_fraction=centre,
            )


def make_ct(data: Path, out: Path) -> None:
    """30 and 60 of the measured views of the tooth (parallel) and the bell pepper (fan)."""
    for name, (sinogram, angles, geometry) in {
        "tooth": _tooth(data),
        "pepper": _pepper(data),
    }.items():
        import torch

        full = torch.from_numpy(np.ascontiguousarray(sinogram.T))[None, None]
        reference = fbp(full, geometry)[0, 0].numpy()
        for views in (30, 60):
            kept = np.round(np.arange(views) * len(angles) / views).astype(int)
            scan: dict[str, np.ndarray] = {
                "sinogram": sinogram[kept],
                "angles": angles[kept],
                "image_shape": np.asarray(geometry.image_shape),
                "reference": reference,
                "pixel_size": np.asarray(geometry.pixel_size),
                "detector_pitch": np.asarray(geometry.detector_pitch),
                "detector_offset": np.asarray(geometry.detector_offset),
            }
            if geometry.fan is not None:
                scan |= {
                    "geometry": np.asarray("fan"),
                    "source_origin": np.asarray(geometry.fan.source_origin),
                    "source_detector": np.asarray(geometry.fan.source_detector),
                }
            write_npz(out / f"ct-{name}-{views}.npz", scan)


def make_photographs(data: Path, out: Path) -> None:
    """Three 256x256 crops: sigma 25; half the pixels missing; x4, sigma 12.75; a Levin kernel."""
    kernels = np.load(data / "blur_kernels" / "levin09.npz", allow_pickle=False)
    with tempfile.TemporaryDirectory() as folder:
        kernel = Path(folder) / "kernel.npy"
        write_npy(kernel, kernels["k0"].astype(np.float32))
        options: dict[str, dict] = {
            "denoise": {"sigma": 25.0},
            "inpaint": {"missing": 0.5},
            "superres": {"factor": 4, "sigma": 12.75},
            "deblur": {"kernel": kernel, "sigma": 2.55},
        }
        for name, (top, left) in CROPS.items():
            with Image.open(data / "cbsd68" / f"{name}.png") as picture:
                pixels = np.asarray(picture.convert("RGB"))[top : top + SIDE, left : left + SIDE]
            clean = Path(folder) / f"{name}.png"
            Image.fromarray(pixels).save(clean)
            for task, given in options.items():
                simulate = TASKS[task].simulate
                assert simulate is not None
                simulate(clean, out / f"{task}-{name}.npz", **given)


def _tooth(data: Path) -> tuple[np.ndarray, np.ndarray, Geometry]:
    import h5py

    with h5py.File(data / "ct_tooth" / "tooth.h5") as file:
        scan = file["exchange"]
        counts, white, dark = (
            np.asarray(scan[key][:, 0], dtype=np.float64)
            for key in ("data", "data_white", "data_dark")
        )
        angles = np.asarray(scan["theta"], dtype=np.float64)
    transmitted = (counts - dark.mean(0)) / (white.mean(0) - dark.mean(0))
    sinogram = _binned(-np.log(np.clip(transmitted, 1e-4, None)))
    centre = (296 + 0.5) / 2 - 0.5
    detectors = sinogram.shape[1]
    offset = centre - (detectors - 1) / 2
    # One view repeats the first after half a turn; it is left out.
    keep = slice(0, 180)
    geometry = Geometry((detectors, detectors), angles[keep], detectors, 1.0, 1.0, offset, None)
    return sinogram[keep], angles[keep], geometry


def _pepper(data: Path) -> tuple[np.ndarray, np.ndarray, Geometry]:
    file = np.load(data / "ct_bellpepper" / "bell_pepper_high_dose.npz", allow_pickle=False)
    sinogram = _binned(file["sinogram"].astype(np.float64))[:360]
    angles = file["angles_deg"].astype(np.float64)[:360]
    detectors = sinogram.shape[1]
    pitch = 0.4
    fan = FanBeam(410.66, 553.74)
    pixel = pitch * fan.source_origin / fan.source_detector
    return (
        sinogram,
        angles,
        Geometry((detectors, detectors), angles, detectors, pixel, pitch, 0.0, fan),
    )


def _binned(sinogram: np.ndarray) -> np.ndarray:
    """Two neighbouring detector pixels as one."""
    views, detectors = sinogram.shape
    return sinogram.reshape(views, detectors // 2, 2).mean(2).astype(np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for make in (make_mri, make_ct, make_photographs):
        make(given.data, given.out)
    print(f"{len(list(given.out.glob('*.npz')))} cases in {given.out}")

"""The public data sets that the cases are made of, and how a measurement is made from them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from untrained.data import TASKS
from untrained.data.formats.npy import write_npy
from untrained.data.formats.npz import write_npz
from untrained.data.phantoms import birdcage_maps
from untrained.maths import fft2c, ifft2c
from untrained.physics.ct_geometry import FanBeam, Geometry
from untrained.physics.fbp import fbp

BRAINS = {"t1": "brain_t1_8ch_230x180.npz", "mprage": "brain_mprage_4ch_256.npz"}
T2 = "mri_complex_images/siat_brain_t2_31x256.npz"
KNEES = "mri_magnitude/stanford_knee_rss_20x320x256.npz"


def measured_kspace(data: Path, name: str) -> np.ndarray:
    """Of one of BRAINS, fully sampled, `(coils, H, W)`."""
    stored = np.load(data / "mri_multicoil" / BRAINS[name], allow_pickle=False)
    kspace: np.ndarray = stored["kspace"]
    return kspace


def images(data: Path, file: str) -> np.ndarray:
    """The slices of T2 (complex) or KNEES, `(slices, H, W)`."""
    found: np.ndarray = np.load(data / file, allow_pickle=False)["images"]
    return found


def write_kernel(data: Path, folder: Path) -> Path:
    """The first of Levin's kernels, as a file."""
    kernels = np.load(data / "blur_kernels" / "levin09.npz", allow_pickle=False)
    write_npy(folder / "kernel.npy", kernels["k0"].astype(np.float32))
    return folder / "kernel.npy"


def picture(file: Path) -> Image.Image:
    """In colour."""
    with Image.open(file) as found:
        return found.convert("RGB")


def simulate(task: str, clean: Path, out: Path, **options: Any) -> None:
    """What `untrained simulate` does."""
    made = TASKS[task].simulate
    assert made is not None
    made(clean, out, **options)


def simulate_low_mri(
    kspace: np.ndarray, side: int, folder: Path, out: Path, noise: float = 0.0
) -> None:
    """4x of the central `side` squared of k-space; the reference stays without added noise.

    The noise is given relative to the largest value of a coil image.
    """
    low = middle(middle(kspace, 1, side), 2, side)
    clean = folder / f"{out.stem}.npz"
    write_npz(clean, {"kspace": low})
    simulate("mri", clean, out, acceleration=4, center_fraction=0.08)
    if not noise:
        return
    level = noise * float(ifft2c(torch.from_numpy(low)).abs().max())
    draw = torch.randn(low.shape, dtype=torch.complex64, generator=torch.manual_seed(1))
    with np.load(out, allow_pickle=False) as stored:
        case = {key: stored[key] for key in stored}
    case["kspace"] = case["kspace"] + level * draw.numpy() * case["mask"]
    write_npz(out, case)


def simulate_coils(
    image: np.ndarray,
    case: Path,
    seed: int,
    *,
    coils: int = 8,
    acceleration: int = 4,
    centre: float = 0.08,
) -> None:
    """Show a complex image to simulated coils, with noise of 0.5 % of its level, and undersample.

    Columns are kept at random, and a fraction `centre` of them in the middle; there at least five,
    without which the coil maps cannot be found.
    """
    centre = max(centre, 5 / image.shape[1])
    kspace = fft2c(torch.from_numpy(birdcage_maps(coils, image.shape) * image))
    noise = torch.randn(kspace.shape, dtype=kspace.dtype, generator=torch.manual_seed(seed))
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "clean.npz"
        write_npz(clean, {"kspace": (kspace + 0.005 * noise).numpy()})
        options = {"acceleration": acceleration, "center_fraction": centre}
        simulate("mri", clean, case, seed=seed, **options)


def low_resolution(image: np.ndarray, side: int) -> np.ndarray:
    """Reduce a complex image to the central `side` squared of its k-space; 0 keeps all of it.

    The largest magnitude becomes 1.
    """
    if side:
        kspace = fft2c(torch.from_numpy(image)[None])[0].numpy()
        image = ifft2c(torch.from_numpy(middle(middle(kspace, 0, side), 1, side))[None])[0].numpy()
    scaled: np.ndarray = image / np.abs(image).max()
    return scaled


def middle(values: np.ndarray, axis: int, side: int) -> np.ndarray:
    """The middle `side` along an axis, or all of it."""
    first = max(0, (values.shape[axis] - side) // 2)
    return values.take(range(first, min(first + side, values.shape[axis])), axis=axis)


def tooth(data: Path, row: int = 0) -> tuple[np.ndarray, np.ndarray, Geometry]:
    """One row of the detector of the tooth (parallel): sinogram, angles, geometry."""
    import h5py

    with h5py.File(data / "ct_tooth" / "tooth.h5") as file:
        scan = file["exchange"]
        counts, white, dark = (
            np.asarray(scan[key][:, row], dtype=np.float64)
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
    views = tuple(angles[keep].tolist())
    geometry = Geometry((detectors, detectors), views, detectors, 1.0, 1.0, offset, None)
    return sinogram[keep], angles[keep], geometry


def pepper(data: Path, dose: str = "high_dose") -> tuple[np.ndarray, np.ndarray, Geometry]:
    """The bell pepper (fan): sinogram, angles, geometry."""
    file = np.load(data / "ct_bellpepper" / f"bell_pepper_{dose}.npz", allow_pickle=False)
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


def full_fbp(sinogram: np.ndarray, angles: np.ndarray, geometry: Geometry) -> np.ndarray:
    """FBP of all measured views: the reference."""
    full = torch.from_numpy(np.ascontiguousarray(sinogram.T))[None, None]
    return fbp(full, geometry)[0, 0].numpy()


def thinned(
    sinogram: np.ndarray,
    angles: np.ndarray,
    geometry: Geometry,
    reference: np.ndarray,
    views: int,
    others: bool = False,
) -> dict[str, np.ndarray]:
    """A scan of `views` of the measured views, evenly spread, or of all the `others`."""
    kept = np.round(np.arange(views) * len(angles) / views).astype(int)
    kept = np.setdiff1d(np.arange(len(angles)), kept) if others else kept
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
    return scan


def joined(arrays: dict[str, np.ndarray], factor: int) -> dict[str, np.ndarray]:
    """`factor` neighbouring detectors and pixels as one; lengths stay what they were."""
    views, detectors = arrays["sinogram"].shape
    rows, columns = (int(n) // factor for n in arrays["image_shape"])
    pixels = arrays["reference"].reshape(rows, factor, columns, factor)
    return arrays | {
        "sinogram": arrays["sinogram"].reshape(views, detectors // factor, factor).mean(2),
        "reference": pixels.mean((1, 3)),
        "image_shape": np.asarray((rows, columns)),
        "pixel_size": arrays["pixel_size"] * factor,
        "detector_pitch": arrays["detector_pitch"] * factor,
        "detector_offset": arrays["detector_offset"] / factor,
    }


def _binned(sinogram: np.ndarray) -> np.ndarray:
    """Two neighbouring detector pixels as one."""
    views, detectors = sinogram.shape
    return sinogram.reshape(views, detectors // 2, 2).mean(2).astype(np.float32)

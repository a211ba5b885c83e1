"""Cases of the stopping study and of the overfitting curves; `benchmarks/cases.py DATA OUT
--small` and `--onset`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scans import (
    BRAINS,
    KNEES,
    T2,
    full_fbp,
    images,
    joined,
    measured_kspace,
    middle,
    pepper,
    picture,
    simulate,
    simulate_low_mri,
    thinned,
    tooth,
)

from untrained.data.formats.npz import write_npz
from untrained.data.phantoms import birdcage_maps
from untrained.maths import fft2c

PICTURES = (
    "cbsd68/0003.png",
    "cbsd68/0010.png",
    "cbsd68/0019.png",
    "ffhq256/00003.png",
    "classic_sets/set5/butterfly_GT.png",
    "microscopy/ihc.png",
)
SMALL, ONSET = 96, 128
NOISE = 0.05  # of the onset's cases
SLICES = (4, 16)  # of the combined brain volume, whose coils have to be simulated


def make_small_photographs(data: Path, out: Path, side: int = SMALL, count: int = 6) -> None:
    """sigma 25, and half the pixels missing, of the first pictures."""
    with tempfile.TemporaryDirectory() as folder:
        for name in PICTURES[:count]:
            clean = Path(folder) / f"{Path(name).stem}.png"
            whole = picture(data / name)
            # The face and the stained tissue are sharp at half their size.
            small = whole.reduce(2) if name.startswith(("ffhq", "micro")) else whole
            pixels = np.asarray(small).transpose(2, 0, 1)
            pixels = middle(middle(pixels, 1, side), 2, side).transpose(1, 2, 0)
            Image.fromarray(np.ascontiguousarray(pixels)).save(clean)
            simulate("denoise", clean, out / f"denoise-{clean.stem}.npz", sigma=25.0)
            simulate("inpaint", clean, out / f"inpaint-{clean.stem}.npz", missing=0.5)


def make_small_mri(data: Path, out: Path) -> None:
    """4x of three measured brains, one with measured maps, and two with simulated coils."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: data / "mri_multicoil" / file for name, file in BRAINS.items()}
        files["gre"] = data / "mri_multicoil" / "brain_gre_16ch_96.npz"
        for name, kspace in _synthetic(data).items():
            files[name] = Path(folder) / f"{name}.npz"
            write_npz(files[name], {"kspace": kspace})
        for name, file in files.items():
            case = out / f"mri-{name}-4x.npz"
            simulate("mri", file, case, acceleration=4, center_fraction=0.08)
            with np.load(case, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored}
            write_npz(case, _crop_readout(arrays, SMALL))


def make_onset(data: Path, out: Path) -> None:
    """Three images a task, with noise added: at this size the scans hardly have any.

    MRI: 5 % of the largest coil image in each of its pixels; CT: 5 % of the mean line integral.
    """
    make_small_photographs(data, out, ONSET, 3)
    with tempfile.TemporaryDirectory() as folder:
        brains = {name: measured_kspace(data, name) for name in BRAINS}
        brains["t2"] = _synthetic(data)[f"t2-{SLICES[0]}"]
        for name, kspace in brains.items():
            simulate_low_mri(kspace, ONSET, Path(folder), out / f"mri-{name}-4x.npz", NOISE)
    measured = {"tooth": tooth(data), "pepper": pepper(data)}
    for name, scan in measured.items():
        for views in (18, 30):
            case = joined(thinned(*scan, full_fbp(*scan), views), 2)
            level = NOISE * case["sinogram"].mean()
            noise = np.random.default_rng(0).normal(0, level, case["sinogram"].shape)
            noisy = {"sinogram": (case["sinogram"] + noise).astype(np.float32)}
            write_npz(out / f"ct-{name}-{views}.npz", case | noisy)
    for views in (18, 30):
        _simulate_ct("brain", _phantoms(data, ONSET)["brain"], out, NOISE, views)


def _synthetic(data: Path) -> dict[str, np.ndarray]:
    """Fully sampled k-space of complex images, with noise of 1 % of the largest value."""
    dwi = np.load(data / "mri_multicoil" / "brain_dwi_4ch_maps_256.npz", allow_pickle=False)
    coils = {"dwi": dwi["coil_sens"] * dwi["image"]}
    slices, maps = images(data, T2), birdcage_maps(8, (256, 256))
    coils |= {f"t2-{n}": maps * slices[n] for n in SLICES}
    found = {}
    for name, seen in coils.items():
        clean = fft2c(torch.from_numpy(seen / np.abs(seen).max()).to(torch.complex64))
        noise = torch.randn(clean.shape, dtype=clean.dtype, generator=torch.manual_seed(0))
        found[name] = (clean + 0.01 * noise).numpy()
    return found


def make_small_ct(data: Path, out: Path) -> None:
    """30 views of three measured slices, and of a brain, a knee and a cell, simulated."""
    measured = {"tooth": tooth(data), "tooth-above": tooth(data, 1), "pepper": pepper(data)}
    for name, scan in measured.items():
        write_npz(out / f"ct-{name}-30.npz", joined(thinned(*scan, full_fbp(*scan), 30), 2))
    for name, image in _phantoms(data, SMALL).items():
        _simulate_ct(name, image, out, 0.02)


def _simulate_ct(name: str, image: np.ndarray, out: Path, noise: float, views: int = 30) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / f"{name}.png"
        Image.fromarray((255 * np.clip(image, 0, 1)).astype(np.uint8)).save(clean)
        simulate("ct", clean, out / f"ct-{name}-{views}.npz", angles=views, noise=noise)


def _phantoms(data: Path, side: int) -> dict[str, np.ndarray]:
    """Pictures that stand in for a slice of attenuation, `side` squared, in [0, 1]."""
    brain, knee = np.abs(images(data, T2)[SLICES[0]]), images(data, KNEES)[0]
    with Image.open(data / "microscopy" / "cell.png") as found:
        cell = np.asarray(found.convert("L"), dtype=np.float64) / 255
    small = {}
    for name, image in {"brain": brain, "knee": knee, "cell": cell}.items():
        halved = np.asarray(Image.fromarray(image.astype(np.float32)).reduce(2))
        small[name] = middle(middle(halved, 0, side), 1, side)
    return small


def _crop_readout(arrays: dict[str, np.ndarray], side: int) -> dict[str, np.ndarray]:
    """The fully sampled axis; the other cannot be cropped without the missing samples."""
    lines = np.fft.ifftshift(arrays["kspace"], axes=-2)
    lines = np.fft.fftshift(np.fft.ifft(lines, norm="ortho", axis=-2), axes=-2)
    lines = np.fft.ifftshift(middle(lines, -2, side), axes=-2)
    kspace = np.fft.fftshift(np.fft.fft(lines, norm="ortho", axis=-2), axes=-2)
    reference = middle(arrays["reference"], -2, side)
    return arrays | {"kspace": kspace.astype(np.complex64), "reference": reference}

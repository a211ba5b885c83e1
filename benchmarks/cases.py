"""The measured cases of the evidence: real MRI and CT scans, and photographs.

    python benchmarks/cases.py DATA OUT [--small | --onset | --low-data]

writes one measurement file per case into OUT, made from the public data sets in DATA as a user
would make them (`untrained simulate`, or binned and thinned-out measured views). The files are
not part of the project: most of the data may not be passed on.

`--small` writes the cases of the stopping study instead: six images each of denoising, inpainting,
MRI and CT, 96 to 160 points wide. Photographs and the readout of MRI are cropped in the middle,
which changes no measurement that is kept; detectors and pixels of CT are joined.

`--low-data` writes what the low-data methods learn from and are tested on, 128 points wide (or
`--side`): faces and brains of grids/ugodit-*.toml.

`--onset` writes three images each of denoising, MRI and CT, 128 to 160 points wide, for the small
version of grids/aseqdip-fig4.toml: there the brains are the central 128x128 of k-space.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from untrained.data import TASKS
from untrained.data.arrays import write_npy, write_npz
from untrained.data.phantoms import birdcage_maps
from untrained.maths import fft2c, ifft2c
from untrained.physics.fbp import fbp
from untrained.physics.footprint import FanBeam, Geometry

BRAINS = {"t1": "brain_t1_8ch_230x180.npz", "mprage": "brain_mprage_4ch_256.npz"}
CROPS = {"0003": (40, 30), "0010": (100, 30), "0019": (30, 100)}
SIDE = 256


def make_mri(data: Path, out: Path) -> None:
    """Retrospective 4x (centre 8%) and 8x (4%) of the two brains, random columns, seed 0.

    And the inputs of aSeqDIP's Figure 1 for the 4x ones, near the truth and far from it.
    """
    for name, file in BRAINS.items():
        for factor, centre in ((4, 0.08), (8, 0.04)):
            _simulate(
                "mri",
                data / "mri_multicoil" / file,
                out / f"mri-{name}-{factor}x.npz",
                acceleration=factor,
                center_fraction=centre,
            )
        _make_near(out / f"mri-{name}-4x.npz", out / "near")


def _make_near(case: Path, out: Path) -> None:
    """The truth plus noise, and noise alone; standard deviations over the largest magnitude."""
    out.mkdir(exist_ok=True)
    truth = np.load(case, allow_pickle=False)["reference"]
    draw = np.random.default_rng(0).normal(size=(2, *truth.shape)) * np.abs(truth).max()
    for sigma in (0.05, 0.2, 0.8):
        noise = sigma * (draw[0] + 1j * draw[1])
        for start, image in (("truth", truth + noise), ("noise", noise)):
            write_npy(out / f"{case.stem}-{start}-{sigma}.npy", image.astype(np.complex64))


def make_ct(data: Path, out: Path) -> None:
    """30 and 60 of the measured views of the tooth (parallel) and the bell pepper (fan)."""
    for name, scan in {"tooth": _tooth(data), "pepper": _pepper(data)}.items():
        reference = _full_fbp(*scan)
        for views in (30, 60):
            write_npz(out / f"ct-{name}-{views}.npz", _thinned(*scan, reference, views))


def _full_fbp(sinogram: np.ndarray, angles: np.ndarray, geometry: Geometry) -> np.ndarray:
    """FBP of all measured views: the reference."""
    full = torch.from_numpy(np.ascontiguousarray(sinogram.T))[None, None]
    return fbp(full, geometry)[0, 0].numpy()


def _thinned(
    sinogram: np.ndarray, angles: np.ndarray, geometry: Geometry, reference: np.ndarray, views: int
) -> dict[str, np.ndarray]:
    """`views` of the measured views, evenly spread."""
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
    return scan


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
                _simulate(task, clean, out / f"{task}-{name}.npz", **given)


def make_faces(data: Path, out: Path) -> None:
    """The tasks of aSeqDIP's Table 4: sigma 25, 97 % missing, a quarter missing, non-linear blur.

    The blur is the built-in one: BKSE needs its authors' weights (`--bkse`).
    """
    out.mkdir(exist_ok=True)
    kernels = np.load(data / "blur_kernels" / "levin09.npz", allow_pickle=False)
    with tempfile.TemporaryDirectory() as folder:
        kernel = Path(folder) / "kernel.npy"
        write_npy(kernel, kernels["k0"].astype(np.float32))
        for face in sorted((data / "ffhq256").glob("*.png")):
            _simulate("denoise", face, out / f"denoise-{face.stem}.npz", sigma=25.0)
            _simulate("inpaint", face, out / f"random-{face.stem}.npz", missing=0.97)
            _simulate("inpaint", face, out / f"box-{face.stem}.npz", box=(128, 128))
            _simulate("nldeblur", face, out / f"nldeblur-{face.stem}.npz", kernel=kernel)


TRAINING_FACES = ("00000", "00001", "00002", "00013", "00016", "00018")
TEST_FACES = ("00003", "00004", "00005", "00006", "00007")
TRAINING_SLICES, TEST_SLICES = (0, 5, 10, 15, 20, 25), (3, 8, 13, 18, 28)
OTHER_PICTURES = tuple(f"classic_sets/set14/{n}.png" for n in ("flowers", "monarch", "pepper"))
TRAINING_KNEES, TEST_KNEES = (2, 5, 9, 11, 16, 18), (0, 7, 14)


def make_low_data(data: Path, out: Path, side: int) -> None:
    """What UGoDIT learns from and is tested on: faces x4 at sigma 12.75, brains at 4x.

    And the same faces after a non-linear blur (the built-in one). Faces are halved to `side`;
    brains are the central `side` squared of the k-space of complex images, with 8 simulated coils
    and noise of 0.5 % of the largest coil image. To test what the learned has never seen: other
    pictures; knees, which have no phase; and two brains as they were measured, the same part of
    their k-space.
    """
    for folder in ("faces", "brains", "pictures", "knees", "measured"):
        (out / folder).mkdir(exist_ok=True)
    _make_low_pictures(data, out, side)
    t2 = np.load(data / "mri_complex_images" / "siat_brain_t2_31x256.npz", allow_pickle=False)
    knee = np.load(data / "mri_magnitude" / "stanford_knee_rss_20x320x256.npz", allow_pickle=False)
    for folder, stored, training, test in (
        ("brains", t2, TRAINING_SLICES, TEST_SLICES),
        ("knees", knee, TRAINING_KNEES, TEST_KNEES),
    ):
        for n in training + test:
            kind = "train" if n in training else "test"
            image = _low_resolution(stored["images"][n].astype(np.complex64), side)
            _simulate_coils(image, out / folder / f"mri-{kind}-{n:02d}.npz", n)
    with tempfile.TemporaryDirectory() as folder:
        for name, file in BRAINS.items():
            full = np.load(data / "mri_multicoil" / file, allow_pickle=False)["kspace"]
            low = Path(folder) / f"{name}.npz"
            write_npz(low, {"kspace": _middle(_middle(full, 1, side), 2, side)})
            case = out / "measured" / f"mri-test-{name}.npz"
            _simulate("mri", low, case, acceleration=4, center_fraction=0.08)


def _make_low_pictures(data: Path, out: Path, side: int) -> None:
    """Faces, with the clean ones beside them, and other pictures."""
    names = {f"train-{n}": f"ffhq256/{n}.png" for n in TRAINING_FACES}
    names |= {f"test-{n}": f"ffhq256/{n}.png" for n in TEST_FACES}
    names |= {Path(n).stem: n for n in OTHER_PICTURES}
    kernels = np.load(data / "blur_kernels" / "levin09.npz", allow_pickle=False)
    for name, file in names.items():
        with Image.open(data / file) as picture:
            whole = picture.convert("RGB")
        square = min(whole.size)
        low = whole.crop((0, 0, square, square)).resize((side, side), Image.Resampling.BOX)
        face = file.startswith("ffhq")
        group = out / ("faces" if face else "pictures")
        if face:
            pixels = np.asarray(low, np.float32).transpose(2, 0, 1) / 255
            write_npy(group / f"clean-{name}.npy", np.ascontiguousarray(pixels))
        seed = int(file.split("/")[1][:-4]) if face else 0
        name = name if face else f"test-{name}"
        with tempfile.TemporaryDirectory() as folder:
            clean, kernel = Path(folder) / "clean.png", Path(folder) / "kernel.npy"
            low.save(clean)
            case = group / f"superres-{name}.npz"
            _simulate("superres", clean, case, factor=4, sigma=12.75, seed=seed)
            if face:
                write_npy(kernel, kernels["k0"].astype(np.float32))
                _simulate("nldeblur", clean, group / f"nldeblur-{name}.npz", kernel=kernel)


def _simulate_coils(image: np.ndarray, case: Path, seed: int) -> None:
    """4x with 8 simulated coils and noise."""
    kspace = fft2c(torch.from_numpy(birdcage_maps(8, image.shape) * image))
    noise = torch.randn(kspace.shape, dtype=kspace.dtype, generator=torch.manual_seed(seed))
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "clean.npz"
        write_npz(clean, {"kspace": (kspace + 0.005 * noise).numpy()})
        _simulate("mri", clean, case, acceleration=4, center_fraction=0.08, seed=seed)


def _low_resolution(image: np.ndarray, side: int) -> np.ndarray:
    """A complex image at fewer pixels, by the centre of its k-space; largest magnitude 1."""
    kspace = fft2c(torch.from_numpy(image)[None])[0].numpy()
    low = ifft2c(torch.from_numpy(_middle(_middle(kspace, 0, side), 1, side))[None])[0].numpy()
    scaled: np.ndarray = low / np.abs(low).max()
    return scaled


# small cases ----------------------------------------------------------------------------------


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
            with Image.open(data / name) as picture:
                whole = picture.convert("RGB")
            # The face and the stained tissue are sharp at half their size.
            small = whole.reduce(2) if name.startswith(("ffhq", "micro")) else whole
            pixels = np.asarray(small).transpose(2, 0, 1)
            pixels = _middle(_middle(pixels, 1, side), 2, side).transpose(1, 2, 0)
            Image.fromarray(np.ascontiguousarray(pixels)).save(clean)
            _simulate("denoise", clean, out / f"denoise-{clean.stem}.npz", sigma=25.0)
            _simulate("inpaint", clean, out / f"inpaint-{clean.stem}.npz", missing=0.5)


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
            _simulate("mri", file, case, acceleration=4, center_fraction=0.08)
            with np.load(case, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored}
            write_npz(case, _crop_readout(arrays, SMALL))


def make_onset(data: Path, out: Path) -> None:
    """Three images a task, with noise added: at this size the scans hardly have any.

    MRI: 5 % of the largest coil image in each of its pixels; CT: 5 % of the mean line integral.
    """
    make_small_photographs(data, out, ONSET, 3)
    with tempfile.TemporaryDirectory() as folder:
        for name, file in BRAINS.items():
            full = np.load(data / "mri_multicoil" / file, allow_pickle=False)["kspace"]
            _simulate_low(full, Path(folder) / f"{name}.npz", out / f"mri-{name}-4x.npz")
        _simulate_low(
            _synthetic(data)[f"t2-{SLICES[0]}"], Path(folder) / "t2.npz", out / "mri-t2-4x.npz"
        )
    scans = {"tooth": _tooth(data), "pepper": _pepper(data)}
    for name, scan in scans.items():
        case = _joined(_thinned(*scan, _full_fbp(*scan), 30), 2)
        level = NOISE * case["sinogram"].mean()
        noise = np.random.default_rng(0).normal(0, level, case["sinogram"].shape)
        noisy = {"sinogram": (case["sinogram"] + noise).astype(np.float32)}
        write_npz(out / f"ct-{name}-30.npz", case | noisy)
    _simulate_ct("brain", _phantoms(data, ONSET)["brain"], out, NOISE)


def _simulate_low(kspace: np.ndarray, clean: Path, out: Path) -> None:
    """4x of the central `ONSET` squared of k-space; the reference stays without added noise."""
    low = _middle(_middle(kspace, 1, ONSET), 2, ONSET)
    write_npz(clean, {"kspace": low})
    _simulate("mri", clean, out, acceleration=4, center_fraction=0.08)
    level = NOISE * float(ifft2c(torch.from_numpy(low)).abs().max())
    noise = torch.randn(low.shape, dtype=torch.complex64, generator=torch.manual_seed(1))
    with np.load(out, allow_pickle=False) as stored:
        case = {key: stored[key] for key in stored}
    case["kspace"] = case["kspace"] + level * noise.numpy() * case["mask"]
    write_npz(out, case)


def _synthetic(data: Path) -> dict[str, np.ndarray]:
    """Fully sampled k-space of complex images, with noise of 1 % of the largest value."""
    dwi = np.load(data / "mri_multicoil" / "brain_dwi_4ch_maps_256.npz", allow_pickle=False)
    coils = {"dwi": dwi["coil_sens"] * dwi["image"]}
    t2 = np.load(data / "mri_complex_images" / "siat_brain_t2_31x256.npz", allow_pickle=False)
    maps = birdcage_maps(8, (256, 256))
    coils |= {f"t2-{n}": maps * t2["images"][n] for n in SLICES}
    found = {}
    for name, images in coils.items():
        clean = fft2c(torch.from_numpy(images / np.abs(images).max()).to(torch.complex64))
        noise = torch.randn(clean.shape, dtype=clean.dtype, generator=torch.manual_seed(0))
        found[name] = (clean + 0.01 * noise).numpy()
    return found


def make_small_ct(data: Path, out: Path) -> None:
    """30 views of three measured slices, and of a brain, a knee and a cell, simulated."""
    scans = {"tooth": _tooth(data), "tooth-above": _tooth(data, 1), "pepper": _pepper(data)}
    for name, scan in scans.items():
        write_npz(out / f"ct-{name}-30.npz", _joined(_thinned(*scan, _full_fbp(*scan), 30), 2))
    for name, image in _phantoms(data, SMALL).items():
        _simulate_ct(name, image, out, 0.02)


def _simulate_ct(name: str, image: np.ndarray, out: Path, noise: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / f"{name}.png"
        Image.fromarray((255 * np.clip(image, 0, 1)).astype(np.uint8)).save(clean)
        _simulate("ct", clean, out / f"ct-{name}-30.npz", angles=30, noise=noise)


def _phantoms(data: Path, side: int) -> dict[str, np.ndarray]:
    """Pictures that stand in for a slice of attenuation, `side` squared, in [0, 1]."""
    t2 = np.load(data / "mri_complex_images" / "siat_brain_t2_31x256.npz", allow_pickle=False)
    knee = np.load(data / "mri_magnitude" / "stanford_knee_rss_20x320x256.npz", allow_pickle=False)
    with Image.open(data / "microscopy" / "cell.png") as picture:
        cell = np.asarray(picture.convert("L"), dtype=np.float64) / 255
    found = {}
    images = {"brain": np.abs(t2["images"][SLICES[0]]), "knee": knee["images"][0], "cell": cell}
    for name, image in images.items():
        halved = np.asarray(Image.fromarray(image.astype(np.float32)).reduce(2))
        found[name] = _middle(_middle(halved, 0, side), 1, side)
    return found


def _simulate(task: str, clean: Path, out: Path, **options: Any) -> None:
    simulate = TASKS[task].simulate
    assert simulate is not None
    simulate(clean, out, **options)


def _crop_readout(arrays: dict[str, np.ndarray], side: int) -> dict[str, np.ndarray]:
    """The fully sampled axis; the other cannot be cropped without the missing samples."""
    lines = np.fft.ifftshift(arrays["kspace"], axes=-2)
    lines = np.fft.fftshift(np.fft.ifft(lines, norm="ortho", axis=-2), axes=-2)
    lines = np.fft.ifftshift(_middle(lines, -2, side), axes=-2)
    kspace = np.fft.fftshift(np.fft.fft(lines, norm="ortho", axis=-2), axes=-2)
    reference = _middle(arrays["reference"], -2, side)
    return arrays | {"kspace": kspace.astype(np.complex64), "reference": reference}


def _joined(arrays: dict[str, np.ndarray], factor: int) -> dict[str, np.ndarray]:
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


def _middle(values: np.ndarray, axis: int, side: int) -> np.ndarray:
    first = max(0, (values.shape[axis] - side) // 2)
    return values.take(range(first, min(first + side, values.shape[axis])), axis=axis)


# measured scans -------------------------------------------------------------------------------


def _tooth(data: Path, row: int = 0) -> tuple[np.ndarray, np.ndarray, Geometry]:
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
    parser.add_argument("--small", action="store_true", help="the cases of the stopping study")
    parser.add_argument("--onset", action="store_true", help="those of the overfitting curves")
    parser.add_argument("--low-data", action="store_true", help="those of learned weights")
    parser.add_argument("--side", type=int, default=128, help="of --low-data")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.low_data:
        make_low_data(given.data, given.out, given.side)
    elif given.onset:
        make_onset(given.data, given.out)
    elif given.small:
        make_small_photographs(given.data, given.out)
        make_small_mri(given.data, given.out)
        make_small_ct(given.data, given.out)
    else:
        make_mri(given.data, given.out)
        make_ct(given.data, given.out)
        make_photographs(given.data, given.out)
        make_faces(given.data, given.out / "faces")
    print(f"{len(list(given.out.rglob('*.npz')))} cases in {given.out}")

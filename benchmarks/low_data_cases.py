"""Cases of the low-data methods; `python benchmarks/cases.py DATA OUT --low-data`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scans import (
    BRAINS,
    KNEES,
    T2,
    images,
    low_resolution,
    measured_kspace,
    picture,
    simulate,
    simulate_coils,
    simulate_low_mri,
    write_kernel,
)

from untrained.data.formats.npy import write_npy

TRAINING_FACES = ("00000", "00001", "00002", "00013", "00016", "00018")
MORE_FACES = ("00008", "00009", "00014", "00015")  # to learn from ten
TEST_FACES = ("00003", "00004", "00005", "00006", "00007")
TRAINING_SLICES, TEST_SLICES = (0, 5, 10, 15, 20, 25), (3, 8, 13, 18, 28)
OTHER_PICTURES = ("flowers", "monarch", "pepper")
TRAINING_KNEES, TEST_KNEES = (2, 5, 9, 11, 16, 18), (0, 7, 14)
NOISES = {"faces-noise-free": 0.0, "faces-sigma-6": 6.375}
"""Of the faces beside sigma 12.75, of 255. UGoDIT's sigma of 0.05 is 12.75 for images in [0, 1],
and 6.375 for images in [-1, 1], as of the paper that it follows; its code adds no noise."""
OTHERS_TO_LEARN_FROM = ("bridge", "coastguard", "zebra")
FACES_AMONG_THEM = TRAINING_FACES[:3]


def make_low_data(data: Path, out: Path, side: int) -> None:
    """What UGoDIT learns from and is tested on: faces x4 at sigma 12.75, brains at 4x and 8x.

    And the same faces with less noise and none (NOISES), and after a non-linear blur (the built-in
    one); and a mixed training set, half of it faces and half other pictures. Faces are halved to
    `side`; brains are the central `side` squared of the k-space of complex images, with 8 simulated
    coils and noise of 0.5 % of the largest coil image. To test what the learned has never seen:
    other pictures; knees, which have no phase; and two brains as they were measured, the same part
    of their k-space.
    """
    for name in ("faces", "brains", "pictures", "knees", "measured", "mixed", *NOISES):
        (out / name).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _make_faces(data, out / "faces", side, folder)
        for name, sigma in NOISES.items():
            _make_noisy_faces(data, out / name, side, folder, sigma)
        _make_mixed(data, out / "mixed", side, folder)
        for name in OTHER_PICTURES:
            square = _square(data / "classic_sets" / "set14" / f"{name}.png", side)
            _make_coarse(square, out / "pictures" / f"superres-test-{name}.npz", 0, folder)
        for name in BRAINS:
            case = out / "measured" / f"mri-test-{name}.npz"
            simulate_low_mri(measured_kspace(data, name), side, folder, case)
    for name, file, training, test in (
        ("brains", T2, TRAINING_SLICES, TEST_SLICES),
        ("knees", KNEES, TRAINING_KNEES, TEST_KNEES),
    ):
        slices = images(data, file)
        for n in training + test:
            kind = "train" if n in training else "test"
            image = low_resolution(slices[n].astype(np.complex64), side)
            write_npy(out / name / f"clean-{kind}-{n:02d}.npy", image)
            simulate_coils(image, out / name / f"mri-{kind}-{n:02d}.npz", n)
            if name == "brains":
                fast = out / name / f"mri8x-{kind}-{n:02d}.npz"
                simulate_coils(image, fast, n, acceleration=8, centre=0.04)


def _make_faces(data: Path, out: Path, side: int, folder: Path) -> None:
    """Coarse ones and blurred ones, with the clean ones beside them."""
    kernel = write_kernel(data, folder)
    more = {f"train2-{n}": n for n in MORE_FACES}
    for name, number in {**_faces(), **more}.items():
        face = _square(data / "ffhq256" / f"{number}.png", side)
        pixels = np.asarray(face, np.float32).transpose(2, 0, 1) / 255
        write_npy(out / f"clean-{name}.npy", np.ascontiguousarray(pixels))
        clean = _make_coarse(face, out / f"superres-{name}.npz", int(number), folder)
        simulate("nldeblur", clean, out / f"nldeblur-{name}.npz", kernel=kernel)


def _faces() -> dict[str, str]:
    """The part of a case's name -> the number of the face."""
    return {f"train-{n}": n for n in TRAINING_FACES} | {f"test-{n}": n for n in TEST_FACES}


def _make_noisy_faces(data: Path, out: Path, side: int, folder: Path, sigma: float) -> None:
    """Coarse faces alone, with noise of that level."""
    for name, number in _faces().items():
        face = _square(data / "ffhq256" / f"{number}.png", side)
        _make_coarse(face, out / f"superres-{name}.npz", int(number), folder, sigma)


def _make_mixed(data: Path, out: Path, side: int, folder: Path) -> None:
    """Three faces and three pictures of other things, sigma 12.75, to learn one encoder from."""
    files = [data / "ffhq256" / f"{number}.png" for number in FACES_AMONG_THEM]
    files += [data / "classic_sets" / "set14" / f"{name}.png" for name in OTHERS_TO_LEARN_FROM]
    for seed, file in enumerate(files):
        case = out / f"superres-train-{file.stem}.npz"
        _make_coarse(_square(file, side), case, seed, folder)


def _make_coarse(
    image: Image.Image, case: Path, seed: int, folder: Path, sigma: float = 12.75
) -> Path:
    """x4 with noise; gives the clean one's file."""
    clean = folder / "clean.png"
    image.save(clean)
    simulate("superres", clean, case, factor=4, sigma=sigma, seed=seed)
    return clean


def _square(file: Path, side: int) -> Image.Image:
    """A picture's largest square from the upper left, at `side` squared."""
    whole = picture(file)
    square = min(whole.size)
    return whole.crop((0, 0, square, square)).resize((side, side), Image.Resampling.BOX)

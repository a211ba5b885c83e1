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

from untrained.data.arrays import write_npy

TRAINING_FACES = ("00000", "00001", "00002", "00013", "00016", "00018")
MORE_FACES = ("00008", "00009", "00014", "00015")  # to learn from ten
TEST_FACES = ("00003", "00004", "00005", "00006", "00007")
TRAINING_SLICES, TEST_SLICES = (0, 5, 10, 15, 20, 25), (3, 8, 13, 18, 28)
OTHER_PICTURES = ("flowers", "monarch", "pepper")
TRAINING_KNEES, TEST_KNEES = (2, 5, 9, 11, 16, 18), (0, 7, 14)


def make_low_data(data: Path, out: Path, side: int) -> None:
    """What UGoDIT learns from and is tested on: faces x4 at sigma 12.75, brains at 4x and 8x.

    And the same faces after a non-linear blur (the built-in one). Faces are halved to `side`;
    brains are the central `side` squared of the k-space of complex images, with 8 simulated coils
    and noise of 0.5 % of the largest coil image. To test what the learned has never seen: other
    pictures; knees, which have no phase; and two brains as they were measured, the same part of
    their k-space.
    """
    for name in ("faces", "brains", "pictures", "knees", "measured"):
        (out / name).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _make_faces(data, out / "faces", side, folder)
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
    names = {f"train-{n}": n for n in TRAINING_FACES} | {f"train2-{n}": n for n in MORE_FACES}
    names |= {f"test-{n}": n for n in TEST_FACES}
    for name, number in names.items():
        face = _square(data / "ffhq256" / f"{number}.png", side)
        pixels = np.asarray(face, np.float32).transpose(2, 0, 1) / 255
        write_npy(out / f"clean-{name}.npy", np.ascontiguousarray(pixels))
        clean = _make_coarse(face, out / f"superres-{name}.npz", int(number), folder)
        simulate("nldeblur", clean, out / f"nldeblur-{name}.npz", kernel=kernel)


def _make_coarse(image: Image.Image, case: Path, seed: int, folder: Path) -> Path:
    """x4 with noise; gives the clean one's file."""
    clean = folder / "clean.png"
    image.save(clean)
    simulate("superres", clean, case, factor=4, sigma=12.75, seed=seed)
    return clean


def _square(file: Path, side: int) -> Image.Image:
    """A picture's largest square from the upper left, at `side` squared."""
    whole = picture(file)
    square = min(whole.size)
    return whole.crop((0, 0, square, square)).resize((side, side), Image.Resampling.BOX)

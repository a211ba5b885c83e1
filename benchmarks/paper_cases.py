"""Cases of aSeqDIP's Table 2 and figures; `python benchmarks/cases.py DATA OUT --aseqdip`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scans import (
    KNEES,
    full_fbp,
    images,
    joined,
    low_resolution,
    pepper,
    picture,
    simulate,
    simulate_coils,
    thinned,
    tooth,
    write_kernel,
)

from untrained.data.formats.npy import write_npy
from untrained.data.formats.npz import write_npz

PICTURES = 20
TEST_KNEES, OTHER_KNEES = range(10), range(10, 20)
COILS = 15
VIEWS = (18, 30)
SIGMAS = (15.0, 30.0)
HOLES = (0.1, 0.25)
SIDE = 512  # of photographs, App. C.6


def make_aseqdip(data: Path, out: Path, side: int) -> None:
    """Write what Table 1 of aSeqDIP lists, as far as public data goes, and reference images.

    With a side, everything is small: photographs and knees of `side` squared, and detectors and
    pixels of CT joined in pairs, below 80 points in fours. Without (0) photographs have 512x512
    points as in App. C.6, knees 320x256, tooth and pepper what their detectors have. The references
    of reference-guided DIP are knees of other people; for CT the next row of the tooth, and the
    pepper in its second scan.
    """
    for folder in (out, out / "guides"):
        folder.mkdir(exist_ok=True)
    _make_knees(data, out, side)
    _make_ct(data, out, 1 if not side else 2 if side >= 80 else 4)
    _make_photographs(data, out, side or SIDE)


def _make_knees(data: Path, out: Path, side: int) -> None:
    """4x and 8x of knees seen by 15 simulated coils, with noise of 0.5 % of the largest value."""
    knees = images(data, KNEES)
    for n in (*TEST_KNEES, *OTHER_KNEES):
        image = low_resolution(knees[n].astype(np.complex64), side)
        if n in OTHER_KNEES:
            write_npy(out / "guides" / f"knee-{n:02d}.npy", image)
            continue
        for factor, centre in ((4, 0.08), (8, 0.04)):
            case = out / f"mri-knee-{n:02d}-{factor}x.npz"
            simulate_coils(image, case, n, coils=COILS, acceleration=factor, centre=centre)


def _make_ct(data: Path, out: Path, factor: int) -> None:
    """18 and 30 measured views, and the FBP of all views of another scan of the same kind."""
    scans = {
        "tooth": (tooth(data), tooth(data, 1)),
        "pepper": (pepper(data), pepper(data, "low_dose")),
    }
    for name, (scan, other) in scans.items():
        reference, guide = full_fbp(*scan), full_fbp(*other)
        for views in VIEWS:
            case, beside = (
                joined(one, factor)
                for one in (thinned(*scan, reference, views), thinned(*other, guide, views))
            )
            write_npz(out / f"ct-{name}-{views}.npz", case)
            similar = beside["reference"].astype(np.float32)
            write_npy(out / "guides" / f"ct-{name}-{views}.npy", similar)


def _make_photographs(data: Path, out: Path, side: int) -> None:
    """Noise of 15 and 30, central boxes of 0.1 and 0.25 of the picture, a non-linear blur.

    Pictures are made square as in the released code, by bicubic interpolation of both axes.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kernel = write_kernel(data, folder)
        for n in range(PICTURES):
            name = f"{n:04d}"
            clean = folder / f"{name}.png"
            whole = picture(data / "cbsd68" / clean.name)
            whole.resize((side, side), Image.Resampling.BICUBIC).save(clean)
            for sigma in SIGMAS:
                simulate("denoise", clean, out / f"denoise-{name}-{sigma:g}.npz", sigma=sigma)
            for hole in HOLES:
                box = (round(side * hole**0.5),) * 2
                case = out / f"inpaint-{name}-{hole:g}.npz"
                simulate("inpaint", clean, case, box=box, center=True)
            simulate("nldeblur", clean, out / f"nldeblur-{name}.npz", kernel=kernel)

"""The measured cases of the evidence: real MRI and CT scans, and photographs.

    python benchmarks/cases.py DATA OUT [--small | --onset | --low-data | --aseqdip]

writes one measurement file per case into OUT, made from the public data sets in DATA as a user
would make them (`untrained simulate`, or binned and thinned-out measured views). The files are
not part of the project: most of the data may not be passed on.

`--small` writes the cases of the stopping study instead: six images each of denoising, inpainting,
MRI and CT, 96 to 160 points wide. Photographs and the readout of MRI are cropped in the middle,
which changes no measurement that is kept; detectors and pixels of CT are joined.

`--low-data` writes what the low-data methods learn from and are tested on, 128 points wide (or
`--side`): faces and brains of grids/ugodit-*.toml.

`--aseqdip` writes OUT/aseqdip for grids/aseqdip-table2.toml and others, in the sizes of the paper;
with `--side 64` in small, for their small versions.

`--onset` writes three images each of denoising, MRI and CT, 128 to 160 points wide, for the small
version of grids/aseqdip-fig4.toml: there the brains are the central 128x128 of k-space.

`--coverage` writes OUT/coverage for grids/coverage.toml, six images a task, 128 points wide;
`--compressed` OUT/compressed for grids/compressed-sensing.toml, six pictures, 64 points wide.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from coverage_cases import make_compressed, make_coverage
from low_data_cases import make_low_data
from paper_cases import make_aseqdip
from PIL import Image
from scans import BRAINS, full_fbp, pepper, picture, simulate, thinned, tooth, write_kernel
from small_cases import make_onset, make_small_ct, make_small_mri, make_small_photographs

from untrained.data.formats.npy import write_npy
from untrained.data.formats.npz import write_npz

CROPS = {"0003": (40, 30), "0010": (100, 30), "0019": (30, 100)}
SIDE = 256


def make_mri(data: Path, out: Path) -> None:
    """Retrospective 4x (centre 8%) and 8x (4%) of the two brains, random columns, seed 0.

    And the inputs of aSeqDIP's Figure 1 for the 4x ones, near the truth and far from it.
    """
    for name, file in BRAINS.items():
        for factor, centre in ((4, 0.08), (8, 0.04)):
            simulate(
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
    """18, 30 and 60 of the measured views of the tooth (parallel) and the bell pepper (fan).

    All the other views are put into OUT/unseen, for a score that needs no reference.
    """
    (out / "unseen").mkdir(exist_ok=True)
    for name, scan in {"tooth": tooth(data), "pepper": pepper(data)}.items():
        reference = full_fbp(*scan)
        for views in (18, 30, 60):
            case = f"ct-{name}-{views}.npz"
            write_npz(out / case, thinned(*scan, reference, views))
            write_npz(out / "unseen" / case, thinned(*scan, reference, views, others=True))


def make_photographs(data: Path, out: Path) -> None:
    """Three 256x256 crops: sigma 25; half the pixels missing; x4, sigma 12.75; a Levin kernel."""
    with tempfile.TemporaryDirectory() as folder:
        kernel = write_kernel(data, Path(folder))
        options: dict[str, dict] = {
            "denoise": {"sigma": 25.0},
            "inpaint": {"missing": 0.5},
            "superres": {"factor": 4, "sigma": 12.75},
            "deblur": {"kernel": kernel, "sigma": 2.55},
        }
        for name, (top, left) in CROPS.items():
            whole = np.asarray(picture(data / "cbsd68" / f"{name}.png"))
            pixels = whole[top : top + SIDE, left : left + SIDE]
            clean = Path(folder) / f"{name}.png"
            Image.fromarray(pixels).save(clean)
            for task, given in options.items():
                simulate(task, clean, out / f"{task}-{name}.npz", **given)


def make_faces(data: Path, out: Path) -> None:
    """The tasks of aSeqDIP's Table 4: sigma 25, 97 % missing, the middle missing, blur.

    The blur is the built-in one: BKSE needs its authors' weights (`--bkse`).
    """
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        kernel = write_kernel(data, Path(folder))
        for face in sorted((data / "ffhq256").glob("*.png")):
            simulate("denoise", face, out / f"denoise-{face.stem}.npz", sigma=25.0)
            simulate("inpaint", face, out / f"random-{face.stem}.npz", missing=0.97)
            simulate("inpaint", face, out / f"box-{face.stem}.npz", box=(128, 128), center=True)
            simulate("nldeblur", face, out / f"nldeblur-{face.stem}.npz", kernel=kernel)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--small", action="store_true", help="the cases of the stopping study")
    parser.add_argument("--onset", action="store_true", help="those of the overfitting curves")
    parser.add_argument("--low-data", action="store_true", help="those of learned weights")
    parser.add_argument("--aseqdip", action="store_true", help="those of aSeqDIP's Table 2")
    parser.add_argument("--coverage", action="store_true", help="those of error bars")
    parser.add_argument("--compressed", action="store_true", help="those of compressed sensing")
    parser.add_argument("--side", type=int, help="of --low-data (default 128) and of --aseqdip")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.low_data:
        make_low_data(given.data, given.out, given.side or 128)
    elif given.aseqdip:
        make_aseqdip(given.data, given.out / "aseqdip", given.side or 0)
    elif given.coverage:
        make_coverage(given.data, given.out / "coverage")
    elif given.compressed:
        make_compressed(given.data, given.out / "compressed")
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
    found = list(given.out.rglob("*.np[yz]"))
    print(f"{len(found)} files in {given.out}")

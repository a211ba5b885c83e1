"""Readers of simulated measurements of every task, and of the tank of impedance tomography."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import scipy.io
import tifffile

from fuzzing.mutate import Arrays
from fuzzing.mutators import as_h5, as_mat, as_npy, as_npz, as_text, as_tiff
from fuzzing.subjects import SIDE, Subject, read, read_with
from fuzzing.valid_files import beside, kspace, picture, simulated
from untrained.data.formats.npz import write_npz

ONE_STEP = ("--method", "linearised", "--no-compare")
"""A classical answer to eit, which takes a second."""


def _kspace_alone(path: Path) -> None:
    kspace(path.with_suffix(".npz"))
    with np.load(path.with_suffix(".npz")) as stored:
        np.save(path, stored["kspace"])


def _sinogram_alone(path: Path) -> None:
    simulated("ct", angles=10)(path.with_suffix(".npz"))
    with np.load(path.with_suffix(".npz")) as stored:
        tifffile.imwrite(path, stored["sinogram"])


def _geometry(path: Path) -> None:
    scan = {
        "geometry": "fan", "source_origin": 60.0, "source_detector": 110.0, "detector_pitch": 2.5,
        "detector_offset": 0.25, "pixel_size": 1.1, "image_shape": [SIDE, SIDE],
    }  # fmt: skip
    path.write_text(json.dumps(scan, indent=1))


def _angles(path: Path) -> None:
    path.write_text(" ".join(f"{a:.2f}" for a in np.arange(10) * 18))


def _tank() -> Arrays:
    """A simulated tank of 8 electrodes."""
    from untrained.data.simulate.eit import Tank, simulate_eit

    with tempfile.TemporaryDirectory() as folder:
        clean, made = Path(folder) / "clean.npy", Path(folder) / "tank.npz"
        np.save(clean, 0.5 + picture())
        simulate_eit(clean, made, tank=Tank(electrodes=8))
        with np.load(made) as stored:
            return dict(stored)


def _tank_npz(path: Path) -> None:
    write_npz(path, _tank())


def _tank_mat(path: Path) -> None:
    """The challenge's names, the mesh in the same file."""
    tank = _tank()
    edges = np.empty((1, 8), object)
    for number, own in enumerate(tank["electrodes"]):
        edges[0, number] = own + 1
    scan = {"Uel": tank["voltages"].T.reshape(-1, 1), "Inj": tank["injections"]}
    scan |= {"Mpat": tank["patterns"], "Uelref": tank["reference_voltages"].T.reshape(-1, 1)}
    mesh = {"g": tank["nodes"], "H": (tank["elements"] + 1).astype(np.uint16), "elfaces": edges}
    scipy.io.savemat(path, {**scan, **mesh}, do_compression=True)


def _classes(path: Path) -> None:
    """True classes beside an image of them."""
    y, x = np.mgrid[0:256, 0:256]
    truth = ((x - 90) ** 2 + (y - 80) ** 2 < 900) + 2 * ((x - 170) ** 2 + (y - 150) ** 2 < 900)
    np.save(path.with_name("image.npy"), np.array([0.8, 0.1, 2.0])[truth])
    scipy.io.savemat(path, {"truth": truth.astype(np.uint8)}, do_compression=True)


MEASUREMENTS: tuple[Subject, ...] = (
    Subject("denoise npz", "in.npz", read("denoise"), simulated("denoise"), as_npz),
    Subject("inpaint npz", "in.npz", read("inpaint"), simulated("inpaint", missing=0.4), as_npz),
    Subject("superres npz", "in.npz", read("superres"), simulated("superres", factor=2), as_npz),
    Subject("deblur npz", "in.npz", read("deblur"), simulated("deblur"), as_npz),
    Subject("deblur h5", "in.h5", read("deblur"), simulated("deblur"), as_h5),
    Subject("nldeblur npz", "in.npz", read("nldeblur"), simulated("nldeblur"), as_npz),
    Subject("cs npz", "in.npz", read("cs"), simulated("cs"), as_npz),
    Subject("phase npz", "in.npz", read("phase"), simulated("phase"), as_npz),
    Subject("mri npz", "in.npz", read("mri"), kspace, as_npz),
    Subject("mri h5", "in.h5", read("mri"), kspace, as_h5),
    Subject("mri npy", "in.npy", read("mri"), _kspace_alone, as_npy),
    Subject("ct tiff", "in.tif", read("ct", "--angles", "10"), _sinogram_alone, as_tiff),
    Subject("ct npz", "in.npz", read("ct"), simulated("ct", angles=10), as_npz),
    Subject("ct h5", "in.h5", read("ct"), simulated("ct", angles=10), as_h5),
    Subject(
        "ct geometry", "geometry.json", read_with("ct", "scan.npz", "--geometry"),
        beside(simulated("ct", angles=10), "scan.npz", _geometry), as_text,
    ),
    Subject(
        "ct angles", "angles.txt", read_with("ct", "scan.npz", "--angles"),
        beside(simulated("ct", angles=10), "scan.npz", _angles), as_text,
    ),
    Subject("eit npz", "in.npz", read("eit", *ONE_STEP), _tank_npz, as_npz, engine=False),
    Subject("eit mat", "in.mat", read("eit", *ONE_STEP), _tank_mat, as_mat, engine=False),
    Subject(
        "eit mesh", "mesh.npz", (*read_with("eit", "in.npz", "--mesh"), *ONE_STEP),
        beside(_tank_npz, "in.npz", _tank_npz), as_npz, engine=False,
    ),
    Subject(
        "eit classes", "truth.mat",
        ("evaluate", "{dir}/image.npy", "{file}", "--score", "ktc"),
        _classes, as_mat, engine=False,
    ),
)  # fmt: skip

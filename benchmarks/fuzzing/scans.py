"""Readers of raw scans, counts, cone beams, trajectories and series."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fuzzing.mutate import ODD_INTEGERS, mutate_bytes, mutate_text
from fuzzing.mutators import as_bytes, as_npy, as_npz, as_text
from fuzzing.subjects import SIDE, Subject, read, read_with
from fuzzing.valid_files import picture

COILS = 3
ALONE = "--no-compare"
"""The classical answers of volumes and series take seconds."""
ROWS = [row for row in range(SIDE) if row % 2 == 0 or 7 <= row < 17]
HEADER = f"""<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{2 * SIDE}</x><y>{SIDE}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>400</x><y>200</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{SIDE}</x><y>{SIDE}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>200</x><y>200</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{SIDE - 1}</maximum>
<center>{SIDE // 2}</center></kspace_encoding_step_1></encodingLimits>
<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""


def _coil_images() -> np.ndarray:
    from untrained.data.phantoms import birdcage_maps

    images: np.ndarray = birdcage_maps(COILS, (SIDE, SIDE)) * picture()
    return images


def _raw(path: Path) -> None:
    """A noise scan and undersampled lines, their readout twice oversampled."""
    from ismrmrd.hdf5 import acquisition_dtype

    wide = np.zeros((COILS, SIDE, 2 * SIDE), complex)
    wide[..., SIDE // 2 : SIDE // 2 + SIDE] = _coil_images()
    axes = (-2, -1)
    plain = np.fft.fft2(np.fft.ifftshift(wide, axes=axes), norm="ortho")
    full = np.fft.fftshift(plain, axes=axes)
    noise = np.random.default_rng(3).standard_normal((COILS, 2 * SIDE, 2)) @ [1, 1j]
    rows = np.zeros(1 + len(ROWS), acquisition_dtype)
    for place, samples in enumerate([noise, *(full[:, row] for row in ROWS)]):
        head = rows[place]["head"]
        head["number_of_samples"], head["center_sample"] = 2 * SIDE, SIDE
        head["active_channels"] = head["available_channels"] = COILS
        head["flags"] = 0 if place else 2**18
        head["idx"]["kspace_encode_step_1"] = ROWS[place - 1] if place else 0
        rows[place]["data"] = np.ascontiguousarray(samples, np.complex64).view(np.float32).ravel()
        rows[place]["traj"] = np.zeros(0, np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset/data", data=rows, maxshape=(None,), chunks=(8,))
        file["dataset/xml"] = HEADER


def as_raw(file: Path, draw: random.Random) -> bytes:
    """Half damaged bytes; else another header, or odd numbers in the headers of readouts."""
    kind = draw.random()
    if kind < 0.5:
        return as_bytes(file, draw)
    copy = file.with_name(f"copy-{draw.randrange(2**40)}.h5")
    copy.write_bytes(file.read_bytes())
    with h5py.File(copy, "a") as stored:
        if kind < 0.75:
            del stored["dataset/xml"]
            text = mutate_text(HEADER, draw).decode("utf-8", "replace").replace("\0", "")
            stored["dataset/xml"] = text
        else:
            rows = stored["dataset/data"][()]
            _odd_heads(rows["head"], draw)
            stored["dataset/data"][...] = rows
    data = copy.read_bytes()
    copy.unlink()
    return data


def _odd_heads(heads: np.ndarray, draw: random.Random) -> None:
    """Change one number of the headers of one readout, or of all."""
    names = ["flags", "number_of_samples", "active_channels", "center_sample", "discard_pre",
             "encoding_space_ref", "trajectory_dimensions", "idx"]  # fmt: skip
    name = draw.choice(names)
    values = heads[name]
    if name == "idx":
        values = values[draw.choice([n for n in values.dtype.names or () if n != "user"])]
    most = int(np.iinfo(values.dtype).max)
    where: Any = draw.choice([draw.randrange(len(heads)), slice(None)])
    values[where] = draw.choice([odd for odd in ODD_INTEGERS if odd <= most])


def _zarr(path: Path) -> None:
    """K-space in chunks of a coil, compressed."""
    import zarr

    scan = path.with_name("scan.npz")
    _simulated("mri", picture, acceleration=2.0, coils=COILS, center_fraction=0.3)(scan)
    store = zarr.storage.ZipStore(str(path), mode="w")
    root = zarr.open_group(store, mode="w")
    with np.load(scan) as stored:
        for name in ("kspace", "mask"):
            values = stored[name]
            made = root.create_array(
                name, shape=values.shape, chunks=(1, *values.shape[1:]), dtype=values.dtype
            )
            made[...] = values
    store.close()


def as_zarr(file: Path, draw: random.Random) -> bytes:
    """Damaged archives; whole ones with another text of metadata, or with damaged chunks."""
    kind = draw.random()
    if kind < 0.3:
        return as_bytes(file, draw)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    described = [name for name in parts if name.endswith("zarr.json")]
    chunks = [name for name in parts if name not in described]
    if kind < 0.7:
        name = draw.choice(described)
        parts[name] = mutate_text(parts[name].decode(), draw)
    else:
        name = draw.choice(chunks)
        parts[name] = mutate_bytes(parts[name], draw)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _simulated(task: str, clean: Callable[[], np.ndarray], **options: Any) -> Callable[..., None]:
    def make(path: Path) -> None:
        from untrained.data import TASKS

        np.save(path.with_name("clean.npy"), clean())
        simulate = TASKS[task].simulate
        assert simulate is not None
        simulate(path.with_name("clean.npy"), path.with_suffix(".npz"), **options)

    return make


def _volume() -> np.ndarray:
    return np.stack([picture(8)] * 8)


def _cone(path: Path) -> None:
    """The geometry of a cone beam, and the scan beside it."""
    scan = path.with_name("scan.npz")
    _simulated("ct", _volume, angles=6, volume=True)(scan)
    with np.load(scan) as stored:
        keys = ("source_origin", "source_detector", "detector_pitch", "pixel_size")
        found = {key: float(stored[key]) for key in keys if key in stored}
        shape = stored["volume_shape"].tolist()
    path.write_text(json.dumps({"geometry": "cone", "volume_shape": shape, **found}, indent=1))


def _spokes(path: Path) -> None:
    angles, radius = np.deg2rad(111.246) * np.arange(20), (np.arange(SIDE) - SIDE // 2) / SIDE
    spokes = np.stack([np.cos(angles)[:, None] * radius, np.sin(angles)[:, None] * radius], -1)
    np.save(path, spokes)


def _radial(path: Path) -> None:
    """Spokes in a file of their own, and a scan that holds its trajectory."""
    _spokes(path.with_name("spokes.npy"))
    make = _simulated("mri", picture, coils=COILS, trajectory=path.with_name("spokes.npy"))
    make(path)


def _spokes_beside(path: Path) -> None:
    _radial(path.with_name("scan.npz"))


def _frames(path: Path) -> None:
    frames = np.stack([picture(16)] * 3)
    mask = np.random.default_rng(5).random(frames.shape) > 0.4
    np.savez(path, measurement=frames * mask, mask=mask)


def _dynamic(path: Path) -> None:
    scan = path.with_name("frame.npz")
    _simulated("mri", picture, acceleration=2.0, coils=COILS, center_fraction=0.3)(scan)
    with np.load(scan) as stored:
        np.savez(path, kspace=np.stack([stored["kspace"]] * 2), mask=stored["mask"])


SCANS: tuple[Subject, ...] = (
    Subject("ismrmrd", "in.h5", read("mri", ALONE), _raw, as_raw),
    Subject("zarr", "in.zarr.zip", read("mri", ALONE), _zarr, as_zarr),
    Subject("ct counts", "in.npz", read("ct", ALONE),
            _simulated("ct", picture, angles=10, photons=500.0), as_npz),
    Subject("ct cone", "in.npz", read("ct", ALONE),
            _simulated("ct", _volume, angles=6, volume=True), as_npz),
    Subject("ct cone geometry", "geometry.json",
            (*read_with("ct", "scan.npz", "--geometry"), ALONE), _cone, as_text),
    Subject("mri trajectory", "in.npz", read("mri", ALONE), _radial, as_npz),
    Subject("trajectory", "spokes.npy",
            (*read_with("mri", "scan.npz", "--trajectory"), ALONE), _spokes_beside, as_npy),
    Subject("inpaint series", "in.npz", read("inpaint", "--series", ALONE), _frames, as_npz),
    Subject("mri series", "in.npz", read("mri", "--series", ALONE), _dynamic, as_npz),
)  # fmt: skip

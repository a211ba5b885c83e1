"""Raw scans written by the ismrmrd package, as its converters write those of scanners."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from untrained.data.phantoms import birdcage_maps, brain
from untrained.maths import fft2c

SIDE, COILS = 32, 4
WIDE = 2 * SIDE  # samples of a readout, twice oversampled
HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz></experimentalConditions>
 <encoding>
  <encodedSpace><matrixSize><x>{x}</x><y>{y}</y><z>{z}</z></matrixSize>
   <fieldOfView_mm><x>{fx}</x><y>200</y><z>5</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>{side}</x><y>{y}</y><z>{z}</z></matrixSize>
   <fieldOfView_mm><x>200</x><y>200</y><z>5</z></fieldOfView_mm></reconSpace>
  <encodingLimits>
   <kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center></kspace_encoding_step_1>
  </encodingLimits>
  <trajectory>{trajectory}</trajectory>
  <parallelImaging><accelerationFactor><kspace_encoding_step_1>2</kspace_encoding_step_1>
   <kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>
   <calibrationMode>{mode}</calibrationMode></parallelImaging>
 </encoding>
</ismrmrdHeader>"""
"""By the schema of ISMRMRD."""


@dataclass
class Line:
    """Hold one readout: samples (coils, n), counters, flags counted from 1, centre sample."""

    samples: np.ndarray
    counters: dict[str, int]
    flags: tuple[int, ...] = ()
    centre: int | None = None
    places: np.ndarray | None = None


def header(**changes: object) -> str:
    values: dict[str, object] = {
        "x": WIDE,
        "y": SIDE,
        "z": 1,
        "fx": 400,
        "side": SIDE,
        "last": SIDE - 1,
        "centre": SIDE // 2,
        "trajectory": "cartesian",
        "mode": "embedded",
    }
    return HEADER.format(**(values | changes))


def write(path: Path, xml: str, lines: Iterable[Line], one_by_one: bool = False) -> Path:
    """Write readouts, all at once or (slowly) as the package does."""
    import ismrmrd
    from ismrmrd.hdf5 import acquisition_dtype, acquisition_header_dtype

    made = [_acquisition(line, number) for number, line in enumerate(lines)]
    with ismrmrd.Dataset(str(path), "dataset", True) as file:
        file.write_xml_header(xml)
        if one_by_one:
            for one in made:
                file.append_acquisition(one)
            return path
    rows = np.empty(len(made), acquisition_dtype)
    for row, one in zip(rows, made, strict=True):
        row["head"] = np.frombuffer(one.getHead(), acquisition_header_dtype)[0]
        row["data"] = one.data.view(np.float32).ravel()
        row["traj"] = one.traj.view(np.float32).ravel()
    with h5py.File(path, "a") as file:
        file.create_dataset("dataset/data", data=rows, maxshape=(None,), chunks=(64,))
    return path


def _acquisition(line: Line, number: int) -> Any:
    import ismrmrd

    places = None if line.places is None else line.places.astype(np.float32)
    made = ismrmrd.Acquisition.from_array(line.samples.astype(np.complex64), places)
    made.scan_counter = number
    made.center_sample = line.samples.shape[1] // 2 if line.centre is None else line.centre
    for name, value in line.counters.items():
        setattr(made.idx, name, value)
    for flag in line.flags:
        made.setFlag(flag)
    return made


def coil_images(scale: float = 1.0) -> np.ndarray:
    """Return complex images (coils, SIDE, SIDE)."""
    maps = birdcage_maps(COILS, (SIDE, SIDE))
    images: np.ndarray = (scale * maps * brain(SIDE)).astype(np.complex64)
    return images


def kspace(scale: float = 1.0) -> np.ndarray:
    """Return k-space on the grid that is meant, (coils, SIDE, SIDE)."""
    found: np.ndarray = fft2c(torch.from_numpy(coil_images(scale))).numpy()
    return found


def oversampled(scale: float = 1.0) -> np.ndarray:
    """Return what is measured: (coils, SIDE, WIDE), the object in the middle of the field."""
    wide = np.zeros((COILS, SIDE, WIDE), np.complex64)
    wide[:, :, SIDE // 2 : SIDE // 2 + SIDE] = coil_images(scale)
    found: np.ndarray = fft2c(torch.from_numpy(wide)).numpy()
    return found


def lines_of(measured: np.ndarray, rows: Iterable[int], **counters: int) -> list[Line]:
    return [Line(measured[:, row], {"kspace_encode_step_1": row, **counters}) for row in rows]


def noise(count: int = 200, seed: int = 3) -> np.ndarray:
    draw = np.random.default_rng(seed)
    white: np.ndarray = draw.standard_normal((2, COILS, count)).astype(np.float32)
    return white[0] + 1j * white[1]

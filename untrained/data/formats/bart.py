"""BART: a complex array in two files, NAME.hdr (its sizes, as text) and NAME.cfl (its values)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from untrained.data.formats.base import ArrayFormat, Companion, reporting_damage
from untrained.errors import UserError
from untrained.files import existing_file, read_text_file
from untrained.machine import check_size

AXES = 16
MOST_HEADER = 2**20
BYTES = 8  # of a complex number of single precision


def read_bart(file: Path, what: str) -> np.ndarray:
    """Read the array of a .cfl or .hdr file, complex64, without axes of one entry.

    BART's first axis is the one that changes fastest: its (readout, phase, slice, coils, ...)
    become (..., coils, slice, phase, readout), so that k-space of one slice is (coils, H, W).

    Raises:
        UserError: one of the two files is missing or damaged, or they contradict each other.
    """
    header = existing_file(file.with_suffix(".hdr"), what)
    values = existing_file(file.with_suffix(".cfl"), what)
    sizes = _sizes(read_text_file(header, what, MOST_HEADER), header)
    promised, found = BYTES * math.prod(sizes), values.stat().st_size
    if promised != found:
        raise UserError(
            f"{what}: {header.name} says {' x '.join(map(str, sizes))}, {promised} bytes, and "
            f"{values} has {found}: one of the two is damaged, or belongs to another array"
        )
    check_size(promised, found, str(values))
    with reporting_damage(values, None):
        array = np.fromfile(values, dtype="<c8").reshape(sizes[::-1])
    shape = tuple(size for size in array.shape if size != 1)
    return array.reshape(shape or (1,)).astype(np.complex64, copy=False)


def _sizes(text: str, header: Path) -> tuple[int, ...]:
    """Read the sizes of the axes, below the line `# Dimensions`."""
    lines = [line.strip() for line in text.splitlines()]
    try:
        place = next(i for i, line in enumerate(lines) if line.lower() == "# dimensions")
        sizes = tuple(int(word) for word in lines[place + 1].split())
    except (StopIteration, IndexError, ValueError):
        sizes = ()
    if not 1 <= len(sizes) <= AXES or min(sizes) < 1:
        raise UserError(
            f"{header} is no header of BART: the sizes of 1 to {AXES} axes are expected below the "
            "line '# Dimensions'"
        )
    return sizes


def encode_bart(array: np.ndarray, axes: str) -> dict[str, bytes]:
    """Encode an image as the contents of a .hdr and a .cfl file; the last axis changes fastest."""
    sizes = [*array.shape[::-1], *[1] * (AXES - array.ndim)]
    header = f"# Dimensions\n{' '.join(map(str, sizes))}\n# Creator\nuntrained\n"
    return {".hdr": header.encode(), ".cfl": array.astype("<c8").tobytes()}


def bart_companion(path: Path) -> Companion:
    """Write a result as .cfl and .hdr, too."""
    return Companion(encode_bart)


BART = ArrayFormat(
    "BART",
    (".cfl", ".hdr"),
    "k-space or an image of BART, two files of one name; axes of one entry are left out",
    read_bart,
    companion=bart_companion,
    pair=True,
)

"""Guess the task of a file by what it holds; nothing is reconstructed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from untrained.data.formats import has_named_arrays
from untrained.explore.contents import Entry

MEASUREMENT = "measurement"
BY_KEY = {
    "kspace": "mri",
    "sinogram": "ct",
    "counts": "ct",
    "voltages": "eit",
    "Uel": "eit",
    "data_Uel": "eit",
}
"""Name of an array that only one task has -> the task."""

COUNTS = ("exchange/theta", "instrument/detector/image_key")
"""Ends of the names that only files of raw counts have: DXchange's and NXtomo's."""

BY_PARAMETER = {
    "mask": "inpaint",
    "factor": "superres",
    "kernel": "deblur",
    "matrix_seed": "cs",
    "image_shape": "phase",
}
"""Name of an array beside `measurement` -> the task whose parameter it is."""

SINOGRAMS = ("sino", "proj", "radon", "attenuation")
"""Parts of the names that others give to a sinogram."""


@dataclass(frozen=True)
class Guess:
    """A task that a file may be of.

    Attributes:
        task: its name.
        why: what in the file says so.
        key: the array that was measured, where its name is not the usual one.
        options: further options of the command, such as `--angles 180`.
        unsure: whether another task is as likely.
    """

    task: str
    why: str
    key: str = ""
    options: tuple[str, ...] = ()
    unsure: bool = False


def guess(path: str | Path, entries: Sequence[Entry], tasks: Sequence[str]) -> Guess | None:
    """Guess the task; None where nothing tells.

    Args:
        path: the file.
        entries: what it holds.
        tasks: names of the tasks that can be asked for.
    """
    named = has_named_arrays(path)
    for found in (_by_name if named else _by_pixels)(entries):
        if found.task in tasks:
            return found
    return None


def _by_name(entries: Sequence[Entry]) -> list[Guess]:
    """Guess by the names of arrays, first by those that this library uses."""
    names = {entry.name: entry for entry in entries if entry.dtype}  # those that can be read
    found = [Guess(task, f"it has '{key}'") for key, task in BY_KEY.items() if key in names]
    if any(name.endswith(COUNTS) for name in names):
        found.append(Guess("ct", "it has the raw counts of a tomograph"))
    if MEASUREMENT in names:
        found += [
            # a blur of this kernel may be a linear one or a camera's
            Guess(task, f"it has '{MEASUREMENT}' and '{key}'", unsure=key == "kernel")
            for key, task in BY_PARAMETER.items()
            if key in names
        ]
        found.append(Guess("denoise", f"it has '{MEASUREMENT}' and no operator", unsure=True))
    return found + _by_shape(entries)


def _by_shape(entries: Sequence[Entry]) -> list[Guess]:
    """Guess by the largest array of numbers: complex ones are k-space, sinograms say so."""
    arrays = sorted((e for e in entries if e.array is not None), key=_size, reverse=True)
    found = []
    for entry in arrays:
        if entry.complex and 2 <= len(entry.shape) <= 4:
            why = f"'{entry.name}' is complex with {len(entry.shape)} axes, as k-space is"
            found.append(Guess("mri", why, entry.name, unsure=True))
        elif len(entry.shape) in (2, 3) and _says(entry.name, SINOGRAMS):
            angles = _angles(entries, entry)
            found.append(Guess("ct", f"'{entry.name}' is called so", entry.name, angles, True))
    return found


def _by_pixels(entries: Sequence[Entry]) -> list[Guess]:
    """Guess from the one array of a file."""
    (entry,) = entries
    if entry.complex:
        return [Guess("mri", "its only array is complex, as k-space is", unsure=True)]
    low, high = (entry.array.min(), entry.array.max()) if entry.array is not None else (0, 0)
    if entry.dtype.startswith("float") and (low < -0.5 or high > 1.5):
        rows = entry.shape[-2] if len(entry.shape) > 1 else 0
        why = f"its numbers ({low:.3g} to {high:.3g}) are those of no photograph"
        return [Guess("ct", why, options=("--angles", str(rows)), unsure=True)]
    return [
        Guess("denoise", "it is a picture; what happened to it the file cannot tell", unsure=True)
    ]


def _angles(entries: Sequence[Entry], sinogram: Entry) -> tuple[str, ...]:
    """Tell what the angles may be where the file does not hold them by that name."""
    if any(entry.name == "angles" for entry in entries):
        return ()
    return ("--angles", str(sinogram.shape[-2]))


def _size(entry: Entry) -> int:
    return 0 if entry.array is None else entry.array.size


def _says(name: str, parts: Sequence[str]) -> bool:
    lowered = name.lower()
    return any(part in lowered for part in parts)

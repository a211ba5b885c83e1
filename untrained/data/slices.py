"""Files that hold several slices: which of them to read, and all of them as one volume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from untrained.data.arrays import require_finite
from untrained.data.formats import ArrayFile
from untrained.data.measurement import Measurement
from untrained.errors import UserError
from untrained.physics.stack import Stack


def choose_slices(
    wanted: int | str | None, stack: int | None, path: str | Path, volume: bool
) -> tuple[list[int | None], tuple[str, ...]]:
    """List the slices to read (one None where there is no axis of slices), and notes.

    Args:
        wanted: a number from 0, `all`, or None for the middle slice (for all, of a volume).
        stack: how many slices the file holds; None where its one slice has no axis.
        path: of the file.
        volume: whether they are fitted as one.

    Raises:
        UserError: no such slice, none at all, one slice of a volume, or a volume of one.
    """
    count = 1 if stack is None else stack
    numbers = list(range(count))
    notes: tuple[str, ...] = ()
    if count < 1:
        raise UserError(f"{path} holds no slice: the axis that counts them is empty")
    if volume and wanted not in (None, "all"):
        raise UserError(
            f"--volume fits all slices as one, and --slice {wanted} asks for one of them: leave "
            "out one of the two"
        )
    if volume and count == 1:
        raise one_slice_error(path)
    if wanted is None and not volume:
        numbers = [count // 2]
        notes = (f"slice {count // 2}, the middle one of {count}",) if count > 1 else ()
    elif wanted not in (None, "all"):
        numbers = [_number(wanted, count, path)]
    return [None if stack is None else number for number in numbers], notes


def one_slice_error(path: str | Path) -> UserError:
    """Make the error for one slice where a volume was asked for."""
    return UserError(f"{path} holds one slice, which is no volume: leave out --volume")


def read_slice(file: ArrayFile, key: str, index: int | None, axes: int) -> np.ndarray:
    """Read an array with `axes` axes, or entry `index` of one that counts slices first."""
    counted = index is not None and len(file.shape(key)) == axes + 1
    if counted and index is not None and file.shape(key)[0] <= index:
        raise UserError(
            f"'{key}' in {file.path} has {file.shape(key)[0]} slices; slice {index} was asked for"
        )
    return require_finite(file.read(key, index if counted else None), f"'{key}' in {file.path}")


def join_slices(slices: list[Measurement], path: str | Path) -> Measurement:
    """Join all slices of a file: y `(1, C, D, ...)`, reference `(1, C, D, H, W)`.

    Raises:
        UserError: slices that were not measured alike.
    """
    first, *others = slices
    physics = first.physics.joined([m.physics for m in others])
    if physics is None:
        raise UserError(
            f"{path}: its slices differ in their sampling mask, and a volume has one: give it with "
            "--mask FILE where zeros were taken for missing samples, or --slice all in place of "
            "--volume for one after another"
        )
    references = [m.reference for m in slices if m.reference is not None]
    ranges = [m.data_range for m in slices if m.data_range is not None]
    return replace(
        first,
        y=torch.stack([m.y for m in slices], dim=2),
        physics=Stack(physics, len(slices)),
        reference=torch.stack(references, dim=2) if len(references) == len(slices) else None,
        data_range=max(ranges, default=None),
        notes=tuple(dict.fromkeys(note for m in slices for note in m.notes)),
        axes="ZYX",
        source=str(path),
    )


def _number(wanted: int | str, count: int, path: str | Path) -> int:
    text = str(wanted)
    if not text.isdecimal() or int(text) >= count:
        raise UserError(
            f"--slice must be 'all' or a number from 0 to {count - 1}, since {path} holds "
            f"{count} slice{'s' if count > 1 else ''}; got '{wanted}'"
        )
    return int(text)

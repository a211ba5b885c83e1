"""Find invalid values of a picture (NaN, infinite, far outside [0, 1]): missing for inpainting."""

from __future__ import annotations

import numpy as np

from untrained.checks import wild

LOST = "{} pixels that are NaN, infinite or far outside [0, 1] count as missing"


def mark_invalid(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Put 0 for values that are none, and mark where those were; None where none was."""
    if array.dtype.kind not in "fc" or not array.size:
        return array, None
    lost = wild(array)
    if not lost.any() or lost.all():  # nothing is missing, or it is no picture at all
        return array, None
    return np.where(lost, 0, array), lost


def unmark_invalid(mask: np.ndarray, lost: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Take pixels that hold no value in some channel out of the mask, and note them."""
    gone = lost if mask.shape == lost.shape else lost.any(0)
    if mask.shape != gone.shape:
        return mask, ()  # refused by what reads it next
    count = int((gone & (mask != 0)).sum())
    if not count:
        return mask, ()
    return np.where(gone, 0, mask), (LOST.format(count),)


def planes_of(lost: np.ndarray | None) -> np.ndarray | None:
    """Give marks `(H, W)` their axis of channels."""
    return lost[None] if lost is not None and lost.ndim == 2 else lost

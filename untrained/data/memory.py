"""A refusal to fill memory on a file's word."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from untrained.core.machine import available_memory
from untrained.errors import UserError

# A network needs several times its data; an array that takes half the memory cannot be used.
LARGEST_SHARE = 0.5
# Deflate reaches a ratio of 1000 on zeros. Real undersampled k-space stays below the mask's
# acceleration times about 2, and small masks of any ratio do no harm.
SUSPICIOUS_BYTES = 128 * 2**20
SUSPICIOUS_RATIO = 200
FLOAT_BYTES = 4


def float_bytes(shape: Sequence[int], dtype: np.dtype) -> int:
    """Count the bytes of an array as it is stored or in single precision, whichever are more."""
    least = 2 * FLOAT_BYTES if dtype.kind == "c" else FLOAT_BYTES if dtype.kind in "biuf" else 0
    return math.prod(int(n) for n in shape) * max(least, dtype.itemsize)


def largest_array() -> int:
    """Tell how many bytes one thing may take here."""
    return int(available_memory() * LARGEST_SHARE)


def check_size(size: int, stored: int, label: str) -> None:
    """Refuse an array of `size` bytes, `stored` on disk, that is too large or a zip bomb.

    Args:
        size: bytes in memory, as the floats that are computed with (`float_bytes`).
        stored: bytes on the disk.
        label: what it is, for the message.

    Raises:
        UserError: more than half of the available memory, or 128 MiB compressed over 200 times.
    """
    limit = largest_array()
    if size > limit:
        raise UserError(
            f"{label} takes {_mib(size)} in memory, more than the {_mib(limit)} that may be used "
            "here; crop it, or use a machine with more memory"
        )
    if size > SUSPICIOUS_BYTES and size > SUSPICIOUS_RATIO * max(stored, 1):
        raise UserError(
            f"{label} would unpack {_mib(stored)} into {_mib(size)}, which no measurement does "
            "(a zip bomb?); if it is genuine, save it uncompressed"
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"

"""A file of photon counts, `counts` and `flat`, read as a file of line integrals and their weights.

`flat` is the count of a ray through nothing, `dark` that of no light at all (default 0): numbers,
or arrays that broadcast over one slice of `counts`, such as one value a detector bin.
"""

from __future__ import annotations

import numpy as np
import torch

from untrained.data.arrays import require_finite
from untrained.data.formats import ArrayFile
from untrained.data.named import ArrayView
from untrained.errors import UserError
from untrained.physics.base import Physics
from untrained.physics.counted import LEAST_COUNT, Counted

COUNTS, FLAT, DARK = "counts", "flat", "dark"


class CountedScan(ArrayView):
    """A file whose `sinogram` is computed of its counts."""

    def __init__(self, file: ArrayFile) -> None:
        if FLAT not in file.keys:
            raise UserError(
                f"{file.path} has '{COUNTS}' and no '{FLAT}': store the count of a ray through "
                "nothing, one number or one a detector bin"
            )
        super().__init__(file, "sinogram", COUNTS)

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or entry `index` of its first axis."""
        if key != "sinogram":
            return super().read(key, index)
        counts = self.counts(index).astype(np.float64)
        dark = self._beside(DARK, counts.shape) if DARK in self.keys else 0.0
        open_beam = self._beside(FLAT, counts.shape) - dark
        if not bool((np.asarray(open_beam) > 0).all()):
            raise UserError(
                f"'{FLAT}' in {self.path} must be above 0 and above '{DARK}' everywhere"
            )
        found: np.ndarray = -np.log(np.maximum(counts - dark, LEAST_COUNT) / open_beam)
        return found.astype(np.float32)

    def counts(self, index: int | None = None) -> np.ndarray:
        """Read the counts of a slice, or of everything; raises UserError for negative ones."""
        label = self._file.label(COUNTS)
        values = require_finite(self._file.read(COUNTS, index), label)
        if values.dtype.kind not in "iuf" or values.min() < 0:
            raise UserError(f"{label} must be real counts >= 0, found {values.dtype}")
        return values

    def _beside(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        values = require_finite(self._file.read(key), f"'{key}' in {self.path}")
        try:
            return np.broadcast_to(values.astype(np.float64), shape)
        except ValueError:
            raise UserError(
                f"'{key}' in {self.path} has the shape {values.shape}, which does not broadcast "
                f"over the counts {shape}"
            ) from None


def is_counted(file: ArrayFile) -> bool:
    """Tell whether a file holds counts and no line integrals."""
    return COUNTS in file.keys and "sinogram" not in file.keys


def weighted(physics: Physics, counts: np.ndarray | None) -> Physics:
    """Give the operator the weights of the counts `(angles, ...)`; as it is without any."""
    if counts is None:
        return physics
    ordered = np.moveaxis(counts.astype(np.float32), 0, -1)
    return Counted(physics, torch.from_numpy(np.ascontiguousarray(ordered))[None])


def count_notes(counts: np.ndarray) -> tuple[str, ...]:
    """Say how many photons there were."""
    few = float((counts < LEAST_COUNT).mean())
    empty = f"; {few:.1%} of the rays had none, and count as one photon" if few else ""
    return (
        f"every ray weighs by its photons, {np.median(counts):.4g} in the median, "
        f"{counts.min():.4g} to {counts.max():.4g}{empty}",
    )

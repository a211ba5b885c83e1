"""Cut an image into overlapping tiles whose weights add up to one."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from untrained.errors import UserError

LEAST, MOST = 16, 128
"""Bounds of the overlap's width in pixels, beside the margins."""


@dataclass(frozen=True)
class Box:
    """A tile: its place in the image, and the weight of its pixels along either axis.

    Attributes:
        rows, columns: where it lies.
        row_weights, column_weights: `(h,)` and `(w,)`; the weight of a pixel is their product.
    """

    rows: slice
    columns: slice
    row_weights: Tensor
    column_weights: Tensor

    def add(self, total: Tensor, part: Tensor) -> None:
        """Add the weighted tile `(B, C, h, w)` into an image `(B, C, H, W)`."""
        weight = self.row_weights[:, None] * self.column_weights
        total[..., self.rows, self.columns] += weight.to(part) * part


@dataclass(frozen=True)
class Tiling:
    """Tiles of one size, in rows and columns that are spread evenly over the image.

    Over an overlap the weight moves from one tile to the next along a raised cosine, in its
    middle: within `margin` pixels of its own edges a tile has no weight, but at the image's.
    The weights of all tiles add up to one at every pixel.

    Args:
        sides: `(H, W)` of the image.
        size: side of a tile; one is no larger than the image.
        step: corners and sides are multiples of it.
        margin: pixels beside its own edges that a tile does not answer for.

    Raises:
        UserError: a tile that is no multiple of `step`, or too small for its overlap.
    """

    sides: tuple[int, int]
    size: int
    step: int = 1
    margin: int = 0

    def __post_init__(self) -> None:
        if self.size % self.step:
            raise UserError(
                f"a tile of {self.size} is no multiple of {self.step}, the factor of the image: "
                f"take {max(1, self.size // self.step) * self.step}"
            )
        if self.size < self.least(self.step, self.margin):
            raise UserError(
                f"a tile of {self.size} pixels is too small: the overlaps alone take "
                f"{self.overlap}; take {self.least(self.step, self.margin)} or more"
            )

    @staticmethod
    def least(step: int = 1, margin: int = 0) -> int:
        """Return the smallest size of a tile: three times its overlap."""
        return step * math.ceil(3 * (LEAST + 2 * margin) / step)

    @property
    def overlap(self) -> int:
        """Return how many pixels two neighbours share at least."""
        return min(MOST, max(LEAST, self.size // 4)) + 2 * self.margin

    @property
    def count(self) -> int:
        """Return the number of tiles."""
        return len(self._starts(0)) * len(self._starts(1))

    @property
    def facts(self) -> dict[str, int]:
        """Return what a result says of it."""
        return {"size": self.size, "overlap": self.overlap, "count": self.count}

    def boxes(self) -> list[Box]:
        """List the tiles, row by row."""
        rows, columns = (self._pieces(axis) for axis in (0, 1))
        return [Box(r, c, wr, wc) for r, wr in rows for c, wc in columns]

    def _starts(self, axis: int) -> list[int]:
        """Find where the tiles begin along an axis: spread evenly, multiples of `step`."""
        side, size = self.sides[axis], self.size
        if side <= size:
            return [0]
        count = math.ceil((side - self.overlap) / (size - self.overlap))
        last = (side - size) / (count - 1) if count > 1 else 0.0
        starts = [self.step * int(i * last / self.step) for i in range(count)]
        return [*starts[:-1], side - size]

    def _pieces(self, axis: int) -> list[tuple[slice, Tensor]]:
        starts, side = self._starts(axis), self.sides[axis]
        size = min(self.size, side)
        ramps = [self._ramp(a, b, size, side) for a, b in itertools.pairwise(starts)]
        # neighbouring differences of a falling sequence from 1 to 0: they add up to 1
        edges = [torch.ones(side), *ramps, torch.zeros(side)]
        pieces = []
        for i, start in enumerate(starts):
            place = slice(start, start + size)
            pieces.append((place, (edges[i] - edges[i + 1])[place]))
        return pieces

    def _ramp(self, start: int, following: int, size: int, side: int) -> Tensor:
        """Compute how the weight rises from 0 to 1 in the middle of an overlap, `(side,)`."""
        middle = (following + start + size) / 2
        width = max(1, self.overlap - 2 * self.margin)
        place = (torch.arange(side, dtype=torch.float64) + 0.5 - middle) / width + 0.5
        return (0.5 - 0.5 * torch.cos(math.pi * place.clamp(0, 1))).float()

"""A volume measured slice by slice: multi-slice MRI, stacks of CT slices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.base import LinearPhysics
from untrained.physics.footprint import whole


class Stack(LinearPhysics):
    """One 2-D operator on every slice of a volume, which a 3-D network then sees as a whole.

    x is `(B, C, D, H, W)`; y has the axis of the slices behind its channels: `(B, 2, D, coils, H,
    W)` for MRI, `(B, C, D, detectors, views)` for CT. What is held out is the same in every slice:
    a column or view that its neighbours in the volume still show would be no test.

    Args:
        physics: a linear operator on one slice with a known `x_shape`, `(C, H, W)`; MRI may hold
            maps `(D, coils, H, W)`, one set a slice.
        depth: D, the number of slices.

    Raises:
        UserError: an operator that is nonlinear or of unknown shape, or depth < 2.
    """

    def __init__(self, physics: Any, depth: int) -> None:
        sides = getattr(physics, "x_shape", None)
        if sides is None or len(sides) != 3 or not getattr(physics, "linear", True):
            raise UserError(
                "Stack takes a linear operator on slices (C, H, W) that says its x_shape; got "
                f"{type(physics).__name__} with x_shape {sides}"
            )
        depth = whole("depth", depth, least=2)
        channels, height, width = sides
        super().__init__((channels, depth, height, width), None)
        self.physics = physics
        self.depth = depth
        self.task = str(getattr(physics, "task", "custom"))
        self.unit_range = bool(getattr(physics, "unit_range", False))

    def A(self, x: Tensor) -> Tensor:
        """Volume `(B, C, D, H, W)` -> its measurements, slices on axis 2."""
        self._check_x(x)
        return self._each(self.physics.A, x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """The adjoint: `(B, C', D, ...)` -> `(B, C, D, H, W)`."""
        if y.ndim < 4 or y.shape[2] != self.depth:
            raise ValueError(
                f"Stack: y must have its {self.depth} slices on axis 2, got {tuple(y.shape)}"
            )
        return self._each(self.physics.A_adjoint, y)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """What one slice holds out, the same in all of them, `(1, *y.shape[1:])`."""
        one: Tensor = self.physics.holdout(y[:, :, 0], fraction, generator)
        return one.unsqueeze(2).expand(1, *y.shape[1:])

    @property
    def mask(self) -> Tensor | None:
        """1 = measured, or None where the slices' operator has no mask."""
        return _behind_channels(getattr(self.physics, "mask", None))

    @property
    def support(self) -> Tensor | None:
        """1 where a slice is measured at all, `(1, 1, D or 1, H, W)`; None where that is all."""
        support: Tensor | None = getattr(self.physics, "support", None)
        return None if support is None else support.movedim(0, 1)[None]

    @property
    def norm_squared(self) -> float | None:
        """That of one slice, where it is known."""
        known = getattr(self.physics, "norm_squared", None)
        return None if known is None else float(known)

    def weight(self, r: Tensor, name: str) -> Tensor:
        """The slices' own data weighting; see `CT.weight`."""
        return self._each(lambda one: self.physics.weight(one, name), r)

    def hybrid(self, keep: Tensor | None = None) -> Stack | None:
        """A stack of what the slices' operator offers, see `MRI.hybrid`; None where that is."""
        own = getattr(self.physics, "hybrid", None)
        quick = None if own is None else own(None if keep is None else keep[:, :, 0])
        return None if quick is None else Stack(quick, self.depth)

    def from_kspace(self, y: Tensor) -> Tensor:
        """k-space of every slice -> measurements of a stack of `Hybrid`."""
        return self._each(self.physics.from_kspace, y)

    def measured(self, values: Tensor) -> Tensor:
        """Of values at every position of k-space, those that a stack of `Hybrid` measures."""
        chosen: Tensor = self.physics.measured(values)
        return chosen

    def _each(self, apply: Any, volume: Tensor) -> Tensor:
        """`apply` to the slices of every volume, as one batch."""
        return torch.stack([apply(one.movedim(1, 0)).movedim(0, 1) for one in volume])


def _behind_channels(mask: Tensor | None) -> Tensor | None:
    """A slice's mask `(1, C, ...)` with an axis for the slices."""
    return None if mask is None else mask.unsqueeze(2)

"""A volume measured slice by slice: multi-slice MRI, stacks of CT slices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from untrained.checks import whole
from untrained.errors import UserError
from untrained.physics.base import Physics
from untrained.physics.foreign import as_physics
from untrained.physics.kinds import LinearPhysics
from untrained.picture import Picture

STRIPE = 2**24  # bytes of measurements


class Stack(LinearPhysics):
    """One 2-D operator on every slice of a volume, which a 3-D network then sees as a whole.

    It is applied to stripes of the volume, as many slices at a time as have 16 MiB of
    measurements: a coil image of every coil and slice at once would take more than the network.

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
        one = as_physics(physics)
        sides = one.x_shape
        if sides is None or len(sides) != 3 or not one.linear:
            raise UserError(
                "Stack takes a linear operator on slices (C, H, W) that says its x_shape; got "
                f"{one.class_name()} with x_shape {sides}"
            )
        depth = whole("depth", depth, least=2)
        channels, height, width = sides
        y_shape = None if one.y_shape is None else (one.y_shape[0], depth, *one.y_shape[1:])
        super().__init__((channels, depth, height, width), y_shape)
        self.physics = one
        self.depth = depth
        self.task = one.task
        self.unit_range = one.unit_range
        self.complex_image = one.complex_image
        self.norm_squared = one.norm_squared
        self.filtered_name = one.filtered_name
        self.weightings = one.weightings
        self.matrix_free, self.share = one.matrix_free, one.share
        self.matrix_bytes = one.matrix_bytes
        self.mask = None if one.mask is None else one.mask.unsqueeze(2)
        # the slices' own axis of images is the depth: (1, 1, D or 1, H, W)
        self.support = None if one.support is None else one.support.movedim(0, 1)[None]

    def A(self, x: Tensor) -> Tensor:
        """Map a volume `(B, C, D, H, W)` to its measurements, slices on axis 2."""
        self._check_x(x)
        return self._striped("A", x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint: `(B, C', D, ...)` to `(B, C, D, H, W)`."""
        if y.ndim < 4 or y.shape[2] != self.depth:
            raise UserError(
                f"Stack: y must have its {self.depth} slices on axis 2, got {tuple(y.shape)}"
            )
        self._check_y(y)
        return self._striped("A_adjoint", y)

    def described(self) -> str:
        """Say what is measured: the number of slices, and what each of them is."""
        return f"{self.depth} slices; each {self.physics.described()}"

    def residual_picture(self, residual: Tensor) -> Picture | None:
        """Draw the residual of the middle slice, as its own operator does."""
        return self.physics.residual_picture(residual[:, self.depth // 2])

    def rescaled(self, gain: float) -> Stack | None:
        """Return the same operator divided by `gain`; None where that of the slices cannot be."""
        return self._stacked(self.physics.rescaled(gain))

    def few_views(self) -> Stack | None:
        """Return a stack of the slices' `few_views`, see `CT.few_views`; None where that is."""
        return self._stacked(self.physics.few_views())

    def without_matrix(self) -> Stack:
        """Return the same operator; the slices' own goes without a matrix where it can."""
        free = self.physics.without_matrix()
        return self if free is self.physics else Stack(free, self.depth)

    def of_slice(self, index: int) -> Physics:
        """Return the operator of one slice."""
        return self.physics.among(slice(index, index + 1))

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw what one slice holds out, the same in all of them, `(1, *y.shape[1:])`."""
        one = self.physics.holdout(y[:, :, 0], fraction, generator)
        return one.unsqueeze(2).expand(1, *y.shape[1:])

    def units(self, y: Tensor) -> Tensor:
        """Number the units of one slice, the same in all of them; see the base class."""
        return self.physics.units(y[:, :, 0]).unsqueeze(2)

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float | None:
        """Give the mean over the slices, each counted by how much of it is seen; None likewise."""
        each = self.physics.mean_squared_singular_value(weighting)
        if not isinstance(each, Tensor):
            return each
        support = self.physics.support
        seen = torch.ones_like(each) if support is None else support.double().flatten(1).sum(1)
        return float((each * seen).sum() / seen.sum().clamp_min(1))

    def fbp(self, y: Tensor) -> Tensor | None:
        """Backproject every slice, filtered; None where the slices' operator cannot."""
        if self.of_slice(0).fbp(y[:1, :, 0]) is None:
            return None
        return self._striped("fbp", y)

    def weight(self, r: Tensor, name: str) -> Tensor:
        """Apply the slices' own data weighting; see `CT.weight`."""
        return self._striped("weight", r, name)

    def hybrid(self, keep: Tensor | None = None) -> Stack | None:
        """Return a stack of the slices' `hybrid`, see `MRI.hybrid`; None where that is."""
        return self._stacked(self.physics.hybrid(None if keep is None else keep[:, :, 0]))

    def from_kspace(self, y: Tensor) -> Tensor:
        """Translate the k-space of every slice; see `Hybrid.from_kspace`."""
        return self._striped("from_kspace", y)

    def measured(self, values: Tensor) -> Tensor:
        """Pick, of values at every position of k-space, those that the slices measure."""
        return self.physics.measured(values)

    def _stacked(self, one: Physics | None) -> Stack | None:
        """Stack another operator of the slices, if there is one."""
        return None if one is None else Stack(one, self.depth)

    def _striped(self, name: str, volumes: Tensor, *how: Any) -> Tensor:
        """Apply a method of the slices' operator to stripes of every volume as one batch each."""
        shape = self.physics.y_shape or self.physics.x_shape or ()
        at_once = max(1, STRIPE // (4 * math.prod(shape)))
        done = []
        for volume in volumes:
            stripes = [
                getattr(self.physics.among(slice(first, first + at_once)), name)(stripe, *how)
                for first, stripe in _stripes(volume.movedim(1, 0), at_once)
            ]
            done.append(torch.cat(stripes).movedim(0, 1))
        return torch.stack(done)


def _stripes(slices: Tensor, at_once: int) -> Iterator[tuple[int, Tensor]]:
    return zip(range(0, len(slices), at_once), slices.split(at_once), strict=True)

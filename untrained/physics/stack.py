"""A volume measured slice by slice: multi-slice MRI, stacks of CT slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.base import LinearPhysics
from untrained.physics.footprint import whole

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
        return self._striped("A", x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """The adjoint: `(B, C', D, ...)` -> `(B, C, D, H, W)`."""
        if y.ndim < 4 or y.shape[2] != self.depth:
            raise UserError(
                f"Stack: y must have its {self.depth} slices on axis 2, got {tuple(y.shape)}"
            )
        return self._striped("A_adjoint", y)

    def rescaled(self, gain: float) -> Stack | None:
        """The same operator divided by `gain`; None where that of the slices cannot be."""
        own = getattr(self.physics, "rescaled", None)
        return None if own is None else Stack(own(gain), self.depth)

    def few_views(self) -> Stack | None:
        """A stack of what the slices' operator offers, see `CT.few_views`; None where that is."""
        own = getattr(self.physics, "few_views", None)
        few = None if own is None else own()
        return None if few is None else Stack(few, self.depth)

    def without_matrix(self) -> Stack:
        """The same operator; the slices' own goes without a matrix where it can."""
        own = getattr(self.physics, "without_matrix", None)
        return self if own is None else Stack(own(), self.depth)

    def of_slice(self, index: int) -> Any:
        """The operator of one slice."""
        return self._of(slice(index, index + 1))

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """What one slice holds out, the same in all of them, `(1, *y.shape[1:])`."""
        own = getattr(self.physics, "holdout", super().holdout)
        one: Tensor = own(y[:, :, 0], fraction, generator)
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

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float | None:
        """Give the mean over the slices, each counted by how much of it is seen; None likewise."""
        own = getattr(self.physics, "mean_squared_singular_value", None)
        each = None if own is None else own(weighting)
        if not isinstance(each, Tensor):
            return each
        support = getattr(self.physics, "support", None)
        seen = torch.ones_like(each) if support is None else support.double().flatten(1).sum(1)
        return float((each * seen).sum() / seen.sum().clamp_min(1))

    @property
    def fbp(self) -> Callable[[Tensor], Tensor] | None:
        """Filtered backprojection of every slice; None where the slices' operator has none."""
        own = getattr(self.physics, "fbp", None)
        return None if own is None else lambda y: self._striped("fbp", y)

    def weight(self, r: Tensor, name: str) -> Tensor:
        """The slices' own data weighting; see `CT.weight`."""
        return self._striped("weight", r, name)

    def hybrid(self, keep: Tensor | None = None) -> Stack | None:
        """A stack of what the slices' operator offers, see `MRI.hybrid`; None where that is."""
        own = getattr(self.physics, "hybrid", None)
        quick = None if own is None else own(None if keep is None else keep[:, :, 0])
        return None if quick is None else Stack(quick, self.depth)

    def from_kspace(self, y: Tensor) -> Tensor:
        """k-space of every slice -> measurements of a stack of `Hybrid`."""
        return self._striped("from_kspace", y)

    def measured(self, values: Tensor) -> Tensor:
        """Of values at every position of k-space, those that a stack of `Hybrid` measures."""
        chosen: Tensor = self.physics.measured(values)
        return chosen

    def _striped(self, name: str, volumes: Tensor, *how: Any) -> Tensor:
        """A verb of the slices' operator, on stripes of every volume as one batch each."""
        shape = getattr(self.physics, "y_shape", None) or self.physics.x_shape
        at_once = max(1, STRIPE // (4 * math.prod(shape)))
        done = []
        for volume in volumes:
            stripes = [
                getattr(self._of(slice(first, first + at_once)), name)(stripe, *how)
                for first, stripe in _stripes(volume.movedim(1, 0), at_once)
            ]
            done.append(torch.cat(stripes).movedim(0, 1))
        return torch.stack(done)

    def _of(self, slices: slice) -> Any:
        """The operator of these slices."""
        among = getattr(self.physics, "among", None)
        return self.physics if among is None else among(slices)


def _stripes(slices: Tensor, at_once: int) -> Iterator[tuple[int, Tensor]]:
    return zip(range(0, len(slices), at_once), slices.split(at_once), strict=True)


def _behind_channels(mask: Tensor | None) -> Tensor | None:
    """A slice's mask `(1, C, ...)` with an axis for the slices."""
    return None if mask is None else mask.unsqueeze(2)

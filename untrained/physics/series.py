"""A time series: every frame measured by an operator of its own, one image with an axis of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.physics.base import Physics
from untrained.physics.foreign import as_physics
from untrained.physics.kinds import LinearPhysics

LEAST_LINES = 3
"""Fewest lines of k-space that are worth holding out, over all frames."""


class Series(LinearPhysics):
    """T frames, each measured by an operator of its own, as one image `(C, T, H, W)`.

    x is `(B, C, T, H, W)`; y has the axis of time behind its channels: `(B, C', T, ...)`, for MRI
    `(B, 2, T, coils, H, W)`. Frames may differ in what is measured (a mask each), not in size.
    What is held out is drawn anew in every frame: what one frame hides its neighbours may show,
    which is what a series is reconstructed together for.

    Args:
        frames: a linear operator for each of at least two frames, all of one kind, with a known
            `x_shape` `(C, H, W)`.

    Raises:
        UserError: fewer than two frames, an operator that is nonlinear or of unknown shape, or
            frames of different kinds or sizes.
    """

    is_series = True
    frames: nn.ModuleList

    def __init__(self, frames: Sequence[Any]) -> None:
        each = [as_physics(one) for one in frames]
        if len(each) < 2:
            raise UserError(f"a series has at least two frames, got {len(each)}")
        first = each[0]
        sides = first.x_shape
        if sides is None or len(sides) != 3 or not first.linear:
            raise UserError(
                "Series takes linear operators on frames (C, H, W) that say their x_shape; got "
                f"{first.class_name()} with x_shape {sides}"
            )
        for t, one in enumerate(each):
            if (one.x_shape, one.y_shape, one.task) != (sides, first.y_shape, first.task):
                raise UserError(
                    f"the frames of a series are alike: frame 0 is {first.task} of {sides}, frame "
                    f"{t} is {one.task} of {one.x_shape}"
                )
        channels, height, width = sides
        y_shape = None if first.y_shape is None else _with_time(first.y_shape, len(each))
        super().__init__((channels, len(each), height, width), y_shape)
        self.frames = nn.ModuleList(each)
        self.task = first.task
        self.unit_range = first.unit_range
        self.complex_image = first.complex_image
        self.weightings = first.weightings
        norms = [one.norm_squared for one in each]
        self.norm_squared = None if None in norms else max(n for n in norms if n is not None)
        self.mask = _stacked([one.mask for one in each])
        self.support = _stacked([one.support for one in each])

    @property
    def length(self) -> int:
        """Return the number of frames T."""
        return len(self.frames)

    def A(self, x: Tensor) -> Tensor:
        """Map a series `(B, C, T, H, W)` to its measurements, time on axis 2."""
        self._check_x(x)
        return self._each("A", x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint: `(B, C', T, ...)` to `(B, C, T, H, W)`."""
        if y.ndim < 4 or y.shape[2] != self.length:
            raise UserError(
                f"Series: y must have its {self.length} frames on axis 2, got {tuple(y.shape)}"
            )
        self._check_y(y)
        return self._each("A_adjoint", y)

    def of_frame(self, index: int) -> Physics:
        """Return the operator of one frame."""
        frame = self.frames[index]
        assert isinstance(frame, Physics)
        return frame

    def described(self) -> str:
        """Say what is measured: the number of frames, and what the first of them is."""
        return f"{self.length} frames of a series; each {self.of_frame(0).described()}"

    def rescaled(self, gain: float) -> Series | None:
        """Return the same operator divided by `gain`; None where that of a frame cannot be."""
        kept: dict[int, Physics | None] = {}
        for one in self._all():
            if id(one) not in kept:
                kept[id(one)] = one.rescaled(gain)
        each = [kept[id(one)] for one in self._all()]
        found = [one for one in each if one is not None]
        return Series(found) if len(found) == len(each) else None

    def fill(self, x: Tensor, keep: Tensor) -> Tensor:
        """Fill what is held out of every frame; see `Denoise.fill`."""
        frames = zip(self._all(), x.unbind(2), keep.unbind(2), strict=True)
        return torch.stack([one.fill(image, part) for one, image, part in frames], dim=2)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw what is held out, bool `(1, *y.shape[1:])`, in every frame anew.

        Lines of k-space are drawn among those of all frames together: at 8x a frame has few.
        """
        lines = self._lines(y)
        if lines is not None:
            return self._held_lines(y, lines, fraction, generator)
        return self._drawn(lambda one, part: one.holdout(part, fraction, generator), y)

    def scattered(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw single measurements of every frame; see the base class."""
        if self._lines(y) is not None:
            return self.holdout(y, fraction, generator)
        return self._drawn(lambda one, part: one.scattered(part, fraction, generator), y)

    def units(self, y: Tensor) -> Tensor:
        """Number the units of all frames, those of each frame its own; see the base class."""
        numbers, first = [], 0
        for one, part in zip(self._all(), y.unbind(2), strict=True):
            own = one.units(part)
            numbers.append(own.where(own < 0, own + first))
            first = max(first, int(numbers[-1].max()) + 1)
        return torch.stack(numbers, dim=2)

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float | None:
        """Give the mean over the frames, each counted by how much of it is seen; None likewise."""
        total, size = 0.0, 0.0
        for one in self._all():
            value = one.mean_squared_singular_value(weighting)
            if value is None:
                return None
            seen = 1.0 if one.support is None else float(one.support.double().mean())
            total += seen * float(torch.as_tensor(value).double().mean())
            size += seen
        return total / max(size, 1e-30)

    def weight(self, r: Tensor, name: str) -> Tensor:
        """Apply the frames' own data weighting."""
        return self._each("weight", r, name)

    def _all(self) -> list[Physics]:
        return [self.of_frame(t) for t in range(self.length)]

    def _each(self, name: str, values: Tensor, *how: Any) -> Tensor:
        """Apply a method of every frame's operator; of one that all share, to all frames at once.

        Args:
            name: of the method.
            values: `(B, C, T, ...)`.
            how: further arguments.
        """
        each = self._all()
        if all(one is each[0] for one in each[1:]):
            batch = values.movedim(2, 1)
            done = getattr(each[0], name)(batch.flatten(0, 1), *how)
            return done.unflatten(0, batch.shape[:2]).movedim(1, 2)
        frames = zip(each, values.unbind(2), strict=True)
        return torch.stack([getattr(one, name)(part, *how) for one, part in frames], dim=2)

    def _drawn(self, draw: Callable[[Physics, Tensor], Tensor], y: Tensor) -> Tensor:
        frames = zip(self._all(), y.unbind(2), strict=True)
        return torch.stack([draw(one, part) for one, part in frames], dim=2)

    def _lines(self, y: Tensor) -> list[tuple[Tensor, int]] | None:
        """List each frame's lines outside the centre of k-space, and the axis that counts them."""
        found = [one.lines_outside() for one in self._all()]
        known = [one for one in found if one is not None]
        enough = sum(len(lines) for lines, _ in known) >= 2 * LEAST_LINES
        return known if len(known) == len(found) and enough else None

    def _held_lines(
        self,
        y: Tensor,
        lines: list[tuple[Tensor, int]],
        fraction: float,
        generator: torch.Generator,
    ) -> Tensor:
        pairs = [(t, int(line)) for t, (own, _) in enumerate(lines) for line in own]
        count = max(LEAST_LINES, round(fraction * len(pairs)))
        held = torch.zeros(1, *y.shape[1:], dtype=torch.bool)
        for place in torch.randperm(len(pairs), generator=generator)[:count].tolist():
            t, line = pairs[place]
            held[:, :, t].select(lines[t][1], line).fill_(True)
        return held.to(y.device)


def _with_time(shape: tuple[int, ...], frames: int) -> tuple[int, ...]:
    return (shape[0], frames, *shape[1:])


def _stacked(parts: list[Tensor | None]) -> Tensor | None:
    """Stack what frames have, `(1, ...)` each, on axis 2; where some have none, ones."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    plain = torch.ones_like(known[0])
    return torch.stack([plain if part is None else part for part in parts], dim=2)

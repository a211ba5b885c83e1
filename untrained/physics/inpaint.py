"""Inpainting: some pixels are measured, the others are missing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.kinds import LinearPhysics
from untrained.physics.masks import as_mask, in_patches, moved_patches
from untrained.physics.positions import draw_positions, number_positions

WANTED = {1: "(N)", 2: "(H, W)", 3: "(D, H, W)"}


class Inpaint(LinearPhysics):
    """A x = mask * x: y has the shape of x, with zeros where pixels are missing.

    Args:
        mask: `(H, W)`, shared by all channels, or `(C, H, W)`; 1 = measured. For volumes
            `(D, H, W)` or `(C, D, H, W)`, and then x_shape must be given.
        x_shape: `(C, H, W)` or `(C, D, H, W)`. None takes it from a `(C, H, W)` mask; with an
            `(H, W)` mask it leaves the number of channels free.

    Raises:
        UserError: a mask with values other than 0 and 1, or that does not fit `x_shape`.
    """

    task = "inpaint"
    unit_range = True
    norm_squared = 1.0
    mask: Tensor

    def __init__(self, mask: Tensor | np.ndarray, x_shape: tuple[int, ...] | None = None) -> None:
        measured = as_mask(mask)
        axes = 2 if x_shape is None else len(x_shape) - 1
        if measured.ndim not in (axes, axes + 1):
            raise UserError(
                f"mask must be {WANTED[axes]} or with channels (C, ...) in front, "
                f"got {tuple(measured.shape)}."
            )
        if x_shape is None and measured.ndim == 3:
            x_shape = tuple(measured.shape)
        if x_shape is not None and tuple(measured.shape) != tuple(x_shape)[-measured.ndim :]:
            raise UserError(
                f"mask has shape {tuple(measured.shape)} but the image is {tuple(x_shape)} "
                "(C, H, W); give a mask of the image's height and width."
            )
        super().__init__(x_shape, x_shape)
        full = measured if measured.ndim == axes + 1 else measured[None]
        self.register_buffer("mask", full[None].to(torch.get_default_dtype()))

    def A(self, x: Tensor) -> Tensor:
        """Set missing pixels of images `(B, C, H, W)` to zero."""
        self._check_x(x)
        return self._masked(x, "x")

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Set missing pixels to zero, as `A` does: the operator is a projection."""
        self._check_y(y)
        return self._masked(y, "y")

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float:
        """Give the share of the pixels that is measured."""
        return float(self.mask.double().mean())

    def cropped(self, y: Tensor, rows: slice, columns: slice) -> tuple[Inpaint, Tensor] | None:
        """Crop a picture `(B, C, H, W)` and its mask; see the base class. Volumes have no parts."""
        if y.ndim != 4:
            return None
        part, mask = y[..., rows, columns], self.mask[0, ..., rows, columns]
        # one mask for all channels has a single one, which the constructor wants without its axis
        return Inpaint(mask[0] if len(mask) == 1 else mask, tuple(part.shape[1:])), part

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw pixels to hold out, `(1, C, H, W)`: measured ones only, the same in each channel.

        Where pixels are missing in patches (`in_patches`) it is a patch of that kind: how well an
        image fills a hole is not told by single pixels, whose neighbours are known.
        """
        measured = self.mask[0, 0].cpu()
        if bool(in_patches(measured[None])):
            moved = moved_patches(measured, fraction, generator)
            return moved.expand(1, *y.shape[1:]).to(y.device) & self.mask.bool()
        return self.scattered(y, fraction, generator)

    def scattered(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw single pixels, whatever is missing: they tell how strongly to regularise."""
        return draw_positions(y, y.ndim - 2, fraction, generator) & self.mask.bool()

    def units(self, y: Tensor) -> Tensor:
        """Number the pixels (voxels), the same in each channel; see the base class."""
        return number_positions(y, y.ndim - 2)

    def _masked(self, value: Tensor, name: str) -> Tensor:
        if value.ndim != self.mask.ndim or value.shape[2:] != self.mask.shape[2:]:
            sides = ", ".join(map(str, self.mask.shape[2:]))
            raise UserError(f"Inpaint: {name} must be (B, C, {sides}), got {tuple(value.shape)}")
        return value * self.mask.to(value.dtype)


def box_mask(
    size: tuple[int, int],
    box: tuple[int, int],
    place: tuple[int, int] | torch.Generator | None = None,
) -> Tensor:
    """Make a mask with one missing rectangle.

    Args:
        size: `(H, W)` of the image.
        box: `(h, w)` of the missing rectangle, smaller than the image.
        place: its top left corner; or a CPU generator, which draws one at least 16 pixels from
            the border (as near to 16 as the image allows), as DPS does; or None for the centre.

    Returns:
        bool `(H, W)`, False inside the box.

    Raises:
        UserError: a box that is empty, covers the image or leaves it.
    """
    spare = (size[0] - box[0], size[1] - box[1])
    if min(box) < 1 or min(spare) < 0 or max(spare) == 0:
        raise UserError(
            f"box {box[0]}x{box[1]} must have a positive size and leave part of the "
            f"{size[0]}x{size[1]} image visible."
        )
    if place is None:
        corner = (spare[0] // 2, spare[1] // 2)
    elif isinstance(place, torch.Generator):
        corner = (_random_start(spare[0], place), _random_start(spare[1], place))
    else:
        corner = place
    if not all(0 <= c <= s for c, s in zip(corner, spare, strict=True)):
        raise UserError(
            f"a {box[0]}x{box[1]} box at {corner} leaves the {size[0]}x{size[1]} image; its "
            f"corner can be at most ({spare[0]}, {spare[1]})."
        )
    mask = torch.ones(size, dtype=torch.bool)
    mask[corner[0] : corner[0] + box[0], corner[1] : corner[1] + box[1]] = False
    return mask


def _random_start(spare: int, generator: torch.Generator) -> int:
    margin = min(16, spare // 2)
    return int(torch.randint(margin, spare - margin + 1, (), generator=generator))


def random_mask(size: tuple[int, int], missing: float, seed: int = 0) -> Tensor:
    """Draw a mask of pixels missing at random: exactly `round(missing * H * W)` of them.

    Args:
        size: `(H, W)`.
        missing: fraction in [0, 1).
        seed: the same seed gives the same mask.

    Returns:
        bool `(H, W)`, for all channels, True = measured.

    Raises:
        UserError: a fraction outside [0, 1) or one that leaves no pixel.
    """
    total = size[0] * size[1]
    if not 0 <= missing < 1 or round(missing * total) >= total:
        raise UserError(
            f"missing must be a fraction in [0, 1) that leaves at least one pixel; got "
            f"{missing:g} for a {size[0]}x{size[1]} image."
        )
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    mask = torch.ones(total, dtype=torch.bool)
    mask[order[: round(missing * total)]] = False
    return mask.reshape(size)

"""Images of any size through networks that halve: reflect beyond the border, crop the output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from untrained.errors import UserError

MIN_SIDE = 2


def pad_to(x: Tensor, multiple: int, smallest: int) -> Tensor:
    """Reflect `x` beyond its borders until every side suits a network.

    Args:
        x: `(B, C, *spatial)`, sides of at least MIN_SIDE.
        multiple: each side becomes a multiple of this.
        smallest: each side becomes at least this.

    Returns:
        The enlarged tensor, the image in its middle; `x` itself where nothing is missing. The
        reflection is repeated, so a side may grow to more than its double.

    Raises:
        UserError: a side is shorter than MIN_SIDE.
    """
    if min(x.shape[2:]) < MIN_SIDE:
        raise UserError(
            f"the image is {'x'.join(map(str, x.shape[2:]))} and a network needs at least "
            f"{MIN_SIDE} pixels along every axis: drop the short axis and use a smaller dim."
        )
    sides = x.shape[2:]
    extra = [-(-max(side, smallest) // multiple) * multiple - side for side in sides]
    if not any(extra):
        return x
    if all(more - more // 2 < side for side, more in zip(sides, extra, strict=True)):
        both = [n for more in reversed(extra) for n in (more // 2, more - more // 2)]
        return functional.pad(x, both, mode="reflect")  # a thirtieth of the time of the gathers
    for axis, (side, more) in enumerate(zip(sides, extra, strict=True), start=2):
        x = x.index_select(axis, _bounce(side, side + more, x.device))
    return x


def crop_to(x: Tensor, sides: Sequence[int]) -> Tensor:
    """Crop `x` (B, C, *spatial) to its middle of spatial `sides`; undoes `pad_to`."""
    for axis, side in enumerate(sides, start=2):
        extra = x.shape[axis] - side
        x = x.narrow(axis, extra // 2, side)
    return x


def _bounce(side: int, target: int, device: torch.device) -> Tensor:
    """List `target` indices 0..side-1, reflected about both end pixels, the image centred."""
    period = 2 * (side - 1)
    index = (torch.arange(target, device=device) - (target - side) // 2) % period
    return torch.minimum(index, period - index)

"""Gaps in an image filled from coarser and coarser averages of what is known."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from untrained.nets.blocks import resize

_POOL: dict[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}


def fill_gaps(x: Tensor, known: Tensor) -> Tensor:
    """Fill the gaps of x, where `known` is 0, with the mean of known pixels nearby, however far.

    The image is halved by averages over known pixels until nothing is missing, and every halving
    fills the gaps of the one before (the push-pull of Gortler et al., "The Lumigraph", 1996). It
    takes a few milliseconds.

    Args:
        x: `(B, C, *sides)`, one to three sides.
        known: of the same shape, 1 or 0.

    Returns:
        `(B, C, *sides)`; zeros where a channel has no known pixel at all.
    """
    if bool(known.all()) or max(x.shape[2:]) == 1:
        return x * known
    axes = x.ndim - 2
    size = [2 if side > 1 else 1 for side in x.shape[2:]]
    share = _POOL[axes](known, size, ceil_mode=True, count_include_pad=False)
    mean = _POOL[axes](x * known, size, ceil_mode=True, count_include_pad=False)
    coarse = torch.where(share > 0, mean / share.clamp_min(1e-6), torch.zeros_like(mean))
    coarse = fill_gaps(coarse, (share > 0).to(x))
    fine = resize(axes, "bilinear", tuple(x.shape[2:]))(coarse)
    return x * known + (1 - known) * fine

"""Positions of measurements: which are drawn to be held out, and their numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def draw_positions(y: Tensor, axes: int, fraction: float, generator: torch.Generator) -> Tensor:
    """Draw a share of the positions along the last `axes` axes of y, bool `(1, *y.shape[1:])`.

    The axis of the batch is none of them, however few axes y has.
    """
    drawn = torch.rand(y.shape[1:][-axes:], generator=generator) < fraction
    return drawn.expand(1, *y.shape[1:]).to(y.device)


def number_positions(y: Tensor, axes: int) -> Tensor:
    """Number the positions along the last `axes` axes of y: int64 `(1, ..., 1, *sides)`."""
    sides = y.shape[1:][-axes:]
    numbers = torch.arange(math.prod(sides), device=y.device).reshape(sides)
    return numbers.reshape(*[1] * (y.ndim - len(sides)), *sides)

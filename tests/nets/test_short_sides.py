"""Convolutions of tensors with a side of 1 or 2, which bfloat16 kernels of CPUs get wrong."""

from __future__ import annotations

import pytest
import torch

from untrained.nets import blocks
from untrained.nets.compact import JoinUp


@pytest.mark.parametrize("sides", [(2,), (6, 1), (2, 6), (2, 6, 6), (6, 1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_short_sides_are_convolved_in_full_precision(sides, stride):
    torch.manual_seed(0)
    layer = blocks.conv(len(sides), 3, 16, 3, stride=stride)
    x = torch.randn(1, 3, *sides)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x.bfloat16())
    assert found.dtype == torch.float32
    assert torch.equal(found, layer(x.bfloat16().float()))


def test_longer_sides_are_convolved_in_half_precision():
    with torch.autocast("cpu", torch.bfloat16):
        assert blocks.conv(2, 3, 4, 3)(torch.randn(1, 3, 3, 8)).dtype == torch.bfloat16
        joined = JoinUp(2, 3, 4, 4)(torch.randn(1, 4, 3, 3), torch.randn(1, 3, 6, 6))
        assert joined.dtype == torch.bfloat16


def test_a_step_up_from_short_sides_is_in_full_precision():
    torch.manual_seed(0)
    step = JoinUp(3, 4, 8, 8)
    x, side = torch.randn(1, 8, 2, 1, 3), torch.randn(1, 4, 4, 2, 6)
    with torch.autocast("cpu", torch.bfloat16):
        found = step(x.bfloat16(), side.bfloat16())
    assert torch.equal(found, step(x.bfloat16().float(), side.bfloat16().float()))
    with torch.autocast("cpu", torch.bfloat16):
        alone = JoinUp(3, 0, 8, 8)(x, None)
    assert alone.dtype == torch.float32

"""Convolutions of tensors with a side of 1 or 2, which bfloat16 kernels of CPUs get wrong."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import untrained as ut
from untrained.core.recipe import Recipe
from untrained.nets import blocks
from untrained.nets.compact import JoinUp


@pytest.mark.parametrize("sides", [(2,), (6, 1), (2, 6), (2, 6, 6), (6, 1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_short_sides_are_convolved_in_full_precision(sides, stride):
    torch.manual_seed(0)
    layer = blocks.with_careful_convolutions(blocks.conv(len(sides), 3, 16, 3, stride=stride))
    x = torch.randn(1, 3, *sides)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x.bfloat16())
    assert found.dtype == torch.float32
    assert torch.equal(found, layer(x.bfloat16().float()))


def test_longer_sides_are_convolved_in_half_precision():
    with torch.autocast("cpu", torch.bfloat16):
        layer = blocks.with_careful_convolutions(blocks.conv(2, 3, 4, 3))
        assert layer(torch.randn(1, 3, 3, 8)).dtype == torch.bfloat16
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


@dataclass(frozen=True)
class Mine:
    """A network of somebody else's, which halves the image to a pixel or two."""

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, stride=4, padding=1),
            nn.ConvTranspose2d(8, out_channels, 4, stride=4),
        )


def test_convolutions_of_other_peoples_networks_are_careful_too():
    problem = ut.Problem(torch.rand(1, 1, 8, 8), ut.physics.Denoise((1, 8, 8)))
    module = Recipe(ut.methods.DIP(), Mine()).build(problem)
    kinds = []
    for layer in module:
        layer.register_forward_hook(lambda _, __, out: kinds.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        module(torch.rand(1, module[0].in_channels, 8, 8))
        module(torch.rand(1, module[0].in_channels, 16, 16))
    assert kinds == [torch.bfloat16, torch.float32, torch.bfloat16, torch.bfloat16]


@pytest.mark.parametrize(("side", "kind"), [(4, torch.float32), (5, torch.bfloat16)])
def test_what_is_short_depends_on_the_kernel(side, kind):
    for layer in (nn.Conv2d(1, 4, 5, padding=2), nn.Conv2d(1, 4, 3, padding=2, dilation=2)):
        with torch.autocast("cpu", torch.bfloat16):
            careful = blocks.with_careful_convolutions(layer)
            assert careful(torch.rand(1, 1, 8, side)).dtype == kind


def test_careful_layers_are_called_as_before():
    x = torch.rand(1, 2, 4, 4)
    up = nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1)
    expected = up(x, output_size=[8, 8])
    assert torch.equal(blocks.with_careful_convolutions(up)(input=x, output_size=[8, 8]), expected)
    line = blocks.with_careful_convolutions(nn.Conv1d(2, 3, 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert line(torch.rand(2, 9)).shape == (3, 7)
    twice = blocks.with_careful_convolutions(blocks.with_careful_convolutions(line))
    assert type(twice).__mro__[1] is nn.Conv1d

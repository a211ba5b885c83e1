"""The network of time-dependent DIP: a mapping of a point in time, and a generator of frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from untrained.nets import blocks
from untrained.nets.fields import check_build, check_width


class TimeNetModule(nn.Module):
    """Map points of time `(B, L)` to frames `(B, C, *sides)`.

    Attributes:
        points: tells that the input is no picture.
    """

    points = True

    def __init__(self, spec: TimeNet, latent: int, outputs: int) -> None:
        super().__init__()
        height, width = spec.sides
        self.sides = spec.sides
        # one value has no variance: to normalise a single frame its coarse picture has several
        most = math.ceil(math.log2(min(height, width))) - 1
        scales = max(0, min(spec.scales, most))
        self.coarse = (math.ceil(height / 2**scales), math.ceil(width / 2**scales))
        self.mapping = nn.Sequential(
            nn.Linear(latent, spec.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(spec.hidden, self.coarse[0] * self.coarse[1]),
        )
        layers = [_unit(1, spec.width), _unit(spec.width, spec.width)]
        for _ in range(scales):
            layers += [blocks.upsample(2, "nearest")]
            layers += [_unit(spec.width, spec.width), _unit(spec.width, spec.width)]
        layers += [blocks.conv(2, spec.width, outputs, 3, bias=False)]
        if spec.sigmoid:
            layers.append(nn.Sigmoid())
        self.generator = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Draw a frame for each point; all of one call share the statistics of normalisation."""
        coarse = self.mapping(z).reshape(-1, 1, *self.coarse)
        drawn: Tensor = self.generator(coarse)
        return drawn[..., : self.sides[0], : self.sides[1]]


@dataclass(frozen=True)
class TimeNet:
    """Description of the network of Yoo et al. (IEEE TMI 2021), "MapNet" and generator.

    The mapping has one hidden layer with ReLU and gives a coarse picture of one channel; the
    generator two 3x3 convolutions a scale, without bias, each with batch normalisation and ReLU,
    nearest doubling between the scales, and a linear 3x3 head.

    Attributes:
        width: channels of every scale.
        scales: number of doublings; fewer for small frames, so that the coarse picture has two
            pixels a side or more.
        hidden: units of the hidden layer.
        sigmoid: whether the output passes a sigmoid (the paper's does not).
        sides: of a frame; set from the problem.
    """

    width: int = 128
    scales: int = 4
    hidden: int = 512
    sigmoid: bool = False
    sides: tuple[int, int] = (64, 64)

    def __post_init__(self) -> None:
        check_width("width", self.width)
        check_width("scales", self.scales, smallest=1, largest=8)
        check_width("hidden", self.hidden)

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> TimeNetModule:
        """Build the network for points of `in_channels` numbers; `dim` is 2."""
        check_build(in_channels, out_channels, dim)
        return TimeNetModule(self, in_channels, out_channels)


def helix(frames: int, cycles: float, like: Tensor) -> Tensor:
    """Place frames on a helix `(T, 3)`: cosine and sine of `cycles` turns, and time from 0 to 1."""
    time = torch.linspace(0, 1, frames, device=like.device)
    turn = 2 * math.pi * cycles * time
    return torch.stack([turn.cos(), turn.sin(), time], dim=1)


def _unit(inputs: int, outputs: int) -> nn.Module:
    return blocks.unit(2, inputs, outputs, 3, slope=0.0, bias=False)

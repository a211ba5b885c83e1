"""The U-Net of Deep Video Prior (Lei, Xing, Chen, NeurIPS 2020), called VCN there."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import nn

from untrained.nets import blocks
from untrained.nets.fields import check_build, check_depth, check_width
from untrained.nets.hourglass import Ascent, Decoder, Descent, Encoder, Hourglass

SLOPE = 0.2


class Xavier(nn.Sequential):
    """A chain whose convolutions are drawn as Glorot's uniform law says, with bias 0."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__(*parts)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter anew from the global generator."""
        for part in self.modules():
            if isinstance(part, nn.modules.conv._ConvNd):
                nn.init.xavier_uniform_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)


@dataclass(frozen=True)
class VCN:
    """Description of the network; the default is the paper's.

    Two convolutions a scale, 3x3 but for the first, which is 1x1, each with bias and leaky ReLU
    (0.2), without normalisation; maxima of 2x2 on the way down; bilinear doubling and a linear 3x3
    convolution on the way up, beside the full side branch; a linear 3x3 head.

    Attributes:
        width: channels of the largest scale; they double with every halving.
        depth: number of scales.
    """

    width: int = 32
    depth: int = 5

    def __post_init__(self) -> None:
        check_width("width", self.width)
        check_depth(self.depth)

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> Hourglass:
        """Build the network `(B, in_channels, *sides) -> (B, out_channels, *sides)`; sides >= 2."""
        multiple = 2 ** (self.depth - 1)
        return Hourglass(
            self.encoder(in_channels, dim),
            self.decoder(out_channels, dim),
            dim=dim,
            multiple=multiple,
            smallest=multiple,
        )

    def encoder(self, in_channels: int, dim: int = 2) -> Encoder:
        """Build the encoder; the side branch of every scale is the identity."""
        check_build(in_channels, 1, dim)
        widths = [self.width * 2**k for k in range(self.depth)]
        descents = [
            Descent(
                Xavier(
                    blocks.pool(dim, "max"), *_unit(dim, above, width), *_unit(dim, width, width)
                ),
                nn.Identity(),
            )
            for above, width in itertools.pairwise(widths)
        ]
        stem = Xavier(*_unit(dim, in_channels, self.width, 1), *_unit(dim, self.width, self.width))
        return Encoder(stem, descents)

    def decoder(self, out_channels: int, dim: int = 2) -> Decoder:
        """Build the decoder: the way up and the head."""
        check_build(1, out_channels, dim)
        ascents = []
        for scale in range(self.depth - 2, -1, -1):
            width = self.width * 2**scale
            up = Xavier(blocks.upsample(dim, "bilinear"), blocks.conv(dim, 2 * width, width, 3))
            last = scale == 0
            second = () if last else _unit(dim, width, width)
            ascents.append(Ascent(up, Xavier(*_unit(dim, 2 * width, width), *second)))
        return Decoder(ascents, Xavier(blocks.conv(dim, self.width, out_channels, 3)))


def _unit(dim: int, inputs: int, outputs: int, kernel: int = 3) -> tuple[nn.Module, nn.Module]:
    return blocks.conv(dim, inputs, outputs, kernel), nn.LeakyReLU(SLOPE, inplace=True)

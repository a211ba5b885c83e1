"""The U-Nets of aSeqDIP and Self-Guided DIP (Alkhouri, Liang et al., NeurIPS 2024; TCI 2025)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import nn

from untrained.nets import blocks
from untrained.nets.fields import check_build, check_depth, check_widths, per_scale
from untrained.nets.hourglass import Ascent, Decoder, Descent, Encoder, Hourglass

STD = 0.02


class Gaussian(nn.Sequential):
    """A chain whose convolutions are drawn N(0, 0.02) with bias 0, normalisations N(1, 0.02), 0."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__(*parts)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter anew from the global generator."""
        for part in self.modules():
            if isinstance(part, nn.modules.conv._ConvNd):
                nn.init.normal_(part.weight, 0.0, STD)
            elif isinstance(part, nn.modules.batchnorm._BatchNorm):
                nn.init.normal_(part.weight, 1.0, STD)
            else:
                continue
            if part.bias is not None:
                nn.init.zeros_(part.bias)


@dataclass(frozen=True)
class UNet:
    """Description of a U-Net; the default is the medium one, of MRI and CT.

    Two 3x3 convolutions per scale, each with bias, zero padding, batch normalisation and ReLU;
    maxima of 2x2 on the way down; on the way up bilinear doubling with aligned corners, padded
    with zeros where a halving had rounded an odd side down, behind the full side branch; the
    middle width of an up block is half its input. The head is a 1x1 convolution, without
    sigmoid. Weights N(0, 0.02).

    Attributes:
        widths: channels per scale, largest scale first; one halving less than entries.
        sigmoid: whether the output passes a sigmoid (the papers' does not).
        depth: None, or the number of scales: `widths` is cut to it, or its last entry repeated.
    """

    widths: tuple[int, ...] = (64, 128, 256, 256)
    sigmoid: bool = False
    depth: int | None = None

    def __post_init__(self) -> None:
        check_widths("widths", self.widths)
        check_depth(self.depth)

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> Hourglass:
        """Build the network `(B, in_channels, *sides) -> (B, out_channels, *sides)`; sides >= 2."""
        return self.around(self.encoder(in_channels, dim), out_channels, dim)

    def around(self, encoder: Encoder, out_channels: int, dim: int) -> Hourglass:
        """Build the network around an encoder of the same widths."""
        deepest = 2 ** (len(per_scale(self.widths, self.depth)) - 1)
        decoder = self.decoder(out_channels, dim)
        return Hourglass(encoder, decoder, dim=dim, multiple=1, smallest=2 * deepest)

    def encoder(self, in_channels: int, dim: int = 2) -> Encoder:
        """Build the encoder; the side branch of every scale is the identity."""
        check_build(in_channels, 1, dim)
        widths = per_scale(self.widths, self.depth)
        descents = [
            Descent(
                Gaussian(blocks.pool(dim, "max"), _double(dim, channels, width, width)),
                nn.Identity(),
            )
            for channels, width in itertools.pairwise(widths)
        ]
        return Encoder(Gaussian(_double(dim, in_channels, widths[0], widths[0])), descents)

    def decoder(self, out_channels: int, dim: int = 2) -> Decoder:
        """Build the decoder: the way up and the head."""
        check_build(1, out_channels, dim)
        widths = per_scale(self.widths, self.depth)
        ascents: list[Ascent] = []
        below = widths[-1]
        for scale in range(len(widths) - 2, -1, -1):
            joined = widths[scale] + below
            # an up block already narrows to the next scale's width, so that halves match
            below = widths[max(scale - 1, 0)]
            up = blocks.upsample(dim, "bilinear", align_corners=True)
            ascents.append(Ascent(up, Gaussian(_double(dim, joined, joined // 2, below))))
        head: list[nn.Module] = [Gaussian(blocks.conv(dim, below, out_channels, 1))]
        if self.sigmoid:
            head.append(nn.Sigmoid())
        return Decoder(ascents, nn.Sequential(*head))


def _double(dim: int, inputs: int, middle: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        blocks.unit(dim, inputs, middle, 3, slope=0.0),
        blocks.unit(dim, middle, outputs, 3, slope=0.0),
    )


MEDIUM_UNET = UNet()
"""MRI and CT."""
SHALLOW_UNET = UNet(widths=(64, 128, 128))
"""Denoising, inpainting and deblurring."""
EXTRA_DEEP_UNET = UNet(widths=(64, 128, 256, 512, 1024, 1024))
"""Self-Guided DIP."""

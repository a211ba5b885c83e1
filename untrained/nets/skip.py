"""The hourglass with thin skips of the Deep Image Prior (Ulyanov et al., CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from untrained.errors import UserError
from untrained.nets import blocks
from untrained.nets.fields import (
    check_build,
    check_choice,
    check_depth,
    check_kernel,
    check_widths,
    per_scale,
)
from untrained.nets.hourglass import Ascent, Decoder, Descent, Encoder, Hourglass

SLOPE = 0.2


@dataclass(frozen=True)
class SkipNet:
    """Description of a skip network; the defaults are the paper's standard one.

    Per scale: a 1x1 side branch of a few channels; a halving and a plain convolution down; on the
    way up a doubling, the concatenation, its normalisation, a convolution and a 1x1 convolution.
    Every convolution has a bias and is followed by batch normalisation and leaky ReLU (0.2), all
    drawn as PyTorch does by default.

    Attributes:
        down: channels on the way down, largest scale first; one entry per halving.
        up: channels on the way up, largest scale first, as many.
        skip: channels of the side branches, as many; 0 leaves a branch out.
        kernel_down: side of the kernels on the way down, odd.
        kernel_up: side of the kernels on the way up, odd.
        upsample: `bilinear` or `nearest`.
        downsample: `stride` (a strided convolution), `avg` or `max` (convolution, then pooling).
        padding: `reflect`, `zeros` or `replicate`.
        need1x1_up: whether each scale ends with a 1x1 convolution.
        join_norm: whether the concatenation is normalised (the shared network of UGoDIT,
            NeurIPS 2025, leaves it out).
        sigmoid: whether the output passes a sigmoid (images in [0, 1]).
        depth: None, or the number of scales: the three lists are cut to it, or their last entry
            repeated.
    """

    down: tuple[int, ...] = (128,) * 5
    up: tuple[int, ...] = (128,) * 5
    skip: tuple[int, ...] = (4,) * 5
    kernel_down: int = 3
    kernel_up: int = 3
    upsample: str = "bilinear"
    downsample: str = "stride"
    padding: str = "reflect"
    need1x1_up: bool = True
    join_norm: bool = True
    sigmoid: bool = True
    depth: int | None = None

    def __post_init__(self) -> None:
        check_widths("down", self.down)
        check_widths("up", self.up)
        check_widths("skip", self.skip, smallest=0)
        if not len(self.down) == len(self.up) == len(self.skip):
            raise UserError(
                f"down, up and skip need one entry per scale each, got {len(self.down)}, "
                f"{len(self.up)} and {len(self.skip)} entries."
            )
        check_kernel("kernel_down", self.kernel_down)
        check_kernel("kernel_up", self.kernel_up)
        check_choice("upsample", self.upsample, blocks.UPSAMPLINGS)
        check_choice("downsample", self.downsample, blocks.DOWNSAMPLINGS)
        check_choice("padding", self.padding, blocks.PADDINGS)
        check_depth(self.depth)

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> Hourglass:
        """Build the network `(B, in_channels, *sides) -> (B, out_channels, *sides)`; sides >= 2."""
        multiple = 2 ** len(per_scale(self.down, self.depth))
        # reflection by k//2 pixels needs more than k//2 pixels at the deepest scale
        deepest = 1 + max(self.kernel_down, self.kernel_up, 3) // 2
        return Hourglass(
            self.encoder(in_channels, dim),
            self.decoder(out_channels, dim),
            dim=dim,
            multiple=multiple,
            smallest=multiple * deepest,
        )

    def encoder(self, in_channels: int, dim: int = 2) -> Encoder:
        """Build the encoder: all strided and plain convolutions and the side branches."""
        check_build(in_channels, 1, dim)
        downs = per_scale(self.down, self.depth)
        skips = per_scale(self.skip, self.depth)
        inputs = (in_channels, *downs)
        descents = [
            Descent(
                self._down(dim, channels, width),
                blocks.unit(dim, channels, skip, 1, slope=SLOPE) if skip else None,
            )
            for channels, width, skip in zip(inputs, downs, skips, strict=False)
        ]
        return Encoder(nn.Identity(), descents)

    def decoder(self, out_channels: int, dim: int = 2) -> Decoder:
        """Build the decoder: the way up and the head."""
        check_build(1, out_channels, dim)
        ups = per_scale(self.up, self.depth)
        skips = per_scale(self.skip, self.depth)
        below = (*ups[1:], per_scale(self.down, self.depth)[-1])
        ascents = [
            Ascent(blocks.upsample(dim, self.upsample), self._join(dim, skip + channels, width))
            for skip, channels, width in zip(skips, below, ups, strict=True)
        ]
        head = [blocks.conv(dim, ups[0], out_channels, 1)]
        if self.sigmoid:
            head.append(nn.Sigmoid())
        return Decoder(ascents[::-1], nn.Sequential(*head))

    def _down(self, dim: int, inputs: int, width: int) -> nn.Sequential:
        kernel, padding = self.kernel_down, self.padding
        plain = blocks.unit(dim, width, width, kernel, slope=SLOPE, padding=padding)
        if self.downsample == "stride":
            halve = blocks.unit(dim, inputs, width, kernel, slope=SLOPE, stride=2, padding=padding)
        else:
            halve = nn.Sequential(
                blocks.conv(dim, inputs, width, kernel, padding=padding),
                blocks.pool(dim, self.downsample),
                blocks.norm(dim, width),
                nn.LeakyReLU(SLOPE, inplace=True),
            )
        return nn.Sequential(halve, plain)

    def _join(self, dim: int, inputs: int, width: int) -> nn.Sequential:
        parts = [blocks.norm(dim, inputs)] if self.join_norm else []
        parts.append(
            blocks.unit(dim, inputs, width, self.kernel_up, slope=SLOPE, padding=self.padding)
        )
        if self.need1x1_up:
            parts.append(blocks.unit(dim, width, width, 1, slope=SLOPE))
        return nn.Sequential(*parts)


SKIP = SkipNet()
"""Denoising, super-resolution and restoration of the DIP paper."""
SKIP_LIBRARY = SkipNet(skip=(128,) * 5, upsample="nearest")
"""Inpainting of the `library` picture."""
SKIP_LARGE_HOLE = SkipNet(skip=(0,) * 5, upsample="nearest")
"""Inpainting of one large hole (`vase`), from a two-channel mesh grid."""
SKIP_TEXT = SkipNet(
    down=(16, 32, 64, 128, 128, 128),
    up=(16, 32, 64, 128, 128, 128),
    skip=(0,) * 6,
    kernel_down=5,
    upsample="nearest",
    need1x1_up=False,
)
"""Inpainting of overlaid text (`kate`)."""
SKIP_JPEG = SkipNet(down=(8, 16, 32, 64, 128), up=(8, 16, 32, 64, 128), skip=(0, 0, 0, 4, 4))
"""Removal of JPEG artefacts (`snail`)."""
SKIP_SHARED = SkipNet(join_norm=False)
"""Encoder and decoders of UGoDIT for natural images."""
SKIP_OES = SkipNet(
    down=(16, 32, 64, 128, 128, 128),
    up=(16, 32, 64, 128, 128, 128),
    skip=(0,) * 6,
    kernel_down=5,
    upsample="nearest",
    downsample="avg",
    need1x1_up=False,
)
"""The network that Optimal Eye Surgeon prunes (Ghosh et al., ICML 2024)."""

"""The small, fast hourglass of the `fast` presets: ours, of no paper."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional

from untrained.nets import blocks
from untrained.nets.fields import check_build, check_depth, check_width, check_widths, per_scale
from untrained.nets.hourglass import Decoder, Descent, Encoder, Hourglass

SLOPE = 0.1

_CONV: dict[int, Callable[..., Tensor]]
_CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


class JoinUp(nn.Module):
    """Nearest doubling, concatenation behind the side tensor and 3x3 convolution at once.

    Doubling and then convolving with 3 taps per axis is one transposed convolution of stride 2
    with the 4 taps that overlap-adding the 3 with themselves gives: 4/9 of the products in 2D,
    and neither the enlarged nor the concatenated tensor is ever stored. Measured on one CPU core
    at 256x256, channels last: half the time of the three steps for 64 -> 32 channels.

    Args:
        dim: spatial axes.
        side: channels of the side tensor, 0 if there is none.
        below: channels of the deeper tensor.
        outputs: channels out.
    """

    def __init__(self, dim: int, side: int, below: int, outputs: int) -> None:
        super().__init__()
        self.dim = dim
        self.side = side
        self.conv = blocks.conv(dim, side + below, outputs, 3, bias=False)

    def forward(self, x: Tensor, side: Tensor | None) -> Tensor:
        """Map the deeper `(B, below, *sides)` and the side tensor, twice as large, to its size."""
        result: Tensor = blocks.carefully(self._joined, self.dim, blocks.SHORT, x, side)
        return result

    def _joined(self, x: Tensor, side: Tensor | None) -> Tensor:
        weight = self.conv.weight
        assert isinstance(weight, Tensor)
        taps = weight[:, self.side :].flip(tuple(range(2, weight.ndim)))
        for axis in range(self.dim):
            before = (0, 0) * axis
            taps = functional.pad(taps, (*before, 0, 1)) + functional.pad(taps, (*before, 1, 0))
        enlarged = _TRANSPOSED[self.dim](x, taps.transpose(0, 1), stride=2, padding=1)
        if side is None:
            return enlarged
        return enlarged + _CONV[self.dim](side, weight[:, : self.side], padding=1)


class CompactAscent(nn.Module):
    """One step up: join, normalise, activate, and a 1x1 convolution."""

    def __init__(self, dim: int, side: int, below: int, outputs: int) -> None:
        super().__init__()
        self.join = JoinUp(dim, side, below, outputs)
        self.rest = nn.Sequential(
            blocks.norm(dim, outputs),
            nn.LeakyReLU(SLOPE, inplace=True),
            blocks.unit(dim, outputs, outputs, 1, slope=SLOPE, bias=False),
        )

    def forward(self, x: Tensor, side: Tensor | None) -> Tensor:
        """Map the deeper tensor and the side tensor to the next scale."""
        result: Tensor = self.rest(self.join(x, side))
        return result


@dataclass(frozen=True)
class Compact:
    """Description of a compact network.

    A 3x3 stem at full size; per halving a strided and a plain 3x3 convolution; on the way up
    nearest doubling, the thin side branch in front, a 3x3 and a 1x1 convolution; a linear 1x1
    head. Zeros beyond the border. No convolution has a bias (the normalisation behind it would
    remove it); each but the head is followed by batch normalisation and leaky ReLU (0.1), drawn
    as PyTorch does by default.

    Attributes:
        widths: channels per scale, largest scale first; one halving less than entries.
        skip: channels of every side branch; 0 leaves them out.
        sigmoid: whether the output passes a sigmoid (images in [0, 1]).
        depth: None, or the number of scales: `widths` is cut to it, or its last entry repeated.
    """

    widths: tuple[int, ...] = (32, 64, 128, 128, 128)
    skip: int = 4
    sigmoid: bool = False
    depth: int | None = None

    def __post_init__(self) -> None:
        check_widths("widths", self.widths)
        check_width("skip", self.skip, smallest=0)
        check_depth(self.depth)

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> Hourglass:
        """Build the network `(B, in_channels, *sides) -> (B, out_channels, *sides)`; sides >= 2."""
        multiple = 2 ** (len(per_scale(self.widths, self.depth)) - 1)
        return Hourglass(
            self.encoder(in_channels, dim),
            self.decoder(out_channels, dim),
            dim=dim,
            multiple=multiple,
            smallest=2 * multiple,
        )

    def for_series(self, frames: int) -> Compact:
        """Return the network with no more scales than an axis of so many frames can be halved to.

        With more, a short series would be reflected in time to twice its length and beyond.
        """
        scales = len(per_scale(self.widths, self.depth))
        return replace(self, depth=min(scales, max(2, frames.bit_length() - 1)))

    def encoder(self, in_channels: int, dim: int = 2) -> Encoder:
        """Build the encoder: the stem, the way down and the side branches."""
        check_build(in_channels, 1, dim)
        widths = per_scale(self.widths, self.depth)
        descents = [
            Descent(
                nn.Sequential(
                    _unit(dim, channels, width, 3, stride=2), _unit(dim, width, width, 3)
                ),
                _unit(dim, channels, self.skip, 1) if self.skip else None,
            )
            for channels, width in itertools.pairwise(widths)
        ]
        return Encoder(_unit(dim, in_channels, widths[0], 3), descents)

    def decoder(self, out_channels: int, dim: int = 2) -> Decoder:
        """Build the decoder: the way up and the head."""
        check_build(1, out_channels, dim)
        widths = per_scale(self.widths, self.depth)
        ascents = [
            CompactAscent(dim, self.skip, below, width)
            for width, below in itertools.pairwise(widths)
        ]
        head = [blocks.conv(dim, widths[0], out_channels, 1, bias=False)]
        if self.sigmoid:
            head.append(nn.Sigmoid())
        return Decoder(ascents[::-1], nn.Sequential(*head))


def _unit(dim: int, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Module:
    return blocks.unit(dim, inputs, outputs, kernel, slope=SLOPE, stride=stride, bias=False)

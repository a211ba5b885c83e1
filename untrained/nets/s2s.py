"""The network of Rethinking Deep Image Prior (Jo, Chun, Choi, ICCV 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from untrained.nets import blocks
from untrained.nets.fields import check_build, check_depth, check_width, check_widths
from untrained.nets.hourglass import Ascent, Decoder, Descent, Encoder, Hourglass


@dataclass(frozen=True)
class S2SNet:
    """Description of the hourglass that the authors took over from Self2Self, without dropout.

    Down: a strided and a plain 3x3 convolution per scale; every scale's input goes across. Up:
    nearest doubling, concatenation and its normalisation, two 3x3 convolutions; at full size
    two narrower ones behind the concatenation with the input image, and a 3x3 head. Convolutions
    have a bias and reflect at the border; each but the head is followed by batch normalisation
    and softplus, all drawn as PyTorch does by default.

    Attributes:
        down: channels on the way down, the same on every scale.
        up: channels on the way up.
        last: channels of the two convolutions at full size.
        depth: halvings.
        sigmoid: whether the output passes a sigmoid (images in [0, 1]).
    """

    down: int = 48
    up: int = 96
    last: tuple[int, ...] = (64, 32)
    depth: int = 5
    sigmoid: bool = True

    def __post_init__(self) -> None:
        check_width("down", self.down)
        check_width("up", self.up)
        check_widths("last", self.last)
        check_depth(self.depth)

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> Hourglass:
        """Build the network `(B, in_channels, *sides) -> (B, out_channels, *sides)`; sides >= 2."""
        check_build(in_channels, out_channels, dim)
        inputs = (in_channels, *(self.down,) * (self.depth - 1))
        descents = [
            Descent(
                nn.Sequential(_unit(dim, c, self.down, 2), _unit(dim, self.down, self.down)),
                nn.Identity(),
            )
            for c in inputs
        ]
        ascents = [
            Ascent(blocks.upsample(dim, "nearest"), self._join(dim, self.down + self.up))
            for _ in range(self.depth - 1)
        ]
        middle = _unit(dim, self.down, self.up)
        final = Ascent(blocks.upsample(dim, "nearest"), self._final(dim, in_channels, out_channels))
        steps: list[nn.Module] = [*ascents, final]
        steps[0].up = nn.Sequential(middle, blocks.upsample(dim, "nearest"))
        head = nn.Sigmoid() if self.sigmoid else nn.Identity()
        return Hourglass(
            Encoder(nn.Identity(), descents),
            Decoder(steps, head),
            dim=dim,
            multiple=2**self.depth,
            smallest=2 ** (self.depth + 1),
        )

    def _join(self, dim: int, inputs: int) -> nn.Sequential:
        return nn.Sequential(
            blocks.norm(dim, inputs), _unit(dim, inputs, self.up), _unit(dim, self.up, self.up)
        )

    def _final(self, dim: int, image: int, outputs: int) -> nn.Sequential:
        widths = (image + self.up, *self.last)
        units = [_unit(dim, a, b) for a, b in zip(widths, self.last, strict=False)]
        return nn.Sequential(*units, blocks.conv(dim, widths[-1], outputs, 3, padding="reflect"))


def _unit(dim: int, inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        blocks.conv(dim, inputs, outputs, 3, stride=stride, padding="reflect"),
        blocks.norm(dim, outputs),
        nn.Softplus(),
    )

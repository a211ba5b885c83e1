"""Networks without an encoder: from a few coarse numbers straight to an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from untrained.errors import UserError
from untrained.nets import blocks
from untrained.nets.fields import check_build, check_depth, check_width
from untrained.nets.sizes import crop_to


class Generator(nn.Module):
    """Layers from a coarse input to an image, which is cropped to its sides.

    Attributes:
        input_sides: spatial sides of the input z.
    """

    def __init__(
        self, layers: list[nn.Module], input_sides: tuple[int, ...], sides: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.input_sides = input_sides
        self.sides = sides

    def forward(self, z: Tensor) -> Tensor:
        """Map `(B, C, *input_sides)` to `(B, C', *sides)`."""
        if tuple(z.shape[2:]) != self.input_sides:
            raise ValueError(f"the input must be (B, C, {self.input_sides}), got {tuple(z.shape)}")
        return crop_to(self.layers(z), self.sides).contiguous()


@dataclass(frozen=True)
class DeepDecoder:
    """Description of a deep decoder (Heckel & Hand, ICLR 2019).

    Blocks of a 1x1 convolution without bias, linear doubling, ReLU and batch normalisation; one
    more block that does not enlarge; a 1x1 head. Nothing mixes neighbours but the doubling, so
    that the few weights cannot draw noise. All weights as PyTorch draws them.

    Attributes:
        channels: k, of every layer and of the input.
        depth: L, doublings; the input is 2^L times smaller than the image, rounded up.
        start: longest side of the input instead; the L enlargements then grow it geometrically
            and the block that does not enlarge is left out (Heckel & Soltanolkotabi, ICML 2020).
        sigmoid: whether the output passes a sigmoid (images in [0, 1]).
        sides: spatial sides of the image; a run fills them in.
    """

    channels: int = 128
    depth: int = 5
    start: int = 0
    sigmoid: bool = True
    sides: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_width("channels", self.channels)
        check_depth(self.depth)
        check_width("start", self.start, smallest=0)

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> Generator:
        """Build the network `(B, in_channels, *input_sides) -> (B, out_channels, *sides)`."""
        check_build(in_channels, out_channels, dim)
        sides = _check_sides(self.sides, dim)
        if self.start:
            grown = growth(sides, self.start, self.depth)
        else:
            small = tuple(-(-side // 2**self.depth) for side in sides)
            grown = [tuple(side * 2**i for side in small) for i in range(self.depth + 1)]
        layers: list[nn.Module] = []
        channels = in_channels
        for size in [*grown[1:], *(() if self.start else (None,))]:
            layers.append(blocks.conv(dim, channels, self.channels, 1, bias=False))
            if size is not None:
                layers.append(blocks.resize(dim, "bilinear", size))
            layers += [nn.ReLU(), blocks.norm(dim, self.channels)]
            channels = self.channels
        layers.append(blocks.conv(dim, channels, out_channels, 1, bias=False))
        if self.sigmoid:
            layers.append(nn.Sigmoid())
        return Generator(layers, grown[0], sides)


@dataclass(frozen=True)
class ConvDecoder:
    """Description of a ConvDecoder (Darestani & Heckel, 2021).

    Blocks of nearest enlargement, 3x3 convolution, ReLU and batch normalisation; a last such block
    without enlargement; a 1x1 head. Sides grow geometrically from `start` to the image's.

    Attributes:
        channels: of every layer and of the input.
        depth: L, blocks in all; L - 1 of them enlarge.
        start: longest side of the input; the shorter ones in proportion.
        sigmoid: whether the output passes a sigmoid (the paper's does not).
        sides: spatial sides of the image; a run fills them in.
    """

    channels: int = 256
    depth: int = 7
    start: int = 8
    sigmoid: bool = False
    sides: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_width("channels", self.channels)
        check_depth(self.depth)
        if self.depth < 2:
            raise UserError(f"depth must be at least 2, one block that enlarges, got {self.depth}")
        check_width("start", self.start)

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> Generator:
        """Build the network `(B, in_channels, *input_sides) -> (B, out_channels, *sides)`."""
        check_build(in_channels, out_channels, dim)
        sides = _check_sides(self.sides, dim)
        grown = growth(sides, self.start, self.depth - 1)
        layers: list[nn.Module] = []
        channels = in_channels
        for size in (*grown[1:], None):
            if size is not None:
                layers.append(blocks.resize(dim, "nearest", size))
            layers.append(blocks.conv(dim, channels, self.channels, 3))
            layers += [nn.ReLU(), blocks.norm(dim, self.channels)]
            channels = self.channels
        layers.append(blocks.conv(dim, channels, out_channels, 1))
        if self.sigmoid:
            layers.append(nn.Sigmoid())
        return Generator(layers, grown[0], sides)


def growth(sides: tuple[int, ...], start: int, steps: int) -> list[tuple[int, ...]]:
    """List sides from an input's, the longest `start`, to the image's, in `steps` equal ratios."""
    longest = max(sides)
    first = tuple(max(1, min(side, start * side // longest)) for side in sides)
    return [
        tuple(
            # the small subtraction keeps a rounding error from pushing an exact power up by one
            math.ceil(a * (side / a) ** (i / steps) - 1e-6)
            for a, side in zip(first, sides, strict=True)
        )
        for i in range(steps + 1)
    ]


def _check_sides(sides: tuple[int, ...], dim: int) -> tuple[int, ...]:
    if len(sides) != dim or min(sides, default=0) < 2:
        raise UserError(
            f"a decoder needs the image's {dim} sides, each of at least 2 pixels, before it can be "
            f"built; sides={sides!r}"
        )
    return sides

"""The U-Net of Educated DIP (Barbano et al., IEEE TCI 2022): group normalisation, thin joins."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from untrained.nets import blocks
from untrained.nets.fields import check_build, check_depth, check_widths, per_scale
from untrained.nets.hourglass import Ascent, Decoder, Descent, Encoder, Hourglass

SLOPE = 0.2


class Silent(nn.Module):
    """A branch of one channel, multiplied by zero: how the authors leave a branch out."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros `(B, 1, *sides)` for `(B, C, *sides)`."""
        return torch.zeros_like(self.branch(x))


@dataclass(frozen=True)
class EdipUNet:
    """Description of the network; the default has 2,973,880 weights for one channel.

    A 3x3 stem; per halving a strided and a plain 3x3 convolution; on the way up bilinear
    doubling, the concatenation with a 1x1 side branch, its normalisation and two 3x3
    convolutions; a linear 1x1 head. Zeros beyond the border. Every convolution but the head is
    followed by group normalisation (2 groups in stem and joins, 4 on the way down, 1 in branches
    and on the concatenation) and leaky ReLU (0.2), and has a bias; all are drawn as PyTorch does.

    Differs from the released code: the affine layers at both ends that hold the mean and the
    standard deviation of the training set are left out, since problems are scaled here.

    Attributes:
        widths: channels per scale, largest scale first; one halving less than entries.
        skip: channels of the side branches, largest scale first, one less than `widths`; 0 is one
            channel times zero, as in the released code.
        depth: None, or the number of scales: `widths` is cut to it, or its last entry repeated;
            `skip` likewise, from its small end.
    """

    widths: tuple[int, ...] = (128,) * 6
    skip: tuple[int, ...] = (0, 0, 0, 4, 4)
    depth: int | None = None

    def __post_init__(self) -> None:
        check_widths("widths", self.widths)
        check_widths("skip", self.skip, smallest=0)
        check_depth(self.depth)

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> Hourglass:
        """Build the network `(B, in_channels, *sides) -> (B, out_channels, *sides)`; sides >= 2."""
        check_build(in_channels, out_channels, dim)
        widths = per_scale(self.widths, self.depth)
        skips = per_scale(self.skip[::-1], len(widths) - 1)[::-1] if len(widths) > 1 else ()
        pairs = list(zip(widths, widths[1:], skips, strict=False))
        encoder = Encoder(
            _unit(dim, in_channels, widths[0], 2),
            [Descent(_down(dim, above, below), _side(dim, above, n)) for above, below, n in pairs],
        )
        ascents = [
            Ascent(blocks.upsample(dim, "bilinear"), _join(dim, max(n, 1) + below, above))
            for above, below, n in pairs
        ]
        head = nn.Sequential(blocks.conv(dim, widths[0], out_channels, 1))
        multiple = 2 ** (len(widths) - 1)
        decoder = Decoder(ascents[::-1], head)
        return Hourglass(encoder, decoder, dim=dim, multiple=multiple, smallest=2 * multiple)


def _unit(
    dim: int, inputs: int, outputs: int, groups: int, *, stride: int = 1, kernel: int = 3
) -> nn.Sequential:
    return nn.Sequential(
        blocks.conv(dim, inputs, outputs, kernel, stride=stride),
        nn.GroupNorm(groups if outputs % groups == 0 else 1, outputs),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def _down(dim: int, inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_unit(dim, inputs, outputs, 4, stride=2), _unit(dim, outputs, outputs, 4))


def _side(dim: int, inputs: int, count: int) -> nn.Module:
    branch = _unit(dim, inputs, max(count, 1), 1, kernel=1)
    return branch if count else Silent(branch)


def _join(dim: int, inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.GroupNorm(1, inputs), _unit(dim, inputs, outputs, 2), _unit(dim, outputs, outputs, 2)
    )

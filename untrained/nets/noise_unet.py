"""A small U-Net that is told the noise level: the network inside our own denoisers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import UserError

GAIN = 1e-3
"""Size of the output of a new network and of its blocks, relative to that of their inputs."""


@dataclass(frozen=True)
class NoiseUNet:
    """Describe a U-Net without normalisation whose features the noise level scales and shifts.

    Its last input channel is the noise level: a number that is the same for all pixels. A block is
    two 3x3 convolutions beside an identity; there is one on the way down and one on the way up of
    each scale. Nothing depends on where a pixel stands or on the size of the image, so that it can
    be trained on crops.

    Args:
        widths: channels of each scale, from the image's own down; each scale halves the sides.
        features: sines and cosines of the noise level, and channels of what is made of them; 0 for
            a U-Net that is told no level, and whose input has no such channel.
    """

    widths: tuple[int, ...] = (32, 48, 64, 96)
    features: int = 64

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1 or self.features < 0 or self.features % 2:
            raise UserError(
                "net.widths must be positive and net.features even and not negative, got "
                f"{self.widths} and {self.features}"
            )

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
        """Build the network for images `(B, in_channels, H, W)`, the noise level the last channel.

        Raises:
            UserError: the images are no pictures, or have no channel beside the noise level.
        """
        told = 1 if self.features else 0
        if dim != 2 or in_channels <= told:
            raise UserError(
                "this network takes pictures (C, H, W)"
                + (", the last channel the noise level" if told else "")
            )
        return NoiseUNetModule(in_channels - told, out_channels, self.widths, self.features)

    @property
    def multiple(self) -> int:
        """Return what the sides of an image must be multiples of."""
        return int(2 ** (len(self.widths) - 1))


class NoiseUNetModule(nn.Module):
    """Map `(B, C + 1, H, W)`, the last channel the noise level, to `(B, C', H, W)`.

    Without features, the input is `(B, C, H, W)`.
    """

    def __init__(self, inputs: int, outputs: int, widths: tuple[int, ...], features: int) -> None:
        super().__init__()
        self.waves = features // 2
        pairs = list(pairwise(widths))
        self.level = nn.Sequential(nn.Linear(features, features), nn.SiLU()) if features else None
        self.stem = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Block(width, features) for width in widths[:-1])
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.bottom = _Block(widths[-1], features)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(_Block(width, features) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], outputs, 3, padding=1)

    def reset_parameters(self) -> None:
        """Make the output of a new network small, after every layer has drawn its own weights."""
        with torch.no_grad():
            self.head.weight.mul_(GAIN)
            self.head.bias.zero_()  # type: ignore[union-attr]

    def forward(self, z: Tensor) -> Tensor:
        """Compute the output; sides that cannot be halved so often repeat their edge meanwhile."""
        height, width = z.shape[2:]
        multiple = 2 ** len(self.shrink)
        down, right = -height % multiple, -width % multiple
        if down or right:
            wide = functional.pad(z, (0, right, 0, down), mode="replicate")
            return self(wide)[..., :height, :width]
        level = None
        if self.level is not None:
            level, z = self.level(self._waves(z[:, -1, 0, 0])), z[:, :-1]
        x = self.stem(z)
        passed = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            x = block(x, level)
            passed.append(x)
            x = shrink(x)
        x = self.bottom(x, level)
        for block, grow, beside in reversed(list(zip(self.up, self.grow, passed, strict=True))):
            x = block(grow(x) + beside, level)
        out: Tensor = self.head(functional.silu(x))
        return out

    def _waves(self, level: Tensor) -> Tensor:
        """Return sines and cosines of the levels `(B,)`, of wavelengths from 60 down to 0.6."""
        turns = torch.logspace(-1, 1, self.waves, device=level.device) * level.float()[:, None]
        return torch.cat([turns.sin(), turns.cos()], 1)


class _Block(nn.Module):
    """x + conv(silu(a(level) conv(silu(x)) + b(level)))."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(features, 2 * width) if features else None
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def reset_parameters(self) -> None:
        """Make a new block nearly the identity, after its layers have drawn their own weights."""
        with torch.no_grad():
            self.second.weight.mul_(GAIN)
            self.second.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor, level: Tensor | None) -> Tensor:
        """Compute the block for features `(B, width, H, W)` and levels `(B, features)`."""
        inside = self.first(functional.silu(x))
        if self.film is not None:
            factor, offset = self.film(level)[:, :, None, None].chunk(2, 1)
            inside = inside * (1 + factor) + offset
        out: Tensor = x + self.second(functional.silu(inside))
        return out

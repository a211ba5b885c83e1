"""The shape of all our convolutional networks: an encoder, side branches and a decoder.

An `Encoder` and a `Decoder` are modules of their own because some methods share, freeze or
transplant one of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from untrained.nets.recompute import run_block
from untrained.nets.sizes import crop_to, pad_to


class Descent(nn.Module):
    """One step down: `(side branch's tensor or None, half-sized tensor)`."""

    def __init__(self, down: nn.Module, side: nn.Module | None) -> None:
        super().__init__()
        self.down = down
        self.side = side

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """Map `(B, C, *sides)` to the side branch's tensor and the half-sized one."""
        return None if self.side is None else self.side(x), self.down(x)


class Ascent(nn.Module):
    """One step up: enlarge, concatenate behind the side branch's tensor, convolve."""

    def __init__(self, up: nn.Module, join: nn.Module) -> None:
        super().__init__()
        self.up = up
        self.join = join

    def forward(self, x: Tensor, side: Tensor | None) -> Tensor:
        """Map the deeper `(B, C, *sides)` and the side branch's tensor to the next scale."""
        x = self.up(x)
        if side is not None:
            x = torch.cat((side, _match(x, side)), dim=1)
        return self.join(x)


class Encoder(nn.Module):
    """Stem and descents, largest scale first.

    Attributes:
        lean: compute the inner tensors of a scale again in the backward pass, to save memory.
    """

    lean = False

    def __init__(self, stem: nn.Module, descents: Sequence[Descent]) -> None:
        super().__init__()
        self.stem = stem
        self.descents = nn.ModuleList(descents)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """Map an image to the deepest features and the side tensors, largest scale first."""
        x = run_block(self.stem, x, lean=self.lean)
        sides: list[Tensor | None] = []
        for descent in self.descents:
            side, x = run_block(descent, x, lean=self.lean)
            sides.append(side)
        return x, sides


class Decoder(nn.Module):
    """Ascents and head, smallest scale first.

    Attributes:
        lean: as of `Encoder`.
    """

    lean = False

    def __init__(self, ascents: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.ascents = nn.ModuleList(ascents)
        self.head = head

    def forward(self, x: Tensor, sides: Sequence[Tensor | None]) -> Tensor:
        """Map the features and side tensors of an encoder to an image."""
        for ascent, side in zip(self.ascents, reversed(sides), strict=True):
            x = run_block(ascent, x, side, lean=self.lean)
        return self.head(x)


class Hourglass(nn.Module):
    """Encoder and decoder for images of any size of at least 2 pixels per side.

    Args:
        encoder: image to features.
        decoder: features to image.
        dim: spatial axes.
        multiple: sides are reflected up to a multiple of this before, and cropped after.
        smallest: and to at least this.
    """

    def __init__(
        self, encoder: Encoder, decoder: Decoder, *, dim: int, multiple: int, smallest: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.dim = dim
        self.multiple = multiple
        self.smallest = smallest

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, in_channels, *sides)` to `(B, out_channels, *sides)`.

        Raises:
            ValueError: the tensor has another number of axes than dim + 2.
            UserError: a side is shorter than 2 pixels.
        """
        if x.ndim != self.dim + 2:
            raise ValueError(
                f"a network of dim={self.dim} takes a tensor of {self.dim + 2} axes "
                f"(batch, channels, {self.dim} spatial), got {tuple(x.shape)}"
            )
        padded = pad_to(x, self.multiple, self.smallest)
        if x.device.type == "cpu" and self.dim == 2:
            padded = _channels_last(padded)
        features, sides = self.encoder(padded)
        return crop_to(self.decoder(features, sides), x.shape[2:]).contiguous()


def _channels_last(x: Tensor) -> Tensor:
    """Return the tensor with its channels innermost in memory.

    The CPU's 2-D convolutions pass this layout on from layer to layer and take up to a third less
    time in it; 3-D ones gain nothing. (`contiguous(memory_format=...)` would fail inside vmap.)
    """
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def _match(x: Tensor, like: Tensor) -> Tensor:
    """Pad `x` with zeros on both ends to the sides of `like`, which a halving rounded down."""
    pads: list[int] = []
    for axis in range(x.ndim - 1, 1, -1):
        missing = like.shape[axis] - x.shape[axis]
        pads += [missing // 2, missing - missing // 2]
    return nn.functional.pad(x, pads) if any(pads) else x

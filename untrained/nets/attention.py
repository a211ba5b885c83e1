"""A U-Net whose coarse scales attend to all of the image: convolution with self-attention."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import UserError
from untrained.nets import blocks
from untrained.nets.fields import check_build, check_depth, check_width, check_widths, per_scale
from untrained.nets.hourglass import Decoder, Descent, Encoder, Hourglass
from untrained.nets.unet import UNet


class SelfAttention(nn.Module):
    """x + W_o softmax(Q K^T / sqrt(d)) V, over the pixels of each window (Vaswani et al. 2017).

    Q, K and V are 1x1 convolutions of the batch-normalised x. Windows are cubes of `window` pixels
    a side, as many as cover the image, its border filled up with zeros that nobody attends to;
    where one window holds the whole image attention is global. `shift` moves the windows by half of
    their side, so that two blocks in a row let neighbouring windows meet (Liu et al. 2021). W_o
    begins at zero: a new block is the identity.
    """

    def __init__(self, dim: int, channels: int, heads: int, window: int, *, shift: bool) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.norm = blocks.norm(dim, channels)
        self.qkv = blocks.conv(dim, channels, 3 * channels, 1, bias=False)
        self.out = blocks.conv(dim, channels, channels, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set W_o to zero; the other weights are drawn by their own layers."""
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, *sides)` to the same shape."""
        sides = x.shape[2:]
        whole = max(sides) <= self.window
        size = [side if whole else self.window for side in sides]
        pads = [(-side) % s for side, s in zip(sides, size, strict=True)]
        moves = [s // 2 if self.shift and not whole else 0 for s in size]
        qkv = self._moved(functional.pad(self.qkv(self.norm(x)), _pads(pads)), moves)
        seen = self._moved(functional.pad(torch.ones_like(x[:, :1]), _pads(pads)), moves)
        tokens = _windows(qkv, size)
        q, k, v = self._split(tokens)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        hidden = _windows(seen, size)[..., 0][:, None, None] == 0
        mixed = scores.masked_fill(hidden, -1e4).softmax(-1) @ v
        joined = mixed.transpose(1, 2).flatten(2)
        filled = [side + pad for side, pad in zip(sides, pads, strict=True)]
        image = self._moved(_unwindowed(joined, size, filled, len(x)), [-m for m in moves])
        for axis, side in enumerate(sides, 2):
            image = image.narrow(axis, 0, side)
        result: Tensor = x + self.out(image)
        return result

    def _split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split `(N, L, 3 C)` into queries, keys and values `(N, heads, L, C / heads)`."""
        n, length, channels = tokens.shape
        parts = tokens.reshape(n, length, 3, self.heads, channels // (3 * self.heads))
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    @staticmethod
    def _moved(x: Tensor, moves: list[int]) -> Tensor:
        """Roll the spatial axes back by so many pixels."""
        if not any(moves):
            return x
        return x.roll([-m for m in moves], list(range(2, x.ndim)))


def _pads(pads: list[int]) -> list[int]:
    """Order the paddings behind each axis as `functional.pad` takes them: the last axis first."""
    return [value for pad in reversed(pads) for value in (0, pad)]


def _windows(x: Tensor, size: list[int]) -> Tensor:
    """Cut `(B, C, *sides)` into `(B windows, pixels, C)`."""
    shape = list(x.shape[:2])
    for side, s in zip(x.shape[2:], size, strict=True):
        shape += [side // s, s]
    axes = len(size)
    counts, inner = [2 + 2 * i for i in range(axes)], [3 + 2 * i for i in range(axes)]
    cut = x.reshape(shape).permute(0, *counts, *inner, 1)
    return cut.reshape(-1, math.prod(size), x.shape[1])


def _unwindowed(tokens: Tensor, size: list[int], sides: list[int], batch: int) -> Tensor:
    """Undo `_windows`."""
    axes = len(size)
    counts = [side // s for side, s in zip(sides, size, strict=True)]
    cut = tokens.reshape(batch, *counts, *size, tokens.shape[-1])
    order = [v for i in range(axes) for v in (1 + i, 1 + axes + i)]
    return cut.permute(0, 1 + 2 * axes, *order).reshape(batch, tokens.shape[-1], *sides)


@dataclass(frozen=True)
class AttentionUNet:
    """Description of a U-Net with self-attention at its coarse scales.

    `UNet`, with a pair of attention blocks (the second with shifted windows) behind the
    convolutions of the `levels` coarsest scales. Their cost is that of pixels times window, so that
    memory grows with the image as that of the convolutions does.

    Attributes:
        widths: channels per scale, largest scale first; one halving less than entries.
        levels: how many of the coarsest scales attend.
        heads: attention heads; divides the widths of those scales.
        window: side of a window in pixels of its scale.
        sigmoid: whether the output passes a sigmoid (images in [0, 1]).
        depth: None, or the number of scales: `widths` is cut to it, or its last entry repeated.
    """

    widths: tuple[int, ...] = (32, 64, 128, 128)
    levels: int = 2
    heads: int = 4
    window: int = 16
    sigmoid: bool = False
    depth: int | None = None

    def __post_init__(self) -> None:
        check_widths("widths", self.widths)
        check_depth(self.depth)
        check_width("levels", self.levels)
        check_width("heads", self.heads)
        check_width("window", self.window, smallest=2, largest=64)
        widths = per_scale(self.widths, self.depth)
        if self.levels >= len(widths):
            raise UserError(
                f"levels={self.levels}: only scales below the finest attend, of which "
                f"{len(widths)} widths have {len(widths) - 1}."
            )
        odd = [width for width in widths[-self.levels :] if width % self.heads]
        if odd:
            raise UserError(f"a width of {odd[0]} cannot be shared by heads={self.heads}.")

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> Hourglass:
        """Build the network `(B, in_channels, *sides) -> (B, out_channels, *sides)`; sides >= 2."""
        return self._unet().around(self.encoder(in_channels, dim), out_channels, dim)

    def encoder(self, in_channels: int, dim: int = 2) -> Encoder:
        """Build the encoder: that of `UNet`, attending at its last scales."""
        check_build(in_channels, 1, dim)
        plain = self._unet().encoder(in_channels, dim)
        widths = per_scale(self.widths, self.depth)
        first = len(widths) - self.levels
        descents = []
        for scale, descent in enumerate(plain.descents, 1):
            assert isinstance(descent, Descent)
            if scale >= first:
                pair = [
                    SelfAttention(dim, widths[scale], self.heads, self.window, shift=shift)
                    for shift in (False, True)
                ]
                descent = Descent(nn.Sequential(descent.down, *pair), descent.side)
            descents.append(descent)
        return Encoder(plain.stem, descents)

    def decoder(self, out_channels: int, dim: int = 2) -> Decoder:
        """Build the decoder, that of `UNet`."""
        return self._unet().decoder(out_channels, dim)

    def _unet(self) -> UNet:
        return UNet(self.widths, self.sigmoid, self.depth)

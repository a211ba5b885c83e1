"""The small autoencoder that judges images by how well it can repeat them."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from untrained.nets import blocks

WIDTHS = (32, 64, 128)  # then 128 at every further halving, and 1 at the code
CODE = 4  # side of the code
LINEAR = 4  # linear layers on the code

# the three classes share no typed base with their constructor
_NORM: dict[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Autoencoder(nn.Module):
    """The autoencoder of Li et al. (BMVC 2021) at any side that is a power of two.

    Halving 3x3 convolutions down to a code of one channel and side 4 (16 numbers in 2D), four
    linear layers on the code (their product prefers a low rank), and doubling 3x3 convolutions
    back. No biases; batch normalisation with running statistics and ReLU behind every
    convolution but the last. The released code's side is 512 and its output passes a sigmoid;
    here it is linear, since images of MRI and CT are not confined to [0, 1].

    Args:
        channels: of the image.
        dim: spatial axes.
        side: of the image, a power of two, at least 8.
    """

    def __init__(self, channels: int, dim: int, side: int) -> None:
        super().__init__()
        halvings = (side // CODE).bit_length() - 1
        inner = [WIDTHS[min(k, len(WIDTHS) - 1)] for k in range(halvings - 1)]
        widths = [channels, *inner, 1]
        self.shape = (1, *[CODE] * dim)
        self.encoder = nn.Sequential(
            *[_down(dim, a, b) for a, b in itertools.pairwise(widths)],
        )
        code = CODE**dim
        self.code = nn.Sequential(*[nn.Linear(code, code, bias=False) for _ in range(LINEAR)])
        back = widths[::-1]
        self.decoder = nn.Sequential(
            *[_up(dim, a, b) for a, b in itertools.pairwise(back[:-1])],
            blocks.upsample(dim, "bilinear"),
            blocks.conv(dim, back[-2], channels, 3, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode images, `(B, channels, side, ...)` -> the same shape."""
        code = self.code(self.encoder(x).flatten(1))
        result: Tensor = self.decoder(code.unflatten(1, self.shape))
        return result


def structure(channels: int, dim: int, side: int) -> Autoencoder:
    """Build the autoencoder without weights, for `functional_call`; no random number is drawn."""
    with torch.device("meta"):
        return Autoencoder(channels, dim, side)


def _down(dim: int, inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        blocks.conv(dim, inputs, outputs, 3, stride=2, bias=False), _NORM[dim](outputs), nn.ReLU()
    )


def _up(dim: int, inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        blocks.upsample(dim, "bilinear"),
        blocks.conv(dim, inputs, outputs, 3, bias=False),
        _NORM[dim](outputs),
        nn.ReLU(),
    )

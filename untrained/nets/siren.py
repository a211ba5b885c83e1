"""Networks from coordinates to colours with sines between (Sitzmann et al., NeurIPS 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.nets import blocks
from untrained.nets.fields import MAX_LAYERS, check_build, check_width


class Features(nn.Module):
    """Gaussian Fourier features: the sines and cosines of 2 pi B v, B ~ N(0, scale^2).

    B is drawn with the weights and is not meant to be trained; its name is `frequencies`.
    """

    def __init__(self, inputs: int, count: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.frequencies = nn.Parameter(torch.empty(count, inputs))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw B anew from the global generator."""
        nn.init.normal_(self.frequencies, 0.0, self.scale)

    def forward(self, v: Tensor) -> Tensor:
        """Map coordinates `(B, inputs, *sides)` to features `(B, 2 count, *sides)`."""
        turns = 2 * math.pi * torch.einsum("ki,bi...->bk...", self.frequencies, v)
        return torch.cat([turns.sin(), turns.cos()], dim=1)


class Layer(nn.Module):
    """sin(omega (W v + b)) at every pixel, or W v + b for the last layer.

    Weights of the first layer are uniform within 1 / inputs, of the others within
    sqrt(6 / inputs) / omega, so that every sine's argument has a standard deviation near 1; the
    biases are torch's.
    """

    def __init__(
        self, dim: int, inputs: int, outputs: int, omega: float, *, first: bool, last: bool
    ) -> None:
        super().__init__()
        self.omega, self.last = omega, last
        self.bound = 1 / inputs if first else math.sqrt(6 / inputs) / omega
        self.conv = blocks.conv(dim, inputs, outputs, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew from the global generator."""
        weight = self.conv.weight
        assert isinstance(weight, Tensor)
        nn.init.uniform_(weight, -self.bound, self.bound)

    def forward(self, v: Tensor) -> Tensor:
        """Map `(B, inputs, *sides)` to `(B, outputs, *sides)`."""
        turned: Tensor = self.conv(v)
        return turned if self.last else torch.sin(self.omega * turned)


class SirenNetwork(nn.Module):
    """An encoder of sine layers and a linear decoder, the same at every pixel."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, v: Tensor) -> Tensor:
        """Map coordinates `(B, inputs, *sides)` to colours `(B, outputs, *sides)`."""
        colours: Tensor = self.decoder(self.encoder(v))
        return colours


@dataclass(frozen=True)
class Siren:
    """Description of a SIREN.

    Attributes:
        width: channels of every layer.
        layers: sine layers; the linear one behind them is the decoder.
        omega: factor of the sines' arguments.
        features: Gaussian Fourier features before the first layer; 0 = the coordinates themselves.
        scale: standard deviation of their frequencies, in turns per unit of the coordinates.
    """

    coordinates: ClassVar[bool] = True
    width: int = 256
    layers: int = 6
    omega: float = 30.0
    features: int = 0
    scale: float = 4.0

    def __post_init__(self) -> None:
        check_width("width", self.width)
        check_width("layers", self.layers, largest=MAX_LAYERS)
        check_width("features", self.features, smallest=0)
        if not self.omega > 0 or not self.scale > 0:
            raise UserError(f"omega and scale must be positive, got {self.omega}, {self.scale}.")

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> SirenNetwork:
        """Build the network `(B, in_channels, *sides) -> (B, out_channels, *sides)`, any sides."""
        check_build(in_channels, out_channels, dim)
        parts: list[nn.Module] = []
        inputs = in_channels
        if self.features:
            parts.append(Features(in_channels, self.features, self.scale))
            inputs = 2 * self.features
        for layer in range(self.layers):
            first = layer == 0
            parts.append(Layer(dim, inputs, self.width, self.omega, first=first, last=False))
            inputs = self.width
        head = Layer(dim, inputs, out_channels, self.omega, first=False, last=True)
        return SirenNetwork(nn.Sequential(*parts), head)

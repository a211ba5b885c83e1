"""Networks from coordinates to colours with Gabor wavelets between (Saragadam et al. 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.nets.fields import MAX_LAYERS, check_build, check_width
from untrained.nets.siren import Features, SirenNetwork


class ComplexLinear(nn.Module):
    """W v + b at every pixel for complex v, as real channels: all real parts, all imaginary ones.

    Both parts of W and b are uniform within 1 / sqrt(inputs), as torch draws a complex layer.

    Args:
        inputs: number of complex channels, or of real ones where `real` is set.
        outputs: number of complex channels.
        real: whether v is real, and W with it (the first layer).
    """

    def __init__(self, inputs: int, outputs: int, *, real: bool = False) -> None:
        super().__init__()
        parts = 1 if real else 2
        self.real, self.inputs = real, inputs
        self.weight = nn.Parameter(torch.empty(parts, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(parts, outputs))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases anew from the global generator."""
        bound = 1 / math.sqrt(self.inputs)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, v: Tensor) -> Tensor:
        """Map `(B, inputs or 2 inputs, *sides)` to `(B, outputs or 2 outputs, *sides)`."""
        weight = self.weight[0]
        if not self.real:
            a, b = self.weight.unbind(0)
            weight = torch.cat([torch.cat([a, -b], 1), torch.cat([b, a], 1)])
        bias = self.bias.reshape(1, -1, *[1] * (v.ndim - 2))
        return torch.einsum("oi,bi...->bo...", weight, v) + bias


class Gabor(nn.Module):
    """exp(i omega v - |sigma v|^2), complex; v is real, or complex as real channels."""

    def __init__(self, omega: float, sigma: float, *, real: bool) -> None:
        super().__init__()
        self.omega, self.sigma, self.real = omega, sigma, real

    def forward(self, v: Tensor) -> Tensor:
        """Map channels, complex ones as their parts, to those of the wavelet's two parts."""
        if self.real:
            turned, fall = self.omega * v, (self.sigma * v).square()
        else:
            real, imaginary = v.chunk(2, dim=1)
            turned = self.omega * real
            fall = self.omega * imaginary + self.sigma**2 * (real.square() + imaginary.square())
        size = torch.exp(-fall)
        return torch.cat([size * turned.cos(), size * turned.sin()], dim=1)


class RealPart(nn.Module):
    """The real part of a complex linear layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = ComplexLinear(inputs, outputs)

    def forward(self, v: Tensor) -> Tensor:
        """Map `(B, 2 inputs, *sides)` to `(B, outputs, *sides)`."""
        real: Tensor = self.linear(v).chunk(2, dim=1)[0]
        return real


@dataclass(frozen=True)
class Wire:
    """Description of a WIRE.

    A first wavelet of a real linear layer, `layers` of complex ones, and the real part of a complex
    linear layer. As in the authors' code width / sqrt(2) complex channels stand for `width` real
    ones, and omega and sigma are the same in all layers.

    Attributes:
        width: channels of every layer, counted as real ones.
        layers: wavelet layers behind the first.
        omega: frequency of the wavelets.
        sigma: inverse width of their envelope.
        features: Gaussian Fourier features before the first layer; 0 = the coordinates themselves.
        scale: standard deviation of their frequencies, in turns per unit of the coordinates.
    """

    coordinates: ClassVar[bool] = True
    width: int = 256
    layers: int = 2
    omega: float = 4.0
    sigma: float = 4.0
    features: int = 0
    scale: float = 4.0

    def __post_init__(self) -> None:
        check_width("width", self.width, smallest=2)
        check_width("layers", self.layers, smallest=0, largest=MAX_LAYERS)
        check_width("features", self.features, smallest=0)
        for name in ("omega", "sigma", "scale"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UserError(f"{name} must be positive and finite, got {value}.")

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> SirenNetwork:
        """Build the network `(B, in_channels, *sides) -> (B, out_channels, *sides)`, any sides."""
        check_build(in_channels, out_channels, dim)
        inner = int(self.width / math.sqrt(2))
        parts: list[nn.Module] = []
        inputs = in_channels
        if self.features:
            parts.append(Features(in_channels, self.features, self.scale))
            inputs = 2 * self.features
        parts += [
            ComplexLinear(inputs, inner, real=True),
            Gabor(self.omega, self.sigma, real=True),
        ]
        for _ in range(self.layers):
            parts += [ComplexLinear(inner, inner), Gabor(self.omega, self.sigma, real=False)]
        return SirenNetwork(nn.Sequential(*parts), RealPart(inner, out_channels))

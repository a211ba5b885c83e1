"""Unrolled networks: a few iterations whose regulariser is learned, the operator given apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.nets.noise_unet import NoiseUNet

FIRST_STEP, FIRST_LAMBDA = 1.0, 0.05
"""What the steps of a variational network and the lambda of MoDL begin at."""


@dataclass(frozen=True)
class VarNetNet:
    """Describe a variational network: gradient steps, each with a small U-Net of its own.

    Args:
        cascades: number of steps.
        widths: of the U-Nets, as of `NoiseUNet`.
    """

    cascades: int = 5
    widths: tuple[int, ...] = (16, 32, 48)

    def __post_init__(self) -> None:
        if self.cascades < 1:
            raise UserError(f"net.cascades must be at least 1, got {self.cascades}")

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
        """Build the network for images `(B, C, H, W)`."""
        part = NoiseUNet(self.widths, features=0)
        return VarNetModule([part.build(in_channels, out_channels, dim) for _ in self.numbers])

    @property
    def numbers(self) -> range:
        """Count the cascades."""
        return range(self.cascades)


class VarNetModule(nn.Module):
    """x - step_k gradient(x) - R_k(x), for each cascade k."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.steps = nn.Parameter(torch.full((len(parts),), FIRST_STEP))

    def reset_parameters(self) -> None:
        """Begin with the steps of plain gradient descent."""
        nn.init.constant_(self.steps, FIRST_STEP)

    def forward(self, x: Tensor, gradient: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Unroll from x, `(B, C, H, W)`; without `gradient` as where nothing is measured."""
        for step, part in zip(self.steps, self.parts, strict=True):
            past = 0.0 if gradient is None else step * gradient(x)
            x = x - past - part(x)
        return x


@dataclass(frozen=True)
class ModlNet:
    """Describe MoDL: one denoiser, and a solve with the data, in turn.

    Args:
        iterations: K.
        widths: of the denoiser, a U-Net as of `NoiseUNet`.
    """

    iterations: int = 5
    widths: tuple[int, ...] = (32, 48, 64)

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise UserError(f"net.iterations must be at least 1, got {self.iterations}")

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
        """Build the network for images `(B, C, H, W)`."""
        part = NoiseUNet(self.widths, features=0).build(in_channels, out_channels, dim)
        return ModlModule(part, self.iterations)


class ModlModule(nn.Module):
    """z = x + N(x), x = solve(z, lambda), K times with the same weights."""

    def __init__(self, part: nn.Module, iterations: int) -> None:
        super().__init__()
        self.part, self.iterations = part, iterations
        self.log_lambda = nn.Parameter(torch.tensor([FIRST_LAMBDA]).log())

    def reset_parameters(self) -> None:
        """Begin with a small lambda."""
        nn.init.constant_(self.log_lambda, float(torch.tensor(FIRST_LAMBDA).log()))

    def forward(self, x: Tensor, solve: Callable[[Tensor, Tensor], Tensor] | None = None) -> Tensor:
        """Iterate from x, `(B, C, H, W)`; without `solve` as where nothing is measured."""
        lam = self.log_lambda.exp()
        for _ in range(self.iterations):
            z = x + self.part(x)
            x = z if solve is None else solve(z, lam)
        return x

"""One-dimensional signals, small ReLU networks and their kernels, in double precision."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from untrained.lab.jacobian import Jacobian
from untrained.nets import DrawnFrom


def square_signal(n: int) -> np.ndarray:
    """Return a signal of steps 0 and 1, `(n,)`: the tutorial's Fig. 4 shows one of this kind."""
    places = (np.arange(n) + 0.5) / n
    ones = ((places > 0.15) & (places < 0.4)) | ((places > 0.6) & (places < 0.8))
    return ones.astype(float)


def psnr(x: np.ndarray, truth: np.ndarray) -> float:
    """Compute the peak signal-to-noise ratio in dB for the truth's own range."""
    span = float(truth.max() - truth.min())
    return float(10 * np.log10(span**2 / np.mean((x - truth) ** 2)))


class ReLUNet(nn.Module):
    """A chain of 1-D convolutions with ReLU between them, He's initialisation, no bias at first.

    Kernels are drawn N(0, 2 / (inputs * taps)), biases are 0 (App. A.1 of aSeqDIP).

    Args:
        inputs: channels of the input.
        width: channels of every hidden layer.
        layers: convolutions, at least 2.
        taps: taps of a kernel, odd.
        circular: whether signals are periodic; zeros beyond the border otherwise.
        residual: whether the input is added to the output.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        layers: int,
        taps: int = 3,
        *,
        circular: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        channels = [inputs, *[width] * (layers - 1), 1]
        mode: Literal["circular", "zeros"] = "circular" if circular else "zeros"
        self.convs = nn.ModuleList(
            nn.Conv1d(a, b, taps, padding=taps // 2, padding_mode=mode)
            for a, b in itertools.pairwise(channels)
        )
        self.residual = residual

    def reset_parameters(self) -> None:
        """Draw the kernels anew; the biases become 0."""
        for conv in self.convs:
            assert isinstance(conv, nn.Conv1d)
            fan = conv.in_channels * conv.kernel_size[0]
            nn.init.normal_(conv.weight, 0.0, (2.0 / fan) ** 0.5)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Map `(B, inputs, n)` to `(B, 1, n)`."""
        x = z
        for conv in self.convs[:-1]:
            x = torch.relu(conv(x))
        x = self.convs[-1](x)
        return z + x if self.residual else x


@dataclass(frozen=True, eq=False)
class Fitted:
    """Hold a drawn network at its input: what a lab trains or linearises.

    Attributes:
        net: the network, its weights drawn from the seed.
        z: its input `(1, C, n)`.
    """

    net: nn.Module
    z: Tensor

    @classmethod
    def draw(
        cls, n: int, width: int, layers: int, seed: int, taps: int = 3, inputs: int = 0
    ) -> Fitted:
        """Draw a `ReLUNet` and an input of standard normal noise; `inputs` = 0: as many as wide."""
        inputs = inputs or width
        with DrawnFrom(seed):
            net = ReLUNet(inputs, width, layers, taps).double()
            net.reset_parameters()
            z = torch.randn(1, inputs, n, dtype=torch.float64)
        return cls(net, z)

    def jacobian(self) -> Jacobian:
        """Return the Jacobian at the drawn weights."""
        return Jacobian.of_network(self.net, dict(self.net.named_parameters()), self.z)

    def image(self) -> np.ndarray:
        """Return the output `(n,)`."""
        with torch.no_grad():
            found: np.ndarray = self.net(self.z).flatten().numpy()
        return found

    def descend(self, y: np.ndarray, eta: float, steps: int) -> np.ndarray:
        """Train by plain gradient descent on ||f(z) - y||^2 / 2; return f after t = 0 ... steps.

        The weights of `net` are changed.

        Returns:
            `(steps + 1, n)`, the drawn network's output first.
        """
        optimiser = torch.optim.SGD(self.net.parameters(), lr=eta)
        return self.train(y, optimiser, steps)

    def train(self, y: np.ndarray, optimiser: torch.optim.Optimizer, steps: int) -> np.ndarray:
        """Train by any optimiser of the network's parameters, as `descend`."""
        target, path = torch.as_tensor(y), np.empty((steps + 1, len(y)))
        for t in range(steps + 1):
            output = self.net(self.z).flatten()
            path[t] = output.detach().numpy()
            if t < steps:
                optimiser.zero_grad()
                (0.5 * (output - target).square().sum()).backward()
                optimiser.step()
        return path

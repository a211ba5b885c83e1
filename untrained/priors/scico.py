"""DnCNN as SCICO stores it: circular convolutions, batch normalisation, with or without a level."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.priors.base import Denoiser, Provenance
from untrained.priors.fitting import load_exactly

BLOCK = re.compile(r"ConvBNBlock_(\d+)/Conv_0/kernel")
EPSILON = 1e-5
MOST = 0.2
"""Largest noise level that SCICO's noise-conditional networks were trained on."""
FIXED = 0.1
"""Noise level of the others that can be had (`M`); it stands in no file."""


class ScicoDnCNN(Denoiser):
    """Zhang, Zuo, Chen, Meng, Zhang (IEEE TIP 2017), with the noise level as a second channel.

    A network of two input channels is told the level by the second; one of one knows one level.
    """

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Subtract the predicted noise; there is one channel of an image."""
        given = x
        if self.levels[0] < self.levels[1]:
            level = sigma.reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
            given = torch.cat([x, level], 1)
        noise: Tensor = self.network(given)
        return x - noise[:, :1]


def is_scico(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of SCICO's DnCNN."""
    return {"params/conv_start/kernel", "params/conv_end/kernel"} <= tensors.keys() and any(
        BLOCK.search(name) for name in tensors
    )


def build_scico(tensors: Mapping[str, Tensor], provenance: Provenance) -> ScicoDnCNN:
    """Build the network whose sizes the tensors tell; flax stores kernels as (H, W, in, out).

    Raises:
        UserError: tensors that make no such network.
    """
    plain = {_torch_name(name): _torch_order(one) for name, one in tensors.items()}
    first = plain["start.weight"]
    if first.ndim != 4 or first.shape[1] not in (1, 2) or first.shape[2] != first.shape[3]:
        raise UserError(
            f"its first kernel is {tuple(first.shape)}; a grey image, or one with its noise level, "
            "and a square kernel are expected"
        )
    width, inputs, side = len(first), first.shape[1], first.shape[2]
    count = sum(BLOCK.search(name) is not None for name in tensors)
    with torch.device("meta"):
        network = _Network(width, inputs, side, count)
    load_exactly(network, plain)
    levels = (0.0, MOST) if inputs == 2 else (FIXED, FIXED)
    return ScicoDnCNN(network, provenance, channels=1, levels=levels)


class _Network(nn.Module):
    def __init__(self, width: int, inputs: int, side: int, blocks: int) -> None:
        super().__init__()
        self.start = _convolution(inputs, width, side)
        self.blocks = nn.ModuleList(_Block(width, side) for _ in range(blocks))
        self.end = _convolution(width, inputs, side)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.start(x))
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.end(x)
        return out


class _Block(nn.Module):
    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.convolution = _convolution(width, width, side)
        self.scale, self.bias, self.mean, self.var = (
            nn.Parameter(torch.zeros(width)) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        mean, var, scale, bias = self.mean, self.var, self.scale, self.bias
        x = nn.functional.batch_norm(self.convolution(x), mean, var, scale, bias, eps=EPSILON)
        return torch.relu(x)


def _convolution(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode="circular", bias=False)


def _torch_name(name: str) -> str:
    """Translate a path of flax's tree into the name of a parameter here."""
    name = name.split("/", 1)[1]  # both kinds, params and batch_stats, have the same blocks
    for ours, theirs in (
        ("start.weight", "conv_start/kernel"),
        ("end.weight", "conv_end/kernel"),
        ("convolution.weight", "Conv_0/kernel"),
        ("", "BatchNorm_0/"),
    ):
        name = name.replace(theirs, ours)
    return re.sub(r"ConvBNBlock_(\d+)/", r"blocks.\1.", name)


def _torch_order(tensor: Tensor) -> Tensor:
    return tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor

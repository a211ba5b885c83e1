"""DnCNN, a denoiser of convolutions and ReLU that predicts the noise, in KAIR's file layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.priors.base import Denoiser, Provenance
from untrained.priors.fitting import load_exactly

SIGMA = 25
"""Noise level of KAIR's files, of 255, where the name of the file (`dncnn_15.pth`) tells none."""


class DnCNN(Denoiser):
    """Zhang, Zuo, Chen, Meng, Zhang (IEEE TIP 2017): x - R(x), R a chain of convolutions.

    KAIR's files have batch normalisation merged into the convolutions, and one noise level.
    """

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Subtract the predicted noise."""
        noise: Tensor = self.network(x)
        return x - noise


def is_dncnn(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of KAIR's layout: `model.0`, `model.2`, ... ."""
    names = {
        f"model.{2 * i}.{kind}" for i in range(len(tensors) // 2) for kind in ("weight", "bias")
    }
    return len(tensors) >= 4 and names == set(tensors)


def build_dncnn(tensors: Mapping[str, Tensor], provenance: Provenance) -> DnCNN:
    """Build the network whose sizes the tensors tell.

    Raises:
        UserError: the shapes are not those of a chain of 3x3 convolutions.
    """
    weights = [tensors[f"model.{2 * i}.weight"] for i in range(len(tensors) // 2)]
    shapes = [tuple(weight.shape) for weight in weights]
    chained = all(len(s) == 4 and s[2:] == (3, 3) for s in shapes) and all(
        first[0] == second[1] for first, second in pairwise(shapes)
    )
    if not chained or shapes[0][1] != shapes[-1][0]:
        raise UserError(f"its kernels {shapes} make no chain of 3x3 convolutions, as DnCNN has")
    layers: list[nn.Module] = []
    with torch.device("meta"):
        for outputs, inputs, *_ in shapes:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        network = nn.Sequential(*layers[:-1])
    load_exactly(network, {name.removeprefix("model."): one for name, one in tensors.items()})
    told = re.search(r"dncnn_?(\d+)", provenance.file.lower())
    sigma = (int(told[1]) if told else SIGMA) / 255
    return DnCNN(network, provenance, channels=shapes[0][1], levels=(sigma, sigma))

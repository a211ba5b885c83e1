"""The cascade of convolutional networks of Schlemper et al. (D5C5), in its Theano file's layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.priors.base import Provenance, Reconstructor
from untrained.priors.coils import UnitCoils
from untrained.priors.fitting import load_exactly
from untrained.problem import Problem

DEEPEST = 32


class Cascade(Reconstructor):
    r"""Schlemper, Caballero, Hajnal, Price, Rueckert (IEEE TMI 2018), for one coil.

    .. math:: u \leftarrow u + C_k(u), \qquad
              F u \leftarrow \text{the measured value, where there is one}

    for every network C_k of the cascade, from the zero-filled image on.
    """

    method: ClassVar[str] = "cascade"

    def pass_through(self, x: Tensor) -> Tensor:
        """Send x through every network."""
        for part in self.network.children():
            x = x + part(x)
        return x

    def reconstruct(self, problem: Problem) -> Tensor:
        """Run the cascade; raises UserError for other measurements than of one coil."""
        name = self.provenance.file or self.provenance.architecture
        coils = UnitCoils.of(problem, name)
        if coils.coils != 1:
            raise UserError(
                f"{name} was trained for one coil, and this scan has {coils.coils}; take a network "
                "for several (--method varnet), or the k-space of one coil"
            )

        def run(u: Tensor, y: Tensor) -> Tensor:
            for part in self.network.children():
                u = u + part(u)
                u = u - coils.gradient(u, y)  # the operator is F where measured: y comes in there
            return u

        return coils.solve(run)


def is_d5c5(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether these are numbered arrays, kernels and offsets in turn, from 2 to 2 channels."""
    names = {f"arr_{i}" for i in range(len(tensors))}
    return (
        len(tensors) >= 4
        and names == set(tensors)
        and tensors["arr_0"].ndim == 4
        and tensors["arr_0"].shape[1] == 2
        and tensors[f"arr_{len(tensors) - 1}"].shape == (2,)
    )


def build_d5c5(tensors: Mapping[str, Tensor], provenance: Provenance) -> Cascade:
    """Build the cascade: a network ends where a kernel has 2 outputs.

    Lasagne's convolutions turn their kernels by half a turn, torch's do not.

    Raises:
        UserError: arrays that make no such chain.
    """
    kernels = [tensors[f"arr_{i}"] for i in range(0, len(tensors), 2)]
    offsets = [tensors[f"arr_{i}"] for i in range(1, len(tensors), 2)]
    if len(kernels) != len(offsets) or any(
        k.ndim != 4 or k.shape[2] != k.shape[3] or k.shape[2] % 2 == 0 for k in kernels
    ):
        raise UserError("its arrays are not kernels (outputs, inputs, n, n) and offsets in turn")
    parts: list[nn.Module] = []
    layers: list[nn.Module] = []
    turned: dict[str, Tensor] = {}
    with torch.device("meta"):
        for kernel, offset in zip(kernels, offsets, strict=True):
            outputs, inputs, side, _ = kernel.shape
            name = f"{len(parts)}.{len(layers)}"
            turned |= {f"{name}.weight": kernel.flip(2, 3), f"{name}.bias": offset}
            layers += [nn.Conv2d(inputs, outputs, side, padding=side // 2)]
            if outputs == 2:
                parts.append(nn.Sequential(*layers))
                layers = []
            else:
                layers.append(nn.ReLU())
    if layers or not _chained(parts):
        raise UserError("its kernels make no networks from 2 channels to 2")
    network = nn.Sequential(*parts)
    load_exactly(network, turned)
    return Cascade(network, provenance)


def _chained(parts: list[nn.Module]) -> bool:
    """Tell whether each part begins with 2 channels, and each layer takes what the last gives."""
    for part in parts:
        given = 2
        for layer in part.children():
            if isinstance(layer, nn.Conv2d):
                if layer.in_channels != given:
                    return False
                given = layer.out_channels
    return True

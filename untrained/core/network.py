"""Calls of a network for a group of problems, each by weights of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

Weights = dict[str, Tensor]
"""Name -> `(G, ...)`, or `(1, ...)` where all problems share them."""


def call_each(module: nn.Module, weights: Weights, z: Tensor, size: int) -> Tensor:
    """Compute the output of each problem's network, `(G, C', ...)`.

    Args:
        module: the network.
        weights: of all problems.
        z: the input `(G, C, ...)`; `(1, C, ...)` where problems of one encoder and apart decoders
            have the same, which the encoder then sees once.
        size: number of problems G.
    """
    if len(z) < size:
        return _of_one_input(module, weights, z, size)
    if size > 1 and in_one_call(z.device):
        axes = {name: None if len(weight) == 1 else 0 for name, weight in weights.items()}
        given = {n: w[0] if axes[n] is None else w for n, w in weights.items()}

        def one(own: Weights, z: Tensor) -> Tensor:
            return functional_call(module, own, (z.unsqueeze(0),)).squeeze(0)

        return vmap(one, in_dims=(axes, 0))(given, z)
    parts = [_own(module, weights, z, g) for g in range(size)]
    return parts[0] if size == 1 else torch.cat(parts)


def _own(module: nn.Module, weights: Weights, z: Tensor, g: int) -> Tensor:
    own = {name: weight[g if len(weight) > 1 else 0] for name, weight in weights.items()}
    return functional_call(module, own, (z[g : g + 1],))


def _of_one_input(module: nn.Module, weights: Weights, z: Tensor, size: int) -> Tensor:
    encoder, decoder = (module.get_submodule(part) for part in ("encoder", "decoder"))
    shared, own = (
        {n.removeprefix(part): w for n, w in weights.items() if n.startswith(part)}
        for part in ("encoder.", "decoder.")
    )
    features = functional_call(encoder, {name: w[0] for name, w in shared.items()}, (z,))
    parts = [
        functional_call(decoder, {name: w[g] for name, w in own.items()}, (features,))
        for g in range(size)
    ]
    return torch.cat(parts)


def in_one_call(device: torch.device) -> bool:
    """Return whether the networks of a group are evaluated as one grouped network.

    A GPU waits for launches. A CPU wins nothing, and one network after the other keeps the bits
    that each has alone.
    """
    return device.type == "cuda"

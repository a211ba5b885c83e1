"""Parts of a network by name."""

from __future__ import annotations

from torch import nn


def normalisations(net: nn.Module) -> list[str]:
    """List the names of the gains and offsets of all batch normalisations, in order."""
    kinds = nn.modules.batchnorm._BatchNorm
    layers = [name for name, layer in net.named_modules() if isinstance(layer, kinds)]
    return [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]

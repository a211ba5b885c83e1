"""Draw a network's weights from one number, the same on every device."""

from __future__ import annotations

import copy

import torch
from torch import nn

from untrained.errors import UserError
from untrained.nets.randomness import DrawnFrom


def initialise(net: nn.Module, seed: int) -> None:
    """Re-draw all parameters of `net` in place, by each layer's own `reset_parameters`.

    Layers are asked before the modules that contain them, so a network's own scheme has the last
    word. The numbers are drawn in float32 on the CPU and then copied, hence the same for every
    device. The global random state is neither read nor written, so that any number of threads may
    do this at once.

    Args:
        net: any module whose parameters belong to layers with a `reset_parameters` method.
        seed: determines every parameter.

    Raises:
        UserError: a layer owns parameters and cannot draw them.
    """
    if getattr(net, "drawn_elsewhere", False):  # a copy of a trained network, see `KnownNet`
        return
    fresh = copy.deepcopy(net).to(device="cpu", dtype=torch.float32)
    with DrawnFrom(seed):
        for name, module in reversed(list(fresh.named_modules())):
            _reset(name, module)
    with torch.no_grad():
        for old, new in zip(net.parameters(), fresh.parameters(), strict=True):
            old.copy_(new)


def _reset(name: str, module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
    elif next(module.parameters(recurse=False), None) is not None:
        raise UserError(
            f"the layer {name or 'net'!r} ({type(module).__name__}) has parameters but no "
            f"reset_parameters method, so a run could not start from fresh weights: give the class "
            f"a method reset_parameters() that draws them."
        )

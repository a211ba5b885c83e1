"""One network for a whole batch, and the running average of its weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from untrained.core.state import State

AVERAGE = "average/"
"""Prefix, among a state's weights, of the running average of the weight named behind it."""


def share_network(s: State) -> None:
    """Keep one network for all problems, and train it; begin the running average of its weights."""
    names = list(s.weights)
    s.share(names)
    s.train_net()
    for name in names:
        s.weights[AVERAGE + name] = s.weights[name].detach().clone()


def batch_net(s: State, *given: Tensor, half: bool | None = None) -> Tensor:
    """Compute the one network of all problems for a batch of any length, in one call.

    Args:
        s: a state whose network was shared by `share_network`.
        given: what the network takes.
        half: whether it runs under bfloat16 autocast; None = as the run does.
    """
    weights = {name: s.weights[name][0] for name, _ in s.module.named_parameters()}
    half = s.half if half is None else half
    with torch.autocast(s.device.type, torch.bfloat16, enabled=half):
        out: Tensor = functional_call(s.module, weights, given)
    return out.float()


def move_average(s: State, decay: float) -> None:
    """Move the running average towards the weights: by 1 - decay, by more in the first steps."""
    share = max(1 - decay, 9 / (s.step + 10))
    for name, average in averaged(s.weights).items():
        average.lerp_(s.weights[name].detach(), share)


def averaged(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the averages `(1, ...)` by the names of the network's weights."""
    return {n.removeprefix(AVERAGE): w for n, w in weights.items() if n.startswith(AVERAGE)}

"""Count the memory and the work of asking a prior, on torch's meta device, before it is asked."""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from untrained.priors.base import Prior


@dataclass(frozen=True)
class Cost:
    """What a prior takes.

    Attributes:
        stored: bytes of its weights.
        passing: bytes of one pass beyond them, at its peak; with a gradient, all that the backward
            pass needs.
        products: floating-point operations of a pass, and of its backward pass with a gradient.
    """

    stored: int
    passing: int
    products: float


def prior_cost(prior: Prior, shape: tuple[int, ...], *, gradient: bool) -> Cost:
    """Count what one pass on images of this shape takes; computes nothing.

    Of a network that looks at numbers on its way, the weights alone are counted.

    Args:
        prior: the network.
        shape: `(G, C, H, W)` of the images.
        gradient: whether the pass is differentiated with respect to the image.

    Raises:
        UserError: the prior cannot take such images.
    """
    twin = _on_meta(prior)
    x = torch.empty(shape, device="meta", requires_grad=gradient)
    live, counter = _Live(), FlopCounterMode(display=False)
    try:
        with torch.set_grad_enabled(gradient), counter, live:
            twin.pass_through(x)
    except (RuntimeError, NotImplementedError):  # it asks for numbers, of which there are none here
        return Cost(prior.stored_bytes, 0, 0.0)
    # a backward pass to the image alone costs as much again
    work = counter.get_total_flops() * (2.0 if gradient else 1.0)
    return Cost(prior.stored_bytes, live.peak, work)


def _on_meta(prior: Prior) -> Prior:
    """Copy a prior without its numbers: no memory is taken for a second one."""
    empty: dict[int, Any] = {}
    for tensor in [*prior.parameters(), *prior.buffers()]:
        bare = torch.empty_like(tensor, device="meta")
        if isinstance(tensor, nn.Parameter):
            bare = nn.Parameter(bare, requires_grad=False)
        empty[id(tensor)] = bare
    return copy.deepcopy(prior, empty)


class _Live(TorchDispatchMode):
    """Follow how many bytes of results are alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in tree_leaves(out):
            if isinstance(one, torch.Tensor):
                self._count(one.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size

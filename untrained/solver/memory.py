"""Count the memory of a network's step before it is taken; recompute where it is too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from untrained.core.recipe import Recipe
from untrained.errors import UserError
from untrained.machine import available_memory
from untrained.nets.hourglass import Decoder, Encoder
from untrained.priors import Prior
from untrained.priors.cost import prior_cost
from untrained.problem import Problem
from untrained.problem.group import Group


@dataclass(frozen=True)
class MemoryNeed:
    """Hold the memory of one optimiser step, in bytes.

    Attributes:
        parameters: number of weights.
        full: what the backward pass keeps, with the weights, their gradients, the optimiser's two
            moments and a copy while a checkpoint is written; and the pre-trained network that the
            method asks, with what a pass through it takes.
        lean: the same where blocks are computed again instead (`Encoder.lean`).
        products: floating-point operations of a pass through the pre-trained network.
    """

    parameters: int
    full: int
    lean: int
    products: float = 0.0


def memory_need(recipe: Recipe, problem: Problem | Group, prior: Prior | None = None) -> MemoryNeed:
    """Count the memory of one step of all problems on torch's `meta` device, without computing.

    Raises:
        UserError: the prior cannot take such images.
    """
    inputs = recipe.method.copies * recipe.method.channels_of_input(problem.x_shape)
    with torch.device("meta"):
        module = recipe.build(problem.select(0))
        sides = problem.x_shape[1 + recipe.method.framewise :]
        z = torch.empty(len(problem), inputs, *getattr(module, "input_sides", sides))
        if hasattr(module, "points"):  # of time, one a frame
            z = torch.empty(problem.x_shape[1], inputs)
    tally = _Tally(module)
    with torch.autograd.graph.saved_tensors_hooks(tally.pack, lambda tensor: tensor):
        module(z)
    parameters = sum(p.numel() for p in module.parameters())
    rest = 5 * 4 * parameters
    inside = list(tally.inside.values())
    lean = sum(tally.outside.values()) + sum(tally.inputs.values())
    if inside:
        lean += max(sum(kept.values()) for kept in inside)
    full = sum(tally.outside.values()) + sum(sum(kept.values()) for kept in inside)
    products = 0.0
    if prior is not None:
        shape = (len(problem), *problem.x_shape)
        cost = prior_cost(prior, shape, gradient=recipe.method.differentiates)
        # on the device where it is already, its weights are no part of what is free
        there = all(one.device == problem.device for one in prior.parameters())
        rest += cost.passing + (0 if there else cost.stored)
        products = cost.products
    return MemoryNeed(parameters, full + rest, min(lean, full) + rest, products)


class _Tally:
    """Count the bytes of every stored tensor once: inside which block, or outside of them all."""

    def __init__(self, module: nn.Module) -> None:
        self.outside: dict[int, int] = {}
        self.inputs: dict[int, int] = {}
        self.inside: dict[int, dict[int, int]] = {}
        self._seen: set[int] = set()
        self._now: dict[int, int] = self.outside
        for block in _blocks(module):
            block.register_forward_pre_hook(self._enter)
            block.register_forward_hook(self._leave)

    def pack(self, tensor: Tensor) -> Tensor:
        """Count the bytes of a tensor that autograd stores; return it detached, to be stored.

        Detached, since the tensor itself would refer to the graph that refers to it, a cycle that
        Python's garbage collector cannot see inside torch. Stored, since otherwise the next tensor
        could get the same address and be taken for this one.
        """
        key, size = _storage(tensor)
        if key not in self._seen:
            self._seen.add(key)
            self._now[key] = size
        return tensor.detach()

    def _enter(self, block: nn.Module, given: Any) -> None:
        self._now = self.inside.setdefault(id(block), {})
        self.inputs |= dict(_storage(x) for x in given if x is not None)

    def _leave(self, block: nn.Module, given: Any, out: Any) -> None:
        self._now = self.outside


def _storage(tensor: Tensor) -> tuple[int, int]:
    storage = tensor.untyped_storage()
    return storage._cdata, storage.nbytes()


def _blocks(module: nn.Module) -> list[nn.Module]:
    """List the blocks that `Encoder` and `Decoder` can compute again."""
    found: list[nn.Module] = []
    for part in module.modules():
        if isinstance(part, Encoder):
            found += [part.stem, *part.descents]
        elif isinstance(part, Decoder):
            found += [*part.ascents]
    return found


def make_lean(module: nn.Module) -> bool:
    """Switch on `lean` in every part of a network that has it; return whether one has."""
    parts: list[Any] = [m for m in module.modules() if isinstance(m, (Encoder, Decoder))]
    for part in parts:
        part.lean = True
    return bool(parts)


def needs_lean(recipe: Recipe, problem: Problem | Group, prior: Prior | None = None) -> bool:
    """Return whether a step fits into the free memory only if it is taken lean.

    Raises:
        UserError: it does not fit at all.
    """
    need, room = memory_need(recipe, problem, prior), available_memory(problem.device)
    if need.lean > room:
        raise UserError(
            f"a step needs about {_mib(need.lean)} and {_mib(room)} are free on "
            f"{problem.device}; {ADVICE}"
        )
    return need.full > room


LEAN = (
    "memory is short: the network's inner images are computed twice from here on instead of being "
    "kept, which takes a third longer and changes no number"
)

ADVICE = (
    "crop the image, take a smaller network (for example --set net.widths=8,16,32,64) or another "
    "device; `reconstruct ... --dry-run` tells what a run needs"
)


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is one of memory, whichever library ran out of it.

    torch raises a class of its own where a GPU is full, and a plain RuntimeError where the main
    memory is; an error of C++ code shows only by the exception's name in the text.
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return any(sign in text for sign in SIGNS_OF_FULL_MEMORY)


SIGNS_OF_FULL_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "bad allocation",
    "std::length_error",
    "storage size calculation overflowed",
)

"""Blocks whose inner tensors are computed twice instead of being kept for the backward pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint


def run_block(block: nn.Module, *inputs: Tensor | None, lean: bool) -> Any:
    """Compute block(*inputs); with `lean` keep only its inputs until the backward pass.

    The result is bit-identical either way. The backward pass computes the block again, with the
    weights it had: those are handed on as arguments, because under `functional_call` a module holds
    them only while it is called.
    """
    if not lean:
        return block(*inputs)
    weights = dict(block.named_parameters())
    names = list(weights)

    def again(*given: Any) -> Any:
        own = dict(zip(names, given[: len(names)], strict=True))
        return functional_call(block, own, given[len(names) :])

    return checkpoint(
        again, *weights.values(), *inputs, use_reentrant=False, preserve_rng_state=False
    )

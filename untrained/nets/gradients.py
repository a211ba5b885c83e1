"""A convolution whose gradients for its input and for its weights are found at once."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from untrained.threads import second_thread

Shape = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], bool, tuple[int, ...], int]
"""Stride, padding, dilation, whether it is transposed, output padding, groups."""


def has_second(x: Tensor, weight: Tensor) -> bool:
    """Whether there is a second thread, and two gradients for it to share in."""
    return (
        second_thread() is not None
        and x.device.type == "cpu"
        and x.ndim == weight.ndim
        and torch.is_grad_enabled()
        and x.requires_grad
        and weight.requires_grad
        and not is_functorch_wrapped_tensor(x)
        and not is_functorch_wrapped_tensor(weight)
    )


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, how: Shape) -> Tensor:
    """The convolution of x with `weight`; ask `has_second` before.

    The calling thread finds the gradient for x while the second thread finds those for weight and
    bias. The bits are those of one thread. To divide each of the two among threads instead costs
    waits inside of oneDNN, in which threads spin, whatever OpenMP has been told.

    Args:
        x: `(B, C, *sides)`.
        weight: as `torch.convolution` takes it.
        bias: `(C',)`, or None.
        how: see `Shape`.
    """
    second = second_thread()
    assert second is not None
    if torch.is_autocast_enabled("cpu"):  # as autocast would: what is kept is what is multiplied
        half = torch.get_autocast_dtype("cpu")
        x, weight = x.to(half), weight.to(half)
        bias = None if bias is None else bias.to(half)
    result: Tensor = _Convolution.apply(x, weight, bias, how, second)
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, how: Shape, second: Executor
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how, ctx.second = how, second
        ctx.bias = None if bias is None else list(bias.shape)
        return torch.convolution(x, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        given = (gradient, x, weight, ctx.bias, *ctx.how)
        if torch.is_grad_enabled():  # to be differentiated again: in one go
            return *_gradients(*given, [of_x, of_weight, of_bias]), None, None
        others = ctx.second.submit(_plain_gradients, *given, [False, of_weight, of_bias])
        try:
            first = _gradients(*given, [of_x, False, False])[0]
        finally:  # the second thread is not left at work on what is given up
            rest = others.result()
        return first, rest[1], rest[2], None, None


_gradients = torch.ops.aten.convolution_backward


@torch.no_grad()
def _plain_gradients(*given: Any) -> Any:
    return _gradients(*given)

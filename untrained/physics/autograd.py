"""Automatic differentiation through operators that are not of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from untrained.errors import UserError


def device_of(obj: Any) -> torch.device:
    """Return where the operator's constants lie; the CPU if it has none."""
    tensors = obj.buffers() if isinstance(obj, nn.Module) else ()
    return next((t.device for t in tensors), torch.device("cpu"))


class OwnGradientMap(torch.autograd.Function):
    """The map x -> A(x), whose gradient is the object's own J(x)^H v."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forth: Callable[[Tensor], Tensor], pull_back: Any) -> Tensor:
        ctx.pull_back = pull_back
        ctx.save_for_backward(x)
        return forth(x.detach()).detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        found = ctx.pull_back(x.detach(), grads[0].detach())
        if found.shape != x.shape:
            raise UserError(
                f"A_vjp returns shape {tuple(found.shape)} for an image of {tuple(x.shape)}; "
                "A_vjp(x, v) is J(x)^T v, an image"
            )
        return found, None, None


class LinearMap(torch.autograd.Function):
    """The map value -> forth(value), with `back` as its gradient; both linear, differentiable."""

    @staticmethod
    def forward(value: Tensor, forth: Callable[[Tensor], Tensor], back: Any) -> Tensor:
        return forth(value.detach()).detach()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.forth, ctx.back = inputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return LinearMap.apply(grads[0], ctx.back, ctx.forth), None, None


def vjp(A: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    """Apply J(x)^H to v by reverse mode, detached from the caller's graph."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(A(x), x, v)
    return gradient


def differentiable(obj: Any, shape: tuple[int, ...]) -> bool:
    """Test whether autograd passes through A. numpy refuses tensors that ask for gradients."""
    x = torch.zeros(1, *shape, device=device_of(obj))
    try:
        with torch.enable_grad():
            found = obj.A(x.requires_grad_())
    except (RuntimeError, TypeError):
        with torch.no_grad():
            found = obj.A(x.detach())  # a fault of A itself must surface as it is
    if not isinstance(found, Tensor):
        raise UserError(
            f"{type(obj).__name__}.A must return a torch tensor of real floating values, got "
            f"{type(found).__name__}"
        )
    return found.requires_grad


def has_gradient(obj: Any, shape: tuple[int, ...]) -> bool:
    """Test whether autograd passes through A, and comes back with more than zeros.

    A that rounds, or compares, is followed by autograd and has the gradient 0 everywhere.
    """
    if not differentiable(obj, shape):
        return False
    draw = torch.Generator().manual_seed(0)
    device = device_of(obj)
    x, z = (torch.rand(1, *shape, generator=draw).to(device) for _ in range(2))
    try:
        with torch.no_grad():
            y = obj.A(x)
            if torch.equal(y, obj.A(z)):
                return True  # a constant, or nearly: its gradient is 0 by right
        v = torch.randn(y.shape, generator=draw).to(y)
        return bool(vjp(obj.A, x, v).any())
    except RuntimeError:
        return False

"""Any object with `A` becomes a physics; a missing adjoint is derived by autograd."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.base import LinearPhysics, Physics

_PASSED_ON = ("degree", "mask", "weight", "norm_squared", "initial", "A_dagger", "fbp")


def as_physics(obj: Any, x_shape: Sequence[int] | None = None) -> Any:
    """An object with `A` and `A_adjoint`, from whatever the user brought.

    - An object that has both (one of ours, any linear operator of deepinv) comes back unchanged.
      If autograd cannot pass through its `A` (numpy or another library inside) and its image
      shape is known, it is wrapped so that `A_adjoint` is the gradient of `A`.
    - An object with `A` alone gets the adjoint derived by automatic differentiation.
    - An object that is nonlinear (it says `linear = False`, is a nonlinear operator of deepinv,
      or fails the linearity test) becomes a `Nonlinear`, with `linear = False`.

    Args:
        obj: the operator, acting on batches.
        x_shape: shape of an image without the batch axis; default `obj.x_shape`.

    Raises:
        UserError: no `A`; no `A_adjoint` and no image shape; or an `A` autograd cannot
            differentiate and that brings no adjoint of its own.
    """
    if not callable(getattr(obj, "A", None)):
        raise UserError(
            f"the physics must have a method A(x); {type(obj).__name__} has none. Give an object "
            "with A(x) and, if you have it, A_adjoint(y)."
        )
    if isinstance(obj, Physics):
        return obj
    shape = image_shape(obj, x_shape)
    has_adjoint = callable(getattr(obj, "A_adjoint", None))
    if getattr(obj, "linear", None) is False or _nonlinear_in_deepinv(obj):
        if shape is not None and not _has_gradient(obj, shape):
            return _by_vjp(obj, shape)
        return obj if has_adjoint and hasattr(obj, "linear") else Nonlinear(obj, shape)
    if has_adjoint:
        return obj if shape is None or _differentiable(obj, shape) else OwnAdjoint(obj, shape)
    if shape is None:
        raise UserError(
            f"{type(obj).__name__} has no A_adjoint, so the adjoint must be derived from A, and "
            "for that the image's shape is needed: set x_shape = (C, H, W) on the object."
        )
    if not _has_gradient(obj, shape):
        if callable(getattr(obj, "A_vjp", None)):
            return _by_vjp(obj, shape)
        raise UserError(
            f"{type(obj).__name__}.A cannot be differentiated by torch (does it use numpy or "
            ".detach(), or change x in place?) and has no A_adjoint. Write A in torch, or write "
            "A_adjoint(y) as well (A_vjp(x, v) of a nonlinear one)."
        )
    derived = DerivedAdjoint(obj, shape)
    return derived if is_linear(derived, shape) else Nonlinear(obj, shape)


def image_shape(obj: Any, x_shape: Sequence[int] | None = None) -> tuple[int, ...] | None:
    """`x_shape`, else the object's own, else None."""
    shape = getattr(obj, "x_shape", None) if x_shape is None else x_shape
    return None if shape is None else tuple(int(n) for n in shape)


def is_linear(
    physics: Any, x_shape: Sequence[int] | None = None, dtype: torch.dtype = torch.float32
) -> bool:
    """Whether A(a x + b z) = a A(x) + b A(z) holds for random images, to rounding.

    Args:
        physics: an object with `A`.
        x_shape: image shape without the batch axis; default `physics.x_shape`.
        dtype: precision of the test.

    Raises:
        UserError: no shape known.
    """
    shape = image_shape(physics, x_shape)
    if shape is None:
        raise UserError("the linearity test needs the image's shape: pass x_shape.")
    generator = torch.Generator().manual_seed(0)
    device = device_of(physics)
    x, z = (torch.randn(1, *shape, generator=generator, dtype=dtype).to(device) for _ in range(2))
    with torch.no_grad():
        together = physics.A(2.0 * x - 3.0 * z)
        apart = 2.0 * physics.A(x) - 3.0 * physics.A(z)
    size = float(together.norm() + apart.norm())
    return float((together - apart).norm()) <= 1e3 * torch.finfo(dtype).eps * size


def device_of(physics: Any) -> torch.device:
    """Where the operator's constants lie; the CPU if it has none."""
    tensors = getattr(physics, "buffers", list)
    return next((t.device for t in tensors()), torch.device("cpu"))


class _Wrapped(LinearPhysics):
    """The object, its names passed on, and moved along by `.to(device)` if it is a module."""

    def __init__(self, source: Any, x_shape: tuple[int, ...] | None) -> None:
        y_shape = getattr(source, "y_shape", None)
        super().__init__(x_shape, y_shape)
        self.source = source
        self.task = str(getattr(source, "task", "custom"))
        self.unit_range = bool(getattr(source, "unit_range", False))

    def __getattr__(self, name: str) -> Any:
        if name in _PASSED_ON:
            return getattr(self.source, name)
        return super().__getattr__(name)

    def A(self, x: Tensor) -> Tensor:
        """The object's own `A`."""
        self._check_x(x)
        return self.source.A(x)

    def mean_squared_singular_value(self, weighting: str = "uniform") -> Tensor | float | None:
        """Give the object's own answer, if it has one."""
        own = getattr(self.source, "mean_squared_singular_value", None)
        return None if own is None else own(weighting)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """The object's own `holdout`, else single entries of y drawn at random."""
        own = getattr(self.source, "holdout", None)
        if own is not None:
            return own(y, fraction, generator)
        return (torch.rand(y.shape[1:], generator=generator) < fraction)[None].to(y.device)


class DerivedAdjoint(_Wrapped):
    """A linear object without adjoint: A^H y is the gradient of Re<A x, y> at any x."""

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Measurements -> image `(B, *x_shape)`; differentiable in y, with gradient `A`."""
        return _LinearMap.apply(y, self._pull_back, self.source.A)

    def _pull_back(self, y: Tensor) -> Tensor:
        x = torch.zeros(y.shape[0], *self.x_shape or (), dtype=y.real.dtype, device=y.device)
        return _vjp(self.source.A, x, y)


class OwnAdjoint(_Wrapped):
    """A linear object autograd cannot see through: `A_adjoint` serves as the gradient of `A`."""

    def A(self, x: Tensor) -> Tensor:
        """The object's `A`, differentiable in x."""
        self._check_x(x)
        return _LinearMap.apply(x, self.source.A, self.source.A_adjoint)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """The object's `A_adjoint`, differentiable in y."""
        return _LinearMap.apply(y, self.source.A_adjoint, self.source.A)


class Nonlinear(_Wrapped):
    """A nonlinear object: `A_vjp(x, v)` is J(x)^H v, J the Jacobian of A at x.

    The object's own `A_vjp` and `initial` are used where it has them.
    """

    linear = False

    def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """J(x)^H v: image `(B, *x_shape)` from an image x and measurements v."""
        own = getattr(self.source, "A_vjp", None)
        return _vjp(self.source.A, x, v) if own is None else own(x, v)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """J^H y at a constant image of 1/2: only a start, a nonlinear A has no adjoint.

        The object's own `A_adjoint` is preferred.

        Raises:
            UserError: neither that nor the image's shape is there.
        """
        own = getattr(self.source, "A_adjoint", None)
        if own is not None:
            return own(y)
        if self.x_shape is None:
            raise UserError(
                f"{type(self.source).__name__} is nonlinear and has no A_adjoint; set x_shape = "
                "(C, H, W) on it, so that a first image can be derived from A."
            )
        half = torch.full((y.shape[0], *self.x_shape), 0.5, dtype=y.real.dtype, device=y.device)
        return self.A_vjp(half, y)


class OwnGradient(Nonlinear):
    """A nonlinear object that autograd cannot see through: `A_vjp` serves as the gradient of A."""

    def A(self, x: Tensor) -> Tensor:
        """The object's `A`, differentiable in x."""
        self._check_x(x)
        return _OwnGradient.apply(x, self.source.A, self.source.A_vjp)


class _OwnGradient(torch.autograd.Function):
    """x -> A(x), whose gradient is the object's own J(x)^H v."""

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


def _by_vjp(obj: Any, shape: tuple[int, ...]) -> Nonlinear:
    """A nonlinear object with the gradient that it brings."""
    if callable(getattr(obj, "A_vjp", None)):
        return OwnGradient(obj, shape)
    raise UserError(
        f"{type(obj).__name__}.A is nonlinear and has no gradient in torch (does it use numpy, "
        ".detach() or rounding?), so that a network could not be fitted to its measurements; write "
        "A in torch, or give its gradient: A_vjp(x, v) returns J(x)^T v, the shape of x"
    )


def _has_gradient(obj: Any, shape: tuple[int, ...]) -> bool:
    """Whether autograd passes through A, and comes back with more than zeros.

    A that rounds, or compares, is followed by autograd and has the gradient 0 everywhere.
    """
    if not _differentiable(obj, shape):
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
        return bool(_vjp(obj.A, x, v).any())
    except RuntimeError:
        return False


class _LinearMap(torch.autograd.Function):
    """value -> forth(value), with `back` as its gradient; both linear, both differentiable."""

    @staticmethod
    def forward(value: Tensor, forth: Callable[[Tensor], Tensor], back: Any) -> Tensor:
        return forth(value.detach()).detach()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.forth, ctx.back = inputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _LinearMap.apply(grads[0], ctx.back, ctx.forth), None, None


def _vjp(A: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    """J(x)^H v by reverse mode, detached from the caller's graph."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(A(x), x, v)
    return gradient


def _differentiable(obj: Any, shape: tuple[int, ...]) -> bool:
    """Whether autograd passes through A. numpy refuses tensors that ask for gradients."""
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


def _nonlinear_in_deepinv(obj: Any) -> bool:
    physics = getattr(sys.modules.get("deepinv"), "physics", None)
    if physics is None or not isinstance(obj, physics.Physics):
        return False
    return not isinstance(obj, physics.LinearPhysics)

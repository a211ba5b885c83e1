"""Wrap every operator that is not of ours, so that it answers all that `base.Physics` does.

A user's own class or module, with or without a base class, an operator with numpy or another
library inside, an operator of deepinv: `as_physics` makes a `Physics` of each. A missing adjoint is
derived by automatic differentiation; where autograd cannot pass, the object's own `A_adjoint` or
`A_vjp` serves as the gradient of A.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.physics.autograd import (
    LinearMap,
    OwnGradientMap,
    device_of,
    differentiable,
    has_gradient,
    vjp,
)
from untrained.physics.base import WEIGHTINGS, Physics
from untrained.physics.copies import twin
from untrained.physics.kinds import LinearPhysics

OPTIONAL: dict[str, Any] = {
    "x_shape": None,
    "y_shape": None,
    "A_adjoint": None,
    "A_vjp": None,
    "linear": None,
    "unit_range": False,
    "complex_image": False,
    "task": "custom",
    "mask": None,
    "support": None,
    "degree": None,
    "norm_squared": None,
    "mean_squared_singular_value": None,
    "weight": None,
    "initial": None,
    "classical_name": "",
    "fbp": None,
    "fill": None,
    "holdout": None,
    "scattered": None,
    "units": None,
    "importance": None,
    "described": None,
}
"""What an object may have beside `A`, and what stands for it where it has not. The only list:
docs/operators.md explains each, and a test compares the two."""


def as_physics(obj: Any, x_shape: Sequence[int] | None = None, y: Tensor | None = None) -> Physics:
    """Make a `Physics` of whatever the user brought; one that is a `Physics` comes back unchanged.

    - An object with `A` and `A_adjoint` keeps both. If autograd cannot pass through its `A` (numpy
      or another library inside) and its image shape is known, `A_adjoint` is the gradient of `A`.
    - An object with `A` alone gets the adjoint derived by automatic differentiation.
    - An object that is nonlinear (it says `linear = False`, is a nonlinear operator of deepinv,
      or has no adjoint and fails the linearity test) becomes a `Nonlinear`, with `linear = False`.

    Args:
        obj: the operator, acting on batches; `OPTIONAL` lists what it may have beside `A`.
        x_shape: shape of an image without the batch axis; default `obj.x_shape`.
        y: measurements `(B, ...)`; where no shape is given, that of the adjoint's image of y is
            taken.

    Raises:
        UserError: no `A`; no `A_adjoint` and no image shape; or an `A` autograd cannot
            differentiate and that brings no adjoint of its own.
    """
    if isinstance(obj, Physics):
        return obj
    if not has_map(obj):
        raise UserError(
            f"the physics must have a method A(x); {type(obj).__name__} has none. Give an object "
            "with A(x) and, if you have it, A_adjoint(y)."
        )
    shape, adjoint = image_shape(obj, x_shape), optional(obj, "A_adjoint")
    if shape is None and y is not None and adjoint is not None:
        with torch.no_grad():
            shape = tuple(adjoint(y[:1]).shape[1:])
    if optional(obj, "linear") is False or _nonlinear_in_deepinv(obj):
        if shape is not None and not has_gradient(obj, shape):
            return _by_vjp(obj, shape)
        return Nonlinear(obj, shape)
    if adjoint is not None:
        through = shape is None or differentiable(obj, shape)
        return Foreign(obj, shape) if through else OwnAdjoint(obj, shape)
    if shape is None:
        raise UserError(
            f"{type(obj).__name__} has no A_adjoint, so the adjoint must be derived from A, and "
            "for that the image's shape is needed: set x_shape = (C, H, W) on the object."
        )
    if not has_gradient(obj, shape):
        if optional(obj, "A_vjp") is not None:
            return _by_vjp(obj, shape)
        raise UserError(
            f"{type(obj).__name__}.A cannot be differentiated by torch (does it use numpy or "
            ".detach(), or change x in place?) and has no A_adjoint. Write A in torch, or write "
            "A_adjoint(y) as well (A_vjp(x, v) of a nonlinear one)."
        )
    # only where nobody gave an adjoint is linearity put to the test: a given one says it
    derived = DerivedAdjoint(obj, shape)
    return derived if is_linear(derived, shape) else Nonlinear(obj, shape)


def has_map(obj: Any) -> bool:
    """Tell whether an object has a method `A`, the one thing that an operator must have."""
    return callable(getattr(obj, "A", None))


def has_adjoint(obj: Any) -> bool:
    """Tell whether an object brings an adjoint of its own."""
    return callable(optional(obj, "A_adjoint"))


def is_ours(physics: Physics) -> bool:
    """Tell whether an operator is of this library, whose tests prove its adjoint."""
    own = physics.source if isinstance(physics, Foreign) else physics
    return type(own).__module__.partition(".")[0] == "untrained"


def image_shape(obj: Any, x_shape: Sequence[int] | None = None) -> tuple[int, ...] | None:
    """Return `x_shape`, else the object's own, else None."""
    shape = optional(obj, "x_shape") if x_shape is None else x_shape
    return None if shape is None else tuple(int(n) for n in shape)


def optional(obj: Any, name: str) -> Any:
    """Return an optional attribute of a user's object, or its default."""
    return getattr(obj, name, OPTIONAL[name])


def is_linear(
    physics: Any, x_shape: Sequence[int] | None = None, dtype: torch.dtype = torch.float32
) -> bool:
    """Test whether A(a x + b z) = a A(x) + b A(z) holds for random images, to rounding.

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


class Foreign(LinearPhysics):
    """A linear object with an adjoint of its own, its optional attributes passed on.

    `.to(device)` moves it along if it is a module.

    Args:
        source: the object.
        x_shape: shape of an image without the batch axis, if it is known.
    """

    def __init__(self, source: Any, x_shape: tuple[int, ...] | None) -> None:
        super().__init__(x_shape, optional(source, "y_shape"))
        self.source = source
        self.task = str(optional(source, "task"))
        self.unit_range = bool(optional(source, "unit_range"))
        self.complex_image = bool(optional(source, "complex_image"))
        self.classical_name = str(optional(source, "classical_name"))
        norm_squared = optional(source, "norm_squared")
        self.norm_squared = None if norm_squared is None else float(norm_squared)
        self.weightings = () if optional(source, "weight") is None else WEIGHTINGS[1:]
        degree = optional(source, "degree")
        if degree is not None:
            self.degree = float(degree)
        for name in ("mask", "support"):
            value = optional(source, name)
            self.register_buffer(name, value if isinstance(value, Tensor) else None)

    def class_name(self) -> str:
        """Return the name of the object's own class."""
        return type(self.source).__name__

    def on(self, device: torch.device | str) -> Physics:
        """Return a copy on another device; an object that cannot be moved is shared."""
        if isinstance(self.source, nn.Module):
            return super().on(device)
        other = twin(self).to(device)
        if callable(getattr(self.source, "to", None)):
            other.source = copy.deepcopy(self.source).to(device)
        return other

    def described(self) -> str:
        """Say what is measured in the object's own words, if it has any."""
        own = optional(self.source, "described")
        return str(own()) if callable(own) else super().described()

    def A(self, x: Tensor) -> Tensor:
        """Apply the object's own `A`."""
        self._check_x(x)
        return self.source.A(x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the object's own `A_adjoint`."""
        return self.source.A_adjoint(y)

    def mean_squared_singular_value(self, weighting: str = "uniform") -> Tensor | float | None:
        """Give the object's own answer, if it has one."""
        own = optional(self.source, "mean_squared_singular_value")
        return None if own is None else own(weighting)

    def weight(self, r: Tensor, name: str) -> Tensor:
        """Apply the object's own data weighting."""
        own = optional(self.source, "weight")
        return super().weight(r, name) if own is None else own(r, name)

    def initial(self, y: Tensor) -> Tensor | None:
        """Make the object's own first image, if it has one."""
        own = optional(self.source, "initial")
        return None if own is None else own(y)

    def fbp(self, y: Tensor) -> Tensor | None:
        """Make an image by the object's own filtered backprojection, if it has one."""
        own = optional(self.source, "fbp")
        return None if own is None else own(y)

    def fill(self, x: Tensor, keep: Tensor) -> Tensor:
        """Fill a first image as the object does, if it says how."""
        own = optional(self.source, "fill")
        return x if own is None else own(x, keep)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw by the object's own `holdout`, else single entries of y at random."""
        own = optional(self.source, "holdout")
        if own is not None:
            return own(y, fraction, generator)
        return (torch.rand(y.shape[1:], generator=generator) < fraction)[None].to(y.device)

    def scattered(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw by the object's own `scattered`, else by `holdout`."""
        own = optional(self.source, "scattered")
        return (self.holdout if own is None else own)(y, fraction, generator)

    def units(self, y: Tensor) -> Tensor:
        """Number the object's own units, else every entry of y by itself."""
        own = optional(self.source, "units")
        if own is not None:
            return own(y)
        return torch.arange(y[0].numel(), device=y.device).reshape(1, *y.shape[1:])

    def importance(self, y: Tensor, held: Tensor) -> Tensor | None:
        """Weigh held-out measurements as the object does, if it says how."""
        own = optional(self.source, "importance")
        return None if own is None else own(y, held)


class DerivedAdjoint(Foreign):
    """A linear object without adjoint: A^H y is the gradient of Re<A x, y> at any x."""

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the derived adjoint; differentiable in y, with gradient `A`."""
        return LinearMap.apply(y, self._pull_back, self.source.A)

    def _pull_back(self, y: Tensor) -> Tensor:
        x = torch.zeros(y.shape[0], *self.x_shape or (), dtype=y.real.dtype, device=y.device)
        return vjp(self.source.A, x, y)


class OwnAdjoint(Foreign):
    """A linear object autograd cannot see through: `A_adjoint` serves as the gradient of `A`."""

    def A(self, x: Tensor) -> Tensor:
        """Apply the object's `A`, differentiable in x."""
        self._check_x(x)
        return LinearMap.apply(x, self.source.A, self.source.A_adjoint)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the object's `A_adjoint`, differentiable in y."""
        return LinearMap.apply(y, self.source.A_adjoint, self.source.A)


class Nonlinear(Foreign):
    """A nonlinear object: `A_vjp(x, v)` is J(x)^H v, J the Jacobian of A at x."""

    linear = False
    degree: float | None = None

    def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """Apply J(x)^H to measurements v: by the object's own `A_vjp`, else by autograd."""
        own = optional(self.source, "A_vjp")
        return vjp(self.source.A, x, v) if own is None else own(x, v)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the object's `A_adjoint`, else J^H at a constant image of 1/2.

        It is only a start: a nonlinear A has no adjoint.

        Raises:
            UserError: neither that nor the image's shape is there.
        """
        own = optional(self.source, "A_adjoint")
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
        """Apply the object's `A`, differentiable in x."""
        self._check_x(x)
        return OwnGradientMap.apply(x, self.source.A, self.source.A_vjp)


def _by_vjp(obj: Any, shape: tuple[int, ...]) -> Nonlinear:
    """Wrap a nonlinear object with the gradient that it brings."""
    if optional(obj, "A_vjp") is not None:
        return OwnGradient(obj, shape)
    raise UserError(
        f"{type(obj).__name__}.A is nonlinear and has no gradient in torch (does it use numpy, "
        ".detach() or rounding?), so that a network could not be fitted to its measurements; write "
        "A in torch, or give its gradient: A_vjp(x, v) returns J(x)^T v, the shape of x"
    )


def _nonlinear_in_deepinv(obj: Any) -> bool:
    """Tell a nonlinear operator of deepinv, which is not imported for that."""
    physics = getattr(sys.modules.get("deepinv"), "physics", None)
    if physics is None or not isinstance(obj, physics.Physics):
        return False
    return not isinstance(obj, physics.LinearPhysics)

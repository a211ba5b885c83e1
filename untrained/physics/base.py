"""What every operator of ours shares. A user's own operator need not inherit from any of it."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from untrained.errors import UserError

P = TypeVar("P", bound=nn.Module)


class Physics(nn.Module):
    """y = A(x), linear or not.

    Attributes:
        task: the task's name (`denoise`, `mri`, ...), which selects recipes and displays.
        x_shape: shape of an image without the batch axis, e.g. `(C, H, W)`; None if any will do.
        y_shape: shape of a measurement without the batch axis; None if it follows x.
        unit_range: True where images live in [0, 1] (photographs), so that nothing is rescaled.
        linear: False for a nonlinear operator.
    """

    task: str = "custom"
    unit_range: bool = False
    linear: bool = True

    def __init__(self, x_shape: tuple[int, ...] | None, y_shape: tuple[int, ...] | None) -> None:
        super().__init__()
        self.x_shape = None if x_shape is None else tuple(int(n) for n in x_shape)
        self.y_shape = None if y_shape is None else tuple(int(n) for n in y_shape)

    def A(self, x: Tensor) -> Tensor:
        """Image `(B, *x_shape)` -> measurements `(B, *y_shape)`."""
        raise TypeError(f"{type(self).__name__} does not define A")

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Measurements `(B, *y_shape)` -> image `(B, *x_shape)`; exact where A is linear."""
        raise TypeError(f"{type(self).__name__} does not define A_adjoint")

    def mean_squared_singular_value(self, weighting: str = "uniform") -> Tensor | float | None:
        r"""Give trace(A^H W A) / n exactly, where it is known; see `Problem`.

        It is the mean of the n squared singular values of W^(1/2) A, n the number of real image
        entries that the operator can see, in squared units of y over x. The default knows
        nothing: `Problem` then estimates it.

        Args:
            weighting: the name of W, one of those that `weight` takes, or `uniform`.

        Returns:
            One number; or a float64 tensor `(B,)` for an operator that differs from image to
            image of a batch; or None.
        """
        return None

    def forward(self, x: Tensor) -> Tensor:
        """`physics(x)` is `physics.A(x)`: no noise is added here."""
        return self.A(x)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Measurements to hold out: bool `(1, *y.shape[1:])`, True = held out.

        The default draws positions of the last two axes (pixels), the same for every channel.
        `generator` lives on the CPU.
        """
        return draw_positions(y, 2, fraction, generator)

    def _check_x(self, x: Tensor) -> None:
        _check(self, "x", x, self.x_shape)

    def _check_y(self, y: Tensor) -> None:
        _check(self, "y", y, self.y_shape)


class LinearPhysics(Physics):
    """y = A x, with `A_adjoint` the exact adjoint of `A`."""

    def to_deepinv(self) -> Any:
        """The same operator as a `deepinv.physics.LinearPhysics` (extra `deepinv`)."""
        from untrained.physics.deepinv import to_deepinv

        return to_deepinv(self)


class NonlinearPhysics(Physics):
    """y = A(x) with a nonlinear A that automatic differentiation can follow.

    Attributes:
        classical_name: what `initial` is where it is an answer of its own and not only a start,
            for reports; empty otherwise.
    """

    linear = False
    classical_name: str = ""

    def initial(self, y: Tensor) -> Tensor:
        """Measurements `(B, *y_shape)` -> a first image `(B, *x_shape)`."""
        raise TypeError(f"{type(self).__name__} does not define initial")

    def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """J(x)^T v, J the Jacobian of A at the image x `(B, *x_shape)`, v like measurements."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.A(x), x, v)
        return gradient

    def A_adjoint(self, y: Tensor) -> Tensor:
        """J^T y at a grey image of 1/2: a nonlinear A has no adjoint, `initial` is the start."""
        self._check_y(y)
        half = torch.full((y.shape[0], *(self.x_shape or y.shape[1:])), 0.5)
        return self.A_vjp(half.to(y), y)


def twin(physics: P) -> P:
    """Another operator of the same constants, which are shared until one is replaced."""
    other = copy.copy(physics)
    other._buffers = dict(physics._buffers)
    return other


def among(physics: P, images: slice, *names: str) -> P:
    """The operator of some images of a batch; `names` are the constants with a row for each."""
    some = twin(physics)
    for name in names:
        rows = getattr(physics, name)
        setattr(some, name, None if rows is None else rows[images])
    return some


def draw_positions(y: Tensor, axes: int, fraction: float, generator: torch.Generator) -> Tensor:
    """A share of the positions along the last `axes` axes of y, bool `(1, *y.shape[1:])`.

    The axis of the batch is none of them, however few axes y has.
    """
    drawn = torch.rand(y.shape[1:][-axes:], generator=generator) < fraction
    return drawn.expand(1, *y.shape[1:]).to(y.device)


def _check(owner: object, name: str, value: Tensor, shape: tuple[int, ...] | None) -> None:
    if shape is not None and tuple(value.shape[1:]) != shape:
        raise UserError(
            f"{type(owner).__name__}: {name} must be (B, {', '.join(map(str, shape))}), "
            f"got {tuple(value.shape)}"
        )

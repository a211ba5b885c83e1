"""Operators that are no functions, or that torch cannot differentiate, are refused or mended."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.errors import UserError
from untrained.physics import as_physics
from untrained.physics.check import check_operator


class Noisy:
    """Draws noise at each call."""

    x_shape = (1, 16, 16)

    def A(self, x: Tensor) -> Tensor:
        return x[..., ::2] + 0.01 * torch.randn_like(x[..., ::2])


class NoisyWithAdjoint(Noisy):
    def A_adjoint(self, y: Tensor) -> Tensor:
        return y.repeat_interleave(2, -1)


class NoisyNonlinear(Noisy):
    linear = False

    def A(self, x: Tensor) -> Tensor:
        return super().A(x).square()


class Counting(Noisy):
    """Keeps a state: every call is brighter."""

    def __init__(self) -> None:
        self.calls = 0

    def A(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x[..., ::2] * self.calls


@pytest.mark.parametrize("kind", [Noisy, NoisyWithAdjoint, NoisyNonlinear, Counting])
def test_an_operator_that_is_no_function_is_refused(kind) -> None:
    report = check_operator(kind())
    assert not report.ok
    assert "another answer for the same image" in report.verdict
    with pytest.raises(UserError, match="another answer for the same image"):
        ut.reconstruct(torch.rand(1, 1, 16, 8), kind(), method="dip", steps=2, progress=False)


class Square:
    """A smooth non-linear operator in numpy, which torch cannot see through."""

    linear = False
    x_shape = (1, 16, 16)

    def A(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.square(x.detach().numpy()))


class SquareWithGradient(Square):
    def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
        return 2 * x * v


class Rounded(Square):
    """Followed by autograd, with the gradient 0 everywhere."""

    def A(self, x: Tensor) -> Tensor:
        return torch.round(8 * x) / 8


@pytest.mark.parametrize("kind", [Square, Rounded])
def test_without_a_gradient_nothing_is_fitted(kind) -> None:
    for ask in (as_physics, check_operator):
        with pytest.raises(UserError, match="A_vjp"):
            ask(kind())
    with pytest.raises(UserError, match="A_vjp"):
        ut.reconstruct(torch.rand(1, 1, 16, 16), kind(), method="dip", steps=2, progress=False)


def test_a_given_gradient_is_used() -> None:
    physics = as_physics(SquareWithGradient())
    assert not physics.linear
    x, v = torch.rand(2, 1, 1, 16, 16)
    x.requires_grad_()
    (found,) = torch.autograd.grad(physics.A(x), x, v)
    assert torch.equal(found, (2 * x * v).detach())
    target = torch.full((1, 1, 16, 16), 0.49)
    result = ut.reconstruct(
        target, SquareWithGradient(), method="dip", steps=150, progress=False, stop="none"
    )
    assert float((result.image.abs() - 0.7).abs().mean()) < 0.1


def test_a_gradient_of_another_shape_is_refused() -> None:
    class Flat(Square):
        def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
            return (2 * x * v).flatten(1)

    with pytest.raises(UserError, match="A_vjp returns shape"):
        ut.reconstruct(torch.rand(1, 1, 16, 16), Flat(), method="dip", steps=2, progress=False)

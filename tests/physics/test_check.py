"""A user's operator: the checks of it, and what it is given: an adjoint, gradients, errors."""

import dataclasses

import numpy as np
import pytest
import torch
from ct_scans import noise

from untrained.errors import UserError
from untrained.physics import Denoise, as_physics, check_operator, dot_test, is_linear
from untrained.physics.check import adjoint_notes


class Scaled(torch.nn.Module):
    """A correct operator with an adjoint that is wrong by a factor."""

    x_shape = (1, 20, 20)

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def A(self, x):
        return x.cumsum(-1)

    def A_adjoint(self, y):
        return self.factor * y.flip(-1).cumsum(-1).flip(-1)


@pytest.mark.parametrize(("factor", "exact"), [(1.0, True), (1.01, False), (-1.0, False)])
def test_the_dot_test_sees_a_wrong_adjoint(factor, exact):
    error = dot_test(Scaled(factor))
    assert (error < 1e-6) == exact
    assert exact or error > 1e-3
    report = check_operator(Scaled(factor))
    assert report.ok == exact
    assert report.adjoint == "own"
    assert exact or "not the adjoint" in report.verdict


def test_the_dot_test_names_a_wrong_shape():
    physics = Scaled(1.0)
    physics.A_adjoint = lambda y: y[..., :-1]
    with pytest.raises(UserError, match="A_adjoint returns shape"):
        dot_test(physics)
    with pytest.raises(UserError, match="expected"):
        dot_test(Scaled(1.0), y_shape=(1, 20, 21))
    del physics.A_adjoint
    with pytest.raises(UserError, match="x_shape"):
        dot_test(Denoise())


class OnlyA:
    """A user's operator without an adjoint."""

    x_shape = (1, 12, 10)

    def __init__(self):
        self.matrix = noise(7, 12)

    def A(self, x):
        return self.matrix @ x


def test_report_of_a_derived_adjoint():
    report = check_operator(OnlyA())
    assert report.ok
    assert report.linear
    assert report.adjoint.startswith("derived")
    assert report.adjoint_error < 1e-5
    assert (report.x_shape, report.y_shape) == ((1, 12, 10), (1, 7, 10))
    true_norm = float(torch.linalg.matrix_norm(OnlyA().matrix, 2))
    assert report.norm == pytest.approx(true_norm, rel=0.05)
    assert report.seconds_forward > 0
    assert "linear, with an exact adjoint" in str(report)
    assert dataclasses.asdict(report)["ok"] is True


def test_derived_adjoint_is_exact_and_differentiable():
    physics = as_physics(OnlyA())
    assert dot_test(physics) < 1e-6
    y = noise(2, 1, 7, 10).requires_grad_()
    x = physics.A_adjoint(y)
    torch.testing.assert_close(x, physics.source.matrix.T @ y)
    weight = noise(2, 1, 12, 10, seed=5)
    (gradient,) = torch.autograd.grad((x * weight).sum(), y, create_graph=True)
    torch.testing.assert_close(gradient, physics.A(weight))
    inner = torch.func.grad(lambda v: (physics.A_adjoint(v) ** 2).sum())(y.detach())
    torch.testing.assert_close(inner, 2 * physics.A(x.detach()))


def test_derived_adjoint_of_a_complex_operator():
    class Fourier:
        x_shape = (1, 8, 8)

        def A(self, x):
            return torch.fft.fft2(x, norm="ortho")

    physics = as_physics(Fourier())
    assert dot_test(physics) < 1e-6
    x = noise(1, 1, 8, 8)
    torch.testing.assert_close(physics.A_adjoint(physics.A(x)), x)


def test_nonlinear_objects_say_so():
    class Square:
        x_shape = (1, 6, 6)
        degree = 2.0

        def A(self, x):
            return x**2

        def initial(self, y):
            return y.clamp_min(0).sqrt()

    physics = as_physics(Square())
    assert physics.linear is False
    assert physics.degree == 2.0
    x, v = noise(2, 1, 6, 6), noise(2, 1, 6, 6, seed=1)
    torch.testing.assert_close(physics.A_vjp(x, v), 2 * x * v)
    torch.testing.assert_close(physics.A_adjoint(v), v)
    torch.testing.assert_close(physics.initial(physics.A(x)), x.abs())
    report = check_operator(Square())
    assert report.ok
    assert not report.linear
    assert report.adjoint_error is None
    assert as_physics(OnlyA()).initial(x) is None


def test_affine_is_not_linear():
    physics = Denoise((1, 5, 5))
    physics.A = lambda x: x + 1
    assert not is_linear(physics)


def test_numpy_inside_is_made_differentiable():
    class Numpy:
        x_shape = (1, 6, 5)

        def A(self, x):
            return torch.from_numpy(np.cumsum(x.numpy(), axis=-1))

    class NumpyWithAdjoint(Numpy):
        def A_adjoint(self, y):
            return torch.from_numpy(np.cumsum(y.numpy()[..., ::-1], axis=-1)[..., ::-1].copy())

    physics = as_physics(NumpyWithAdjoint())
    x, y = noise(2, 1, 6, 5).requires_grad_(), noise(2, 1, 6, 5, seed=1)
    (gradient,) = torch.autograd.grad(physics.A(x), x, y)
    torch.testing.assert_close(gradient, physics.A_adjoint(y))
    with pytest.raises(UserError, match="cannot be differentiated"):
        as_physics(Numpy())


def test_what_as_physics_cannot_use():
    with pytest.raises(UserError, match="must have a method A"):
        as_physics(torch.nn.Linear(2, 2))
    bare = OnlyA()
    bare.x_shape = None
    with pytest.raises(UserError, match="x_shape"):
        as_physics(bare)
    assert as_physics(bare, x_shape=(1, 12, 10)).x_shape == (1, 12, 10)
    ours = Denoise((1, 4, 4))
    assert as_physics(ours) is ours
    broken = OnlyA()
    broken.x_shape = (1, 11, 10)
    with pytest.raises(RuntimeError):
        as_physics(broken)


def test_a_nonlinear_operator_that_does_not_say_so_is_told_to():
    class Squares:
        x_shape = (1, 6, 6)

        def A(self, x):
            return x.square()

        def A_adjoint(self, y):
            return y

    report = check_operator(Squares())
    assert not report.ok
    assert "linear = False" in report.verdict
    with pytest.raises(UserError, match="linear = False"):
        adjoint_notes(Squares(), (1, 6, 6), "Squares")


class InPlace:
    x_shape = (1, 6, 6)

    def A(self, x):
        x *= 2
        return x

    def A_adjoint(self, y):
        return 2 * y


class NoBatch:
    x_shape = (1, 6, 6)

    def A(self, x):
        return x[0]

    def A_adjoint(self, y):
        return y[None]


@pytest.mark.parametrize(
    ("operator", "said"), [(InPlace, "in place"), (NoBatch, "drops the batch axis")]
)
def test_what_an_operator_does_to_its_batch_is_said(operator, said):
    report = check_operator(operator())
    assert not report.ok
    assert said in report.verdict


def test_an_operator_that_changes_its_argument_is_not_told_to_mend_its_adjoint():
    with pytest.raises(UserError, match="in place"):
        adjoint_notes(InPlace(), (1, 6, 6), "InPlace")

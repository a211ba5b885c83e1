"""D, its adjoint and the inverse of a I + b D^T D."""

from __future__ import annotations

import pytest
import torch

from untrained.classical.gradient import (
    Laplacian,
    cosines,
    dct,
    gradient,
    gradient_adjoint,
    idct,
    length,
)

G = torch.Generator().manual_seed(0)
X = torch.randn(2, 3, 7, 6, generator=G, dtype=torch.float64)
Q = torch.randn(2, 2, 3, 7, 6, generator=G, dtype=torch.float64)


def test_gradient_and_adjoint_agree():
    left, right = (gradient(X) * Q).sum(), (X * gradient_adjoint(Q)).sum()
    assert torch.allclose(left, right, rtol=1e-12)


def test_gradient_is_the_difference_to_the_next_row_and_column():
    d = gradient(X)
    assert torch.equal(d[:, 0, :, :-1], X.diff(dim=2))
    assert torch.equal(d[:, 1, :, :, :-1], X.diff(dim=3))
    assert not d[:, 0, :, -1].any()
    assert not d[:, 1, ..., -1].any()


def test_length_is_joint_over_directions_and_channels():
    q = torch.zeros(1, 2, 2, 1, 1)
    q[0, 0, 0], q[0, 1, 1] = 3.0, 4.0
    assert length(q).item() == 5.0


def test_laplacian_solves_the_normal_equations():
    solved = Laplacian((7, 6), X).solve(X, 0.3, 1.7)
    back = 0.3 * solved + 1.7 * gradient_adjoint(gradient(solved))
    assert torch.allclose(back, X, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 33])
def test_fast_cosines_are_those_of_the_matrix(n):
    x = torch.randn(3, n, generator=G, dtype=torch.float64)
    matrix = cosines(n, x)
    assert torch.allclose(dct(x), x @ matrix.T, atol=1e-12)
    assert torch.allclose(idct(dct(x)), x, atol=1e-12)


@pytest.mark.parametrize("sides", [(7, 6), (6,), (4, 5, 3)])
def test_long_sides_are_solved_without_a_matrix(monkeypatch, sides):
    x = torch.randn(2, 3, *sides, generator=G, dtype=torch.float64)
    wanted = Laplacian(sides, x).solve(x, 0.3, 1.7)
    monkeypatch.setattr("untrained.classical.gradient.LONG", 4)
    solver = Laplacian(sides, x)
    assert [m is None for m in solver.matrices] == [n > 4 for n in sides]
    assert torch.allclose(solver.solve(x, 0.3, 1.7), wanted, atol=1e-12)


def test_volumes_and_signals_have_as_many_differences_as_axes():
    for sides in ((5,), (4, 5, 3), (3, 2, 4, 2)):
        x = torch.randn(1, 2, *sides, generator=G, dtype=torch.float64)
        d = gradient(x)
        assert d.shape == (1, len(sides), 2, *sides)
        for axis in range(len(sides)):
            inner = d[:, axis].narrow(axis + 2, 0, sides[axis] - 1)
            assert torch.equal(inner, x.diff(dim=axis + 2))
        q = torch.randn(d.shape, generator=G, dtype=torch.float64)
        assert torch.allclose((d * q).sum(), (x * gradient_adjoint(q)).sum(), rtol=1e-12)
        solved = Laplacian(sides, x).solve(x, 0.3, 1.7)
        back = 0.3 * solved + 1.7 * gradient_adjoint(gradient(solved))
        assert torch.allclose(back, x, atol=1e-10)

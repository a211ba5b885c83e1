"""Forward differences on a grid of pixels or voxels, and what total variation needs of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gradient(x: Tensor) -> Tensor:
    """D x: `(G, C, *sides)` -> `(G, axes, C, *sides)`, the difference to the next along each axis.

    The difference across the last entry is zero (the image continues as a constant);
    ||D||^2 < 4 axes.
    """
    axes = x.ndim - 2
    d = x.new_zeros(x.shape[0], axes, *x.shape[1:])
    for k in range(axes):
        last = x.shape[k + 2] - 1
        ahead, here = x.narrow(k + 2, 1, last), x.narrow(k + 2, 0, last)
        torch.sub(ahead, here, out=d[:, k].narrow(k + 2, 0, last))
    return d


def gradient_adjoint(q: Tensor) -> Tensor:
    """D^T q: `(G, axes, C, *sides)` -> `(G, C, *sides)`, minus the divergence."""
    x = torch.zeros_like(q[:, 0])
    for k in range(q.shape[1]):
        last = x.shape[k + 2] - 1
        step = q[:, k].narrow(k + 2, 0, last)
        x.narrow(k + 2, 1, last).add_(step)
        x.narrow(k + 2, 0, last).sub_(step)
    return x


def length(q: Tensor) -> Tensor:
    """Length of the vector at each pixel, over axes and channels: `(G, 1, 1, *sides)`."""
    return q.square().sum((1, 2), keepdim=True).sqrt()


class Laplacian:
    """(a I + b D^T D)^(-1) by discrete cosine transforms, which diagonalise D^T D.

    Its eigenvalues are those of the Neumann Laplacian, the sum over the axes of
    2 - 2 cos(pi j / n). The transforms are products with small dense matrices.

    Args:
        size: the sides.
        like: tensor whose device and dtype are used.
    """

    def __init__(self, size: tuple[int, ...], like: Tensor) -> None:
        found = [cosines(n, like) for n in size]
        self.matrices = [matrix for matrix, _ in found]
        self.eigenvalues = like.new_zeros(())
        for _, values in found:
            self.eigenvalues = self.eigenvalues[..., None] + values

    def solve(self, x: Tensor, a: float, b: float) -> Tensor:
        """(a I + b D^T D)^(-1) x for every channel of x `(G, C, *sides)`; a > 0, b >= 0."""
        spectrum = self._transformed(x, [m.T for m in self.matrices]) / (a + b * self.eigenvalues)
        return self._transformed(spectrum, self.matrices)

    def _transformed(self, x: Tensor, matrices: list[Tensor]) -> Tensor:
        """x times a matrix along every axis."""
        x = x @ matrices[-1]
        if len(matrices) > 1:
            x = matrices[-2].T @ x
        for k, matrix in enumerate(matrices[:-2]):
            x = (x.movedim(k + 2, -1) @ matrix).movedim(-1, k + 2)
        return x


def cosines(n: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The orthonormal DCT-II matrix `(n, n)`, row = frequency, and its eigenvalues `(n,)`."""
    k = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi / n * k[:, None] * (k + 0.5)) * math.sqrt(2 / n)
    matrix[0] = 1 / math.sqrt(n)
    values = 2 - 2 * torch.cos(math.pi / n * k)
    return matrix.to(like), values.to(like)

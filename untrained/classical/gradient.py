"""Forward differences on a pixel grid, and what total variation needs of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gradient(x: Tensor) -> Tensor:
    """D x: `(G, C, H, W)` -> `(G, 2, C, H, W)`, differences down and to the right.

    The difference across the last row or column is zero (the image continues as a constant);
    ||D||^2 < 8.
    """
    d = x.new_zeros(x.shape[0], 2, *x.shape[1:])
    torch.sub(x[:, :, 1:], x[:, :, :-1], out=d[:, 0, :, :-1])
    torch.sub(x[..., 1:], x[..., :-1], out=d[:, 1, ..., :-1])
    return d


def gradient_adjoint(q: Tensor) -> Tensor:
    """D^T q: `(G, 2, C, H, W)` -> `(G, C, H, W)`, minus the divergence."""
    down, right = q[:, 0, :, :-1], q[:, 1, ..., :-1]
    x = torch.zeros_like(q[:, 0])
    x[:, :, 1:] += down
    x[:, :, :-1] -= down
    x[..., 1:] += right
    x[..., :-1] -= right
    return x


def length(q: Tensor) -> Tensor:
    """Length of the vector at each pixel, over directions and channels: `(G, 1, 1, H, W)`."""
    return q.square().sum((1, 2), keepdim=True).sqrt()


class Laplacian:
    """(a I + b D^T D)^(-1) by discrete cosine transforms, which diagonalise D^T D.

    Its eigenvalues are those of the Neumann Laplacian, (2 - 2 cos(pi j / H)) +
    (2 - 2 cos(pi k / W)). The transforms are products with small dense matrices.

    Args:
        size: `(H, W)`.
        like: tensor whose device and dtype are used.
    """

    def __init__(self, size: tuple[int, int], like: Tensor) -> None:
        (self.rows, down), (self.columns, right) = (_cosines(n, like) for n in size)
        self.eigenvalues = down[:, None] + right

    def solve(self, x: Tensor, a: float, b: float) -> Tensor:
        """(a I + b D^T D)^(-1) x for every channel of x `(G, C, H, W)`; a > 0, b >= 0."""
        spectrum = self.rows @ x @ self.columns.T / (a + b * self.eigenvalues)
        return self.rows.T @ spectrum @ self.columns


def _cosines(n: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The orthonormal DCT-II matrix `(n, n)`, row = frequency, and its eigenvalues `(n,)`."""
    k = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi / n * k[:, None] * (k + 0.5)) * math.sqrt(2 / n)
    matrix[0] = 1 / math.sqrt(n)
    values = 2 - 2 * torch.cos(math.pi / n * k)
    return matrix.to(like), values.to(like)

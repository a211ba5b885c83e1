"""Forward differences on a grid of pixels or voxels, and what total variation needs of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LONG = 2048  # sides above it are transformed without a matrix


def gradient(x: Tensor, axes: int | None = None) -> Tensor:
    """Compute D x, the difference to the next entry along each axis, or the first few.

    `(G, C, *sides)` -> `(G, axes, C, *sides)`. The difference across the last entry is zero (the
    image continues as a constant); ||D||^2 < 4 axes.
    """
    axes = x.ndim - 2 if axes is None else axes
    d = x.new_zeros(x.shape[0], axes, *x.shape[1:])
    for k in range(axes):
        last = x.shape[k + 2] - 1
        ahead, here = x.narrow(k + 2, 1, last), x.narrow(k + 2, 0, last)
        torch.sub(ahead, here, out=d[:, k].narrow(k + 2, 0, last))
    return d


def gradient_adjoint(q: Tensor) -> Tensor:
    """Compute D^T q: `(G, axes, C, *sides)` -> `(G, C, *sides)`, minus the divergence."""
    x = torch.zeros_like(q[:, 0])
    for k in range(q.shape[1]):
        last = x.shape[k + 2] - 1
        step = q[:, k].narrow(k + 2, 0, last)
        x.narrow(k + 2, 1, last).add_(step)
        x.narrow(k + 2, 0, last).sub_(step)
    return x


def length(q: Tensor) -> Tensor:
    """Compute the length of each pixel's vector, over axes and channels: `(G, 1, 1, *sides)`."""
    return q.square().sum((1, 2), keepdim=True).sqrt()


class Laplacian:
    """(a I + b D^T D)^(-1) by discrete cosine transforms, which diagonalise D^T D.

    Its eigenvalues are those of the Neumann Laplacian, the sum over the axes of
    2 - 2 cos(pi j / n). The transforms are products with small dense matrices, and fast Fourier
    transforms along sides of more than LONG entries, whose matrices would fill the memory.

    Args:
        size: the sides.
        like: tensor whose device and dtype are used.
        axes: how many of them, from the first on, D takes differences along; None = all.
    """

    def __init__(self, size: tuple[int, ...], like: Tensor, axes: int | None = None) -> None:
        self.matrices = [cosines(n, like) if n <= LONG else None for n in size]
        self.eigenvalues = like.new_zeros(())
        for k, n in enumerate(size):
            along = eigenvalues(n) * (axes is None or k < axes)
            self.eigenvalues = self.eigenvalues[..., None] + along.to(like)

    def solve(self, x: Tensor, a: float, b: float) -> Tensor:
        """Compute (a I + b D^T D)^(-1) x for every channel of x `(G, C, *sides)`; a > 0, b >= 0."""
        spectrum = self._transformed(x, inverse=False) / (a + b * self.eigenvalues)
        return self._transformed(spectrum, inverse=True)

    def _transformed(self, x: Tensor, *, inverse: bool) -> Tensor:
        """Apply the cosine transform along every axis, or its inverse."""
        axes = len(self.matrices)
        for k in (axes - 1, axes - 2, *range(axes - 2)):
            if k < 0:
                continue
            matrix = self.matrices[k]
            if matrix is None:
                x = (idct if inverse else dct)(x.movedim(k + 2, -1)).movedim(-1, k + 2)
                continue
            matrix = matrix if inverse else matrix.T
            if k == axes - 1:
                x = x @ matrix
            elif k == axes - 2:
                x = matrix.T @ x
            else:
                x = (x.movedim(k + 2, -1) @ matrix).movedim(-1, k + 2)
        return x


def cosines(n: int, like: Tensor) -> Tensor:
    """Make the matrix of the orthonormal DCT-II, `(n, n)`, row = frequency."""
    k = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi / n * k[:, None] * (k + 0.5)) * math.sqrt(2 / n)
    matrix[0] = 1 / math.sqrt(n)
    return matrix.to(like)


def eigenvalues(n: int) -> Tensor:
    """Compute the eigenvalues of D^T D along a side of n entries, float64 `(n,)`."""
    return 2 - 2 * torch.cos(math.pi / n * torch.arange(n, dtype=torch.float64))


def dct(x: Tensor) -> Tensor:
    """Compute the orthonormal DCT-II along the last axis by one FFT (Makhoul, 1980)."""
    n = x.shape[-1]
    spectrum = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1))
    return (spectrum * _turns(n, x)).real * _norms(n, x)


def idct(x: Tensor) -> Tensor:
    """Compute the inverse of `dct`."""
    n = x.shape[-1]
    real = x / _norms(n, x)
    imaginary = torch.cat([torch.zeros_like(real[..., :1]), -real[..., 1:].flip(-1)], -1)
    mixed = torch.fft.ifft(torch.complex(real, imaginary) * _turns(n, x).conj()).real
    out = torch.empty_like(x)
    out[..., ::2] = mixed[..., : (n + 1) // 2]
    out[..., 1::2] = mixed[..., (n + 1) // 2 :].flip(-1)
    return out


def _turns(n: int, like: Tensor) -> Tensor:
    angle = -math.pi / (2 * n) * torch.arange(n, dtype=torch.float64)
    kind = torch.complex128 if like.dtype == torch.float64 else torch.complex64
    return torch.polar(torch.ones_like(angle), angle).to(like.device, kind)


def _norms(n: int, like: Tensor) -> Tensor:
    """Make the factors `(n,)` that turn the unnormalised DCT-II into the orthonormal one."""
    norms = torch.full((n,), math.sqrt(2 / n), dtype=torch.float64)
    norms[0] = math.sqrt(1 / n)
    return norms.to(like)

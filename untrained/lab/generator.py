r"""The two-layer convolutional generator of Heckel and Soltanolkotabi (ICML 2020).

.. math:: G(C) = \mathrm{ReLU}(U C)\,v,\qquad v = \tfrac{1}{\sqrt k}(1,\dots,1,-1,\dots,-1)

U is the circulant matrix of a filter u of n taps, C the weights `(n, k)`. With C Gaussian and k
large, J J^T tends to the dual kernel ||u||^2 g((u * u) / ||u||^2), g(z) = (1 - acos(z)/pi) z / 2,
which is circulant: its singular vectors are the real Fourier basis, and its eigenvalues the
Fourier coefficients of its first row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


def gaussian_taps(n: int, width: float) -> Array:
    """Return a periodic Gaussian filter of that standard deviation in samples, `(n,)`, norm 1."""
    distance = np.minimum(np.arange(n), n - np.arange(n))
    taps = np.exp(-0.5 * (distance / width) ** 2)
    return taps / np.linalg.norm(taps)


def circulant(first: Array) -> Array:
    """Return the circulant matrix whose first column is `first`, `(n, n)`."""
    return np.stack([np.roll(first, k) for k in range(len(first))], axis=1)


def correlation(u: Array) -> Array:
    """Return the periodic autocorrelation of u, `(n,)`."""
    return np.fft.ifft(np.abs(np.fft.fft(u)) ** 2).real


def dual_kernel(u: Array) -> Array:
    """Return the expected J J^T of the generator, `(n, n)`."""
    square = float(u @ u)
    z = np.clip(correlation(u) / square, -1.0, 1.0)
    return circulant(square * 0.5 * (1 - np.arccos(z) / np.pi) * z)


def singular_values(u: Array) -> Array:
    """Return sigma_i = ||u|| sqrt|F g((u * u) / ||u||^2)|, i = 0 ... n-1, unsorted: by frequency.

    The trigonometric basis function i has the frequency i for i <= n/2, and n - i beyond.
    """
    return np.sqrt(np.abs(np.fft.fft(dual_kernel(u)[:, 0])))


def trigonometric_basis(n: int) -> Array:
    """Return the real Fourier basis as columns, `(n, n)`, orthonormal, by index i; n is even."""
    j, half = np.arange(n), n // 2
    columns = [np.ones(n) / n**0.5]
    columns += [np.sqrt(2 / n) * np.cos(2 * np.pi * j * i / n) for i in range(1, half)]
    columns += [(-1.0) ** j / n**0.5]
    columns += [np.sqrt(2 / n) * np.sin(2 * np.pi * j * i / n) for i in range(half + 1, n)]
    return np.stack(columns, axis=1)


@dataclass(frozen=True, eq=False)
class Generator:
    """The generator at its weights C.

    Args:
        U: circulant matrix of the filter `(n, n)`.
        C: weights `(n, k)`, k even.
    """

    U: Array
    C: Array

    @classmethod
    def draw(cls, u: Array, k: int, omega: float, generator: np.random.Generator) -> Generator:
        """Draw C ~ N(0, omega^2)."""
        return cls(circulant(u), omega * generator.standard_normal((len(u), k)))

    @property
    def v(self) -> Array:
        """The fixed output weights `(k,)`."""
        k = self.C.shape[1]
        return np.repeat([1.0, -1.0], k // 2) / k**0.5

    def image(self) -> Array:
        """Return G(C), `(n,)`."""
        found: Array = np.maximum(self.U @ self.C, 0) @ self.v
        return found

    def adjoint(self, r: Array) -> Array:
        """Return J(C)^T r as an array like C."""
        active = self.U @ self.C > 0
        found: Array = self.U.T @ (active * r[:, None] * self.v)
        return found

    def kernel(self) -> Array:
        """Return J J^T: (U U^T)_ij times the mean over channels of both units being active."""
        active = (self.U @ self.C > 0).astype(float)
        k = self.C.shape[1]
        return (self.U @ self.U.T) * (active @ active.T) / k

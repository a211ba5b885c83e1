"""Compressed sensing: a few random combinations of all pixels, without any matrix."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.kinds import LinearPhysics
from untrained.physics.positions import number_positions


class CompressedSensing(LinearPhysics):
    r"""y = sqrt(n/m) R H D x per channel: a fast stand-in for a Gaussian matrix N(0, 1/m).

    x is a channel's n = H W pixels in a row. D flips signs at random, H is the discrete Hartley
    transform of length n, orthonormal and its own inverse for every n, and R keeps m of its n
    outputs, drawn at random. The signs spread every image evenly over all outputs; a random
    subset of them then measures it as a dense random matrix does (a "structurally random matrix",
    T. T. Do, L. Gan, N. H. Nguyen, T. D. Tran, IEEE Trans. Signal Process. 60, 2012) in
    O(n log n) time and without the m n numbers.

    Scale. Every entry of the matrix has mean square 1/m, as those of N(0, 1/m), so
    E ||A x||^2 = ||x||^2. The rows are orthogonal: A A^T = (n/m) I exactly, where the Gaussian
    matrix has singular values between about sqrt(n/m) - 1 and sqrt(n/m) + 1.

    All channels are measured by the same matrix.

    Args:
        x_shape: `(C, H, W)`.
        m: measurements per channel, from 1 to n.
        seed: of signs and rows. They are made of raw bits of PCG64, a stream that numpy promises
            to keep, so a stored seed means the same operator in every version.

    Raises:
        UserError: m outside 1..n, a negative seed.
    """

    task = "cs"
    unit_range = True
    signs: Tensor
    rows: Tensor

    def __init__(self, x_shape: tuple[int, int, int], m: int, seed: int = 0) -> None:
        channels, height, width = x_shape
        n = height * width
        if int(m) != m or not 1 <= m <= n:
            raise UserError(
                f"m must be a whole number of measurements from 1 to the {n} pixels of a "
                f"{height}x{width} image, got {m}."
            )
        if seed < 0:
            raise UserError(f"seed must be a whole number >= 0, got {seed}.")
        m = int(m)
        super().__init__(x_shape, (channels, m))
        bits = np.random.PCG64(seed).random_raw(2 * n)
        kept = np.sort(np.argsort(bits[:n], kind="stable")[:m])
        self.register_buffer("rows", torch.from_numpy(kept))
        signs = 1.0 - 2.0 * (bits[n:] >> np.uint64(63)).astype(np.float64)
        self.register_buffer("signs", torch.from_numpy(signs).to(torch.get_default_dtype()))
        self.norm_squared = n / m
        self._gain = math.sqrt(n / m)

    def A(self, x: Tensor) -> Tensor:
        """Map images `(B, C, H, W)` to measurements `(B, C, m)`."""
        self._check_x(x)
        spectrum = hartley(x.flatten(2) * self.signs.to(x.dtype))
        return self._gain * spectrum[..., self.rows]

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Map measurements `(B, C, m)` to images `(B, C, H, W)`."""
        self._check_y(y)
        spectrum = y.new_zeros(*y.shape[:2], len(self.signs)).index_copy(2, self.rows, y)
        x = hartley(spectrum) * self.signs.to(y.dtype)
        return (self._gain * x).unflatten(2, self.x_shape[1:])  # type: ignore[index]

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float:
        """Give 1: m of the n singular values are sqrt(n / m), the others 0."""
        return 1.0

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw measurements to hold out, bool `(1, C, m)`: the same in each channel."""
        drawn = torch.rand(y.shape[-1], generator=generator) < fraction
        return drawn.expand(1, *y.shape[1:]).to(y.device)

    def units(self, y: Tensor) -> Tensor:
        """Number the measurements, the same in each channel; see the base class."""
        return number_positions(y, 1)


def hartley(x: Tensor) -> Tensor:
    r"""Apply the orthonormal discrete Hartley transform along the last axis, real to real.

    .. math:: h_k = \frac{1}{\sqrt n} \sum_j x_j (\cos + \sin)(2 \pi j k / n)

    Symmetric and orthonormal, so it is its own inverse and its own adjoint, for every length n
    (R. N. Bracewell, J. Opt. Soc. Am. 73, 1983).
    """
    spectrum = torch.fft.fft(x, norm="ortho")
    return spectrum.real - spectrum.imag

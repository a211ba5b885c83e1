"""Singular values of operators that are only known by their products, with stated errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spectrum:
    """Hold the largest singular values of an operator J and how well they are known.

    Attributes:
        values: singular values s, largest first, `(k,)`.
        left: left singular vectors u, `(k, *out_shape)`, orthonormal.
        residuals: ||J v - s u|| / s with v = J^T u / s, `(k,)`; J^T u - s v is zero by this v.
            Some singular value s' of J has |s'^2 - s^2| <= residual s^2.
        products: products with J J^T that it took.
        right: right singular vectors v, `(k, p)`, where they were asked for.
    """

    values: Tensor
    left: Tensor
    residuals: Tensor
    products: int
    right: Tensor | None = None


@dataclass(frozen=True)
class Estimate:
    """Hold a random estimate and its standard error, of the same shape (0: exact)."""

    value: Tensor
    error: Tensor


@dataclass(frozen=True)
class Condition:
    """Hold the ends of a kernel's spectrum.

    Attributes:
        largest, smallest: eigenvalues of J J^T.
        exact: False where they come from a Krylov space, so that the ratio is a lower bound.
    """

    largest: float
    smallest: float
    exact: bool

    @property
    def number(self) -> float:
        """The condition number; infinite for a singular kernel."""
        return self.largest / self.smallest if self.smallest > 0 else float("inf")


def estimate_mean(draws: Tensor) -> Estimate:
    """Return the mean of independent draws `(k, ...)`, k >= 2, with its standard error."""
    return Estimate(draws.mean(0), draws.std(0) / len(draws) ** 0.5)


def krylov_spectrum(
    gram: Callable[[Tensor], Tensor],
    n: int,
    like: Tensor,
    k: int,
    tolerance: float,
    block: int,
    most: int,
    seed: int,
) -> Spectrum:
    """Find the largest eigenpairs of a symmetric positive operator by a random block Krylov space.

    The space of [W, G W, G^2 W, ...], W random, is built with full orthogonalisation, and the
    eigenpairs are those of G restricted to it (Musco and Musco 2015; Rayleigh-Ritz). The residual
    ||G u - s^2 u|| of every pair is measured, not bounded from theory: for a symmetric operator an
    eigenvalue lies within it.

    Args:
        gram: products G Q, `(n, b)` -> `(n, b)`.
        n: size of G.
        like: a tensor of the type and device of its vectors.
        k: pairs to find, 1 <= k <= n.
        tolerance: residual / s^2 to reach for every one of them.
        block: columns b of W.
        most: products after which it returns what it has; at least k are taken.
        seed: of W.
    """
    generator = torch.Generator().manual_seed(seed)
    basis, images = like.new_zeros(n, 0), like.new_zeros(n, 0)
    new = _orthogonal(_draw(n, block, like, generator), basis)
    while True:
        basis = torch.cat((basis, new), 1)
        images = torch.cat((images, gram(new)), 1)
        small = basis.T @ images
        squares, mixed = torch.linalg.eigh((small + small.T) / 2)
        top = min(k, basis.shape[1])
        squares, mixed = squares.flip(0)[:top].clamp_min(0), mixed.flip(1)[:, :top]
        left = basis @ mixed
        residuals = (images @ mixed - left * squares).norm(dim=0)
        # A singular value of 0 has no relative error: it is judged beside the largest.
        floor = torch.finfo(like.dtype).eps * n * squares[0]
        relative = residuals / torch.maximum(squares, floor)
        full = basis.shape[1] >= n
        enough = top == k and (bool((relative <= tolerance).all()) or basis.shape[1] >= most)
        if full or enough:
            return Spectrum(squares.sqrt(), left.T, relative, basis.shape[1])
        # From the last block on, as long as it leads anywhere; else from a fresh random one.
        room = n - basis.shape[1]
        new = _orthogonal(images[:, -new.shape[1] :], basis)[:, :room]
        if new.shape[1] == 0:
            new = _orthogonal(_draw(n, min(block, room), like, generator), basis)


def _draw(n: int, count: int, like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(n, min(count, n), generator=generator, dtype=torch.float64).to(like)


def _orthogonal(block: Tensor, basis: Tensor) -> Tensor:
    """Return an orthonormal basis of what the columns of `block` add to `basis`."""
    sizes = block.norm(dim=0)
    kept = block[:, sizes > 0] / sizes[sizes > 0]
    least = 100 * torch.finfo(block.dtype).eps
    for _ in range(2):  # once leaves rounding errors along the basis
        kept = kept - basis @ (basis.T @ kept)
        q, r = torch.linalg.qr(kept)
        kept = q[:, r.diagonal().abs() > least]
        least = 0.1  # the second time only what was rounding is small
    return kept

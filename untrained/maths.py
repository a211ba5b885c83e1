"""Small mathematics shared by every layer: tensors in, tensors out, nothing broadcast.

Every reduction keeps the first axis, the problem axis G: `mse(a, b)` of two `(G, C, H, W)`
tensors is `(G,)`. Three functions measure a distance, and they are different functions because
which of them a paper means decides what its weights mean: `sse` (sum of squares), `mse` (mean of
squares) and `norm` (the root of the sum).
"""

from __future__ import annotations

import torch
from torch import Tensor


def _same(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(
            f"the two tensors must agree: got {tuple(a.shape)} {a.dtype} "
            f"and {tuple(b.shape)} {b.dtype}; nothing is broadcast here"
        )


def sse(a: Tensor, b: Tensor) -> Tensor:
    """Compute the sum of squared errors per problem, `(G,)`; ValueError on unequal shapes."""
    _same(a, b)
    return sum_squares(a - b)


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Compute the mean squared error per problem, `(G,)`; ValueError on unequal shapes."""
    return sse(a, b) / a[0].numel()


def norm(a: Tensor) -> Tensor:
    """Compute the Euclidean norm per problem, `(G,)`."""
    return sum_squares(a).sqrt()


def sum_squares(a: Tensor) -> Tensor:
    """Compute the sum of squared magnitudes per problem, `(G,)`, real for complex input."""
    square = a.real.square() + a.imag.square() if a.is_complex() else a.square()
    return square.flatten(1).sum(1)


def tv(x: Tensor) -> Tensor:
    """Compute the anisotropic total variation per problem, `(G,)`.

    It is the sum of |differences| over every spatial axis, divided by the number of entries of x.
    x is `(G, C, N)`, `(G, C, H, W)` or `(G, C, D, H, W)`; a difference across the border is left
    out. As it is a mean, one weight suits images of every size.
    """
    total = x.new_zeros(x.shape[0])
    for axis in range(2, x.ndim):
        total = total + x.diff(dim=axis).abs().flatten(1).sum(1)
    return total / x[0].numel()


def to_complex(x: Tensor) -> Tensor:
    """Convert real `(B, 2, ...)` (real, imaginary) to complex `(B, ...)`."""
    if x.is_complex() or x.ndim < 3 or x.shape[1] != 2:
        raise ValueError(
            "a complex image travels as two real channels (B, 2, ...); "
            f"got {tuple(x.shape)} {x.dtype}"
        )
    return torch.complex(x[:, 0], x[:, 1])


def to_channels(x: Tensor) -> Tensor:
    """Convert complex `(B, ...)` to real `(B, 2, ...)` (real, imaginary)."""
    if not x.is_complex():
        raise ValueError(f"expected a complex tensor, got {x.dtype}")
    return torch.stack((x.real, x.imag), dim=1)


def to_components(x: Tensor) -> Tensor:
    """Convert real `(B, 2 S, ...)`, a real and an imaginary part in turn, to complex `(B, S, ...)`.

    S is the number of complex values that an image has at each pixel: 1 for nearly all, 2 for MRI
    with two sets of coil maps.
    """
    if x.is_complex() or x.ndim < 3 or x.shape[1] % 2:
        raise ValueError(
            "complex values travel as pairs of real channels (B, 2 S, ...); "
            f"got {tuple(x.shape)} {x.dtype}"
        )
    return torch.complex(x[:, 0::2], x[:, 1::2])


def from_components(x: Tensor) -> Tensor:
    """Convert complex `(B, S, ...)` to real `(B, 2 S, ...)`; the inverse of `to_components`."""
    return to_channels(x).movedim(1, 2).flatten(1, 2)


def as_components(x: Tensor, channels: int) -> Tensor:
    """Give a complex image `(B, 2, ...)` further components of zeros, to `(B, channels, ...)`.

    Its magnitude stays the same. An image that has more channels than 2 is returned as it is.
    """
    more = channels - x.shape[1]
    if x.shape[1] != 2 or more <= 0:
        return x
    return torch.cat([x, x.new_zeros(len(x), more, *x.shape[2:])], dim=1)


def magnitude(x: Tensor) -> Tensor:
    """Compute the magnitude `(B, 1, ...)` of a complex image `(B, 2 S, ...)`.

    Of several components S it is the root of the sum of their squares.
    """
    if x.shape[1] == 2:
        return to_complex(x).abs().unsqueeze(1)
    return torch.linalg.vector_norm(to_components(x), dim=1, keepdim=True)


def level(sizes: Tensor, most: int = 10_000_000) -> Tensor:
    """Compute the 99.9th percentile of each image's magnitudes, `(G, ...)` -> `(G,)`; 1 for zeros.

    torch.quantile refuses very long rows; every n-th entry of an image is used instead.
    """
    rows = sizes.flatten(1)
    found = torch.quantile(rows[:, :: max(1, -(-rows.shape[1] // most))], 0.999, dim=1)
    return torch.where(found > 0, found, torch.ones_like(found))


def fft2c(x: Tensor) -> Tensor:
    """Compute the centred orthonormal 2-D FFT over the last two axes of a complex tensor."""
    x = torch.fft.ifftshift(x, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.fft2(x, norm="ortho"), dim=(-2, -1))


def ifft2c(k: Tensor) -> Tensor:
    """Compute the inverse of `fft2c`, which is also its adjoint."""
    k = torch.fft.ifftshift(k, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.ifft2(k, norm="ortho"), dim=(-2, -1))


def power_iteration(normal: object, shape: tuple[int, ...], like: Tensor, steps: int = 30) -> float:
    """Estimate the largest eigenvalue of the positive operator `normal` (e.g. x -> A^H A x).

    `shape` includes the batch axis. The start vector is seeded, so the answer is repeatable.
    """
    g = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=g).to(
        like.device, torch.promote_types(like.dtype, torch.float32)
    )
    value = 0.0
    for _ in range(steps):
        x = x / x.norm().clamp_min(1e-30)
        x = normal(x)  # type: ignore[operator]
        value = float(x.norm())
    return value


SAFETY = 1.05
"""See `above_norm`."""


def above_norm(estimate: float) -> float:
    """Return an upper bound on ||A||^2, given the estimate of `power_iteration`.

    It is for steps that have to be below 1 / ||A||^2. Power iteration approaches the largest
    eigenvalue from below, and a first-order iteration whose step rests on too small a norm may
    diverge. After its 30 steps 2 % are missing where eigenvalues are spread evenly up to the
    largest (blurs, undersampling), 3 % where fewer and fewer lie near it; 5 % are added. A single
    eigenvalue up to a fifth above all others can still be missed.
    """
    return SAFETY * estimate


def per_problem(value: Tensor, like: Tensor) -> Tensor:
    """Reshape one number per problem, `(G,)`, so that it broadcasts over `like`, `(G, ...)`."""
    return value.to(like.device).reshape(-1, *[1] * (like.ndim - 1))

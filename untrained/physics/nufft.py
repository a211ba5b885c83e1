"""Fourier transforms at any points of k-space, by FINUFFT, and what is computed with them once."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError

PRECISION = {torch.complex64: 1e-6, torch.complex128: 1e-12}
KERNEL_PRECISION = 1e-9
PIPE_ITERATIONS = 30
PIPE_PRECISION = 1e-5


def require_finufft() -> None:
    """Raise UserError where finufft is not installed."""
    if importlib.util.find_spec("finufft") is None:
        raise UserError(
            "samples on a trajectory (non-Cartesian MRI) need finufft, which is not installed: "
            'pip install "untrained[mri]"'
        )


class _Transform(torch.autograd.Function):
    """The transform, or its adjoint, with the other one as its derivative."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, points: Tensor, size: tuple[int, int], back: bool
    ) -> Tensor:
        ctx.points, ctx.size, ctx.back = points, size, back
        return (_to_images if back else _to_samples)(values, points, size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Transform.apply(gradient, ctx.points, ctx.size, not ctx.back), None, None, None


def nufft(images: Tensor, points: Tensor) -> Tensor:
    r"""Compute :math:`\hat x_j = (HW)^{-1/2} \sum_n x_n e^{-2 \pi i k_j \cdot n}`.

    n counts pixels from `(H // 2, W // 2)`, so that points on the grid of an FFT give `fft2c`.
    A. Barnett, J. Magland, L. af Klinteberg, "A parallel nonuniform fast Fourier transform library
    based on an exponential of semicircle kernel", SIAM J. Sci. Comput. 41 (2019). On the CPU.

    Args:
        images: complex `(..., H, W)`.
        points: float64 `(M, 2)`, (kx, ky) in cycles per pixel: kx along W, ky along H.

    Returns:
        Complex `(..., M)`, to six digits; to twelve of complex128.
    """
    height, width = images.shape[-2:]
    found: Tensor = _Transform.apply(images, points, (height, width), False)
    return found


def nufft_adjoint(samples: Tensor, points: Tensor, size: tuple[int, int]) -> Tensor:
    """Apply the adjoint of `nufft`: complex `(..., M)` to images `(..., H, W)` of `size`."""
    found: Tensor = _Transform.apply(samples, points, size, True)
    return found


def _to_samples(images: Tensor, points: Tensor, size: tuple[int, int]) -> Tensor:
    import finufft

    planes = images.detach().cpu().resolve_conj().reshape(-1, *size).contiguous().numpy()
    y, x = _angles(points, planes.dtype)
    found = finufft.nufft2d2(y, x, planes, isign=-1, **_settings(images.dtype, len(planes)))
    samples = torch.from_numpy(found.reshape(len(planes), -1)) / math.sqrt(size[0] * size[1])
    return samples.reshape(*images.shape[:-2], len(points)).to(images.device)


def _to_images(samples: Tensor, points: Tensor, size: tuple[int, int]) -> Tensor:
    import finufft

    rows = samples.detach().cpu().resolve_conj().reshape(-1, len(points)).contiguous().numpy()
    y, x = _angles(points, rows.dtype)
    found = finufft.nufft2d1(y, x, rows, size, isign=1, **_settings(samples.dtype, len(rows)))
    images = torch.from_numpy(found.reshape(len(rows), *size)) / math.sqrt(size[0] * size[1])
    return images.reshape(*samples.shape[:-1], *size).to(samples.device)


def _angles(points: Tensor, kind: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Convert points to angles in [-pi, pi) per row and per column."""
    cycles = points.detach().cpu().double().numpy()
    angles = 2 * np.pi * (cycles - np.floor(cycles + 0.5))
    real = np.float32 if kind == np.complex64 else np.float64
    return (
        np.ascontiguousarray(angles[:, 1], dtype=real),
        np.ascontiguousarray(angles[:, 0], dtype=real),
    )


def _settings(kind: torch.dtype, transforms: int) -> dict[str, Any]:
    """Set precision and threads: each transform takes one, so that sums keep their order."""
    threads = min(torch.get_num_threads(), transforms)
    return {"eps": PRECISION[kind], "nthreads": threads, "spread_thread": 2}


def normal_kernel(points: Tensor, weights: Tensor, size: tuple[int, int]) -> Tensor:
    r"""Transform the point spread function of :math:`F^H W F`, real `(2 H, 2 W)`.

    :math:`(F^H W F)_{nm} = q(n - m)` with
    :math:`q(l) = (HW)^{-1} \sum_j w_j e^{2 \pi i k_j \cdot l}` depends on the distance of two
    pixels only: a convolution, which FFTs of twice the size compute exactly (J. Fessler et al.,
    "Toeplitz-based iterative image reconstruction for MRI with correction for magnetic field
    inhomogeneity", IEEE Trans. Signal Process. 53, 2005). See `apply_normal`.

    Args:
        points: `(M, 2)` as of `nufft`.
        weights: real `(M,)`.
        size: of the images.
    """
    wide = (2 * size[0], 2 * size[1])
    spread = _precise(weights.cpu(), points, wide) * (math.sqrt(wide[0] * wide[1]))
    # no two pixels are a whole doubled side apart: without that lag the kernel is Hermitian
    spread[0] = 0
    spread[:, 0] = 0
    spectrum = torch.fft.fft2(torch.fft.ifftshift(spread)).real / (size[0] * size[1])
    return spectrum.float().to(weights.device)


def apply_normal(images: Tensor, kernel: Tensor) -> Tensor:
    """Compute F^H W F of complex images `(..., H, W)`, with the `normal_kernel` of F and W.

    The leading axes of the kernel are 1 or those of the images.
    """
    across = kernel.mT.to(images.real.dtype).contiguous()
    if images.device.type != "cpu":
        return _convolved(images, across)
    # image by image: one at a time stays in the cache, which takes a quarter of the time
    before = images.shape[:-2]
    kernels = across.expand(*before, *across.shape[-2:])
    made = [_convolved(images[at], kernels[at]) for at in np.ndindex(*before)]
    return torch.stack(made).reshape(images.shape)


def _convolved(images: Tensor, across: Tensor) -> Tensor:
    """Convolve images with a kernel whose spectrum is given with its axes swapped."""
    height, width = images.shape[-2:]
    rows = torch.fft.fft(images, n=2 * width)
    # transforms along columns are several times faster where these are rows
    wide = torch.fft.fft(rows.mT.contiguous(), n=2 * height) * across
    rows = torch.fft.ifft(wide)[..., :height].mT
    return torch.fft.ifft(rows)[..., :width]


def density_weights(points: Tensor, size: tuple[int, int]) -> Tensor:
    r"""Find weights that compensate the density of samples, by fixed-point iterations.

    .. math:: w \leftarrow w / (K w), \qquad (K w)_i = \sum_j \kappa(k_i - k_j)\, w_j

    J. Pipe, P. Menon, "Sampling density compensation in MRI", Magn. Reson. Med. 41 (1999). kappa is
    the transform of a triangle of twice the image's sides: positive, and as wide as the samples of
    an image of that size lie apart.

    Args:
        points: `(M, 2)` as of `nufft`.
        size: of the image.

    Returns:
        float64 `(M,)` of sum H W, as the samples on a grid have: A^H A is then near one.
    """
    wide = (2 * size[0], 2 * size[1])
    triangle = [1 - (torch.arange(n) - n // 2).abs().double() / (n // 2) for n in wide]
    window = triangle[0][:, None] * triangle[1]
    weights = torch.ones(len(points), dtype=torch.float64)
    for _ in range(PIPE_ITERATIONS):
        image = _precise(weights, points, wide, PIPE_PRECISION) * window
        around = _precise(image, points, wide, PIPE_PRECISION).real
        weights = weights / around.clamp_min(1e-12 * float(around.max()))
    return weights * (size[0] * size[1] / float(weights.sum()))


def _precise(
    values: Tensor, points: Tensor, size: tuple[int, int], precision: float = KERNEL_PRECISION
) -> Tensor:
    """Transform real weights `(M,)` to an image, or an image to samples, in double precision."""
    import finufft

    y, x = _angles(points, np.dtype(np.complex128))
    given = values.to(torch.complex128).contiguous().numpy()
    how: dict[str, Any] = {"eps": precision, "nthreads": 1}
    if values.ndim == 1:
        found = finufft.nufft2d1(y, x, given, size, isign=1, **how)
    else:
        found = finufft.nufft2d2(y, x, given, isign=-1, **how)
    return torch.from_numpy(found) / math.sqrt(size[0] * size[1])

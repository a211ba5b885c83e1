"""Deblurring: convolution with a known kernel."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from untrained.errors import UserError
from untrained.physics.kinds import LinearPhysics
from untrained.physics.masks import as_tensor


class Blur(LinearPhysics):
    """y[n] = sum_m k[m] x[n - m + c], a true convolution (the kernel is flipped, not slid).

    The kernel's origin is c = size // 2 along each axis, so y has the size of x and a symmetric
    odd kernel does not move the image. Both products are computed by FFT.

    Args:
        kernel: `(h, w)`, odd or even; divided by its sum.
        x_shape: `(C, H, W)`; None accepts every image at least as large as the kernel.
        boundary: `reflect` mirrors the image about its edge pixels (not repeated), as a
            photograph continues; `circular` wraps around.

    Raises:
        UserError: a kernel that is not 2-D and finite with a positive sum, or larger than the
            image; an unknown boundary.
    """

    task = "deblur"
    unit_range = True
    kernel: Tensor

    def __init__(
        self,
        kernel: Tensor | np.ndarray,
        x_shape: tuple[int, int, int] | None = None,
        boundary: Literal["reflect", "circular"] = "reflect",
    ) -> None:
        super().__init__(x_shape, x_shape)
        if boundary not in ("reflect", "circular"):
            raise UserError(f"boundary must be 'reflect' or 'circular', got {boundary!r}.")
        self.boundary = boundary
        self.register_buffer("kernel", _normalised(kernel))
        if x_shape is not None:
            self._check_fits(x_shape[-2], x_shape[-1])

    def A(self, x: Tensor) -> Tensor:
        """Blur images `(B, C, H, W)`; the result has their size."""
        self._check_x(x)
        height, width = self._check_fits(x.shape[-2], x.shape[-1])
        if self.boundary == "reflect":
            x = functional.pad(x, self._padding(), mode="reflect")
        size = self._fft_size(height, width)
        spectrum = torch.fft.rfft2(x, s=size) * self._transfer(size, x.dtype)
        return torch.fft.irfft2(spectrum, s=size)[..., :height, :width]

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Correlate with the kernel, then fold the mirrored border back onto the image."""
        self._check_y(y)
        height, width = self._check_fits(y.shape[-2], y.shape[-1])
        size = self._fft_size(height, width)
        spectrum = torch.fft.rfft2(y, s=size) * self._transfer(size, y.dtype).conj()
        x = torch.fft.irfft2(spectrum, s=size)
        if self.boundary == "circular":
            return x
        left, right, top, bottom = self._padding()
        return _fold(_fold(x, left, right, width, -1), top, bottom, height, -2)

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float | None:
        r"""Give the sum of all squared weights of A over the number of pixels.

        With S the matrix of how often two taps of the kernel k meet on one pixel of a row of the
        image, and T that of a column, it is sum(k * (T k S)) / (H W): at the border taps meet
        where the image is mirrored.

        Returns:
            None where the operator takes images of any size.
        """
        if self.x_shape is None:
            return None
        height, width = self.x_shape[-2:]
        kernel = self.kernel.double()
        if self.boundary == "circular":  # the kernel is no larger than the image: no taps meet
            return float(kernel.square().sum())
        left, right, top, bottom = self._padding()
        rows = _meetings(height, top, bottom).to(kernel)
        columns = _meetings(width, left, right).to(kernel)
        return float((kernel * (rows @ kernel @ columns)).sum()) / (height * width)

    def cropped(self, y: Tensor, rows: slice, columns: slice) -> tuple[Blur, Tensor] | None:
        """Crop a blurred picture; see the base class. What crossed the part's edge is mirrored.

        A blur that wraps around has no parts: its two ends belong together.
        """
        if self.boundary == "circular":
            return None
        part = y[..., rows, columns]
        shape = (y.shape[1], *part.shape[2:])
        return Blur(self.kernel, (shape[0], shape[1], shape[2])), part

    @property
    def tile_margin(self) -> int:
        """Return how far the kernel reaches, in pixels."""
        return max(self.kernel.shape)

    def _padding(self) -> tuple[int, int, int, int]:
        """Return (left, right, top, bottom) so that the convolution has the image's size."""
        h, w = self.kernel.shape[-2:]
        return w - 1 - w // 2, w // 2, h - 1 - h // 2, h // 2

    def _fft_size(self, height: int, width: int) -> tuple[int, int]:
        """Choose the size of the FFT: circular, the image's own; padded, up to a fast length."""
        if self.boundary == "circular":
            return height, width
        from scipy.fft import next_fast_len

        h, w = self.kernel.shape[-2:]
        return next_fast_len(height + h - 1, real=True), next_fast_len(width + w - 1, real=True)

    def _transfer(self, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """Compute the kernel's spectrum, shifted so that the wanted part of the result starts at 0.

        It is recomputed at each call: one channel, against the image's channels back and forth.
        """
        h, w = self.kernel.shape[-2:]
        shift = (h // 2, w // 2) if self.boundary == "circular" else (h - 1, w - 1)
        placed = functional.pad(self.kernel.to(dtype), (0, size[1] - w, 0, size[0] - h))
        spectrum = torch.fft.rfft2(placed.roll((-shift[0], -shift[1]), (-2, -1)))
        return spectrum if spectrum.ndim == 2 else spectrum[:, None]  # a kernel for each image

    def _check_fits(self, height: int, width: int) -> tuple[int, int]:
        h, w = self.kernel.shape[-2:]
        if h > height or w > width:
            raise UserError(
                f"the {h}x{w} kernel is larger than the {height}x{width} image; crop the kernel "
                "to its support or use a larger image."
            )
        return height, width


def _meetings(size: int, before: int, after: int) -> Tensor:
    """Count for each two taps of a kernel of `before + after + 1` the places where they meet.

    Along one axis of `size` pixels that is mirrored about its edge pixels, two taps meet where
    they take the same pixel; symmetric `(taps, taps)`.
    """
    taps = before + after + 1
    position = torch.arange(-before, size + after).abs()
    pixel = torch.minimum(position, 2 * (size - 1) - position).unfold(0, taps, 1)
    # position n of the padded axis meets the kernel's last tap first
    flipped = pixel.flip(1)
    return torch.stack([(flipped == flipped[:, k : k + 1]).sum(0) for k in range(taps)])


def _fold(x: Tensor, before: int, after: int, size: int, axis: int) -> Tensor:
    """Apply the adjoint of mirror padding along one axis: pixels return to their source."""
    folded = x.narrow(axis, before, size)
    if before:
        mirrored = x.narrow(axis, 0, before).flip(axis)
        folded = folded + _between(mirrored, 1, size - 1 - before, axis)
    if after:
        mirrored = x.narrow(axis, before + size, after).flip(axis)
        folded = folded + _between(mirrored, size - 1 - after, 1, axis)
    return folded


def _between(x: Tensor, zeros_before: int, zeros_after: int, axis: int) -> Tensor:
    pads = (zeros_before, zeros_after) if axis == -1 else (0, 0, zeros_before, zeros_after)
    return functional.pad(x, pads)


def _normalised(kernel: Tensor | np.ndarray) -> Tensor:
    values = as_tensor(kernel)
    if values.ndim != 2:
        raise UserError(
            f"kernel must be 2-D (h, w), got shape {tuple(values.shape)}; for a colour kernel "
            "take its mean over the channels."
        )
    if values.is_complex() or values.numel() == 0:
        raise UserError(f"kernel must be real and not empty, got {values.dtype} {values.numel()}.")
    values = values.double()
    if not bool(values.isfinite().all()):
        raise UserError("kernel holds NaN or infinite values; replace them by zero.")
    total = float(values.sum())
    if total <= 0:
        raise UserError(
            f"kernel must have a positive sum, got {total:g}: it is divided by its sum so that "
            "blurring keeps the brightness. Check its sign."
        )
    return (values / total).to(torch.get_default_dtype())

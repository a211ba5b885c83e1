"""Blind deblurring: convolution with a kernel that is unknown."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from untrained.errors import UserError
from untrained.physics.base import Physics
from untrained.physics.blur import Blur
from untrained.physics.copies import twin

LOST = 0.02
"""Largest share of a kernel that may be cut off when it is moved to the middle."""


class BlindBlur(Blur):
    r"""y = k * x with an unknown kernel k, the parameter `kernel` of A(x, k).

    Until `at` is given a kernel, A is the blur of a guess: a Gaussian with a standard deviation of
    a sixth of the square's side.

    k * x does not tell where the two lie: k moved by d and x moved by -d give the same y. `settle`
    moves the kernel's centre of mass to the middle of its square, by whole pixels, so that nothing
    is interpolated, and the image back.

    Args:
        size: side of the square that holds the kernel, or (height, width); odd sizes have a
            middle pixel.
        x_shape: `(C, H, W)`.
        boundary: as of `Blur`.

    Raises:
        UserError: a size below 3, or larger than the image.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        x_shape: tuple[int, int, int],
        boundary: Literal["reflect", "circular"] = "reflect",
    ) -> None:
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or min(sides) < 3:
            raise UserError(f"the size of an unknown kernel must be at least 3, got {size}")
        super().__init__(gaussian_kernel(sides), x_shape, boundary)

    def unknowns(self) -> dict[str, Tensor]:
        """Return the guess, `(1, h, w)`."""
        return {"kernel": self.kernel[None]}

    def at(self, **theta: Tensor) -> Physics:
        """Return the blur by given kernels, `(B, h, w)` or `(h, w)`, of sum 1."""
        kernel = theta.pop("kernel", None)
        super().at(**theta)  # refuses other names
        if kernel is None:
            return self
        other = twin(self)
        other._buffers = {**self._buffers, "kernel": kernel}
        return other

    def settle(self, theta: dict[str, Tensor], image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Move each kernel's centre of mass to the middle, by whole pixels, and the image back.

        A move that would push more than LOST of the kernel out of its square is shortened. Pixels
        that come in at the image's border repeat those beside them.
        """
        moved = [_settled(k, x) for k, x in zip(theta["kernel"], image, strict=True)]
        kernels, images = zip(*moved, strict=True)
        return {"kernel": torch.stack(kernels)}, torch.stack(images)

    def known(self, theta: dict[str, Tensor]) -> Physics:
        """Return the blur by the kernel found."""
        return Blur(theta["kernel"][0], self.x_shape, self.boundary)  # type: ignore[arg-type]

    def described(self) -> str:
        """Say what is measured and what is sought."""
        h, w = self.kernel.shape[-2:]
        return f"{super().described()}, blurred by an unknown kernel of at most {h} x {w}"

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float | None:
        """Give that of the guess; None of an operator with kernels for several images."""
        return super().mean_squared_singular_value(weighting) if self.kernel.ndim == 2 else None


def gaussian_kernel(sides: tuple[int, ...]) -> Tensor:
    """Compute a Gaussian of sum 1 that fills a square of these sides, float64."""
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in sides]
    rows, columns = (
        torch.exp(-0.5 * (axis / (n / 6)).square()) for axis, n in zip(axes, sides, strict=True)
    )
    kernel = rows[:, None] * columns
    return kernel / kernel.sum()


def centre_of_mass(kernel: Tensor | np.ndarray) -> tuple[float, float]:
    """Compute a kernel's centre of mass relative to its middle pixel, in pixels (down, right)."""
    k = torch.as_tensor(kernel).double()
    rows, columns = (torch.arange(n).double() - n // 2 for n in k.shape)
    total = k.sum()
    return float((k.sum(1) * rows).sum() / total), float((k.sum(0) * columns).sum() / total)


def _settled(kernel: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Move one kernel `(h, w)` to the middle and its image `(C, H, W)` back."""
    kernel = kernel.detach()
    move = [-round(offset) for offset in centre_of_mass(kernel)]
    while True:
        inside = shifted(kernel, move[0], move[1])
        left = float(inside.sum() / kernel.sum())
        if left >= 1 - LOST or not any(move):
            break
        move = [m - (m > 0) + (m < 0) for m in move]
    down, right = move
    most = max(abs(down), abs(right))
    if not most:
        return kernel, image
    wide = functional.pad(image[None], (most,) * 4, mode="replicate")[0]
    height, width = image.shape[-2:]
    back = wide[:, most + down : most + down + height, most + right : most + right + width]
    return inside / inside.sum(), back.clone()


def shifted(kernel: Tensor, down: int, right: int) -> Tensor:
    """Shift a kernel `(h, w)` within its square; zeros come in."""
    h, w = kernel.shape
    most = max(abs(down), abs(right))
    wide = functional.pad(kernel, (most,) * 4)
    return wide[most - down : most - down + h, most - right : most - right + w].clone()

r"""Pictures measured by counting photons: Poisson noise, and that of the read-out.

A pixel that is to be x counts n ~ Poisson(N (A x)) photons, N those of a white pixel, and the
read-out adds normal noise of standard deviation r photons; y = n / N. Methods see

- for denoising, the generalised Anscombe transform of y, whose noise is white and of known
  strength (F. Murtagh, J.-L. Starck, A. Bijaoui, Astron. Astrophys. Suppl. 112 (1995) 179):
  any denoiser is then right. Images are turned back by the exact unbiased inverse, in the closed
  form of M. Makitalo, A. Foi, IEEE Trans. Image Process. 20 (2011) 2697;
- for a blur, operator and y multiplied by the square roots of the weights

  .. math:: w_i = N^2 / (\bar n_i + r^2), \qquad
            \tfrac12 \sum_i w_i\, ((A x)_i - y_i)^2

  which is the likelihood to second order. The variance :math:`\bar n` is the mean of the counts
  around a pixel: single counts would give those that came out small too much weight.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from untrained.errors import UserError
from untrained.physics.base import Physics
from untrained.physics.blur import Blur
from untrained.physics.counted import LEAST_COUNT, Whitened
from untrained.physics.denoise import Denoise
from untrained.physics.kinds import LinearPhysics

AROUND = 5  # side of the square whose mean count is the variance
SMALLEST = 2 * math.sqrt(3 / 8)
"""The transform of no photon: what is below it stands for no light."""


class Photons(LinearPhysics):
    """A denoising or deblurring problem whose noise is that of counted photons; see the module.

    Args:
        physics: `Denoise` or `Blur`.
        photons: N, mean count of a white pixel (value 1).
        read_noise: r, standard deviation of the read-out's noise in photons; 0 is none.

    Raises:
        UserError: another operator, `photons` not above 0, or a negative `read_noise`.
    """

    unit_range = True
    degree: float | None = None  # photons are counted in the picture's own units

    def __init__(self, physics: Physics, photons: float, read_noise: float = 0.0) -> None:
        if not isinstance(physics, Denoise | Blur):
            raise UserError(
                f"photon counts are weighed for Denoise and Blur, not for {physics.class_name()}"
            )
        if not 0 < photons < math.inf or not 0 <= read_noise < math.inf:
            raise UserError(
                "photons of a white pixel must be above 0 and read_noise at least 0, both finite; "
                f"got {photons:g} and {read_noise:g}"
            )
        super().__init__(physics.x_shape, physics.y_shape)
        self.physics, self.task = physics, physics.task
        self.photons, self.read_noise = float(photons), float(read_noise)

    def A(self, x: Tensor) -> Tensor:
        """Measure images in [0, 1], without noise or weights."""
        self._check_x(x)
        return self.physics.A(x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint, without weights."""
        self._check_y(y)
        return self.physics.A_adjoint(y)

    def for_networks(self, y: Tensor) -> tuple[Physics, Tensor]:
        """Return denoising of the transformed y, or the weighted blur; see the module."""
        if isinstance(self.physics, Denoise):
            stable = Stabilised(self.physics.x_shape, self.photons, self.read_noise)
            return stable, stable.transform(y)
        variance = self._variance(y)
        root = variance.rsqrt()
        root = root / root.square().mean().sqrt()
        level = float((variance.sqrt() * root).mean())  # the same everywhere
        return Whitened(self.physics, root, sigma=level), y * root

    def cropped(self, y: Tensor, rows: slice, columns: slice) -> tuple[Photons, Tensor] | None:
        """Return the operator of a part; None as of `physics`."""
        found = self.physics.cropped(y, rows, columns)
        if found is None:
            return None
        return Photons(found[0], self.photons, self.read_noise), found[1]

    @property
    def tile_step(self) -> int:
        """Return that of `physics`."""
        return self.physics.tile_step

    @property
    def tile_margin(self) -> int:
        """Return that of `physics`."""
        return self.physics.tile_margin

    def described(self) -> str:
        """Say what is measured."""
        return f"{self.physics.described()}, {self.photons:.4g} photons a white pixel"

    def _variance(self, y: Tensor) -> Tensor:
        """Estimate the variance of y from the counts around each pixel."""
        side = min(AROUND, *(n - (n + 1) % 2 for n in y.shape[-2:]))
        padded = functional.pad(y, (side // 2,) * 4, mode="replicate")
        mean = functional.avg_pool2d(padded, side, 1)
        counts = (mean * self.photons).clamp_min(0)
        return (counts + self.read_noise**2).clamp_min(LEAST_COUNT) / self.photons**2


class Stabilised(Denoise):
    """Denoising after the generalised Anscombe transform, which puts 0 to 0 and 1 to 1.

    Args:
        x_shape: as of `Denoise`.
        photons, read_noise: as of `Photons`.
    """

    degree: float | None = None

    def __init__(self, x_shape: tuple[int, ...] | None, photons: float, read_noise: float) -> None:
        super().__init__(x_shape)
        self.photons, self.read_noise = photons, read_noise
        self.black, self.white = (float(self._root(torch.tensor(v))) for v in (0.0, 1.0))
        self.known_sigma = 1 / (self.white - self.black)
        top = 2 * math.sqrt(64 * photons + 3 / 8 + read_noise**2)
        self._levels = np.linspace(SMALLEST, max(top, 2 * self.white), 8192)

    def transform(self, y: Tensor) -> Tensor:
        """Transform measurements, so that their noise has the deviation `known_sigma`."""
        return (self._root(y) - self.black) / (self.white - self.black)

    def image_of(self, code: Tensor) -> Tensor:
        """Return the image whose transformed counts are `code` on average (unbiased inverse)."""
        return self._mean_counts(code * (self.white - self.black) + self.black) / self.photons

    def code_of(self, image: Tensor) -> Tensor:
        """Return the mean of the transformed counts of an image, the inverse of `image_of`."""
        table = self._mean_counts(torch.from_numpy(self._levels)).numpy()
        counts = image.detach().cpu().double().numpy() * self.photons
        found = torch.from_numpy(np.interp(counts, table, self._levels)).to(image)
        return (found - self.black) / (self.white - self.black)

    def cropped(self, y: Tensor, rows: slice, columns: slice) -> tuple[Stabilised, Tensor] | None:
        """Crop a picture `(B, C, H, W)`; None for a volume."""
        found = super().cropped(y, rows, columns)
        if found is None:
            return None
        return Stabilised(found[0].x_shape, self.photons, self.read_noise), found[1]

    def _root(self, y: Tensor) -> Tensor:
        return 2 * (y * self.photons + 3 / 8 + self.read_noise**2).clamp_min(0).sqrt()

    def _mean_counts(self, root: Tensor) -> Tensor:
        """Return the counts, read-out noise taken off, whose transform is `root` on average."""
        d = root.clamp_min(SMALLEST)
        half = math.sqrt(1.5)
        counts = d.square() / 4 + half / (4 * d) - 11 / (8 * d.square()) + 5 * half / (8 * d**3)
        return (counts - 1 / 8 - self.read_noise**2).clamp_min(0)

"""Impedance tomography in the logarithm of the conductivity, as networks and solvers see it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor
from torch.nn import functional

from untrained.physics.autograd import OwnGradientMap
from untrained.physics.grid_basis import GridBasis
from untrained.physics.kinds import NonlinearPhysics

SIDE = 128  # most pixels of u along a side
MOST = 7.0  # of |u|: a contrast of 1000, beyond which voltages hardly change
FIRST = 0.01  # weight of the one-step image, relative to the mean square of the Jacobian
LENGTH = 0.5  # correlation of that image, the side of the square being 2


class LogConductivity(NonlinearPhysics):
    r"""y = A(sigma_0 e^u) / s: `EIT` of the log-conductivity u over the background sigma_0.

    Insulators and metals are as far from the background to either side, every u is a positive
    conductivity, and u is O(1). It has at most 128 pixels a side, of which an image of more is
    interpolated: voltages tell no more, and networks take the less time. s are the standard
    deviations of the voltages, scaled to a mean square of 1 / s^2 of 1, so that residuals count by
    their noise; 1 where they are unknown.

    Args:
        eit: the `EIT`.
    """

    task = "eit"
    has_jacobian = True

    def __init__(self, eit: Any) -> None:
        source, (height, width) = eit, eit.grid.shape
        factor = -(-max(height, width) // SIDE)
        if height % factor or width % factor:
            factor = 1
        if factor > 1:
            eit = eit.changed(x_shape=(1, height // factor, width // factor))
        super().__init__(eit.x_shape, eit.y_shape)
        self.full, self.factor = (height, width), factor
        self.source = source
        self.eit = eit
        self.mask, self.support, self.repeats = eit.mask, eit.support, eit.repeats
        self.unit = np.ones(eit.y_shape[1:])
        if eit.sigma is not None:
            self.unit = eit.sigma * np.sqrt(np.mean(eit.sigma**-2.0))
        self._singular: tuple[float, float] = (0.0, 0.0)

    def A(self, x: Tensor) -> Tensor:
        """Map log-conductivities `(B, 1, H, W)` to voltages `(B, 1, M, I)`; |u| counts up to 7."""
        self._check_x(x)
        return OwnGradientMap.apply(x, self._measure, self.A_vjp)

    def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """Apply J(u)^T to v `(B, 1, M, I)`."""
        sigma = self._sigma(x)
        back = self.eit.A_vjp(sigma, v.double() / torch.from_numpy(self.unit).to(v.device))
        return (back * sigma * (x.abs() < MOST)).to(x)

    def image_of(self, code: Tensor) -> Tensor:
        """Return the conductivity of u `(..., 1, h, w)`, `(..., 1, H, W)` of the file's pixels."""
        if self.factor > 1:
            flat = code.reshape(-1, *code.shape[-3:])
            fine = functional.interpolate(flat, size=self.full, mode="bilinear")
            code = fine.reshape(*code.shape[:-2], *self.full)
        return self.eit.background * code.clamp(-MOST, MOST).exp()

    def code_of(self, image: Tensor) -> Tensor:
        """Return u of a conductivity; what is not positive counts as the least."""
        least = self.eit.background * float(np.exp(-MOST))
        code = (image.clamp_min(least) / self.eit.background).log()
        return functional.avg_pool2d(code, self.factor) if self.factor > 1 else code

    def jacobian_along(self, x: Tensor, basis: Any) -> np.ndarray:
        """Compute J(u) B for a sparse B `(H * W, k)`: `(M * I, k)`."""
        sigma = self._sigma(x)[0, 0].cpu().numpy().ravel()
        averages = self.eit.grid.averages
        along = averages.multiply(sigma[None]).tocsr() @ basis
        slopes = self.eit.jacobian_at(averages @ sigma)
        return (along.T @ slopes.T).T / self.unit.reshape(-1, 1)

    def basis(self) -> GridBasis:
        """Make a coarse grid of unknowns for the pixels below the mesh."""
        return GridBasis(self.eit.grid.shape, self.eit.support[0, 0].cpu().numpy() > 0)

    def initial(self, y: Tensor) -> Tensor:
        r"""Make a first image by one linearised step from the background.

        .. math:: u = B (J^T J + w\, m\, R)^{-1} J^T (y - A(0))

        J is the Jacobian along a coarse grid B, m the mean square of its columns, R a smoothness
        prior with a correlation length of a quarter of the side. A y of exactly 0 counts as not
        measured (held out).
        """
        self._check_y(y)
        assert self.x_shape is not None
        zero = torch.zeros(1, *self.x_shape, dtype=torch.float64)
        basis = self.basis()
        jacobian = self.jacobian_along(zero, basis.matrix)
        weight = FIRST * np.mean(jacobian**2) * len(jacobian)
        prior = weight * basis.roughness(LENGTH).toarray()
        start = self.A(zero)[0].numpy().ravel()
        images = []
        for row in y:
            seen = row.cpu().double().numpy().ravel()
            known = jacobian * (seen != 0)[:, None]
            found = np.linalg.solve(known.T @ known + prior, known.T @ (seen - start))
            images.append((basis.matrix @ found).reshape(self.x_shape))
        return torch.from_numpy(np.stack(images)).to(y)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw whole injections, see `EIT.holdout`."""
        return self.eit.holdout(y, fraction, generator)

    def scattered(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw single voltages, see `EIT.scattered`."""
        return self.eit.scattered(y, fraction, generator)

    def units(self, y: Tensor) -> Tensor:
        """Number the injections, see `EIT.units`."""
        return self.eit.units(y)

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float:
        """Give the mean squared singular value of J(0) over the pixels that it sees."""
        return self._singular_values()[0]

    @property
    def norm_squared(self) -> float:  # type: ignore[override]
        """Return the largest squared singular value of J(0)."""
        return self._singular_values()[1]

    def on_mesh(self, image: Tensor) -> dict[str, np.ndarray]:
        """Return the conductivities of the triangles, and the mesh; see `Physics.on_mesh`."""
        return dict(self.source.on_mesh(image))

    def class_name(self) -> str:
        """Return the name of the class behind it."""
        return self.eit.class_name()

    def described(self) -> str:
        """Say what is measured."""
        return self.eit.described()

    def _singular_values(self) -> tuple[float, float]:
        """Compute the mean and the largest squared singular value of J(0), once."""
        if not self._singular[1]:
            averages = self.eit.grid.averages * self.eit.background
            slopes = self.eit.jacobian_at(np.asarray(averages.sum(axis=1)).ravel())
            slopes = slopes / self.unit.reshape(-1, 1)
            pixels = (averages @ averages.T).tocsr()
            count = max(1, int(self.eit.support.sum()))
            mean = float((slopes * (pixels @ slopes.T).T).sum() / count)
            size = len(slopes)
            operator = LinearOperator(
                (size, size), matvec=lambda v: slopes @ (pixels @ (slopes.T @ v)), dtype=np.float64
            )
            largest = float(eigsh(operator, 1, v0=np.ones(size), return_eigenvectors=False)[0])
            self._singular = (mean, largest)
        return self._singular

    def _sigma(self, x: Tensor) -> Tensor:
        return self.eit.background * x.detach().double().clamp(-MOST, MOST).exp()

    def _measure(self, x: Tensor) -> Tensor:
        return (self.eit.A(self._sigma(x)) / torch.from_numpy(self.unit).to(x.device)).to(x)

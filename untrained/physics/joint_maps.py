"""MRI whose coil maps are known roughly, and corrected together with the image."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from untrained.checks import whole
from untrained.errors import UserError
from untrained.maths import to_complex
from untrained.physics.base import Physics
from untrained.physics.copies import twin
from untrained.physics.mri import MRI

ORDERS = 12
"""Cosines down and across the image that the correction of a coil map consists of."""
TINY = 1e-20


class JointMRI(MRI):
    r"""y_c = M F (S_c x) with coil maps S to be corrected, the parameter `maps` of A(x, u).

    The maps given, S^0, are the first guess. The correction D of a map is a sum of slow cosines,
    which, unlike the waves of k-space, need not repeat at the borders. u are their coefficients:

    .. math:: S = |S^0| \frac{v}{|v|}, \qquad v = s + D - s \langle s, D\rangle, \qquad
              s = \frac{S^0}{|S^0|}, \qquad D_c = \sum_{p, q < P} \frac{u_{cpq}}{1 + p^2 + q^2}
              \cos\frac{\pi p (2i + 1)}{2H} \cos\frac{\pi q (2j + 1)}{2W}

    Norm and inner product are over the coils, at each pixel. So image and maps can trade neither
    brightness (the root of the sum of squares stays |S^0|) nor phase (<S^0, S> is real and
    positive), and what no coil saw stays unseen.

    The weights let fine changes of a map come slowly, as the Sobolev norm of regularised
    non-linear inversion does (Uecker et al., MRM 60, 2008); JSENSE fits polynomials (Ying and
    Sheng, MRM 57, 2007).

    Args:
        mask, maps, x_shape: as of `MRI`; maps of two coils or more.
        orders: P, at least 1.

    Raises:
        UserError: as of `MRI`; several sets of maps; a single coil, whose map the image cannot be
            told from.
    """

    refined: ClassVar[dict[str, float]] = {"maps": 5.0}

    def __init__(
        self,
        mask: Tensor | np.ndarray,
        maps: Tensor | np.ndarray,
        x_shape: tuple[int, int, int] | None = None,
        orders: int = ORDERS,
    ) -> None:
        super().__init__(mask, maps, x_shape)
        if self.x_shape[0] != 2:  # type: ignore[index]
            raise UserError(
                "joint maps are one set, and these are several (soft-SENSE): give (coils, H, W)"
            )
        if self._before.shape[1] < 2:
            raise UserError(
                "the map of a single coil and the image cannot be told apart: joint maps need two "
                "coils or more"
            )
        self.orders = whole("orders", orders, least=1)
        self.gain = 1.0

    def unknowns(self) -> dict[str, Tensor]:
        """Return u = 0, `(1 or B, 2, coils, P, P)`, the correction that leaves the guess."""
        rows, coils = self._before.shape[:2]
        return {"maps": self._before.new_zeros(rows, 2, coils, self.orders, self.orders)}

    def at(self, **theta: Tensor) -> Physics:
        """Return MRI with the maps corrected by u, `(B, 2, coils, P, P)`."""
        coefficients = theta.pop("maps", None)
        super().at(**theta)  # refuses other names
        if coefficients is None:
            return self
        other = twin(self)
        other._before = torch.view_as_real(self.centred(self._corrected(coefficients)))
        return other

    def known(self, theta: dict[str, Tensor]) -> Physics:
        """Return plain MRI with the maps found."""
        found = self._corrected(theta["maps"]).detach()
        return MRI(self.mask[0, 0, 0], found).to(self.mask.device)

    def named(self, theta: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Return the maps found, complex64 `(coils, H, W)`, or `(B, coils, H, W)` of several."""
        maps = (self.gain * self._corrected(theta["maps"])).detach().cpu().numpy()
        return {"maps": maps[0] if len(maps) == 1 else maps}

    def rescaled(self, gain: float) -> MRI:
        """Return the same operator divided by `gain`; `named` gives maps in the units of before."""
        other = super().rescaled(gain)
        assert isinstance(other, JointMRI)
        other.gain = self.gain * gain
        return other

    def described(self) -> str:
        """Say what is measured and what is sought."""
        return f"{super().described()}, coil maps corrected together with the image"

    def _corrected(self, coefficients: Tensor) -> Tensor:
        """Compute S, complex `(B, coils, H, W)`."""
        guess = self.maps
        size = torch.linalg.vector_norm(guess, dim=1, keepdim=True)
        s = guess / size.clamp_min(TINY)
        change = _slow(coefficients, self.x_shape[1:])  # type: ignore[index]
        v = s + change - s * (s.conj() * change).sum(1, keepdim=True)
        # where a coil sees, <s, v> = 1: the norm is 1 or more; elsewhere `size` is zero
        norm = torch.linalg.vector_norm(v, dim=1, keepdim=True)
        return size * v / torch.where(size > 0, norm, torch.ones_like(norm))


def _slow(coefficients: Tensor, size: tuple[int, ...]) -> Tensor:
    """Sum weighted cosines: `(B, 2, coils, P, P)` to complex `(B, coils, H, W)`."""
    squares = torch.arange(coefficients.shape[-1], device=coefficients.device).square()
    weighted = to_complex(coefficients / (1 + squares[:, None] + squares))
    down, across = (
        _cosines(coefficients.shape[-1], n).to(weighted.device, weighted.dtype) for n in size
    )
    return torch.einsum("ph,bcpq,qw->bchw", down, weighted, across)


def _cosines(orders: int, length: int) -> Tensor:
    """Compute cos(pi p (2 i + 1) / (2 length)), `(orders, length)`."""
    place = math.pi * (torch.arange(length).double() + 0.5) / length
    return torch.cos(torch.arange(orders)[:, None] * place)

"""X-ray tomography of a volume by a circular cone beam and a flat panel, without a matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from untrained.checks import whole
from untrained.errors import UserError
from untrained.physics import cone_projector
from untrained.physics.cone_geometry import ConeGeometry
from untrained.physics.copies import twin
from untrained.physics.ct import CT
from untrained.physics.ct_geometry import FanBeam, Geometry
from untrained.physics.fdk import fdk
from untrained.physics.kinds import LinearPhysics
from untrained.physics.masks import as_mask

__all__ = ["ConeCT", "ConeGeometry"]

SAMPLE = 8  # views that tell a gain
PROBES = 4


class ConeCT(LinearPhysics):
    """Mean line integrals of a volume over the bins of a flat panel that circles around it.

    y is `(B, 1, rows, columns, views)` of x `(B, 1, D, H, W)`. The central row is the fan-beam scan
    of `CT`, with its conventions: columns grow with x cos a + y sin a; rows and slices grow with z,
    the rotation axis. Every product is computed view by view by separable footprints
    (`cone_projector`), with next to no memory beside image and measurements, and the adjoint is
    the exact transpose. `fbp` is Feldkamp's algorithm.

    Args:
        volume_shape: slices, rows and columns `(D, H, W)`.
        angles: view angles in DEGREES, one-dimensional, any order and spacing.
        panel: rows and columns of the detector.
        fan: distances of the source to rotation axis and panel.
        pixel_size: side of a pixel of a slice.
        slice_height: distance of slices; None = `pixel_size`.
        detector_pitch: width of a column on the physical panel, in the unit of `pixel_size`.
        row_pitch: height of a row; None = `detector_pitch`.
        detector_offset: in columns; the rotation axis projects on the column index
            `(columns - 1) / 2 + detector_offset`.
        row_offset: in rows; the plane of the circle projects on `(rows - 1) / 2 + row_offset`.
        mask: `(rows, columns, views)` of 0 and 1, 1 = measured. None: everything is measured.

    Raises:
        UserError: an argument is not usable; the message names it.
    """

    task = "ct"
    weightings = ("ramp", "half-ramp")
    filtered_name = "fdk"
    matrix_free = True

    def __init__(
        self,
        volume_shape: tuple[int, int, int],
        angles: Sequence[float] | np.ndarray | Tensor,
        panel: tuple[int, int],
        fan: FanBeam,
        *,
        pixel_size: float = 1.0,
        slice_height: float | None = None,
        detector_pitch: float = 1.0,
        row_pitch: float | None = None,
        detector_offset: float = 0.0,
        row_offset: float = 0.0,
        mask: Tensor | np.ndarray | None = None,
    ) -> None:
        depth, *sides = _three("volume_shape", volume_shape)
        plane = Geometry(
            (sides[0], sides[1]),
            angles,  # type: ignore[arg-type]  # checked and made a tuple of floats there
            panel[1],
            pixel_size,
            detector_pitch,
            detector_offset,
            fan,
        )
        geometry = ConeGeometry(
            plane,
            depth,
            panel[0],
            pixel_size if slice_height is None else slice_height,
            detector_pitch if row_pitch is None else row_pitch,
            row_offset,
        )
        views = len(plane.angles)
        super().__init__((1, *geometry.x_shape), (1, geometry.rows, plane.detectors, views))
        self.cone = geometry
        self.plane = _plane_of(plane)
        self._footprints = cone_projector.Footprints(geometry)
        self._which = list(range(views))
        if mask is not None:
            self._leave_out(as_mask(mask))

    @property
    def geometry(self) -> Geometry:
        """Return the fan-beam scan of the central plane."""
        return self.cone.plane

    def A(self, x: Tensor) -> Tensor:
        """Project volumes `(B, 1, D, H, W)` to `(B, 1, rows, columns, views)`."""
        self._check_x(x)
        seen = cone_projector.Product.apply(x[:, 0], self._footprints, self._which, True)
        views = seen.permute(0, 3, 2, 1)[:, None].contiguous()
        return views if self.mask is None else views * self.mask

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Backproject `(B, 1, rows, columns, views)`, unfiltered, to `(B, 1, D, H, W)`."""
        self._check_y(y)
        seen = (y if self.mask is None else y * self.mask)[:, 0].permute(0, 3, 2, 1).contiguous()
        volumes: Tensor = cone_projector.Product.apply(seen, self._footprints, self._which, False)
        return volumes[:, None]

    def fbp(self, y: Tensor, window: str = "ramp") -> Tensor:
        """Reconstruct by Feldkamp's algorithm, see `fdk.fdk`.

        What the mask leaves out is interpolated along the rows; lost views do not count.
        """
        self._check_y(y)
        if self.mask is None:
            return fdk(y[:, 0], self.cone, window)[:, None]
        filled, geometry = _whole(y[:, 0], self.mask[0, 0] != 0, self.cone)
        return fdk(filled, geometry, window)[:, None]

    def weight(self, r: Tensor, name: str) -> Tensor:
        """Weight a residual along the columns before it is squared; see `CT.weight`."""
        self._check_y(r)
        rows = r.movedim(2, 1).flatten(0, 1)
        return self.plane.weight(rows, name).unflatten(0, (len(r), -1)).movedim(1, 2)

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float:
        """Give the sum of the squared entries of the matrix over the voxels.

        For another weighting it is multiplied by what the weighting does to |A v|^2, found on
        PROBES volumes v of random signs and a few views: thousands of voxels each leave an error
        far below 1 %.

        Raises:
            ValueError: an unknown weighting.
        """
        depth, height, width = self.cone.x_shape
        measured = None if self.mask is None else self.mask[0, 0].permute(2, 1, 0)
        total = cone_projector.sum_of_squares(self.cone, self._which, measured)
        if weighting != "uniform":
            total *= self._gain_of(weighting)
        return total / (depth * height * width)

    def _gain_of(self, weighting: str) -> float:
        """Estimate by how much a weighting changes the mean |A v|^2 of random v."""
        few = self.few_views() or self
        generator = torch.Generator().manual_seed(0)
        before = after = 0.0
        with torch.no_grad():
            for _ in range(PROBES):
                signs = torch.randint(2, (1, *self.x_shape), generator=generator)  # type: ignore[misc]
                seen = few.A((signs * 2.0 - 1).to(self.plane.root_ramp))
                before += float(seen.double().square().sum())
                after += float(self.weight(seen, weighting).double().square().sum())
        return after / max(before, 1e-30)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw whole views to hold out, as `CT.holdout`: bool `(1, *y.shape[1:])`."""
        self._check_y(y)
        one = self.plane.holdout(y[:, :, 0], fraction, generator)
        return one.unsqueeze(2).expand(1, *y.shape[1:])

    def units(self, y: Tensor) -> Tensor:
        """Number the views, `(1, 1, 1, 1, views)`; -1 where nothing was measured in one."""
        return self.plane.units(y[:, :, 0]).unsqueeze(2)

    def measuring_only(self, keep: Tensor) -> ConeCT:
        """Return the same operator with zeros for all views but some, at the cost of those alone.

        Args:
            keep: like y, not 0 anywhere in a view that is kept.
        """
        kept = (keep != 0).flatten(0, -2).any(0)
        other = twin(self)
        other._which = [view for view in self._which if bool(kept[view])]
        return other

    def few_views(self) -> ConeCT | None:
        """Return the same operator with zeros for all views but a few; None for few of them."""
        if len(self._which) <= 2 * SAMPLE:
            return None
        other = twin(self)
        other._which = self._which[:: len(self._which) // SAMPLE]
        other.share = len(other._which) / len(self._which)
        return other

    def leaving_out(self, mask: Tensor | np.ndarray) -> ConeCT:
        """Return the same operator without the measurements where a mask is 0.

        Args:
            mask: `(rows, columns, views)` of 0 and 1, 1 = measured.

        Raises:
            UserError: a mask of another shape, or with other values.
        """
        other = twin(self)
        other._leave_out(as_mask(mask))
        return other

    def rescaled(self, gain: float) -> ConeCT:
        """Return the same operator divided by `gain`: its lengths are counted in another unit."""
        other = twin(self)
        other._modules = dict(self._modules)
        other.cone = self.cone.rescaled(gain)
        other._footprints = cone_projector.Footprints(other.cone)
        other.plane = self.plane.rescaled(gain)
        return other

    def described(self) -> str:
        """Say what is measured: views, their span, bins, beam and volume."""
        return self.cone.described()

    def _leave_out(self, measured: Tensor) -> None:
        assert self.y_shape is not None
        shape = self.y_shape[1:]
        if tuple(measured.shape) != shape:
            raise UserError(
                f"mask has shape {tuple(measured.shape)}, but the scan has {shape[0]} rows, "
                f"{shape[1]} columns and {shape[2]} views: expected {shape}"
            )
        like = self.plane.root_ramp
        if self.mask is not None:
            measured = measured & self.mask[0, 0].bool().cpu()
        self._modules = dict(self._modules)
        self.plane = _plane_of(self.cone.plane, measured.any(0)).to(like)
        self.register_buffer("mask", measured[None, None].to(like), persistent=False)


def _plane_of(plane: Geometry, measured: Tensor | None = None) -> CT:
    """Build the scan of the central plane; its matrix is never asked for, and so never built."""
    return CT(
        plane.image_shape,
        plane.angles,
        plane.detectors,
        pixel_size=plane.pixel_size,
        detector_pitch=plane.detector_pitch,
        detector_offset=plane.detector_offset,
        fan=plane.fan,
        mask=measured,
    )


def _whole(y: Tensor, measured: Tensor, geometry: ConeGeometry) -> tuple[Tensor, ConeGeometry]:
    """Interpolate what was not measured along the rows, and drop views without any.

    Args:
        y: `(N, rows, columns, views)`.
        measured: bool `(rows, columns, views)`.
        geometry: of all views.
    """
    from dataclasses import replace

    from untrained.physics.fbp import whole_views

    filled = []
    seen = measured.any(0)
    for row in range(y.shape[1]):
        mask = torch.where(measured[row].any(0), measured[row], seen)  # a dead row is all zeros
        part, plane = whole_views(y[:, row, None], mask[None, None], geometry.plane)
        filled.append(part[:, 0])
    return torch.stack(filled, 1), replace(geometry, plane=plane)


def _three(name: str, sides: Sequence[float]) -> tuple[int, int, int]:
    found = tuple(sides)
    if len(found) != 3:
        raise UserError(f"{name} must be (slices, rows, columns), got {found}")
    return tuple(whole(f"{name}[{k}]", side, least=1) for k, side in enumerate(found))  # type: ignore[return-value]

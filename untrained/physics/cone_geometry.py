"""Geometry of a circular cone-beam scan with a flat panel."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from untrained.checks import whole
from untrained.errors import UserError
from untrained.physics.ct_geometry import MOST_DETECTORS_OFF, FanBeam, Geometry, positive


@dataclass(frozen=True)
class ConeGeometry:
    """A source and a flat panel on a circle around the z axis.

    The plane of the circle is z = 0, and what is measured in it is a fan-beam scan, `plane`: its
    bins are the columns of the panel. A point (x, y, z) at the depth t (see `Geometry`) falls on
    the row coordinate v = z * source_origin / (source_origin + t), scaled to the rotation axis.
    Slice k of the volume lies at z = (k - (depth - 1) / 2) * slice_height, and rows grow with z.

    Attributes:
        plane: the fan-beam scan of the central plane, with the shape of a slice.
        depth: number of slices.
        rows: of the panel.
        slice_height: distance of two slices, in the unit of the pixel size.
        row_pitch: height of a row on the physical panel, in the same unit.
        row_offset: in rows. The plane z = 0 projects on the row index
            `(rows - 1) / 2 + row_offset`.

    Raises:
        UserError: an argument is not usable; the message names it.
    """

    plane: Geometry
    depth: int
    rows: int
    slice_height: float
    row_pitch: float
    row_offset: float = 0.0

    def __post_init__(self) -> None:
        if self.plane.fan is None:
            raise UserError("a cone beam needs source_origin and source_detector")
        object.__setattr__(self, "depth", whole("volume_shape[0]", self.depth, least=2))
        object.__setattr__(self, "rows", whole("rows of the detector", self.rows, least=2))
        positive("slice_height", self.slice_height)
        positive("detector_row_pitch", self.row_pitch)
        reach = MOST_DETECTORS_OFF * self.rows
        if not abs(self.row_offset) <= reach:
            raise UserError(
                f"detector_row_offset must be finite, in rows, and at most {MOST_DETECTORS_OFF} "
                f"panels high ({reach}), got {self.row_offset:g}"
            )

    @property
    def fan(self) -> FanBeam:
        """Return the distances of the source."""
        assert self.plane.fan is not None
        return self.plane.fan

    @property
    def row_width(self) -> float:
        """Return the height of a row scaled to the rotation axis."""
        return self.row_pitch * self.fan.source_origin / self.fan.source_detector

    @property
    def centre_row(self) -> float:
        """Return the row index on which the plane of the circle projects."""
        return (self.rows - 1) / 2 + self.row_offset

    @property
    def x_shape(self) -> tuple[int, int, int]:
        """Return slices, rows and columns of the volume."""
        return (self.depth, *self.plane.image_shape)

    @property
    def unseen_slices(self) -> int:
        """Count the slices of which the rotation axis is seen in no row."""
        low = (-0.5 - self.centre_row) * self.row_width
        high = (self.rows - 0.5 - self.centre_row) * self.row_width
        places = [(k - (self.depth - 1) / 2) * self.slice_height for k in range(self.depth)]
        return sum(not low <= z <= high for z in places)

    def rescaled(self, gain: float) -> ConeGeometry:
        """Return the same scan with lengths counted in another unit."""
        fan = FanBeam(self.fan.source_origin / gain, self.fan.source_detector / gain)
        lengths = {n: getattr(self.plane, n) / gain for n in ("pixel_size", "detector_pitch")}
        return replace(
            self,
            plane=replace(self.plane, fan=fan, **lengths),
            slice_height=self.slice_height / gain,
            row_pitch=self.row_pitch / gain,
        )

    def described(self) -> str:
        """Say what is measured, in a few words."""
        views = len(self.plane.angles)
        step = f"{views} views" if views > 1 else "one view"
        first, last = min(self.plane.angles), max(self.plane.angles)
        depth, height, width = self.x_shape
        tall = math.degrees(2 * math.atan(self.rows * self.row_width / 2 / self.fan.source_origin))
        return (
            f"angles from {first:.4g} to {last:.4g} degrees in {step}, cone beam of {tall:.3g} "
            f"degrees (source to axis {self.fan.source_origin:g}, to detector "
            f"{self.fan.source_detector:g}), {self.rows} x {self.plane.detectors} bins, a volume "
            f"of {depth} x {height} x {width}"
        )

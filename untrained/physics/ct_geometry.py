"""Geometry of a 2-D CT scan and its sparse projection matrix.

Conventions: x points right and y points up (row 0 of the image is at the top), and the centre of
the pixel grid is the rotation centre. A view at angle a has the lateral coordinate
s = x cos a + y sin a and the depth t = -x sin a + y cos a; rays travel towards growing t.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untrained.checks import whole
from untrained.errors import UserError, shown

Array = NDArray[Any]
SHORTEST = 1e-15
MOST_DEGREES = 1e6  # nearly three thousand turns; beyond, a float64 knows less than a view
MOST_DETECTORS_OFF = 10
WIDEST_PIXEL = 16


@dataclass(frozen=True)
class FanBeam:
    """Point source and flat detector, both turning about the rotation centre.

    Lengths are in the unit of the image's pixel size. The detector is perpendicular to the ray
    through the rotation centre.

    Attributes:
        source_origin: distance from the source to the rotation centre.
        source_detector: distance from the source to the detector.
    """

    source_origin: float
    source_detector: float

    def __post_init__(self) -> None:
        positive("source_origin", self.source_origin)
        positive("source_detector", self.source_detector)
        if self.source_detector < self.source_origin:
            raise UserError(
                f"source_detector is {self.source_detector:g}, less than source_origin = "
                f"{self.source_origin:g}; both are measured from the source, and the detector "
                "stands at or behind the rotation centre. Are the two swapped?"
            )


@dataclass(frozen=True)
class Geometry:
    """One 2-D CT scan; parallel beam unless `fan` is given.

    Attributes:
        image_shape: rows and columns `(H, W)`.
        angles: view angles in degrees, in the order of the measurement; any order and spacing.
        detectors: number of detector bins, at least 2.
        pixel_size: side of a square image pixel.
        detector_pitch: width of a bin on the physical detector, in the unit of `pixel_size`.
        detector_offset: in bins. The rotation centre projects on the detector index
            `(detectors - 1) / 2 + detector_offset`, where index k is the middle of bin k.
        fan: source and detector distances, or None for a parallel beam.

    Raises:
        UserError: an argument is not usable; the message names it.
    """

    image_shape: tuple[int, int]
    angles: tuple[float, ...]
    detectors: int
    pixel_size: float = 1.0
    detector_pitch: float = 1.0
    detector_offset: float = 0.0
    fan: FanBeam | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_shape", _image_shape(self.image_shape))
        object.__setattr__(self, "angles", _angles(self.angles))
        object.__setattr__(self, "detectors", whole("detectors", self.detectors, least=2))
        positive("pixel_size", self.pixel_size)
        positive("detector_pitch", self.detector_pitch)
        reach = MOST_DETECTORS_OFF * self.detectors
        if not abs(self.detector_offset) <= reach:
            raise UserError(
                f"detector_offset must be finite, in bins, and at most {MOST_DETECTORS_OFF} "
                f"detectors wide ({reach}), got {self.detector_offset:g}"
            )
        if not self.pixel_size <= self.bin_width * max(WIDEST_PIXEL, self.detectors):
            raise UserError(
                f"a pixel of {self.pixel_size:g} is wider than all {self.detectors} bins of "
                f"{self.bin_width:g} at the rotation centre: are pixel_size and detector_pitch in "
                "the same unit?"
            )
        radius = self.pixel_size * math.hypot(*self.image_shape) / 2
        if self.fan is not None and self.fan.source_origin <= radius:
            raise UserError(
                f"source_origin is {self.fan.source_origin:g}, but the image reaches "
                f"{radius:g} from the rotation centre: the source must stay outside the image. "
                "Check that source_origin and pixel_size are in the same unit."
            )

    @property
    def period(self) -> float:
        """Return the degrees after which views repeat: 180 for a parallel beam, 360 for a fan."""
        return 180.0 if self.fan is None else 360.0

    @property
    def bin_width(self) -> float:
        """Return the width of a bin scaled to the rotation centre."""
        if self.fan is None:
            return self.detector_pitch
        return self.detector_pitch * self.fan.source_origin / self.fan.source_detector

    @property
    def centre(self) -> float:
        """Return the detector index on which the rotation centre projects."""
        return (self.detectors - 1) / 2 + self.detector_offset


def projection_matrix(geometry: Geometry) -> Any:
    """Build the projection matrix of the scan from separable trapezoidal footprints.

    A square pixel casts a trapezoid on the detector: its corners are the projected corners of
    the pixel and its height is the length of the ray through the pixel's centre inside the
    pixel. An entry is the trapezoid's mean over a detector bin. For a parallel beam this is the
    exact area model; for a fan it is the SF-TR model of Long, Fessler and Balter, "3D forward
    and back-projection for X-ray CT using separable footprints", IEEE TMI 29 (2010), without
    its axial part.

    Returns:
        `scipy.sparse.csr_matrix`, float32 with int32 indices, of shape
        `(views * detectors, H * W)`; row `view * detectors + bin`, pixels in row-major order.

    Raises:
        UserError: the matrix has 2^31 entries or more.
    """
    from scipy.sparse import csr_matrix

    h, w = geometry.image_shape
    pixels: list[Array] = []
    values: list[Array] = []
    counts: list[Array] = []
    total = 0
    for angle in geometry.angles:
        view = _view_matrix(geometry, math.radians(angle))
        pixels.append(view.indices)
        values.append(view.data)
        counts.append(np.diff(view.indptr))
        total += view.nnz
        if total >= 2**31:
            raise UserError(
                f"{len(geometry.angles)} views of {geometry.detectors} bins over a {h} x {w} "
                "image need a projection matrix of more than 2^31 entries (over 32 GB with its "
                "transpose); use fewer views or larger pixels"
            )
    start = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int32)
    col, val = _join(pixels), _join(values)
    return csr_matrix((val, col, start), shape=(start.size - 1, h * w), copy=False)


def _join(parts: list[Array]) -> Array:
    """Concatenate, releasing each part once it is copied: the parts are as large as the whole."""
    joined = np.empty(sum(part.size for part in parts), parts[0].dtype)
    parts.reverse()
    position = 0
    while parts:
        part = parts.pop()
        joined[position : position + part.size] = part
        position += part.size
    return joined


def _view_matrix(geometry: Geometry, angle: float) -> Any:
    """Build one view as a `(pixels, detectors)` matrix in compressed columns."""
    from scipy.sparse import csr_matrix

    first, breaks = _breakpoints(geometry, angle)
    span = math.ceil(breaks[3].max())
    weights = _bin_means(breaks, span)
    weights *= _path_length(geometry, angle)[:, None]
    bins = first[:, None] + np.arange(span, dtype=np.int32)
    keep = (weights > 0) & (bins >= 0) & (bins < geometry.detectors)
    start = np.zeros(len(keep) + 1, np.int32)
    start[1:] = np.cumsum(keep, dtype=np.int32)[span - 1 :: span]
    shape = (len(keep), geometry.detectors)
    return csr_matrix((weights[keep], bins[keep], start), shape=shape, copy=False).tocsc()


def _breakpoints(geometry: Geometry, angle: float) -> tuple[Array, list[Array]]:
    """Find the trapezoid of each pixel: its four projected corners in ascending order.

    Returns:
        The first bin touched, int32 `(H * W,)`, and the four corners relative to the start of
        that bin, in bins, float32 `(H * W,)` each: near zero, where float32 is precise.
    """
    h, w = geometry.image_shape
    x = (np.arange(w + 1) - w / 2) * geometry.pixel_size
    y = (h / 2 - np.arange(h + 1)) * geometry.pixel_size
    u = _project(geometry, angle, x[None, :], y[:, None])
    u /= geometry.bin_width
    u += geometry.centre + 0.5
    near = np.floor(u[:-1, :-1])
    corners = (u[:-1, :-1], u[:-1, 1:], u[1:, :-1], u[1:, 1:])
    a, b, c, d = ((v - near).astype(np.float32).ravel() for v in corners)
    low_1, high_1 = np.minimum(a, b), np.maximum(a, b)
    low_2, high_2 = np.minimum(c, d), np.maximum(c, d)
    middle_1, middle_2 = np.maximum(low_1, low_2), np.minimum(high_1, high_2)
    breaks = [
        np.minimum(low_1, low_2),
        np.minimum(middle_1, middle_2),
        np.maximum(middle_1, middle_2),
        np.maximum(high_1, high_2),
    ]
    shift = np.floor(breaks[0])
    for value in breaks:
        value -= shift
    return near.ravel().astype(np.int32) + shift.astype(np.int32), breaks


def _project(geometry: Geometry, angle: float, x: Array, y: Array) -> Array:
    """Compute the detector coordinate of the points (x, y), scaled to the rotation centre."""
    s = x * math.cos(angle) + y * math.sin(angle)
    if geometry.fan is None:
        return s
    t = y * math.cos(angle) - x * math.sin(angle)
    return s / (1 + t / geometry.fan.source_origin)


def _path_length(geometry: Geometry, angle: float) -> Array:
    """Measure the ray through each pixel's centre inside it; `(H * W,)`, or `(1,)` if equal."""
    cos, sin = math.cos(angle), math.sin(angle)
    if geometry.fan is None:
        length = geometry.pixel_size / max(abs(cos), abs(sin))
        return np.full(1, length, np.float32)
    h, w = geometry.image_shape
    distance = geometry.fan.source_origin
    dx = (np.arange(w) - (w - 1) / 2)[None, :] * geometry.pixel_size + distance * -sin
    dy = ((h - 1) / 2 - np.arange(h))[:, None] * geometry.pixel_size + distance * cos
    length = np.hypot(dx, dy) / np.maximum(np.abs(dx), np.abs(dy))
    return (geometry.pixel_size * length).astype(np.float32).ravel()


def _bin_means(breaks: list[Array], bins: int) -> Array:
    """Integrate trapezoids of height 1 over the bins [0, 1], [1, 2], ...; `(pixels, bins)`.

    The integral up to u is rise(u)^2 / (2 rise) + rest(u) - fall(u)^2 / (2 fall), where each
    of the three follows u from its own start and stays at its end.
    """
    rise, rest, fall = breaks[1] - breaks[0], breaks[3] - breaks[1], breaks[3] - breaks[2]
    tiny = np.float32(1e-30)
    half_slope_up = 0.5 / np.maximum(rise, tiny)
    half_slope_down = 0.5 / np.maximum(fall, tiny)
    weights = np.empty((len(rise), bins), np.float32)
    below = np.zeros_like(rise)
    for k in range(bins):
        up = _clipped(k + 1, breaks[0], rise)
        down = _clipped(k + 1, breaks[2], fall)
        upto = _clipped(k + 1, breaks[1], rest)
        upto += half_slope_up * up * up
        upto -= half_slope_down * down * down
        np.subtract(upto, below, out=weights[:, k])
        below = upto
    return weights


def _clipped(u: float, start: Array, length: Array) -> Array:
    """Return how far u has come past `start`, between 0 and `length`."""
    past = u - start
    np.maximum(past, 0, out=past)
    return np.minimum(past, length, out=past)


def positive(name: str, value: float) -> None:
    """Refuse what is no length; UserError naming `name`."""
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{name} must be a positive length, got {shown(value)}")
    if not SHORTEST <= value <= 1 / SHORTEST:
        raise UserError(
            f"{name} is {value:g}; lengths from {SHORTEST:g} to {1 / SHORTEST:g} are taken, in "
            "whatever unit: check it"
        )


def _image_shape(shape: Iterable[float]) -> tuple[int, int]:
    sides = tuple(shape)
    if len(sides) != 2:
        raise UserError(f"image_shape must be (rows, columns), got {sides}")
    return whole("image_shape[0]", sides[0], least=1), whole("image_shape[1]", sides[1], least=1)


def _angles(angles: Any) -> tuple[float, ...]:
    try:
        values = np.asarray(angles, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"angles must be numbers, degrees one per view: {error}") from error
    if values.ndim != 1 or values.size == 0:
        raise UserError(
            "angles must be a one-dimensional sequence of degrees, one per view; "
            f"got the shape {values.shape}"
        )
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise UserError(f"angles must be finite degrees, but angles[{bad}] is {values[bad]}")
    if np.abs(values).max() > MOST_DEGREES:
        bad = int(np.abs(values).argmax())
        raise UserError(
            f"angles are degrees, at most {MOST_DEGREES:.0e}; angles[{bad}] is {values[bad]:g}"
        )
    return tuple(values.tolist())

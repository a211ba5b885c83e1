"""Filtered backprojection and the ramp filter.

Both follow A. C. Kak and M. Slaney, "Principles of Computerized Tomographic Imaging", IEEE Press
1988: equation 3.61 for the filter, section 3.4.2 for the fan beam with a flat detector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from untrained.physics.ct_geometry import Geometry

Array = NDArray[Any]

# A gap this many times the next largest is a missing wedge; random views stay well below.
WEDGE = 3.0
# Degrees over which a view's share fades out at either end of an incomplete fan-beam turn.
FADE = 10.0
# Share of the detector by which it must be moved to one side for a half fan.
HALF_FAN = 0.05
# Share of the bins whose mean is the value at the end of a view.
END = 0.02
TINY = 1e-9


def fbp(y: Tensor, geometry: Geometry) -> Tensor:
    """Backproject, filtered: pixel-driven, linear interpolation, plain ramp filter.

    Every view counts with half the gap to its neighbours (modulo 180 degrees for a parallel
    beam, 360 for a fan), so that angles may be unsorted, repeated and unequally spaced. When
    the scan leaves out a wedge, that gap does not count: the ends weigh like the other views,
    and what the wedge would have shown is missing from the image.

    A fan beam of less than a full turn measures some rays twice and others once; the two shares
    of a ray measured twice add up to one, fading over 10 degrees at the ends of the turn (Noo,
    Defrise, Clackdoyle and Kudo, Phys. Med. Biol. 47 (2002) 2525). From 180 degrees plus the
    fan's opening the image is complete; below that, unmeasured rays are missing.

    Args:
        y: mean line integrals `(B, C, detectors, views)`.
        geometry: the scan; no projection matrix is needed.

    Returns:
        Image `(B, C, H, W)` in value per unit length.
    """
    batch, channels, detectors, views = y.shape
    if (detectors, views) != (geometry.detectors, len(geometry.angles)):
        raise ValueError(
            f"fbp: y must be (B, C, {geometry.detectors}, {len(geometry.angles)}) for this scan, "
            f"got {tuple(y.shape)}"
        )
    scale = np.radians(view_weights(geometry)) / geometry.bin_width
    y = y * _like(scale, y)
    if geometry.fan is not None:
        y = y * _like(_fan_weights(geometry), y)
    elif full_turn(geometry):  # `view_weights` has halved every view
        y = y * _like(2 * redundancy(geometry), y)
    y, geometry = continued(y, geometry)
    filtered = filter_detectors(y, _like(ramp(geometry.detectors), y))
    image = _backproject(filtered.reshape(batch * channels, -1, views), geometry)
    return image.reshape(batch, channels, *geometry.image_shape)


def continued(y: Tensor, geometry: Geometry) -> tuple[Tensor, Geometry]:
    """Continue views beyond the detector as far as the image reaches, as those of a disc.

    An image that is wider than the detector has room for an object that is. Its views are cut off,
    and the ramp filter takes their end for an edge. With e the value at the end and d the distance
    from the middle, they go on as e sqrt((r^2 - d^2) / (r^2 - R^2)): a disc of the image's width
    2 r on a detector of width 2 R. Views that end with zeros stay as they are, and so do those of a
    half fan, whose short side the opposite views show.

    Args:
        y: `(B, C, detectors, views)`.
        geometry: of the scan.

    Returns:
        Views with more bins, and their geometry.
    """
    half, reach = geometry.detectors / 2, max(geometry.image_shape) * geometry.pixel_size / 2
    radius = reach / geometry.bin_width
    more = math.ceil(radius - half)
    if more < 1 or is_half_fan(geometry.detectors, geometry.detector_offset, geometry.angles):
        return y, geometry
    beyond = half + np.arange(more) + 0.5
    falls = np.sqrt(np.clip((radius**2 - beyond**2) / (radius**2 - half**2), 0, 1))
    fall, ends = _like(falls, y)[:, None], max(1, round(END * geometry.detectors))
    first = y[..., :ends, :].mean(-2, keepdim=True) * fall.flip(0)
    last = y[..., -ends:, :].mean(-2, keepdim=True) * fall
    wider = replace(geometry, detectors=geometry.detectors + 2 * more)
    return torch.cat([first, y, last], dim=-2), wider


def whole_views(y: Tensor, mask: Tensor, geometry: Geometry) -> tuple[Tensor, Geometry]:
    """Interpolate unmeasured rays along the detector and drop the views without any.

    Args:
        y: sinogram `(B, C, detectors, views)`.
        mask: `(1, C, detectors, views)`, the same in every channel, 1 = measured.
        geometry: of all views.

    Returns:
        A sinogram of the remaining views without gaps, and their geometry.
    """
    measured = (mask[0, 0] != 0).cpu().numpy()
    seen = measured.any(0)
    index = np.arange(geometry.detectors)[:, None]
    kept = measured[:, seen]
    # the nearest measured bins of every ray, on either side; at the ends of the detector the same
    below = np.maximum.accumulate(np.where(kept, index, -1), axis=0)
    above = np.minimum.accumulate(np.where(kept, index, len(index))[::-1], axis=0)[::-1]
    below, above = np.where(below < 0, above, below), np.where(above == len(index), below, above)
    share = (index - below) / np.maximum(above - below, 1)
    views = y[..., torch.from_numpy(seen).to(y.device)]
    low, high = (
        views.gather(-2, torch.from_numpy(i).to(y.device).expand_as(views)) for i in (below, above)
    )
    filled = low + _like(share, y) * (high - low)
    angles = tuple(np.asarray(geometry.angles)[seen])
    return filled, replace(geometry, angles=angles)


def ramp(detectors: int) -> Array:
    """Compute the response of the band-limited ramp filter at unit spacing, zero padding included.

    It is the transform of the exact spatial kernel, 1/4 at 0, -1/(pi n)^2 at odd n, 0 elsewhere,
    and therefore positive at frequency 0; its maximum is close to 1/2.

    Returns:
        One value per `rfft` frequency of the padded length, a power of two >= 2 * detectors.
    """
    length = 2 ** math.ceil(math.log2(2 * detectors))
    n = np.fft.fftfreq(length, 1 / length)
    kernel = np.zeros(length)
    kernel[0] = 0.25
    odd = n % 2 == 1
    kernel[odd] = -1 / (math.pi * n[odd]) ** 2
    return np.fft.rfft(kernel).real


def filter_detectors(y: Tensor, response: Tensor) -> Tensor:
    """Filter `(B, C, detectors, views)` along the detectors, zero padded; a symmetric operator.

    Args:
        y: sinogram.
        response: real, one value per `rfft` frequency of the (even) padded length.
    """
    length = 2 * (response.numel() - 1)
    spectrum = torch.fft.rfft(y, n=length, dim=-2) * response[:, None]
    return torch.fft.irfft(spectrum, n=length, dim=-2)[..., : y.shape[-2], :]


def view_weights(geometry: Geometry) -> Array:
    """Compute the degrees each view stands for, `(views,)`; views at the same angle share them."""
    _, inverse, count, gaps = _views(geometry)
    return ((gaps + np.roll(gaps, 1)) / 2 / count)[inverse]


def _views(geometry: Geometry) -> tuple[Array, Array, Array, Array]:
    """Sort the views by their angle in a period.

    Returns:
        The distinct angles, where each view is among them, how many views share each, and the gap
        after each in degrees, a missing wedge replaced by the mean of the others.
    """
    # Rounding makes 0 and 180 the same direction in spite of float32 angles.
    folded = np.mod(np.round(np.asarray(geometry.angles), 4), geometry.period)
    distinct, inverse, count = np.unique(folded, return_inverse=True, return_counts=True)
    gaps = np.diff(distinct, append=distinct[0] + geometry.period)
    widest = int(np.argmax(gaps))
    others = np.delete(gaps, widest)
    if others.size and gaps[widest] > WEDGE * others.max():
        gaps[widest] = others.mean()
    return distinct, inverse, count, gaps


def _fan_weights(geometry: Geometry) -> Array:
    """Compute obliquity times the ray's share among its measurements, `(detectors, views)`."""
    assert geometry.fan is not None
    distance = geometry.fan.source_origin
    u = (np.arange(geometry.detectors) - geometry.centre) * geometry.bin_width
    return distance / np.hypot(distance, u)[:, None] * redundancy(geometry)


def redundancy(geometry: Geometry) -> Array:
    """Compute each ray's share among its two measurements, one in every turn, `(detectors, views)`.

    The same line is measured again from the other side. Where the scan is short, or where the
    rotation centre projects far from the middle of the detector (half fan), it is measured once;
    the shares change smoothly in between, over the bins or views that are measured twice.
    """
    angles = np.asarray(geometry.angles)[None, :]
    u = (np.arange(geometry.detectors) - geometry.centre)[:, None]
    if geometry.fan is None:
        away = np.zeros_like(u)
    else:
        away = np.degrees(np.arctan(u * geometry.bin_width / geometry.fan.source_origin))
    share = _presence(geometry, angles) * _reach(geometry, u)
    # the same line, travelled the other way, falls on the bin opposite
    opposite = _presence(geometry, angles + 180 - 2 * away) * _reach(geometry, -u)
    return share / (share + opposite)


def full_turn(geometry: Geometry) -> bool:
    """Tell whether the views go around by 360 degrees."""
    return _all_around(geometry.angles)


def _all_around(degrees: Sequence[float]) -> bool:
    angles = np.unique(np.mod(np.round(np.asarray(degrees), 4), 360))
    gaps = np.diff(angles, append=angles[0] + 360)
    return len(angles) > 3 and bool(gaps.max() < 2 * np.median(gaps) + 1e-3)


def is_half_fan(detectors: int, offset: float, angles: Sequence[float]) -> bool:
    """Tell whether a detector is moved far to one side, and views all around see the rest."""
    return abs(offset) >= HALF_FAN * detectors and _all_around(angles)


def _reach(geometry: Geometry, u: Array) -> Array:
    """Return 1 on the detector and 0 beyond, fading out where it is moved far to one side.

    Args:
        geometry: of the scan.
        u: in bins from where the rotation centre projects.
    """
    ends = -geometry.centre - 0.5, geometry.detectors - 0.5 - geometry.centre
    short = min(abs(ends[0]), abs(ends[1]))
    if abs(geometry.detector_offset) < HALF_FAN * geometry.detectors or ends[0] * ends[1] >= 0:
        return np.ones_like(u)  # both sides reach equally far, or nearly so
    # rises from the near end over all that both sides measure
    towards = u if abs(ends[0]) < abs(ends[1]) else -u
    inside = np.clip((towards + short) / (2 * short), 0, 1)
    return np.maximum(np.sin(np.pi / 2 * inside) ** 2, TINY)


def _presence(geometry: Geometry, angles: Array) -> Array:
    """Return 1 well inside the scanned arc, fading to 0 at its ends; 1 for a full turn."""
    distinct, _, _, gaps = _views(geometry)
    arc = gaps.sum()
    if arc > geometry.period - 1e-6:
        return np.ones_like(angles)
    following = np.diff(distinct, append=distinct[0] + geometry.period)
    last = int(np.argmax(following))
    start = distinct[(last + 1) % distinct.size] - gaps[last] / 2
    position = np.mod(angles - start, geometry.period)
    inside = np.clip(np.minimum(position, arc - position) / FADE, 0, 1)
    return np.sin(np.pi / 2 * inside) ** 2


def _backproject(q: Tensor, geometry: Geometry) -> Tensor:
    """Sum over the views of filtered data `(N, detectors, views)` at each pixel, `(N, H, W)`."""
    h, w = geometry.image_shape
    scale = geometry.pixel_size / geometry.bin_width
    x = _like((np.arange(w) - (w - 1) / 2) * scale, q)[None, :]
    y = _like(((h - 1) / 2 - np.arange(h)) * scale, q)[:, None]
    # One empty bin on either side: beyond the detector nothing is added.
    rows, centre = torch.nn.functional.pad(q.permute(2, 0, 1), (1, 1)), geometry.centre + 1
    image = q.new_zeros(q.shape[0], h * w)
    for row, degrees in zip(rows, geometry.angles, strict=True):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        if geometry.fan is None:
            image += _interpolate(row, x * cos + (y * sin + centre))
            continue
        distance = geometry.fan.source_origin / geometry.bin_width
        magnification = distance / (y * cos + distance - x * sin)
        view = _interpolate(row, (x * cos + y * sin) * magnification + centre)
        image += view * magnification.square().flatten()
    return image.reshape(-1, h, w)


def _interpolate(row: Tensor, position: Tensor) -> Tensor:
    """Sample `(N, n)` linearly at P positions, held at the ends; `(N, P)`."""
    position = position.flatten().clamp_(0, row.shape[1] - 1)
    below = position.int()
    slope = torch.diff(row, append=row[:, -1:])
    value = slope.index_select(1, below) * position.sub_(below)
    return value + row.index_select(1, below)


def _like(values: Array, reference: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=reference.dtype, device=reference.device)

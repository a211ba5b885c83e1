"""Cone-beam projection by separable footprints, computed view by view, and its exact transpose.

Y. Long, J. A. Fessler and J. M. Balter, "3D forward and back-projection for X-ray CT using
separable footprints", IEEE Trans. Med. Imaging 29 (2010): what a voxel casts on the panel is a
trapezoid along the columns, that of the fan beam (`ct_geometry`), times a rectangle along the rows,
times the length of the ray inside the voxel. The rays' tilt against the plane of the circle is
counted in each bin, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from untrained.physics import projector
from untrained.physics.cone_geometry import ConeGeometry

BLOCK = {"cpu": 2**17}
"""Values computed at a time: they stay in the cache of a CPU. Elsewhere OTHER_BLOCK."""

OTHER_BLOCK = 2**24


KEPT = 2**28
"""Bytes of footprints that are kept and not computed anew; those of 128 x 128 pixels and 60 views
take 25 MB."""

VIEW_BYTES = 28  # per pixel and view


class View(NamedTuple):
    """One view: the footprint of every pixel along the columns, and its magnification."""

    number: int
    span: int
    first: Tensor
    weights: list[Tensor]
    magnified: Tensor


class Footprints:
    """The footprints of every view of a scan, kept where they are small, else computed anew."""

    def __init__(self, geometry: ConeGeometry) -> None:
        self.geometry = geometry
        (height, width), views = geometry.plane.image_shape, len(geometry.plane.angles)
        self._small = height * width * views * VIEW_BYTES <= KEPT
        self._kept: dict[tuple[int, str, torch.dtype], View] = {}

    def of(self, which: list[int], like: Tensor) -> Iterator[View]:
        """Give the views wanted, in the floating type and on the device of `like`."""
        for number in which:
            name = (number, str(like.device), like.dtype)
            view = self._kept.get(name) or self._made(number, like)
            if self._small:
                self._kept[name] = view
            yield view

    def _made(self, number: int, like: Tensor) -> View:
        plane = self.geometry.plane
        (flat,) = projector.views(plane, [number], like)
        size = magnifications(self.geometry, plane.angles[number], like).flatten()
        return View(number, flat.span, flat.first, flat.weights, size)


def project(x: Tensor, footprints: Footprints, which: list[int]) -> Tensor:
    """Project volumes `(N, D, H, W)` to `(N, views, columns, rows)`, zero in views not wanted."""
    geometry = footprints.geometry
    plane, rows = geometry.plane, geometry.rows
    y = x.new_zeros(len(x), len(plane.angles), plane.detectors, rows)
    sums = [_running_sum(volume.flatten(1).T) for volume in x]
    tilt = _tilt(geometry, x)
    edges = torch.arange(rows + 1, dtype=x.dtype, device=x.device)
    for view in footprints.of(which, x):
        padded = x.new_zeros(len(x), plane.detectors + 3 * view.span, rows)
        for part in _blocks(len(view.first), rows + 1, x):
            size = view.magnified[part]
            # where the edges of the rows cut the columns of voxels, counted in voxels
            step = geometry.row_width / geometry.slice_height / size
            at = (edges - (geometry.centre_row + 0.5)) * step[:, None] + geometry.depth / 2
            index, share = _place(at, geometry.depth)
            for total, out in zip(sums, padded, strict=True):
                cast = _interpolate(total[part], index, share).diff(dim=1).div_(step[:, None])
                for k, weight in enumerate(view.weights):
                    _add(out, view.first[part] + k, cast * weight[part, None])
        y[:, view.number] = padded[:, view.span : view.span + plane.detectors] * tilt
    return y


def backproject(y: Tensor, footprints: Footprints, which: list[int]) -> Tensor:
    """Backproject `(N, views, columns, rows)` to `(N, D, H, W)`: the transpose of `project`."""
    geometry = footprints.geometry
    plane, depth = geometry.plane, geometry.depth
    x = y.new_zeros(len(y), plane.image_shape[0] * plane.image_shape[1], depth)
    tilt = _tilt(geometry, y)
    edges = torch.arange(depth + 1, dtype=y.dtype, device=y.device) - depth / 2
    for view in footprints.of(which, y):
        pad = (0, 0, view.span, 2 * view.span)
        seen = torch.nn.functional.pad(y[:, view.number] * tilt, pad)
        for part in _blocks(len(view.first), max(depth, geometry.rows) + 1, y):
            step = geometry.slice_height / geometry.row_width * view.magnified[part]
            at = edges * step[:, None] + (geometry.centre_row + 0.5)
            index, share = _place(at, geometry.rows)
            for row, out in zip(seen, x, strict=True):
                cast = torch.zeros(len(step), geometry.rows, dtype=y.dtype, device=y.device)
                for k, weight in enumerate(view.weights):
                    cast.addcmul_(weight[part, None], row.index_select(0, view.first[part] + k))
                out[part] += _interpolate(_running_sum(cast), index, share).diff(dim=1)
    return x.transpose(1, 2).reshape(len(y), *geometry.x_shape)


def sum_of_squares(geometry: ConeGeometry, which: list[int], measured: Tensor | None) -> float:
    """Sum the squared entries of the projection matrix.

    Args:
        geometry, which: the scan, and which of its views count.
        measured: `(views, columns, rows)`, 0 where a bin is left out; None where none is.
    """
    like, total, rows = torch.zeros(0, dtype=torch.float64), 0.0, geometry.rows
    tilt = _tilt(geometry, like)
    edges = torch.arange(rows + 1, dtype=like.dtype)
    for view in Footprints(geometry).of(which, like):
        squares = tilt.square()
        if measured is not None:
            squares = squares * (measured[view.number] != 0).cpu()
        padded = torch.nn.functional.pad(squares, (0, 0, view.span, 2 * view.span))
        for part in _blocks(len(view.first), rows + 1, like):
            step = geometry.row_width / geometry.slice_height / view.magnified[part]
            at = (edges - (geometry.centre_row + 0.5)) * step[:, None] + geometry.depth / 2
            overlaps = _squared_overlaps(at.clamp(0, geometry.depth)) / step[:, None].square()
            for k, weight in enumerate(view.weights):
                seen = padded.index_select(0, view.first[part] + k)
                total += float((weight[part, None].square() * seen * overlaps).sum())
    return total


class Product(torch.autograd.Function):
    """`project`, or `backproject`, whose derivative is the other one."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, footprints: Footprints, which: list[int], to: bool
    ) -> Tensor:
        ctx.given = (footprints, which, to)
        # nothing is computed of nothing: problems ask for the shapes alone
        if not bool(values.any()):
            geometry = footprints.geometry
            plane = geometry.plane
            bins = (len(plane.angles), plane.detectors, geometry.rows)
            return values.new_zeros(len(values), *(bins if to else geometry.x_shape))
        return (project if to else backproject)(values, footprints, which)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        footprints, which, to = ctx.given
        return Product.apply(grad.contiguous(), footprints, which, not to), None, None, None


def magnifications(geometry: ConeGeometry, degrees: float, like: Tensor) -> Tensor:
    """Compute source_origin / (source_origin + t) of every pixel of a slice, `(H, W)`."""
    (h, w), size = geometry.plane.image_shape, geometry.plane.pixel_size
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    x = (torch.arange(w, dtype=torch.float64) - (w - 1) / 2) * size
    y = ((h - 1) / 2 - torch.arange(h, dtype=torch.float64)) * size
    depth = y[:, None] * angle.cos() - x[None, :] * angle.sin()
    distance = geometry.fan.source_origin
    return (distance / (distance + depth)).to(like)


def _tilt(geometry: ConeGeometry, like: Tensor) -> Tensor:
    """Compute the length of each ray over that of its shadow in the plane, `(columns, rows)`."""
    kind = torch.float64
    u = (torch.arange(geometry.plane.detectors, dtype=kind) - geometry.plane.centre)[:, None]
    v = (torch.arange(geometry.rows, dtype=kind) - geometry.centre_row)[None, :]
    flat = geometry.fan.source_origin**2 + (u * geometry.plane.bin_width).square()
    return (1 + (v * geometry.row_width).square() / flat).sqrt().to(like)


def _blocks(count: int, width: int, like: Tensor) -> Iterator[slice]:
    step = max(1, BLOCK.get(like.device.type, OTHER_BLOCK) // width)
    return (slice(begin, begin + step) for begin in range(0, count, step))


def _running_sum(values: Tensor) -> Tensor:
    """Sum along the last axis from nothing on: `(P, n)` to `(P, n + 1)`."""
    return torch.nn.functional.pad(values.cumsum(1), (1, 0))


def _place(at: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Split positions in [0, count] into a whole part below `count` and the rest."""
    at = at.clamp_(0, count)
    index = at.long().clamp_(max=count - 1)
    return index, at.sub_(index)


def _interpolate(total: Tensor, index: Tensor, share: Tensor) -> Tensor:
    """Interpolate `(P, n + 1)` linearly at `index + share`, `(P, m)`."""
    low = total.gather(1, index)
    return low.addcmul_(total[:, 1:].gather(1, index).sub_(low), share)


def _squared_overlaps(at: Tensor) -> Tensor:
    """Sum the squared overlaps of [at_j, at_j+1] with the unit intervals, `(P, m + 1) -> (P, m)`.

    Inside an interval of length one cut at both ends the two cut pieces, and ones between.
    """
    low, high = at[:, :-1], at[:, 1:]
    first, last = low.floor(), high.ceil() - 1  # the voxels of both ends
    one = (high - low).square()
    several = (first + 1 - low).square() + (high - last).square() + (last - first - 1)
    return torch.where(last <= first, one, several)


def _add(out: Tensor, at: Tensor, values: Tensor) -> None:
    # on a GPU sums in a fixed order, which index_add_ has on the CPU alone
    if out.device.type == "cpu":
        out.index_add_(0, at, values)
    else:
        out.index_put_((at,), values, accumulate=True)

"""The projection matrix of a CT scan computed view by view, for scans whose matrix is too large."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from untrained.physics.ct_geometry import Geometry

TINY = 1e-30


class View(NamedTuple):
    """What every pixel casts on the detector in one view.

    Attributes:
        number: of the view.
        first: int64 `(P,)`, the first bin touched, counted from `-span`: bins beyond the detector
            are bins of the padding.
        weights: of the bins `first`, `first + 1`, ..., `(P,)` each.
    """

    number: int
    first: Tensor
    weights: list[Tensor]

    @property
    def span(self) -> int:
        """Count the bins that a pixel may touch, and those of padding on either side."""
        return len(self.weights)


def views(geometry: Geometry, which: list[int], like: Tensor) -> Iterator[View]:
    """Compute the entries of `ct_geometry.projection_matrix`, one view at a time.

    Args:
        geometry: the scan.
        which: numbers of the views wanted.
        like: gives device and floating type of the weights.
    """
    for index in which:
        angle = math.radians(geometry.angles[index])
        of = _parallel if geometry.fan is None else _fan
        start, breaks, length = of(geometry, angle, like)
        span = math.ceil(float(breaks[3].max()))
        first = start.clamp_(-span, geometry.detectors).add_(span)
        weights = [weight.mul_(length) for weight in _bin_means(breaks, span)]
        yield View(index, first, weights)


def project(x: Tensor, geometry: Geometry, which: list[int]) -> Tensor:
    """Project images `(N, P)` to `(N, views, detectors)`, zero in views that are not wanted."""
    y = x.new_zeros(len(x), len(geometry.angles), geometry.detectors)
    for view in views(geometry, which, x):
        for image, out in zip(x, y[:, view.number], strict=True):
            padded = x.new_zeros(geometry.detectors + 3 * view.span)
            for k, weight in enumerate(view.weights):
                # on a GPU sums in a fixed order, which index_add_ has on the CPU alone
                _add(padded, view.first + k if k else view.first, weight * image)
            out.copy_(padded[view.span : view.span + geometry.detectors])
    return y


def backproject(y: Tensor, geometry: Geometry, which: list[int]) -> Tensor:
    """Backproject `(N, views, detectors)` to images `(N, P)`: the transpose of `project`."""
    h, w = geometry.image_shape
    x = y.new_zeros(len(y), h * w)
    for view in views(geometry, which, y):
        pad = (view.span, 2 * view.span)
        for row, image in zip(y[:, view.number], x, strict=True):
            padded = torch.nn.functional.pad(row, pad)
            for k, weight in enumerate(view.weights):
                image.addcmul_(weight, padded[k:].index_select(0, view.first))
    return x


def sum_of_products(
    geometry: Geometry, which: list[int], metric: Tensor | None, measured: Tensor | None
) -> float:
    """Sum a^T G a over every pixel and view, a what the pixel casts on the detector in that view.

    Args:
        geometry, which: the scan, and which of its views count.
        metric: G, symmetric float64 `(detectors, detectors)`; None is the identity.
        measured: `(views, detectors)`, 0 where a bin is left out; None where none is.
    """
    total, bins = 0.0, geometry.detectors
    for view in views(geometry, which, torch.zeros(0, dtype=torch.float64)):
        span = view.span
        seen = torch.ones(bins) if measured is None else measured[view.number].cpu()
        inside = torch.nn.functional.pad(seen.double(), (span, 2 * span))
        cast = [w * inside[k:][view.first] for k, w in enumerate(view.weights)]
        if metric is None:
            total += sum(float(part.square().sum()) for part in cast)
            continue
        padded = torch.nn.functional.pad(metric, (span, 2 * span, span, 2 * span))
        width = padded.shape[1]
        for k, one in enumerate(cast):
            for m, other in enumerate(cast[: k + 1]):
                entry = padded.flatten()[(view.first + k) * width + view.first + m]
                total += (2 - (k == m)) * float((one * other * entry).sum())
    return total


class Product(torch.autograd.Function):
    """`project`, or `backproject`, whose derivative is the other one."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, geometry: Geometry, which: list[int], to: bool) -> Tensor:
        ctx.given = (geometry, which, to)
        # nothing is computed of nothing: problems ask for the shapes alone
        if not bool(values.any()):
            h, w = geometry.image_shape
            bins = (len(geometry.angles), geometry.detectors)
            return values.new_zeros(len(values), *(bins if to else (h * w,)))
        return (project if to else backproject)(values, geometry, which)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        geometry, which, to = ctx.given
        return Product.apply(grad, geometry, which, not to), None, None, None


def meets(geometry: Geometry) -> bool:
    """Tell whether the shadow of the image falls on the detector in any view."""
    none = torch.zeros(0, dtype=torch.float64)
    for view in views(geometry, list(range(len(geometry.angles))), none):
        seen = torch.nn.functional.pad(torch.ones(geometry.detectors), (view.span, 2 * view.span))
        for k, weight in enumerate(view.weights):
            if bool(((weight > 0) & (seen[k:][view.first] > 0)).any()):
                return True
    return False


def _add(out: Tensor, at: Tensor, values: Tensor) -> None:
    if out.device.type == "cpu":
        out.index_add_(0, at, values)
    else:
        out.index_put_((at,), values, accumulate=True)


def _parallel(
    geometry: Geometry, angle: float, like: Tensor
) -> tuple[Tensor, list[Tensor], float | Tensor]:
    """Find the first bin `(P,)`, the corners of each trapezoid from its start, and its height.

    In a parallel beam the trapezoids of all pixels are alike.
    """
    h, w = geometry.image_shape
    size = geometry.pixel_size / geometry.bin_width
    cos, sin = math.cos(angle), math.sin(angle)
    narrow, wide = sorted((abs(cos) * size, abs(sin) * size))
    u = _line(w, cos * size, like)[None, :] - _line(h, sin * size, like)[:, None]
    u = (u + (geometry.centre + 0.5 - (narrow + wide) / 2)).flatten()
    whole = u.floor()
    begin = u.sub_(whole).to(like.dtype)
    breaks = [begin, begin + narrow, begin + wide, begin + (narrow + wide)]
    return whole.long(), breaks, geometry.pixel_size / max(abs(cos), abs(sin))


def _fan(
    geometry: Geometry, angle: float, like: Tensor
) -> tuple[Tensor, list[Tensor], float | Tensor]:
    """Find the same for a fan beam, where every pixel has a trapezoid of its own."""
    assert geometry.fan is not None
    h, w = geometry.image_shape
    size, distance = geometry.pixel_size, geometry.fan.source_origin
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = _line(w + 1, size, like)[None, :], -_line(h + 1, size, like)[:, None]
    u = (x * cos + y * sin) / (1 + (y * cos - x * sin) / distance)
    u = u / geometry.bin_width + (geometry.centre + 0.5)
    corners = torch.stack([u[:-1, :-1], u[:-1, 1:], u[1:, :-1], u[1:, 1:]]).flatten(1)
    corners = corners.sort(0).values
    whole = corners[0].floor()
    breaks = list((corners - whole).to(like.dtype))
    dx = _line(w, size, like)[None, :] - distance * sin
    dy = -_line(h, size, like)[:, None] + distance * cos
    length = torch.hypot(dx, dy) / torch.maximum(dx.abs(), dy.abs())
    return whole.long(), breaks, (size * length).flatten().to(like.dtype)


def _line(count: int, step: float, like: Tensor) -> Tensor:
    """Place `count` points around 0, in float64 where possible: neighbours must be told apart."""
    kind = torch.float32 if like.device.type == "mps" else torch.float64
    return (torch.arange(count, dtype=kind, device=like.device) - (count - 1) / 2) * step


def _bin_means(breaks: list[Tensor], bins: int) -> list[Tensor]:
    """Integrate over the bins [0, 1], [1, 2], ...; see `ct_geometry._bin_means`."""
    rise, rest, fall = breaks[1] - breaks[0], breaks[3] - breaks[1], breaks[3] - breaks[2]
    up_slope, down_slope = 0.5 / rise.clamp_min(TINY), 0.5 / fall.clamp_min(TINY)
    weights, below = [], torch.zeros_like(rise)
    for k in range(bins):
        up, down = _clipped(k + 1, breaks[0], rise), _clipped(k + 1, breaks[2], fall)
        upto = _clipped(k + 1, breaks[1], rest)
        upto += up.square_().mul_(up_slope)
        upto -= down.square_().mul_(down_slope)
        weights.append((upto - below).clamp_min_(0))
        below = upto
    return weights


def _clipped(u: float, start: Tensor, length: Tensor) -> Tensor:
    """Return how far u has come past `start`, between 0 and `length`."""
    return torch.minimum((u - start).clamp_min_(0), length)

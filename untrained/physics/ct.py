"""X-ray tomography of a slice: parallel and fan beam, by an exact sparse projection matrix."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from untrained.errors import UserError
from untrained.physics.base import LinearPhysics, twin
from untrained.physics.fbp import fbp, filter_detectors, ramp, whole_views
from untrained.physics.footprint import FanBeam, Geometry, projection_matrix, whole
from untrained.physics.masks import as_mask

__all__ = ["CT", "FanBeam", "Geometry"]

# Entries of the matrix multiplied at once where the device has no sparse product.
CHUNK = 2**22


class CT(LinearPhysics):
    """Mean line integrals over detector bins: y `(B, C, detectors, views)` of x `(B, C, H, W)`.

    A value of y is the integral of x along the ray (value times length), averaged over the bin.
    With view angle a, s = x cos a + y sin a with x to the right and y UP (row 0 is at the top);
    the centre of the pixel grid is the rotation centre. The detector index grows with s. For a
    fan beam, the depth is t = -x sin a + y cos a, the source stands at t = -source_origin, and
    the detector coordinate scaled to the rotation centre is
    u = s * source_origin / (source_origin + t); the index grows with u.

    The projection matrix (see `footprint.projection_matrix`) and its transpose are built at once
    and take about 16 bytes per pixel, view and bin touched (2.3 bins for pixels as wide as the
    bins): 290 MB for 512 x 512 pixels and 30 views. `fbp` needs no matrix: for the full data of
    a dense scan call `untrained.physics.fbp.fbp(y, Geometry(...))`.

    Args:
        image_shape: rows and columns `(H, W)`.
        angles: view angles in DEGREES, one-dimensional, any order and spacing.
        detectors: number of detector bins.
        pixel_size: side of an image pixel.
        detector_pitch: width of a bin on the physical detector, in the unit of `pixel_size`.
        detector_offset: in bins; the rotation centre projects on the detector index
            `(detectors - 1) / 2 + detector_offset`.
        fan: `FanBeam` for a fan beam, None for a parallel beam.
        channels: number of image channels C, projected independently.
        mask: `(detectors, views)` of 0 and 1, 1 = measured; a dead bin is a row of zeros, a lost
            view a column. None: everything is measured.

    Raises:
        UserError: an argument is not usable; the message names it.
    """

    task = "ct"
    unit_range = False
    root_ramp: Tensor
    project_value: Tensor
    backproject_start: Tensor

    def __init__(
        self,
        image_shape: tuple[int, int],
        angles: Sequence[float] | np.ndarray | Tensor,
        detectors: int,
        *,
        pixel_size: float = 1.0,
        detector_pitch: float = 1.0,
        detector_offset: float = 0.0,
        fan: FanBeam | None = None,
        channels: int = 1,
        mask: Tensor | np.ndarray | None = None,
    ) -> None:
        geometry = Geometry(
            image_shape,
            angles,  # type: ignore[arg-type]  # checked and made a tuple of floats there
            detectors,
            pixel_size,
            detector_pitch,
            detector_offset,
            fan,
        )
        channels = whole("channels", channels, least=1)
        views = len(geometry.angles)
        super().__init__((channels, *geometry.image_shape), (channels, geometry.detectors, views))
        self.geometry = geometry
        matrix = projection_matrix(geometry)
        for name, compressed in (("project", matrix), ("backproject", matrix.tocsc())):
            parts = (compressed.indptr, compressed.indices, compressed.data)
            self._keep(name, _Rows(*map(torch.from_numpy, parts)))
        response = ramp(geometry.detectors)
        root = np.sqrt(response / response.max()).astype(np.float32)
        self.register_buffer("root_ramp", torch.from_numpy(root), persistent=False)
        if mask is not None:
            self._leave_out(as_mask(mask))

    @property
    def mask(self) -> Tensor | None:
        """1 = measured, `(1, C, detectors, views)`; None where everything is."""
        return self._buffers.get("measured")

    def A(self, x: Tensor) -> Tensor:
        """Image `(B, C, H, W)` -> sinogram `(B, C, detectors, views)`."""
        self._check_x(x)
        batch, channels = x.shape[:2]
        columns = self._ready(x).reshape(batch * channels, -1).T
        rows = _Product.apply(columns, self._matrix("project"), self._matrix("backproject"))
        views, detectors = len(self.geometry.angles), self.geometry.detectors
        return rows.T.reshape(batch, channels, views, detectors).transpose(-1, -2).contiguous()

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Sinogram `(B, C, detectors, views)` -> unfiltered backprojection `(B, C, H, W)`."""
        self._check_y(y)
        batch, channels = y.shape[:2]
        columns = self._ready(y).transpose(-1, -2).reshape(batch * channels, -1).T
        rows = _Product.apply(columns, self._matrix("backproject"), self._matrix("project"))
        return rows.T.reshape(batch, channels, *self.geometry.image_shape)

    def fbp(self, y: Tensor) -> Tensor:
        """Filtered backprojection `(B, C, H, W)` of `(B, C, detectors, views)`; see `fbp.fbp`.

        What the mask leaves out is interpolated along the detector; lost views do not count.
        """
        self._check_y(y)
        if self.mask is None:
            return fbp(y, self.geometry)
        return fbp(*whole_views(y, self.mask, self.geometry))

    def weight(self, r: Tensor, name: str) -> Tensor:
        """Weight a residual before it is squared; r and the result are `(B, C, detectors, views)`.

        `ramp` multiplies by the square root of the ramp filter along the detectors, its maximum
        1: a symmetric operator W with |W r|^2 = <r, ramp r>, but for what W spreads beyond the
        ends of the detector. It makes A^T W^2 A close to a multiple of the identity. The filter
        keeps a little of frequency 0, so that a constant offset is not free. `half-ramp` takes
        the fourth root instead: half-way between the noise's own metric and the fast one.

        Raises:
            ValueError: `name` is neither.
        """
        response = self._response(name, r)
        self._check_y(r)
        return filter_detectors(r, response)

    def _response(self, name: str, like: Tensor) -> Tensor:
        """Response of the weighting `name` at every frequency along the detectors."""
        if name not in ("ramp", "half-ramp"):
            raise ValueError(f"CT has no data weight {name!r}; it has 'ramp' and 'half-ramp'")
        response = self.root_ramp.to(like.device, like.dtype)
        return response if name == "ramp" else response.sqrt()

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float:
        """Give the sum of the squared entries of the (weighted) matrix over the pixels.

        Raises:
            ValueError: an unknown weighting.
        """
        height, width = self.geometry.image_shape
        if weighting == "uniform":
            return float(self.project_value.double().square().sum()) / (height * width)
        impulses = torch.eye(self.geometry.detectors, dtype=torch.float64)
        response = self._response(weighting, impulses)
        filtered = filter_detectors(impulses[None, None], response)[0, 0]
        squares = _sum_of_products(
            self._matrix("backproject"), filtered.T @ filtered, self.geometry.detectors
        )
        return squares / (height * width)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Whole views to hold out: bool `(1, C, detectors, views)`, True = held out.

        max(1, round(fraction * views)) views are taken at even steps through the views sorted by
        angle, from a drawn start; up to half the views, no two of them are neighbours.

        Raises:
            UserError: fewer than 4 views, or a fraction that leaves no view to fit.
        """
        self._check_y(y)
        seen = np.flatnonzero(self._seen_views())
        views = len(seen)
        if views < 4:
            raise UserError(
                f"holding out whole views needs at least 4 of them, and this scan has {views}; "
                "use --stop none (stop='none' in Python), which holds none out"
            )
        count = max(1, round(fraction * views))
        if count >= views:
            raise UserError(f"holding out {count} of {views} views leaves none to fit")
        start = int(torch.randint(views, (1,), generator=generator))
        steps = (start + torch.arange(count) * views // count) % views
        angles = np.mod(np.asarray(self.geometry.angles)[seen], self.geometry.period)
        order = seen[np.argsort(angles, kind="stable")]
        held = torch.zeros(len(self.geometry.angles), dtype=torch.bool)
        held[torch.from_numpy(order)[steps]] = True
        return held.expand(1, *y.shape[1:]).to(y.device)

    def measuring_only(self, keep: Tensor) -> CT:
        """The same operator with zeros for all views but some, at the cost of those alone.

        Args:
            keep: sinogram `(1, C, detectors, views)`, not 0 anywhere in a view that is kept.
        """
        rows = (keep != 0).any(2).any(1).flatten().repeat_interleave(self.geometry.detectors)
        project = self._matrix("project").only(rows)
        other = twin(self)
        other._keep("project", project)
        other._keep("backproject", project.transposed(len(self.backproject_start) - 1))
        return other

    def described(self) -> str:
        """Say what is measured, in a few words: views, their span, bins, beam and image."""
        scan = self.geometry
        beam = "parallel beam"
        if scan.fan is not None:
            near, far = scan.fan.source_origin, scan.fan.source_detector
            beam = f"fan beam (source to centre {near:g}, to detector {far:g})"
        step = f" in {len(scan.angles)} views" if len(scan.angles) > 1 else " in one view"
        span = f"angles from {min(scan.angles):.4g} to {max(scan.angles):.4g} degrees{step}"
        height, width = scan.image_shape
        return f"{span}, {scan.detectors} bins, {beam}, an image of {height} x {width}"

    def leaving_out(self, mask: Tensor | np.ndarray) -> CT:
        """The same operator without the measurements where a mask is 0.

        Args:
            mask: `(detectors, views)` of 0 and 1, 1 = measured.

        Raises:
            UserError: a mask of another shape, or with other values.
        """
        other = twin(self)
        other._leave_out(as_mask(mask))
        return other

    def rescaled(self, gain: float) -> CT:
        """The same operator divided by `gain`: its lengths are counted in another unit."""
        other = twin(self)
        lengths = {n: getattr(self.geometry, n) / gain for n in ("pixel_size", "detector_pitch")}
        fan = self.geometry.fan
        if fan is not None:
            fan = FanBeam(fan.source_origin / gain, fan.source_detector / gain)
        other.geometry = replace(self.geometry, fan=fan, **lengths)
        for name in ("project", "backproject"):
            matrix = self._matrix(name)
            other._keep(name, matrix._replace(value=matrix.value / gain))
        return other

    def _leave_out(self, measured: Tensor) -> None:
        shape = (self.geometry.detectors, len(self.geometry.angles))
        if tuple(measured.shape) != shape:
            raise UserError(
                f"mask has shape {tuple(measured.shape)}, but the scan has {shape[0]} detectors "
                f"and {shape[1]} views: expected {shape}"
            )
        if self.mask is not None:
            measured = measured & self.mask[0, 0].bool().cpu()
        measured = measured.to(self.project_value.device)
        project = self._matrix("project").only(measured.T.flatten())
        self._keep("project", project)
        self._keep("backproject", project.transposed(len(self.backproject_start) - 1))
        full = measured.expand(1, self.x_shape[0], *shape)  # type: ignore[index]
        self.register_buffer("measured", full.to(self.root_ramp.dtype), persistent=False)

    def _seen_views(self) -> np.ndarray:
        """Whether anything was measured in each view, bool `(views,)`."""
        if self.mask is None:
            return np.ones(len(self.geometry.angles), dtype=bool)
        return (self.mask[0, 0] != 0).any(0).cpu().numpy()

    def _keep(self, name: str, matrix: _Rows) -> None:
        """Store one compressed matrix as plain buffers, which `.to` and `.double` can move."""
        for part, tensor in matrix._asdict().items():
            self.register_buffer(f"{name}_{part}", tensor, persistent=False)

    def _matrix(self, name: str) -> _Rows:
        return _Rows(*(self.get_buffer(f"{name}_{part}") for part in _Rows._fields))

    def _ready(self, value: Tensor) -> Tensor:
        """`value` in the precision of the matrix, which may only gain by it."""
        dtype = self.project_value.dtype
        if torch.promote_types(value.dtype, dtype) != dtype:
            raise ValueError(
                f"CT: the input is {value.dtype} and the operator {dtype}; convert one of them, "
                "e.g. with physics.double()"
            )
        return value.to(dtype)


class _Rows(NamedTuple):
    """A sparse matrix in compressed rows: int32 `start` and `column`, floating `value`."""

    start: Tensor
    column: Tensor
    value: Tensor

    def only(self, kept: Tensor) -> _Rows:
        """The same matrix, empty but for the rows that are `kept`, bool."""
        counts = self.start.diff() * kept
        start = _starts(counts)
        # where an entry lies here, and where it lay
        shift = (self.start[:-1] - start[:-1]).repeat_interleave(counts)
        entries = torch.arange(len(shift), device=shift.device) + shift
        return _Rows(start, self.column[entries], self.value[entries])

    def transposed(self, width: int) -> _Rows:
        """The transpose of this matrix of `width` columns."""
        rows = torch.arange(len(self.start) - 1, dtype=torch.int32, device=self.start.device)
        order = self.column.argsort(stable=True)
        start = _starts(self.column.bincount(minlength=width))
        return _Rows(start, rows.repeat_interleave(self.start.diff())[order], self.value[order])


def _sum_of_products(matrix: _Rows, metric: Tensor, detectors: int) -> float:
    """Sum a^T G a over every pixel and view, a what the pixel casts on the detector in that view.

    Args:
        matrix: a row for every pixel, its columns `view * detectors + bin` in ascending order.
        metric: G, symmetric float64 `(detectors, detectors)` on the CPU.
        detectors: number of bins.
    """
    step = max(1, CHUNK * (len(matrix.start) - 1) // max(1, len(matrix.column)))
    total = 0.0
    for first in range(0, len(matrix.start) - 1, step):
        start = matrix.start[first : first + step + 1].cpu()
        entries = slice(int(start[0]), int(start[-1]))
        column, value = (part[entries].cpu() for part in (matrix.column, matrix.value))
        pixel = torch.arange(len(start) - 1).repeat_interleave(start.diff().long())
        view, bins, value = column // detectors, (column % detectors).long(), value.double()
        total += float((value.square() * metric.diagonal()[bins]).sum())
        apart = 1  # entries of one pixel and view lie side by side
        while apart < len(value):
            near, far = slice(None, -apart), slice(apart, None)
            pair = (pixel[near] == pixel[far]) & (view[near] == view[far])
            if not bool(pair.any()):
                break
            products = value[near] * value[far] * metric[bins[near], bins[far]]
            total += 2 * float(products[pair].sum())
            apart += 1
    return total


def _starts(counts: Tensor) -> Tensor:
    """Where rows of so many entries start, and where the last one ends."""
    return functional.pad(counts.cumsum(0, dtype=torch.int32), (1, 0))


class _Product(torch.autograd.Function):
    """matrix @ dense, whose derivative is the product with the stored transpose."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: _Rows, transpose: _Rows) -> Tensor:
        ctx.matrices = (matrix, transpose)
        return _multiply(matrix, dense, len(transpose.start) - 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        matrix, transpose = ctx.matrices
        return _Product.apply(grad, transpose, matrix), None, None


def _multiply(matrix: _Rows, dense: Tensor, width: int) -> Tensor:
    """`(rows, width)` sparse times `(width, k)` dense, by the fastest product the device has."""
    kind = (dense.device.type, dense.dtype)
    # Two matrix-vector products are quicker than one product with two columns (MKL).
    one_by_one = dense.shape[1] <= 2 and _has_product("mv", *kind)
    if not (one_by_one or _has_product("mm", *kind)):
        return _gather_product(matrix, dense)
    sparse = torch.sparse_csr_tensor(*matrix, size=(len(matrix.start) - 1, width))
    with torch.autocast(dense.device.type, enabled=False):
        if one_by_one:
            return torch.stack([torch.mv(sparse, column) for column in dense.unbind(1)], dim=1)
        return torch.mm(sparse, dense)


_TRIAL = threading.Lock()


@functools.cache
def _has_product(name: str, device: str, dtype: torch.dtype) -> bool:
    """Whether this build of torch multiplies compressed sparse rows there (mps does not).

    The trial also uses up torch's once-only warning that sparse rows are in beta.
    """
    one = torch.ones(1, dtype=dtype, device=device)
    start = torch.tensor([0, 1], dtype=torch.int32, device=device)
    # the filters of warnings are those of the process: one thread at a time
    with _TRIAL, warnings.catch_warnings(), torch.autocast(device, enabled=False):
        warnings.simplefilter("ignore", UserWarning)
        try:
            sparse = torch.sparse_csr_tensor(start, start[:1], one, size=(1, 1))
            torch.mv(sparse, one) if name == "mv" else torch.mm(sparse, one[:, None])
        except RuntimeError:
            return False
    return True


def _gather_product(matrix: _Rows, dense: Tensor) -> Tensor:
    """The same product from gathers and sums, a block of entries at a time: slow, everywhere."""
    rows = len(matrix.start) - 1
    out = dense.new_zeros(rows, dense.shape[1])
    for first in range(0, len(matrix.column), CHUNK):
        column = matrix.column[first : first + CHUNK]
        entry = torch.arange(first, first + len(column), device=dense.device, dtype=torch.int32)
        row = torch.searchsorted(matrix.start, entry, right=True) - 1
        terms = matrix.value[first : first + CHUNK, None] * dense.index_select(0, column)
        out.index_add_(0, row, terms)
    return out

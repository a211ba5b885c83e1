"""X-ray tomography of a slice: parallel and fan beam, by an exact matrix or without one."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from untrained.checks import whole
from untrained.errors import UserError
from untrained.physics import projector
from untrained.physics.copies import twin
from untrained.physics.ct_geometry import FanBeam, Geometry, projection_matrix
from untrained.physics.fbp import fbp, filter_detectors, ramp, whole_views
from untrained.physics.kinds import LinearPhysics
from untrained.physics.masks import as_mask
from untrained.physics.residuals import Picture, sinogram_picture
from untrained.physics.sparse import Product, Rows, sum_of_products

__all__ = ["CT", "FanBeam", "Geometry"]

MATRICES = ("project", "backproject")
ENTRY_BYTES = 37  # per pixel and view, of both matrices: 16 for each of 2.3 bins
MOST_MATRIX = 2**32
"""Bytes of the largest matrices that are built."""

WORTH = 2**28
"""Bytes of matrices that are not worth building for a few products."""

SAMPLE = 8  # views that tell a gain
_BUILDING = threading.RLock()


def matrix_bytes(geometry: Geometry) -> int:
    """Estimate the memory that the projection matrix of a scan and its transpose take."""
    height, width = geometry.image_shape
    # a pixel's shadow covers two or three bins, more where bins are narrow
    bins = max(1.0, geometry.pixel_size / geometry.bin_width / 2)
    return math.ceil(ENTRY_BYTES * height * width * len(geometry.angles) * bins)


class CT(LinearPhysics):
    """Mean line integrals over detector bins: y `(B, C, detectors, views)` of x `(B, C, H, W)`.

    A value of y is the integral of x along the ray (value times length), averaged over the bin.
    With view angle a, s = x cos a + y sin a with x to the right and y UP (row 0 is at the top);
    the centre of the pixel grid is the rotation centre. The detector index grows with s. For a
    fan beam, the depth is t = -x sin a + y cos a, the source stands at t = -source_origin, and
    the detector coordinate scaled to the rotation centre is
    u = s * source_origin / (source_origin + t); the index grows with u.

    The projection matrix (`ct_geometry.projection_matrix`) and its transpose are built when A or
    its adjoint is first asked for, and take about 16 bytes per pixel, view and bin touched (2.3
    bins for pixels as wide as the bins): 290 MB for 512 x 512 pixels and 30 views. Where they would
    take more than MOST_MATRIX bytes, the same entries are computed anew at every product, view by
    view, which needs next to no memory and about ten times the time. `fbp` needs no matrix.

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
    weightings = ("ramp", "half-ramp")
    root_ramp: Tensor
    project_value: Tensor

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
        size = matrix_bytes(geometry)
        self.matrix_free = size > MOST_MATRIX
        self.matrix_bytes = 0 if self.matrix_free else size
        self._which = list(range(views))  # views that are computed where there is no matrix
        response = ramp(geometry.detectors)
        root = np.sqrt(response / response.max()).astype(np.float32)
        self.register_buffer("root_ramp", torch.from_numpy(root), persistent=False)
        if mask is not None:
            self._leave_out(as_mask(mask))

    def A(self, x: Tensor) -> Tensor:
        """Project images `(B, C, H, W)` to sinograms `(B, C, detectors, views)`."""
        self._check_x(x)
        batch, channels = x.shape[:2]
        images = self._ready(x).reshape(batch * channels, -1)
        views, detectors = len(self.geometry.angles), self.geometry.detectors
        if self.matrix_free:
            seen = projector.Product.apply(images, self.geometry, self._which, True)
            sinogram = seen.transpose(-1, -2).reshape(batch, channels, detectors, views)
            return sinogram if self.mask is None else sinogram * self.mask
        rows = Product.apply(images.T, self._matrix("project"), self._matrix("backproject"))
        return rows.T.reshape(batch, channels, views, detectors).transpose(-1, -2).contiguous()

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Backproject sinograms `(B, C, detectors, views)`, unfiltered, to `(B, C, H, W)`."""
        self._check_y(y)
        batch, channels = y.shape[:2]
        if self.matrix_free:
            seen = self._ready(y if self.mask is None else y * self.mask)
            lines = seen.transpose(-1, -2).reshape(batch * channels, *seen.shape[:1:-1])
            images = projector.Product.apply(lines, self.geometry, self._which, False)
            return images.reshape(batch, channels, *self.geometry.image_shape)
        columns = self._ready(y).transpose(-1, -2).reshape(batch * channels, -1).T
        rows = Product.apply(columns, self._matrix("backproject"), self._matrix("project"))
        return rows.T.reshape(batch, channels, *self.geometry.image_shape)

    def fbp(self, y: Tensor) -> Tensor:
        """Backproject `(B, C, detectors, views)`, filtered, to `(B, C, H, W)`; see `fbp.fbp`.

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
        """Compute the response of the weighting `name` at every frequency along the detectors."""
        if name not in self.weightings:
            raise ValueError(f"CT has no data weight {name!r}; it has 'ramp' and 'half-ramp'")
        response = self.root_ramp.to(like.device, like.dtype)
        return response if name == "ramp" else response.sqrt()

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float:
        """Give the sum of the squared entries of the (weighted) matrix over the pixels.

        Raises:
            ValueError: an unknown weighting.
        """
        height, width = self.geometry.image_shape
        if self.matrix_free:
            return self._sum_without_matrix(weighting) / (height * width)
        if weighting == "uniform":
            self._require_matrix()
            return float(self.project_value.double().square().sum()) / (height * width)
        squares = sum_of_products(
            self._matrix("backproject"), self._metric(weighting), self.geometry.detectors
        )
        return squares / (height * width)

    def _metric(self, weighting: str) -> Tensor:
        """Compute W^T W of a weighting along the detectors, float64 `(detectors, detectors)`."""
        impulses = torch.eye(self.geometry.detectors, dtype=torch.float64)
        response = self._response(weighting, impulses)
        filtered = filter_detectors(impulses[None, None], response)[0, 0]
        return filtered.T @ filtered

    def _sum_without_matrix(self, weighting: str) -> float:
        metric = None if weighting == "uniform" else self._metric(weighting)
        measured = None if self.mask is None else self.mask[0, 0].T
        return projector.sum_of_products(self.geometry, self._which, metric, measured)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw whole views to hold out: bool `(1, C, detectors, views)`, True = held out.

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

    def units(self, y: Tensor) -> Tensor:
        """Number the views, `(1, 1, 1, views)`; -1 where nothing was measured in one."""
        views = torch.arange(y.shape[-1])
        views[torch.from_numpy(~self._seen_views())] = -1
        return views.reshape(1, 1, 1, -1).to(y.device)

    def measuring_only(self, keep: Tensor) -> CT:
        """Return the same operator with zeros for all views but some, at the cost of those alone.

        Args:
            keep: sinogram `(1, C, detectors, views)`, not 0 anywhere in a view that is kept.
        """
        kept = (keep != 0).any(2).any(1).flatten()
        other = twin(self)
        if self.matrix_free:
            other._which = [view for view in self._which if bool(kept[view])]
        else:
            rows = kept.repeat_interleave(self.geometry.detectors)
            other._keep_both(self._matrix("project").only(rows))
        return other

    def few_views(self) -> CT | None:
        """Return the same operator with zeros for all views but a few, which tell a gain.

        None where all of them cost little: there is a matrix.
        """
        if not self.matrix_free or len(self._which) <= 2 * SAMPLE:
            return None
        other = twin(self)
        other._which = self._which[:: len(self._which) // SAMPLE]
        other.share = len(other._which) / len(self._which)
        return other

    def without_matrix(self) -> CT:
        """Return the same operator, which computes its entries anew at every product.

        Few products of a large scan, as around `fbp`, cost less than its matrix.
        """
        other = twin(self)
        if self.matrix_free or matrix_bytes(self.geometry) <= WORTH:
            return self
        for name in MATRICES:
            for part in Rows._fields:
                other._buffers.pop(f"{name}_{part}", None)
        other.matrix_free = True
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

    def residual_picture(self, residual: Tensor) -> Picture | None:
        """Draw the residual of the sinogram."""
        return sinogram_picture(residual)

    def leaving_out(self, mask: Tensor | np.ndarray) -> CT:
        """Return the same operator without the measurements where a mask is 0.

        Args:
            mask: `(detectors, views)` of 0 and 1, 1 = measured.

        Raises:
            UserError: a mask of another shape, or with other values.
        """
        other = twin(self)
        other._leave_out(as_mask(mask))
        return other

    def with_geometry(self, geometry: Geometry) -> CT:
        """Return the operator of another scan with as many bins and views; the mask stays."""
        other = CT(
            geometry.image_shape,
            geometry.angles,
            geometry.detectors,
            pixel_size=geometry.pixel_size,
            detector_pitch=geometry.detector_pitch,
            detector_offset=geometry.detector_offset,
            fan=geometry.fan,
            channels=self.x_shape[0],  # type: ignore[index]
            mask=None if self.mask is None else self.mask[0, 0],
        )
        return other if not self.matrix_free else other.without_matrix()

    def rescaled(self, gain: float) -> CT:
        """Return the same operator divided by `gain`: its lengths are counted in another unit."""
        other = twin(self)
        lengths = {n: getattr(self.geometry, n) / gain for n in ("pixel_size", "detector_pitch")}
        fan = self.geometry.fan
        if fan is not None:
            fan = FanBeam(fan.source_origin / gain, fan.source_detector / gain)
        other.geometry = replace(self.geometry, fan=fan, **lengths)
        if not self.matrix_free:
            for name in MATRICES:
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
        measured = measured.to(self.root_ramp.device)
        if self._has_matrix:
            self._keep_both(self._matrix("project").only(measured.T.flatten()))
        full = measured.expand(1, self.x_shape[0], *shape)  # type: ignore[index]
        self.register_buffer("mask", full.to(self.root_ramp.dtype), persistent=False)

    def _seen_views(self) -> np.ndarray:
        """Tell in which views anything was measured, bool `(views,)`."""
        if self.mask is None:
            return np.ones(len(self.geometry.angles), dtype=bool)
        return (self.mask[0, 0] != 0).any(0).cpu().numpy()

    @property
    def _has_matrix(self) -> bool:
        return "project_value" in self._buffers

    def _require_matrix(self) -> None:
        """Build the matrix and its transpose, once."""
        with _BUILDING:
            if self._has_matrix:
                return
            matrix = projection_matrix(self.geometry)
            for name, compressed in zip(MATRICES, (matrix, matrix.tocsc()), strict=True):
                parts = (compressed.indptr, compressed.indices, compressed.data)
                self._keep(name, Rows(*map(torch.from_numpy, parts)).like(self.root_ramp))
            if self.mask is not None:
                self._keep_both(self._matrix("project").only(self.mask[0, 0].T.flatten() != 0))

    def _keep_both(self, project: Rows) -> None:
        """Store a matrix and its transpose."""
        height, width = self.geometry.image_shape
        self._keep("project", project)
        self._keep("backproject", project.transposed(height * width))

    def _keep(self, name: str, matrix: Rows) -> None:
        """Store one compressed matrix as plain buffers, which `.to` and `.double` can move."""
        for part, tensor in matrix._asdict().items():
            self.register_buffer(f"{name}_{part}", tensor, persistent=False)

    def _matrix(self, name: str) -> Rows:
        if not self._has_matrix:
            self._require_matrix()
        return Rows(*(self.get_buffer(f"{name}_{part}") for part in Rows._fields))

    def _ready(self, value: Tensor) -> Tensor:
        """Bring `value` to the precision of the matrix, which must be no lower."""
        dtype = self.root_ramp.dtype
        if torch.promote_types(value.dtype, dtype) != dtype:
            raise ValueError(f"CT: x is {value.dtype}, the operator {dtype}: use .double()")
        return value.to(dtype)

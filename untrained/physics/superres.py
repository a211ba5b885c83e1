"""Super-resolution: antialiased bicubic reduction by a whole factor."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.kinds import LinearPhysics


class SuperRes(LinearPhysics):
    """A x = R_h x R_w^T with the cubic kernel (a = -1/2, width 4) stretched by the factor.

    The kernel and its antialiasing are those of MATLAB's `imresize` and of the DPS operator:
    output pixel i sits at input position (i + 1/2) f - 1/2, weights sum to 1, and taps beyond the
    border fold back symmetrically (edge pixel repeated), so constants stay constant and A is
    exactly linear. The adjoint is the transpose; it is not an interpolation.

    Args:
        x_shape: `(C, H, W)` of the image wanted, the large one.
        factor: whole number >= 2 that divides H and W.

    Raises:
        UserError: a factor that is not a whole number >= 2, or does not divide the size.
    """

    task = "superres"
    unit_range = True
    rows: Tensor
    columns: Tensor

    def __init__(self, x_shape: tuple[int, int, int], factor: int) -> None:
        channels, height, width = x_shape
        if int(factor) != factor or factor < 2:
            raise UserError(f"factor must be a whole number of at least 2, got {factor}.")
        factor = int(factor)
        if height % factor or width % factor:
            raise UserError(
                f"factor {factor} does not divide the image size {height}x{width}; crop the image "
                f"to {height - height % factor}x{width - width % factor} first."
            )
        super().__init__(x_shape, (channels, height // factor, width // factor))
        self.factor = factor
        self.long = max(height, width) > LONG
        for name, side in (("rows", height), ("columns", width)):
            # a matrix of a long side would fill the memory, and nearly all of it is zeros
            matrix = torch.zeros(0) if self.long else reduction_matrix(side, factor)
            self.register_buffer(name, matrix)

    def A(self, x: Tensor) -> Tensor:
        """Reduce images `(B, C, H, W)` to `(B, C, H / factor, W / factor)`."""
        self._check_x(x)
        if self.long:
            return _reduced(_reduced(x, self.factor, -2), self.factor, -1)
        return _both_sides(self.rows, x, self.columns)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Spread small images to `(B, C, H, W)` by the transposed weights.

        The result is darker than an interpolation by about factor squared, as an adjoint must be.
        """
        self._check_y(y)
        if self.long:
            return _spread(_spread(y, self.factor, -1), self.factor, -2)
        return _both_sides(self.rows.T, y, self.columns.T)

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float:
        """Give ||R_h||_F^2 ||R_w||_F^2 / (H W)."""
        assert self.x_shape is not None
        height, width = self.x_shape[-2:]
        if self.long:
            squares = [_frobenius(side, self.factor) for side in (height, width)]
        else:
            squares = [float(side.double().square().sum()) for side in (self.rows, self.columns)]
        return squares[0] * squares[1] / (height * width)

    def cropped(self, y: Tensor, rows: slice, columns: slice) -> tuple[SuperRes, Tensor] | None:
        """Crop a small picture to a part of the large one; see the base class."""
        f = self.factor
        part = y[..., rows.start // f : rows.stop // f, columns.start // f : columns.stop // f]
        shape = (y.shape[1], rows.stop - rows.start, columns.stop - columns.start)
        return SuperRes(shape, f), part

    @property
    def tile_step(self) -> int:
        """Return the factor: a part is a whole number of small pixels."""
        return self.factor

    @property
    def tile_margin(self) -> int:
        """Return half the width of the stretched cubic kernel, in pixels of the large image."""
        return 2 * self.factor


LONG = 4096
"""Longest side that is reduced by a matrix."""


def _reduced(x: Tensor, factor: int, axis: int) -> Tensor:
    """Reduce one axis, without a matrix."""
    folded, weights = _taps(x.shape[axis], factor)
    x = x.movedim(axis, -1)
    windows = x[..., folded.to(x.device)]
    return (windows * weights.to(x)).sum(-1).movedim(-1, axis)


def _spread(y: Tensor, factor: int, axis: int) -> Tensor:
    """Apply the transpose of `_reduced`."""
    size = y.shape[axis] * factor
    folded, weights = _taps(size, factor)
    y = y.movedim(axis, -1)
    parts = (y[..., None] * weights.to(y)).flatten(-2)
    x = y.new_zeros(*y.shape[:-1], size).index_add(-1, folded.flatten().to(y.device), parts)
    return x.movedim(-1, axis)


def _frobenius(size: int, factor: int) -> float:
    """Sum of the squares of the entries of `reduction_matrix`."""
    folded, weights = _taps(size, factor)
    small = size // factor
    rows = torch.arange(small)[:, None].expand_as(folded)
    places = torch.stack([rows.flatten(), folded.flatten()])
    entries = torch.sparse_coo_tensor(
        places, weights.flatten(), (small, size), check_invariants=False
    ).coalesce()
    return float(entries.values().square().sum())


def _both_sides(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """Compute left @ x @ right^T for every channel of every image."""
    left, right = left.to(x.dtype), right.to(x.dtype)
    flat = x.reshape(-1, *x.shape[-2:])
    count = flat.shape[0]
    flat = torch.bmm(left.expand(count, -1, -1), flat)
    flat = torch.bmm(flat, right.T.expand(count, -1, -1))
    return flat.reshape(*x.shape[:-2], *flat.shape[-2:])


def reduction_matrix(size: int, factor: int) -> Tensor:
    """Build the `(size / factor, size)` matrix that reduces one axis; its rows sum to 1."""
    folded, weights = _taps(size, factor)
    matrix = torch.zeros(size // factor, size, dtype=torch.float64)
    return matrix.scatter_add_(1, folded, weights).to(torch.get_default_dtype())


def _taps(size: int, factor: int) -> tuple[Tensor, Tensor]:
    """Find each output's inputs and their weights, int64 and float64 `(size / factor, 4 f)`."""
    small = size // factor
    centre = (torch.arange(small, dtype=torch.float64) + 0.5) * factor - 0.5
    first = (centre - 2 * factor).floor().long() + 1
    taps = first[:, None] + torch.arange(4 * factor)
    weights = cubic((taps - centre[:, None]) / factor)
    weights = weights / weights.sum(1, keepdim=True)
    folded = taps % (2 * size)
    return torch.minimum(folded, 2 * size - 1 - folded), weights


def cubic(t: Tensor) -> Tensor:
    """Evaluate Keys' cubic kernel, a = -1/2 (IEEE Trans. ASSP 29, 1981); zero outside [-2, 2]."""
    t = t.abs()
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))

"""Sparse matrices as plain tensors, their products and what is told of them."""

from __future__ import annotations

import functools
import threading
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Entries of the matrix multiplied at once where the device has no sparse product.
CHUNK = 2**22


class Rows(NamedTuple):
    """A sparse matrix in compressed rows: int32 `start` and `column`, floating `value`."""

    start: Tensor
    column: Tensor
    value: Tensor

    def like(self, other: Tensor) -> Rows:
        """Return the same matrix where `other` is, its values of that type."""
        start, column = self.start.to(other.device), self.column.to(other.device)
        return Rows(start, column, self.value.to(other))

    def only(self, kept: Tensor) -> Rows:
        """Return the same matrix, empty but for the rows that are `kept`, bool."""
        counts = self.start.diff() * kept
        start = _starts(counts)
        # where an entry lies here, and where it lay
        shift = (self.start[:-1] - start[:-1]).repeat_interleave(counts)
        entries = torch.arange(len(shift), device=shift.device) + shift
        return Rows(start, self.column[entries], self.value[entries])

    def transposed(self, width: int) -> Rows:
        """Return the transpose of this matrix of `width` columns."""
        rows = torch.arange(len(self.start) - 1, dtype=torch.int32, device=self.start.device)
        order = self.column.argsort(stable=True)
        start = _starts(self.column.bincount(minlength=width))
        return Rows(start, rows.repeat_interleave(self.start.diff())[order], self.value[order])


def sum_of_products(matrix: Rows, metric: Tensor, detectors: int) -> float:
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
    """Compute where rows of so many entries start, and where the last one ends."""
    return functional.pad(counts.cumsum(0, dtype=torch.int32), (1, 0))


class Product(torch.autograd.Function):
    """matrix @ dense, whose derivative is the product with the stored transpose."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: Rows, transpose: Rows) -> Tensor:
        ctx.matrices = (matrix, transpose)
        return _multiply(matrix, dense, len(transpose.start) - 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        matrix, transpose = ctx.matrices
        return Product.apply(grad, transpose, matrix), None, None


def _multiply(matrix: Rows, dense: Tensor, width: int) -> Tensor:
    """Multiply `(rows, width)` sparse by `(width, k)` dense, by the device's fastest product."""
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
    """Test whether this build of torch multiplies compressed sparse rows there (mps does not).

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


def _gather_product(matrix: Rows, dense: Tensor) -> Tensor:
    """Multiply by gathers and sums, a block of entries at a time: slow, everywhere."""
    rows = len(matrix.start) - 1
    out = dense.new_zeros(rows, dense.shape[1])
    for first in range(0, len(matrix.column), CHUNK):
        column = matrix.column[first : first + CHUNK]
        entry = torch.arange(first, first + len(column), device=dense.device, dtype=torch.int32)
        row = torch.searchsorted(matrix.start, entry, right=True) - 1
        terms = matrix.value[first : first + CHUNK, None] * dense.index_select(0, column)
        out.index_add_(0, row, terms)
    return out

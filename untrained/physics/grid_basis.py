"""A coarse grid of values between which an image is interpolated: unknowns of classical solvers."""

from __future__ import annotations

import numpy as np
from scipy import sparse

NODES = 32
"""Nodes along the longer side; a body's electrodes tell less than so many apart."""


class GridBasis:
    """Bilinear interpolation from a coarse grid to the pixels, without nodes that nothing sees.

    Args:
        shape: (rows, columns) of the image.
        seen: bool `(rows, columns)`, the pixels that measurements depend on.
        nodes: nodes along the longer side, at most one for each pixel.

    Attributes:
        matrix: sparse `(rows * columns, k)`, from the values of k nodes to the pixels.
        slopes: two sparse matrices `(k, k)`, differences to the next node down and across; 0 where
            there is none.
        spacing: between nodes, the longer side of the image being 2.
    """

    def __init__(self, shape: tuple[int, int], seen: np.ndarray, nodes: int = NODES) -> None:
        longest = max(shape)
        nodes = min(nodes, longest)
        counts = [max(2, round(nodes * side / longest)) for side in shape]
        whole = sparse.kron(*(_linear(*pair) for pair in zip(shape, counts, strict=True))).tocsr()
        touched = np.asarray(whole[seen.ravel()].sum(axis=0)).ravel() > 0
        self.matrix = whole[:, np.flatnonzero(touched)].tocsr()
        number = np.full(touched.size, -1)
        number[touched] = np.arange(touched.sum())
        table = number.reshape(counts)
        pairs = ((table[:-1], table[1:]), (table[:, :-1], table[:, 1:]))
        self.slopes = tuple(_difference(*pair, size=int(touched.sum())) for pair in pairs)
        self.spacing = 2 / (max(counts) - 1)

    @property
    def size(self) -> int:
        """Count the nodes: k."""
        return int(self.matrix.shape[1])

    def roughness(self, length: float) -> sparse.csr_matrix:
        """Build the matrix of int |grad c|^2 + c^2 / length^2, `(k, k)`.

        Args:
            length: over which values are correlated, the longer side of the image being 2.
        """
        down, across = self.slopes
        mass = sparse.identity(self.size) * (self.spacing / length) ** 2
        return (down.T @ down + across.T @ across + mass).tocsr()

    def variation(self, values: np.ndarray, soft: float) -> sparse.csr_matrix:
        """Build the quadratic form that touches total variation at `values` `(k,)` from above.

        It is c^T Q c / 2, with weights 1 / sqrt(|grad|^2 + soft^2): lagged diffusivity.
        """
        down, across = self.slopes
        steep = np.sqrt((down @ values) ** 2 + (across @ values) ** 2 + soft**2)
        lagged = sparse.diags(1 / steep)
        return (down.T @ lagged @ down + across.T @ lagged @ across).tocsr()


def _linear(pixels: int, nodes: int) -> sparse.csr_matrix:
    """Interpolate linearly from nodes at the ends and between them to the pixels' centres."""
    at = (np.arange(pixels) + 0.5) / pixels * (nodes - 1)
    below = np.minimum(at.astype(int), nodes - 2)
    share = at - below
    rows = np.tile(np.arange(pixels), 2)
    entries = np.concatenate([1 - share, share])
    columns = np.concatenate([below, below + 1])
    return sparse.csr_matrix((entries, (rows, columns)), shape=(pixels, nodes))


def _difference(first: np.ndarray, second: np.ndarray, size: int) -> sparse.csr_matrix:
    both = (first >= 0) & (second >= 0)
    a, b = first[both], second[both]
    ones = np.ones(len(a))
    places = (np.concatenate([a, a]), np.concatenate([a, b]))
    return sparse.csr_matrix((np.concatenate([-ones, ones]), places), shape=(size, size))

"""Maps between pixels and triangles: a square image around a mesh."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from untrained.physics.eit_mesh import Mesh

PER_PIXEL = 2  # points of a triangle for each pixel's side along its longest edge
MOST = 12  # and at most so many along an edge


class PixelGrid:
    """A grid of pixels over the smallest square around a mesh.

    Row 0 is at the top (largest y), column 0 at the left (smallest x).

    Args:
        mesh: the mesh.
        shape: (rows, columns).

    Attributes:
        averages: sparse `(m, rows * columns)`: the mean of the pixels below each triangle; each row
            sums to 1.
        inside: bool `(rows, columns)`, whether a pixel's centre lies in a triangle.
        triangle: `(rows, columns)`, the triangle that holds the pixel's centre, the nearest one
            outside the mesh.
    """

    def __init__(self, mesh: Mesh, shape: tuple[int, int]) -> None:
        self.mesh, self.shape = mesh, shape
        self.averages = self._averages()
        found = self._locate(self.centres())
        self.inside = (found >= 0).reshape(shape)
        nearest = cKDTree(mesh.centroids).query(self.centres()[found < 0])[1]
        found[found < 0] = nearest
        self.triangle = found.reshape(shape)

    def centres(self) -> np.ndarray:
        """Return x and y of each pixel's centre, row by row, `(rows * columns, 2)`."""
        x, y, half = self.mesh.square
        rows, columns = self.shape
        across = x + half * ((2 * np.arange(columns) + 1) / columns - 1)
        down = y - half * ((2 * np.arange(rows) + 1) / rows - 1)
        return np.stack([np.tile(across, rows), np.repeat(down, columns)], axis=1)

    def nodal(self) -> sparse.csr_matrix:
        """Build the map from values at nodes to pixels, linear on triangles, `(rows * columns, n)`.

        A pixel outside the mesh takes what its triangle's linear function has at the nearest edge.
        """
        corners = self.mesh.elements[self.triangle.ravel()]
        shares = _barycentric(self.mesh, self.triangle.ravel(), self.centres()).clip(0)
        shares /= shares.sum(axis=1, keepdims=True)
        rows = np.repeat(np.arange(len(corners)), 3)
        size = (len(corners), len(self.mesh.nodes))
        return sparse.csr_matrix((shares.ravel(), (rows, corners.ravel())), shape=size)

    def to_elements(self, image: np.ndarray) -> np.ndarray:
        """Average an image `(rows, columns)` over each triangle, `(m,)`."""
        return self.averages @ np.asarray(image, dtype=np.float64).ravel()

    def to_pixels(self, values: np.ndarray) -> np.ndarray:
        """Give each pixel its triangle's value: `(m,)` to `(rows, columns)`."""
        return np.asarray(values)[self.triangle]

    def _averages(self) -> sparse.csr_matrix:
        """Count in which pixels evenly spread points of each triangle lie."""
        nodes, elements = self.mesh.nodes, self.mesh.elements
        x, y, half = self.mesh.square
        rows, columns = self.shape
        sides = np.linalg.norm(nodes[elements] - nodes[np.roll(elements, 1, axis=1)], axis=2)
        cut = np.ceil(PER_PIXEL * sides.max(axis=1) * max(rows, columns) / (2 * half))
        cut = cut.clip(1, MOST).astype(int)
        parts = []
        for n in np.unique(cut):
            which = np.flatnonzero(cut == n)
            points = np.einsum("kc,ecd->ekd", _spread(int(n)), nodes[elements[which]])
            column = ((points[..., 0] - x + half) / (2 * half) * columns).astype(int)
            row = ((y + half - points[..., 1]) / (2 * half) * rows).astype(int)
            pixel = row.clip(0, rows - 1) * columns + column.clip(0, columns - 1)
            element = np.broadcast_to(which[:, None], pixel.shape)
            parts.append((element.ravel(), pixel.ravel(), np.full(pixel.size, 1.0 / n**2)))
        element, pixel, share = (np.concatenate(part) for part in zip(*parts, strict=True))
        size = (len(elements), rows * columns)
        return sparse.coo_matrix((share, (element, pixel)), shape=size).tocsr()

    def _locate(self, points: np.ndarray) -> np.ndarray:
        """Find the triangle that each point lies in, -1 outside the mesh."""
        near = cKDTree(self.mesh.centroids)
        found = np.full(len(points), -1)
        left = np.arange(len(points))
        # the right one is nearly always among the nearest; long thin ones need a second look
        for count in (8, 64):
            count = min(count, len(self.mesh.elements))
            candidates = near.query(points[left], k=count)[1].reshape(len(left), count)
            for one in candidates.T:
                inside = _barycentric(self.mesh, one, points[left]).min(axis=1) >= -1e-9
                fresh = inside & (found[left] < 0)
                found[left[fresh]] = one[fresh]
            left = left[found[left] < 0]
            if not len(left):
                break
        return found


def _spread(cut: int) -> np.ndarray:
    """Return the centres of the cut^2 equal parts of a triangle, `(cut^2, 3)` barycentric."""
    points = []
    for i in range(cut):
        for j in range(cut - i):
            points.append((i + 1 / 3, j + 1 / 3))
            if i + j < cut - 1:
                points.append((i + 2 / 3, j + 2 / 3))
    first = np.array(points) / cut
    return np.column_stack([first, 1 - first.sum(axis=1)])


def _barycentric(mesh: Mesh, triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Compute the barycentric coordinates of each point in its triangle, `(k, 3)`."""
    a, b, c = (mesh.nodes[mesh.elements[triangles, i]] for i in range(3))
    (ux, uy), (vx, vy), (px, py) = (b - a).T, (c - a).T, (points - a).T
    twice = ux * vy - uy * vx
    second, third = (px * vy - py * vx) / twice, (ux * py - uy * px) / twice
    return np.stack([1 - second - third, second, third], axis=1)

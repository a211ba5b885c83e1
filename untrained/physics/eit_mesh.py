"""Triangle meshes with electrodes on their boundary, for electrical impedance tomography."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import Delaunay

from untrained.errors import UserError

FINEST = 0.35  # of the usual length of an edge: the edges at the ends of an electrode
EDGES = 6  # boundary edges under one electrode, and in one gap, of `disc_mesh`


@dataclass(frozen=True)
class Mesh:
    """A plane domain cut into triangles, with electrodes on its boundary.

    Triangles are stored counter-clockwise, whichever way round they were given.

    Args:
        nodes: `(n, 2)`, coordinates x and y in any unit of length.
        elements: `(m, 3)`, the nodes of each triangle, counted from 0.
        electrodes: for each electrode the boundary edges below it, `(k, 2)` nodes each.

    Raises:
        UserError: an array has another shape, a node that is not finite or does not exist, a
            triangle without area, or an electrode that is empty, inside the domain, or overlaps
            another.
    """

    nodes: np.ndarray
    elements: np.ndarray
    electrodes: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        nodes = np.asarray(self.nodes, dtype=np.float64)
        if nodes.ndim != 2 or nodes.shape[1] != 2 or not np.isfinite(nodes).all():
            raise UserError(f"mesh: nodes must be finite and of shape (n, 2), got {nodes.shape}")
        elements = _indices("elements", self.elements, 3, len(nodes))
        area = _signed_areas(nodes, elements)
        flat = np.abs(area) <= 1e-12 * np.abs(area).max()
        if flat.any():
            raise UserError(f"mesh: element {int(flat.argmax())} (counted from 0) has no area")
        elements = np.where((area < 0)[:, None], elements[:, ::-1], elements)
        empty = [number for number, edges in enumerate(self.electrodes, 1) if not len(edges)]
        if empty:
            raise UserError(
                f"mesh: electrode {empty[0]} has no boundary edge; give the edges below it, or "
                "leave it out here and its row out of injections and patterns"
            )
        electrodes = tuple(
            _indices(f"electrode {number}", edges, 2, len(nodes))
            for number, edges in enumerate(self.electrodes, 1)
        )
        _check_electrodes(electrodes, boundary_edges(elements))
        for name, value in (("nodes", nodes), ("elements", elements), ("electrodes", electrodes)):
            object.__setattr__(self, name, value)

    @property
    def areas(self) -> np.ndarray:
        """Compute the area of each triangle, `(m,)`."""
        return _signed_areas(self.nodes, self.elements)

    @property
    def centroids(self) -> np.ndarray:
        """Compute the centre of each triangle, `(m, 2)`."""
        return self.nodes[self.elements].mean(axis=1)

    @property
    def square(self) -> tuple[float, float, float]:
        """Find the smallest square around the mesh: x and y of its centre, and half a side."""
        low, high = self.nodes.min(axis=0), self.nodes.max(axis=0)
        x, y = (low + high) / 2
        return float(x), float(y), float((high - low).max() / 2)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return `nodes`, `elements` and `electrodes` `(L, k, 2)`, filled up with -1."""
        most = max(map(len, self.electrodes))
        electrodes = np.full((len(self.electrodes), most, 2), -1)
        for row, edges in zip(electrodes, self.electrodes, strict=True):
            row[: len(edges)] = edges
        return {"nodes": self.nodes, "elements": self.elements, "electrodes": electrodes}

    def refined(self) -> Mesh:
        """Cut every triangle into four equal ones; electrodes keep their place."""
        edges, of_element = edges_of(self.elements)
        middle = len(self.nodes) + of_element
        a, b, c = self.elements.T
        ab, bc, ca = middle.T
        corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        elements = np.concatenate([np.stack(corner, axis=1) for corner in corners])
        number = edge_number(edges, len(self.nodes))
        halves = []
        for pairs in self.electrodes:
            between = len(self.nodes) + number(pairs)
            ends = [(pairs[:, 0], between), (between, pairs[:, 1])]
            halves.append(np.concatenate([np.stack(end, axis=1) for end in ends]))
        nodes = np.concatenate([self.nodes, self.nodes[edges].mean(axis=1)])
        return Mesh(nodes, elements, tuple(halves))


def edges_of(elements: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """List every edge once `(e, 2)`, and the edges ab, bc, ca of each triangle `(m, 3)`."""
    pairs = np.stack([elements, np.roll(elements, -1, axis=1)], axis=2).reshape(-1, 2)
    edges, inverse = np.unique(np.sort(pairs, axis=1), axis=0, return_inverse=True)
    return edges, inverse.reshape(-1, 3)


def edge_number(edges: np.ndarray, nodes: int):  # type: ignore[no-untyped-def]
    """Return a function from pairs of nodes `(k, 2)` to the numbers of those edges `(k,)`."""
    codes = edges[:, 0].astype(np.int64) * nodes + edges[:, 1]

    def number(pairs: np.ndarray) -> np.ndarray:
        low, high = np.sort(pairs, axis=1).T
        return np.searchsorted(codes, low * nodes + high)

    return number


def boundary_edges(elements: np.ndarray) -> np.ndarray:
    """List the edges that belong to one triangle only, `(b, 2)`, smaller node first."""
    edges, of_element = edges_of(elements)
    return edges[np.bincount(of_element.ravel(), minlength=len(edges)) == 1]


def disc_mesh(
    electrodes: int = 32,
    radius: float = 0.115,
    covered: float = 0.5,
    size: float | None = None,
    edges: int = EDGES,
) -> Mesh:
    """Make the mesh of a disc around the origin with equal electrodes, equally spaced.

    The first electrode is centred at the top, the others follow counter-clockwise. Triangles are
    finest at the ends of electrodes, where the current density is largest.

    Args:
        electrodes: how many, at least 2.
        radius: of the disc.
        covered: share of the circumference below electrodes, between 0 and 1.
        size: length of an edge in the middle; None is a twentieth of the radius.
        edges: boundary edges below each electrode, and in each gap.

    Raises:
        UserError: an argument out of its range.
    """
    if electrodes < 2 or edges < 1:
        raise UserError(f"a disc needs 2 electrodes of 1 edge or more; got {electrodes}, {edges}")
    if not (0 < covered < 1 and radius > 0 and (size is None or size > 0)):
        raise UserError(
            "a disc needs a radius and a size above 0 and a share covered by electrodes between "
            f"0 and 1; got radius {radius}, size {size}, covered {covered}"
        )
    inner = radius / 20 if size is None else size
    cuts = _graded(edges)
    pitch = 2 * math.pi / electrodes
    parts = [pitch * (covered * (cuts - 0.5)), pitch * (covered / 2 + (1 - covered) * cuts)]
    one = np.concatenate([part[:-1] for part in parts])
    angles = math.pi / 2 + (pitch * np.arange(electrodes)[:, None] + one).ravel()
    rings = [radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)]
    step = 2 * math.pi * radius / len(angles)
    r, turn = radius - 0.8 * step, 0.5
    while r > 0.6 * step:
        count = max(6, round(2 * math.pi * r / step))
        around = 2 * math.pi * (np.arange(count) + turn) / count
        rings.append(r * np.stack([np.cos(around), np.sin(around)], axis=1))
        step = min(inner, 1.2 * step) if step < inner else inner
        r, turn = r - 0.87 * step, 0.5 - turn
    nodes = np.concatenate([*rings, np.zeros((1, 2))])
    found = Delaunay(nodes).simplices.astype(np.int64)
    start = 2 * edges * np.arange(electrodes)[:, None] + np.arange(edges)
    below = np.stack([start, (start + 1) % len(angles)], axis=2)
    return Mesh(nodes, found, tuple(below))


def _graded(edges: int) -> np.ndarray:
    """Return cuts of [0, 1] into edges of which the outer ones are the shortest."""
    lengths = np.minimum(1.0, FINEST * 1.6 ** np.arange(edges))
    lengths = np.minimum(lengths, lengths[::-1])
    return np.concatenate([[0.0], np.cumsum(lengths)]) / lengths.sum()


def _indices(name: str, value: object, columns: int, nodes: int) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 2 or array.shape[1] != columns or len(array) == 0:
        raise UserError(f"mesh: {name} must have the shape (k, {columns}), got {array.shape}")
    if array.dtype.kind not in "iu" and not np.array_equal(array, np.round(array)):
        raise UserError(f"mesh: {name} must hold whole numbers of nodes, got {array.dtype}")
    array = array.astype(np.int64)
    if array.min() < 0 or array.max() >= nodes:
        raise UserError(
            f"mesh: {name} names nodes {array.min()} to {array.max()}, but there are nodes 0 to "
            f"{nodes - 1}; nodes are counted from 0"
        )
    return array


def _signed_areas(nodes: np.ndarray, elements: np.ndarray) -> np.ndarray:
    a, b, c = (nodes[elements[:, i]] for i in range(3))
    (ux, uy), (vx, vy) = (b - a).T, (c - a).T
    return 0.5 * (ux * vy - uy * vx)


def _check_electrodes(electrodes: Sequence[np.ndarray], boundary: np.ndarray) -> None:
    if len(electrodes) < 2:
        raise UserError(f"mesh: at least 2 electrodes are needed, got {len(electrodes)}")
    known = {tuple(edge) for edge in boundary.tolist()}
    taken: dict[tuple[int, int], int] = {}
    for number, edges in enumerate(electrodes, 1):
        for a, b in np.sort(edges, axis=1).tolist():
            if (a, b) not in known:
                raise UserError(
                    f"mesh: electrode {number}: the edge between nodes {a} and {b} is not on the "
                    "boundary (nodes and edges are counted from 0)"
                )
            if (a, b) in taken:
                raise UserError(
                    f"mesh: electrodes {taken[a, b]} and {number} share the edge between nodes "
                    f"{a} and {b}; electrodes must not overlap"
                )
            taken[a, b] = number

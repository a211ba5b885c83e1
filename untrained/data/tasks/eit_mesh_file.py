"""Read a triangle mesh with electrodes: that of `--mesh`, or that of the measurement's own file.

In .npz and .h5 it is `nodes` (n, 2), `elements` (m, 3) and `electrodes`: for each electrode its
boundary edges (L, k, 2), or the nodes along it in their order (L, k), either filled up with -1
where electrodes have unequal numbers. In a MAT file these are `g`, `H` and the cell array
`elfaces`, as in the files of the Kuopio Tomography Challenge 2023, or the names above.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from untrained.data.arrays import require_finite
from untrained.data.formats import ArrayFile, named_array_suffixes, open_arrays
from untrained.data.formats.advice import other_format
from untrained.data.formats.base import list_names
from untrained.data.formats.mat import MAT_SUFFIX, MatFile, open_mat
from untrained.errors import UserError, from_file
from untrained.physics.eit_mesh import Mesh

NAMES = ("nodes", "elements", "electrodes")
CHALLENGE = ("g", "H", "elfaces")
FILLER = -1
MOST_NODES = 200_000  # of a model whose matrix is factorised hundreds of times

ONE_BASED = "nodes of {} are counted from 1, as in MATLAB"


def read_mesh(path: str | Path) -> tuple[Mesh, tuple[str, ...]]:
    """Read the mesh of a file, and notes on what was decided.

    Raises:
        UserError: unreadable, without a mesh, or a mesh that contradicts itself.
    """
    what = "--mesh"
    if Path(path).suffix.lower() == MAT_SUFFIX:
        with open_mat(path, what) as file:
            return _required(file, what)
    if Path(path).suffix.lower() not in named_array_suffixes():
        expected = f"{', '.join((*named_array_suffixes(), MAT_SUFFIX))} with {list_names(NAMES)}"
        raise other_format(path, what, expected)
    with open_arrays(path, what) as arrays:
        return _required(arrays, what)


def _required(file: ArrayFile, what: str) -> tuple[Mesh, tuple[str, ...]]:
    found = mesh_in(file)
    if found is None:
        raise UserError(
            f"{what}: {file.path} holds no mesh, which is {list_names(NAMES)} or, in MAT files of "
            f"the challenge, {list_names(CHALLENGE)}; it holds {list_names(file.keys)}"
        )
    return found


def mesh_in(file: ArrayFile) -> tuple[Mesh, tuple[str, ...]] | None:
    """Read the mesh of an open file; None where it has none.

    Raises:
        UserError: a part of it is missing, or it contradicts itself.
    """
    names = CHALLENGE if set(CHALLENGE[:2]) & set(file.keys) else NAMES
    there = [name for name in names if name in file.keys]
    if not there:
        return None
    if len(there) < len(names):
        missing = [name for name in names if name not in there]
        raise UserError(
            f"{file.path} holds a part of a mesh, {list_names(there)}, and lacks "
            f"{list_names(missing)}"
        )
    nodes = _nodes(file, names[0])
    elements = _whole(file.read(names[1]), file.label(names[1]))
    electrodes = _electrodes(file, names[2])
    with from_file(file.path):
        first = _first(elements, [e for e in electrodes if e.size], len(nodes), file.path)
        if elements.ndim == 2 and elements.shape[1] == 6:
            raise UserError(
                f"{file.label(names[1])} has 6 nodes a triangle, of second order; give the three "
                "corners (m, 3), and the nodes that are corners"
            )
        mesh = Mesh(nodes, elements - first, tuple(one - first for one in electrodes))
    _require_used(mesh, file.label(names[0]))
    return mesh, (ONE_BASED.format(file.path),) if first else ()


def _nodes(file: ArrayFile, name: str) -> np.ndarray:
    label = file.label(name)
    values = require_finite(file.read(name), label, "mend the mesh")
    if values.dtype.kind not in "iuf" or values.ndim != 2 or values.shape[1] not in (2, 3):
        raise UserError(
            f"{label} must be real coordinates (n, 2), found {values.dtype} of shape {values.shape}"
        )
    if values.shape[1] == 3 and np.ptp(values[:, 2]):
        raise UserError(
            f"{label} has three coordinates: a mesh of triangles in a plane is expected, "
            "coordinates (n, 2)"
        )
    if len(values) > MOST_NODES:
        raise UserError(
            f"{label} has {len(values)} nodes, and at most {MOST_NODES} are taken, since the model "
            "is solved at every step; make a coarser mesh"
        )
    plane = values[:, :2].astype(np.float64)
    if np.ptp(plane, axis=0).min() == 0:
        raise UserError(f"{label} lies on a line; a mesh in a plane is expected")
    return plane


def _electrodes(file: ArrayFile, name: str) -> list[np.ndarray]:
    """Read the boundary edges of each electrode, `(k, 2)`."""
    label = file.label(name)
    if isinstance(file, MatFile) and file.holds_cells(name):
        cells = file.read_cells(name)
        each = [_whole(one, f"cell {i} of {label}") for i, one in enumerate(cells, 1)]
        return [_edges(one, label) for one in each]
    values = _whole(file.read(name), label)
    if values.ndim == 1:
        raise UserError(
            f"{label} has shape {values.shape}: give the boundary edges of each electrode "
            "(L, k, 2), or the nodes along each (L, k), filled up with -1; an electrode of the "
            "complete electrode model has a width"
        )
    return [_edges(one, label) for one in values]


def _edges(values: np.ndarray, label: str) -> np.ndarray:
    """Return the edges `(k, 2)` of edges with fillers, or of the nodes along an electrode."""
    if values.ndim == 2 and values.shape[1] == 2:
        return values[(values != FILLER).all(1)]
    flat = values.ravel() if values.ndim == 1 or 1 in values.shape else None
    if flat is None:
        raise UserError(f"{label}: edges are pairs of nodes (k, 2), found shape {values.shape}")
    kept = flat[flat != FILLER]
    return np.stack([kept[:-1], kept[1:]], axis=1)


def _whole(values: np.ndarray, label: str) -> np.ndarray:
    """Return numbers of nodes as int64."""
    numbers = require_finite(values, label, "mend the mesh")
    if numbers.dtype.kind not in "iuf" or not (np.abs(numbers) < 2**31).all():
        raise UserError(f"{label} must hold numbers of nodes, found {numbers.dtype}")
    if not (numbers == np.round(numbers)).all():
        raise UserError(f"{label} must hold numbers of nodes, and some are fractions")
    return numbers.astype(np.int64)


def _first(elements: np.ndarray, electrodes: list[np.ndarray], nodes: int, path: str | Path) -> int:
    """Find whether nodes are counted from 0 or from 1: a node 0, or as many as there are."""
    every = np.concatenate([elements.ravel(), *(one.ravel() for one in electrodes)])
    low, high = int(every.min()), int(every.max())
    first = 1 if low >= 1 and high == nodes else 0
    if low < 0 or high - first >= nodes:
        raise UserError(
            f"the mesh in {path} names nodes {low} to {high}, but there are {nodes}: 0 to "
            f"{nodes - 1}, or 1 to {nodes}"
        )
    return first


def _require_used(mesh: Mesh, label: str) -> None:
    """Refuse nodes that no triangle has: the model would say nothing of them."""
    used = np.zeros(len(mesh.nodes), bool)
    used[mesh.elements] = True
    if not used.all():
        raise UserError(
            f"{label}: {int((~used).sum())} nodes are no corner of a triangle (node "
            f"{int((~used).argmax())} first, counted from 0); leave them out"
        )

r"""Finite elements for the complete electrode model of impedance tomography.

E. Somersalo, M. Cheney, D. Isaacson, SIAM J. Appl. Math. 52, 1992; P. J. Vauhkonen et al., IEEE
Trans. Biomed. Eng. 46, 1999. For a conductivity sigma, the potential u in the domain and the
voltages U_l of the electrodes e_l with contact impedances z_l satisfy

.. math::
    \nabla\cdot(\sigma\nabla u) = 0, \qquad u + z_l\,\sigma\,\partial_n u = U_l \text{ on } e_l,
    \qquad \int_{e_l}\sigma\,\partial_n u = I_l, \qquad
    \sigma\,\partial_n u = 0 \text{ elsewhere}

In weak form, for all v, V:

.. math::
    \int \sigma \nabla u\cdot\nabla v + \sum_l \frac1{z_l}\int_{e_l} (u - U_l)(v - V_l)
    = \sum_l I_l V_l
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from untrained.errors import UserError
from untrained.physics.eit_mesh import Mesh, edge_number, edges_of

MASS = {
    1: np.array([[2.0, 1], [1, 2]]) / 6,
    2: np.array([[4.0, -1, 2], [-1, 4, 2], [2, 2, 16]]) / 30,
}
"""Integrals of products of the functions of an edge of length 1: its ends, then its middle."""
MEAN = {1: np.array([0.5, 0.5]), 2: np.array([1.0, 1, 4]) / 6}
"""Integrals of those functions."""


@dataclass(frozen=True)
class Fields:
    """What one factorisation gives: the answers to unit currents into each electrode.

    Attributes:
        voltages: `(L - 1, L - 1)`, of electrode i when a unit current enters at electrode j and
            leaves at the last, whose voltage is 0.
        gradients: `(q, 2, L - 1)`, gradient of those potentials at the q quadrature points.
        potentials: `(n, L - 1)`, at the nodes.
    """

    voltages: np.ndarray
    gradients: np.ndarray
    potentials: np.ndarray


class ElectrodeModel:
    """The complete electrode model on a mesh, for conductivities that are constant on triangles.

    The matrix is symmetric and positive definite once the last electrode's voltage is set to 0.

    Args:
        mesh: the mesh, with L electrodes.
        impedance: contact impedances z, all > 0: one number or one for each electrode; in units of
            length over conductivity.
        order: of the polynomials on a triangle, 1 or 2.

    Raises:
        UserError: an impedance that is not positive, another number of them, another order.
    """

    def __init__(self, mesh: Mesh, impedance: np.ndarray | float, order: int = 1) -> None:
        if order not in MASS:
            raise UserError(f"order must be 1 or 2 (linear or quadratic elements), got {order}")
        count = len(mesh.electrodes)
        z = np.asarray(impedance, dtype=np.float64)
        if z.size not in (1, count):
            raise UserError(
                f"impedance needs one value or {count}, one per electrode; got {z.size}"
            )
        z = np.broadcast_to(z.reshape(-1), (count,))
        if not (np.isfinite(z).all() and (z > 0).all()):
            raise UserError("every contact impedance must be finite and above 0")
        self.mesh, self.order, self.impedance = mesh, order, z.copy()
        edges, of_element = edges_of(mesh.elements)
        self.number = edge_number(edges, len(mesh.nodes))
        self.nodes = len(mesh.nodes) + (len(edges) if order == 2 else 0)
        self.basis, self.slopes, self.weights = _triangles(mesh, of_element, order)
        self.element_of = np.repeat(np.arange(len(mesh.elements)), len(self.weights[0]))
        self.gradient = self._gradient()
        self._pattern()

    def solve(self, sigma: np.ndarray) -> Fields:
        """Solve for unit currents, with one factorisation.

        Args:
            sigma: conductivities `(m,)`, > 0.
        """
        count = len(self.mesh.electrodes) - 1
        size = self.nodes + count
        values = self.by_element @ sigma + self.contact
        matrix = sparse.csc_matrix((values, self.rows, self.starts), shape=(size, size))
        try:
            factor = splu(
                matrix,
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
        except RuntimeError as error:  # scipy's word for a matrix that is singular
            raise UserError(
                "the electrode model has no solution on this mesh: a part of it touches no "
                "electrode, or triangles have no area; give a connected mesh with --mesh"
            ) from error
        currents = np.zeros((size, count))
        currents[self.nodes :] = np.eye(count)
        answer = factor.solve(currents)
        potentials = answer[: self.nodes]
        gradients = (self.gradient @ potentials).reshape(-1, 2, count)
        return Fields(answer[self.nodes :], gradients, potentials)

    def sensitivity(self, fields: Fields, currents: np.ndarray, tested: np.ndarray) -> np.ndarray:
        r"""Compute the Jacobian of tested^T U with respect to each triangle's conductivity.

        .. math:: \partial (p^T U(I)) / \partial\sigma_e = -\int_e \nabla u_p\cdot\nabla u_I

        with u_p the potential of the currents p: the model is its own adjoint.

        Args:
            fields: as `solve` returned them.
            currents: `(L - 1, I)`.
            tested: `(L - 1, M)`.

        Returns:
            `(M, I, m)`.
        """
        driven, probed = fields.gradients @ currents, fields.gradients @ tested
        weights = self.weights.ravel()[:, None, None]
        points = self.weights.shape[1]
        found = np.zeros((len(self.mesh.elements), tested.shape[1], currents.shape[1]))
        for point in range(points):
            rows = slice(point, None, points)
            found -= (weights * probed)[rows].transpose(0, 2, 1) @ driven[rows]
        return found.transpose(1, 2, 0)

    def pull_back(self, fields: Fields, weights: np.ndarray) -> np.ndarray:
        """Sum the derivatives of the entries of `fields.voltages`, weighted `(L - 1, L - 1)`.

        Returns:
            `(m,)`, one number for each triangle's conductivity.
        """
        product = (fields.gradients @ weights * fields.gradients).sum((1, 2))
        return -(product.reshape(self.weights.shape) * self.weights).sum(1)

    def contact_sensitivity(self, fields: Fields) -> np.ndarray:
        """Compute the derivative of `voltages` with respect to each log z, `(L, L - 1, L - 1)`.

        It is the product of both fields' drops across the contact, integrated and divided by z.
        """
        count = len(self.mesh.electrodes)
        found = np.zeros((count, count - 1, count - 1))
        for electrode, edges in enumerate(self.mesh.electrodes):
            level = np.zeros(count - 1)
            if electrode < count - 1:
                level = fields.voltages[electrode]
            for nodes, length in zip(*self._edge_functions(edges), strict=True):
                drop = fields.potentials[nodes] - level
                found[electrode] += length * drop.T @ MASS[self.order] @ drop
        return found / self.impedance[:, None, None]

    def _gradient(self) -> sparse.csr_matrix:
        """Build the map from nodal values to gradients at the quadrature points, `(2 q, n)`."""
        count, functions = self.basis.shape
        points = self.slopes.shape[1]
        shape = (count, points, 2, functions)
        row = np.arange(count * points * 2).reshape(count, points, 2, 1)
        column = self.basis[:, None, None, :]
        where = tuple(np.broadcast_to(index, shape).ravel() for index in (row, column))
        size = (count * points * 2, self.nodes)
        return sparse.csr_matrix((self.slopes.ravel(), where), shape=size)

    def _pattern(self) -> None:
        """Find where the matrix has entries, and how the conductivities enter them."""
        local = np.einsum("ep,epdi,epdj->eij", self.weights, self.slopes, self.slopes)
        count, functions = self.basis.shape
        rows = np.broadcast_to(self.basis[:, :, None], local.shape).ravel()
        columns = np.broadcast_to(self.basis[:, None, :], local.shape).ravel()
        element = np.repeat(np.arange(count), functions**2)
        extra_rows, extra_columns, extra = self._contacts()
        size = self.nodes + len(self.mesh.electrodes) - 1
        code = np.concatenate([columns * size + rows, extra_columns * size + extra_rows])
        stored, place = np.unique(code, return_inverse=True)
        inside = place[: len(element)]
        self.by_element = sparse.csr_matrix(
            (local.ravel(), (inside, element)), shape=(len(stored), count)
        )
        self.contact = np.bincount(place[len(element) :], extra, minlength=len(stored))
        self.rows = (stored % size).astype(np.int32)
        self.starts = np.searchsorted(stored // size, np.arange(size + 1)).astype(np.int32)

    def _edge_functions(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """List the nodes whose functions live on each edge, and the edges' lengths."""
        nodes = self.mesh.nodes
        length = np.linalg.norm(nodes[edges[:, 0]] - nodes[edges[:, 1]], axis=1)
        if self.order == 1:
            return edges, length
        return np.concatenate([edges, len(nodes) + self.number(edges)[:, None]], axis=1), length

    def _contacts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """List the entries of the integrals over the electrodes: rows, columns, values."""
        rows, columns, values = [], [], []
        last = len(self.mesh.electrodes) - 1
        for electrode, edges in enumerate(self.mesh.electrodes):
            z, own = self.impedance[electrode], np.array([self.nodes + electrode])
            for nodes, length in zip(*self._edge_functions(edges), strict=True):
                blocks = [(nodes, nodes, MASS[self.order] * length / z)]
                if electrode < last:
                    mean = -MEAN[self.order] * length / z
                    total = np.array([[length / z]])
                    blocks += [(nodes, own, mean[:, None]), (own, nodes, mean[None])]
                    blocks += [(own, own, total)]
                for down, across, block in blocks:
                    rows.append(np.repeat(down, len(across)))
                    columns.append(np.tile(across, len(down)))
                    values.append(block.ravel())
        return tuple(np.concatenate(part) for part in (rows, columns, values))  # type: ignore[return-value]


def _triangles(
    mesh: Mesh, of_element: np.ndarray, order: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each triangle's functions, their slopes at quadrature points, and the weights.

    Order 2 has three points, the middles of the edges, exact for the products of its slopes.

    Returns:
        `(m, f)` numbers of nodes, `(m, p, 2, f)` slopes, `(m, p)` weights.
    """
    corners = mesh.nodes[mesh.elements]
    opposite = np.roll(corners, -2, axis=1) - np.roll(corners, -1, axis=1)
    twice = 2 * mesh.areas[:, None]
    # gradients of the barycentric coordinates: the opposite side, turned and divided by its height
    flat = np.stack([-opposite[:, :, 1] / twice, opposite[:, :, 0] / twice], axis=1)
    if order == 1:
        return mesh.elements, flat[:, None], mesh.areas[:, None]
    basis = np.concatenate([mesh.elements, len(mesh.nodes) + of_element], axis=1)
    points = np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]])
    slopes = np.empty((len(basis), 3, 2, 6))
    for p, at in enumerate(points):
        slopes[:, p, :, :3] = flat * (4 * at - 1)
        for edge in range(3):
            i, j = edge, (edge + 1) % 3
            slopes[:, p, :, 3 + edge] = 4 * (at[i] * flat[:, :, j] + at[j] * flat[:, :, i])
    return basis, slopes, np.repeat(mesh.areas[:, None] / 3, 3, axis=1)

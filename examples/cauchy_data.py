"""Conductivity s from Cauchy data on a disc, the continuum model of impedance tomography:
div(s grad u) = 0 inside, potentials f on the border, currents s du/dn through it. No autograd.
"""

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve
from torch import Tensor

import untrained as ut

SIDE, ORDER, STEPS = 48, 8, 400
Y, X = np.mgrid[1 : -1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
LUNGS = ((abs(X) - 0.42) ** 2 + (Y / 2) ** 2 < 0.07) & (abs(X) > 0.15)
BODY = 0.8 * (X**2 + (Y - 0.65) ** 2 < 0.04) - 1.0 * LUNGS  # the logarithm of s


class CauchyData:
    """y_ij = <f_i, s du_j/dn> of f = cos and sin of up to ORDER times the angle; s = exp(x)."""

    def __init__(self) -> None:
        mesh, self.x_shape = ut.physics.disc_mesh(32, radius=1.0, size=0.08), (1, SIDE, SIDE)
        corners, self.elements = mesh.nodes[mesh.elements], mesh.elements
        edges = np.roll(corners, 1, axis=1) - np.roll(corners, -1, axis=1)
        self.local = edges @ edges.transpose(0, 2, 1) / (4 * mesh.areas[:, None, None])
        self.inner = np.hypot(*mesh.nodes.T) < 1 - 1e-9
        turns = np.arctan2(*mesh.nodes[~self.inner].T)[:, None] * np.arange(1, ORDER + 1)
        self.f = np.hstack([np.cos(turns), np.sin(turns)])
        column, row = np.rint((mesh.centroids * [1, -1] + 1) / 2 * (SIDE - 1)).astype(int).T
        self.pixel = row * SIDE + column

    def fields(self, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Solve for every f: potentials u and K u at the corners of each triangle, s in K."""
        matrices = self.local * np.exp(x.double().numpy().ravel()[self.pixel])[:, None, None]
        rows, columns = np.repeat(self.elements, 3, 1).ravel(), np.tile(self.elements, 3).ravel()
        whole = sparse.coo_matrix((matrices.ravel(), (rows, columns))).tocsc()
        u = np.zeros((len(self.inner), 2 * ORDER))
        u[~self.inner] = self.f
        u[self.inner] = -spsolve(whole[self.inner][:, self.inner], (whole @ u)[self.inner])
        return u[self.elements], matrices @ u[self.elements]

    def A(self, x: Tensor) -> Tensor:
        found = [np.einsum("eai,eaj->ij", *self.fields(one)) for one in x]
        return torch.from_numpy(np.stack(found)).to(x)

    def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
        slopes = []
        for one, weights in zip(x, v.double().numpy(), strict=True):
            u, flow = self.fields(one)
            by_element = np.einsum("eaj,eaj->e", u @ weights, flow)
            slopes.append(np.bincount(self.pixel, by_element, SIDE**2))
        return torch.from_numpy(np.stack(slopes)).reshape(x.shape).to(x)


clean = torch.from_numpy(BODY).float()[None, None]
physics = CauchyData()
y = physics.A(clean)
y = y + 1e-3 * y.abs().max() * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
result = ut.reconstruct(y, physics, method="dip", steps=STEPS, truth=clean)
print(result.about.metrics)

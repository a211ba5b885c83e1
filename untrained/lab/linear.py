"""Exact small linear algebra that several labs share, in double precision."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray


def null_projector(matrix: Array) -> Array:
    """Return the orthogonal projector onto the null space of a matrix `(m, n)`, `(n, n)`."""
    return np.eye(matrix.shape[1]) - np.linalg.pinv(matrix) @ matrix


def root(theta: Array) -> Array:
    """Return the symmetric square root of a positive semidefinite matrix; rounding is no rank."""
    values, vectors = np.linalg.eigh(theta)
    values[values < 4 * len(theta) * np.finfo(float).eps * values[-1]] = 0.0
    return (vectors * np.sqrt(values)) @ vectors.T


@dataclass(frozen=True, eq=False)
class Linearised:
    r"""Gradient descent on a linearised network, Eq. (6) of the tutorial, in closed form.

    .. math:: x_{t+1} = x_t - \eta\,\Theta A^T (A x_t - y), \qquad x_0 = f_0

    With L L^T = Theta and the singular values mu of A L = U diag(mu) V^T, the iterate moves along
    L V alone, and component i of the residual shrinks by (1 - eta mu_i^2) at each step:

    .. math:: x_t = f_0 + L V\,\mathrm{diag}\frac{1 - (1 - \eta\mu^2)^t}{\mu}\,U^T (y - A f_0)

    Args:
        A: the operator `(m, n)`.
        theta: the kernel J J^T `(n, n)`, symmetric and positive semidefinite.
        eta: step of the loss ||A x - y||^2 / 2, below 2 / mu_max^2; 0 = 1 / mu_max^2.
    """

    A: Array
    theta: Array
    eta: float = 0.0
    U: Array = field(init=False, repr=False)
    mu: Array = field(init=False, repr=False)
    W: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        half = root(self.theta)
        U, mu, Vt = np.linalg.svd(self.A @ half, full_matrices=False)
        kept = mu > 1e-10 * max(mu[0], 1e-300)
        for name, value in (("U", U[:, kept]), ("mu", mu[kept]), ("W", half @ Vt[kept].T)):
            object.__setattr__(self, name, value)
        if not self.eta:
            object.__setattr__(self, "eta", 1.0 / float(mu[0]) ** 2)

    def factors(self, t: float) -> Array:
        """Return 1 - (1 - eta mu^2)^t, the part of each component that is fitted; t may be inf."""
        return 1.0 - (1.0 - self.eta * self.mu**2) ** t

    def filter(self, t: float) -> Array:
        """Return the matrix F_t `(n, m)` of x_t = F_t y for f_0 = 0."""
        return (self.W * (self.factors(t) / self.mu)) @ self.U.T

    def image(self, y: Array, t: float, start: Array | None = None) -> Array:
        """Return x_t for measurements y `(m,)` and a first image f_0 `(n,)`, zeros if not given."""
        first = np.zeros(self.A.shape[1]) if start is None else start
        return first + self.filter(t) @ (y - self.A @ first)

    def freedom(self, t: float) -> float:
        """Return the degrees of freedom trace(A F_t): how many numbers of y are fitted by now."""
        return float(self.factors(t).sum())

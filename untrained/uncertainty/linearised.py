r"""The linearised deep image prior: error bars from the network's Jacobian at its fit.

.. math:: h(\theta) = f(\theta^*) + J (\theta - \theta^*), \qquad \theta \sim N(0, \lambda I),
          \qquad y = A h(\theta) + \varepsilon, \qquad \varepsilon \sim N(0, \sigma^2 I)

After Antoran, Barbano, Leuschner, Hernandez-Lobato, Jin (TMLR 2023, arXiv 2203.00479). With
:math:`\Sigma = \lambda J J^T` the image's covariance given y is

.. math:: \Sigma_{x|y} = \Sigma - \Sigma A^T (A \Sigma A^T + \sigma^2 I)^{-1} A \Sigma

lambda, and sigma where it is not known, maximise the marginal likelihood of
:math:`r = y - A f(\theta^*) + A J \theta^* \sim N(0, \lambda K + \sigma^2 I)`,
:math:`K = A J J^T A^T`: in closed form on the leading eigenvectors of K, with one eigenvalue, from
the trace, for all others. No matrix of the size of image or weights is stored.

Differs from the paper: one prior variance for all that is trained instead of one (and a length
scale) per block of layers, no prior on these from total variation, the whole network with its
normalisations, float32 products; sigma may be known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from untrained.lab.jacobian import Jacobian
from untrained.lab.spectrum import krylov_spectrum
from untrained.problem import Problem
from untrained.uncertainty.conformal import Groups, most_likely
from untrained.uncertainty.roles import draw_seed, visible
from untrained.uncertainty.settings import Linearised

BLOCK = 16
"""Columns of the random block whose Krylov space holds the leading directions."""

TRACES = 8
"""Random signs that estimate the trace of K."""

CLOSE = 1e-3
"""Relative residual at which conjugate gradients end."""

Pause = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class Prior:
    """Hold lambda, sigma and the leading directions of K.

    Attributes:
        weight: lambda, the prior variance of what is trained.
        noise: sigma, in the problem's units.
        values: leading eigenvalues of K, `(k,)`.
        vectors: their eigenvectors, on the visible measurements, `(m, k)`.
        tail: the mean of the others.
        effective: directions that the data determine, sum of lambda e / (lambda e + sigma^2).
    """

    weight: float
    noise: float
    values: Tensor
    vectors: Tensor
    tail: float
    effective: float

    def facts(self) -> dict[str, float]:
        """Return the numbers for a report."""
        return {
            "prior_scale": math.sqrt(self.weight),
            "noise": self.noise,
            "effective_dimension": self.effective,
        }


class DataSpace:
    """Products with K = A J J^T A^T on the visible measurements of one image, as vectors `(m,)`."""

    def __init__(self, jacobian: Jacobian, problem: Problem) -> None:
        self.jacobian, self.problem = jacobian, problem
        self.seen = visible(problem)
        self.size = int(self.seen.sum())

    def measure(self, image: Tensor) -> Tensor:
        """Compute A x, `(C, ...)` -> `(m,)`."""
        return self.problem.A(image[None])[0][self.seen]

    def back(self, r: Tensor) -> Tensor:
        """Compute A^T r, `(m,)` -> `(C, ...)`."""
        full = torch.zeros(self.seen.shape, dtype=r.dtype, device=r.device)
        full[self.seen] = r
        return self.problem.A_adjoint(full[None])[0]

    def gram(self, columns: Tensor) -> Tensor:
        """Compute K Q, `(m, b)` -> `(m, b)`."""
        return torch.stack([self.k(column) for column in columns.T], 1)

    def k(self, r: Tensor) -> Tensor:
        """Compute K r, `(m,)`."""
        return self.measure(self.jacobian.gram(self.back(r)))


@torch.no_grad()
def find_prior(space: DataSpace, way: Linearised, noise: float | None, seed: int) -> Prior:
    """Find lambda and sigma by marginal likelihood.

    Args:
        space: of the fit.
        way: its `probes` are the products that find the leading eigenvectors.
        noise: sigma where it is known.
        seed: of the random vectors.
    """
    jacobian, problem = space.jacobian, space.problem
    k = min(way.probes, space.size)
    found = krylov_spectrum(
        space.gram, space.size, problem.y[0].flatten(), k, 1.0, min(BLOCK, k), k, seed
    )
    values, vectors = found.values.square(), found.left.T
    generator = torch.Generator().manual_seed(draw_seed(seed, "trace"))
    signs = torch.randint(2, (TRACES, space.size), generator=generator).to(problem.y) * 2 - 1
    trace = sum(float(jacobian.adjoint(space.back(s)).square().sum()) for s in signs) / TRACES
    rest = space.size - len(values)
    tail = max(0.0, trace - float(values.sum())) / rest if rest else 0.0
    flat = jacobian.flatten(jacobian.weights)
    shown = jacobian.forward(flat) - jacobian.image
    r = problem.y[0][space.seen] + space.measure(shown)
    along = vectors.T @ r
    left = max(0.0, float(r.square().sum() - along.square().sum()))
    groups = Groups(
        squares=torch.cat([along.square(), r.new_tensor([left / rest if rest else 0.0])]),
        variances=torch.cat([values, r.new_tensor([tail])]),
        counts=torch.cat([torch.ones_like(values), r.new_tensor([float(rest)])]),
    )
    weight, sigma = most_likely(groups, noise)
    share = weight * groups.variances / (weight * groups.variances + sigma**2).clamp_min(1e-30)
    return Prior(weight, sigma, values, vectors, tail, float((share * groups.counts).sum()))


@torch.no_grad()
def draw_samples(
    space: DataSpace, prior: Prior, way: Linearised, seed: int, pause: Pause
) -> Tensor | None:
    r"""Draw deviations of the image from its mean, exactly but for conjugate gradients.

    Matheron's rule: :math:`x_s - \Sigma A^T (A \Sigma A^T + \sigma^2 I)^{-1} (A x_s + \epsilon_s)`
    with :math:`x_s = J \theta_s` of the prior; solved with the leading eigenvectors of K as
    preconditioner.

    Returns:
        `(samples, C, ...)` in network units; None where `pause` says so.
    """
    jacobian, y = space.jacobian, space.problem.y
    generator = torch.Generator().manual_seed(draw_seed(seed, "samples"))
    drawn = []
    for _ in range(way.samples):
        if pause():
            return None
        theta = torch.randn(jacobian.n_weights, generator=generator).to(y)
        noise = torch.randn(space.size, generator=generator).to(y) * prior.noise
        x = jacobian.forward(math.sqrt(prior.weight) * theta)
        solved = solve(space, prior, space.measure(x) + noise, way.iterations)
        drawn.append(x - prior.weight * jacobian.gram(space.back(solved)))
    return torch.stack(drawn)


def solve(space: DataSpace, prior: Prior, b: Tensor, iterations: int) -> Tensor:
    """Solve (lambda K + sigma^2 I) x = b by preconditioned conjugate gradients, `(m,)`."""
    base = prior.weight * prior.tail + prior.noise**2
    if base <= 0:
        base = 1e-6 * prior.weight * float(prior.values.max().clamp_min(1e-30))
    shrink = 1 - base / (prior.weight * prior.values + prior.noise**2).clamp_min(base)

    def guess(r: Tensor) -> Tensor:
        return (r - prior.vectors @ (shrink * (prior.vectors.T @ r))) / base

    x, r = torch.zeros_like(b), b
    z = guess(r)
    d, energy = z, float(r @ z)
    enough = CLOSE * float(b.norm())
    for _ in range(iterations):
        if float(r.norm()) <= enough or energy <= 0:
            break
        product = prior.weight * space.k(d) + prior.noise**2 * d
        step = energy / float(d @ product)
        x, r = x + step * d, r - step * product
        z = guess(r)
        before, energy = energy, float(r @ z)
        d = z + energy / before * d
    return x


@torch.no_grad()
def draw_low_rank(
    space: DataSpace, prior: Prior, way: Linearised, seed: int
) -> tuple[Tensor, Tensor, float]:
    r"""Draw samples and compute the spread in closed form on leading directions of the prior.

    With :math:`J J^T \approx U S^2 U^T` of `way.rank` directions and B = A U S the covariance is
    :math:`U S (I / \lambda + B^T B / \sigma^2)^{-1} S U^T`.

    Returns:
        Samples `(samples, C, ...)`, standard deviation `(C, ...)`, and the share of the prior's
        variance that the directions hold.
    """
    jacobian, y = space.jacobian, space.problem.y
    shape, n = jacobian.out_shape, jacobian.n_out

    def gram(columns: Tensor) -> Tensor:
        return torch.stack([jacobian.gram(c.reshape(shape)).flatten() for c in columns.T], 1)

    rank = min(way.rank, n)
    found = krylov_spectrum(gram, n, y[0].flatten(), rank, 1.0, min(BLOCK, rank), rank, seed)
    scaled = found.left.reshape(rank, n) * found.values[:, None]
    b = torch.stack([space.measure(one.reshape(shape)) for one in scaled], 1).double()
    noise = max(prior.noise, 1e-6 * float(b.abs().max()))
    inverse = torch.eye(rank, dtype=b.dtype, device=b.device) / prior.weight + b.T @ b / noise**2
    # With L L^T the inverse covariance of the coefficients, L^-T maps white noise to them.
    factor = torch.linalg.cholesky(inverse)
    half = torch.linalg.solve_triangular(factor, scaled.double(), upper=False)
    std = half.square().sum(0).sqrt().to(y).reshape(shape)
    generator = torch.Generator().manual_seed(draw_seed(seed, "samples"))
    white = torch.randn(way.samples, rank, generator=generator, dtype=torch.float64)
    samples = (white.to(half) @ half).to(y).reshape(way.samples, *shape)
    signs = torch.randint(2, (TRACES, n), generator=generator).to(y) * 2 - 1
    pushed = [jacobian.adjoint(s.reshape(shape)).square().sum() for s in signs]
    total = float(torch.stack(pushed).mean())
    held = float(found.values.square().sum())
    return samples, std, min(1.0, held / total) if total > 0 else 1.0

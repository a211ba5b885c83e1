r"""Total variation by a preconditioned primal-dual iteration, with a true duality gap."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from untrained.classical.fill import fill_gaps
from untrained.classical.gauss_newton import nonlinear_tv
from untrained.classical.gradient import Laplacian, gradient, gradient_adjoint, length
from untrained.classical.linear import cgsense, require_linear, require_series
from untrained.classical.tv_data import ByGram, Data, Metric, Point
from untrained.classical.weight import choose_weight, noise_of, taken_over
from untrained.errors import UserError
from untrained.problem import Problem

RELAXATION = 1.9  # any value below 2 converges
BALANCE_AT = (10, 20, 40, 80)  # iterations that choose the two dual steps anew
LOWER = {"ct": 0.5}
"""Factor of the weight found: as for `dct`, views are predicted best by a larger one
than is best for the image, on seven of eight slices."""
WEIGHTS = (1e-5, 0.5)  # the weights searched, relative to ||A||^2 and the level of A^H y
OF_NOISE = (0.03, 3.0)  # those of denoising, relative to ||A|| times the noise's deviation
SEARCH_TOLERANCE, SEARCH_ITERATIONS = 1e-2, 60
EVALUATIONS = 9
ROUGH_ITERATIONS = 1000
COSTLY_ITERATIONS, COSTLY_EVALUATIONS, COSTLY_TOLERANCE = 30, 7, 1e-3
"""The same for a volume whose matrix cannot be stored: seconds a product."""

TOLERANCE = 1e-4
TEMPORAL = "temporal tv weight"  # its name in the problem's cache
CHECK_EVERY = 10  # iterations between two evaluations of the gap
STALLED = 500  # iterations without a smaller gap: float32 rounding is reached


class TVResult(NamedTuple):
    """`image (G, C, ...)`, relative duality `gap (G,)` (float64) and `iterations (G,)`."""

    image: Tensor
    gap: Tensor
    iterations: Tensor


@torch.no_grad()
def tv_solve(
    problem: Problem, weight: float, *, tolerance: float = 1e-4, max_iterations: int = 5000
) -> TVResult:
    r"""Minimise the total-variation functional to a certified accuracy.

    .. math:: \min_{x \in X} \tfrac12 \|A x - y\|^2 + w \sum_i \|(D x)_i\|_2

    (Dx)_i holds the differences along every axis of all channels at pixel i: isotropic, and joint
    over the colours of a photograph and over the real and imaginary part of an MRI image. Images,
    volumes and signals. X is [0, 1]
    for images known to lie there (`problem.unit_range`), else the whole space.

    Iteration. Chambolle & Pock (J. Math. Imaging Vis. 40, 2011, algorithm 1) on the saddle form
    :math:`\min_x \max_{p, |q_i| \le w} \langle Ax - y, p\rangle - \tfrac12\|p\|^2 +
    \langle Dx, q\rangle`, preconditioned and over-relaxed:

    .. math::
        \tilde x &= P_X(x - T (A^T p + D^T q)) \\
        \tilde p &= (I + \Sigma)^{-1} (p + \Sigma (A (2\tilde x - x) - y)) \\
        \tilde q &= P_{|q_i| \le w}(q + \sigma D (2 \tilde x - x))

    with :math:`T^{-1} \succeq A^T \Sigma A + \sigma D^T D`. Sigma is a multiple of the identity,
    for CT of the ramp filter along the detectors (then A^T Sigma A is close to a multiple of the
    identity). Without bounds on x, :math:`T^{-1} = c I + \sigma D^T D`, inverted by cosine
    transforms, with bounds :math:`c + 4 n \sigma` for n axes. Both dual steps are balanced a few
    times early, by how far the dual and the primal variables have moved, and then stay. The answer
    is the average of the points with a tilde since the last restart of the average (at 1.5 times
    the iteration of the one before): it oscillates less, and rounding in float32 averages out.

    Gap. With :math:`s = A^T p + D^T q`, primal minus dual value is the sum of three
    non-negative terms, computed as such and summed in float64:

    .. math:: \tfrac12\|Ax - y - p\|^2 + (w TV(x) - \langle Dx, q\rangle)
              + \sup_{z \in Z} \langle x - z, s\rangle

    Z = X where X is the unit box. Where X is the whole space, Z is the ball of radius 2 ||x||
    (else the supremum is infinite for every s != 0): the gap then bounds F(x) - F(z) for all z
    in that ball. As F is convex and x lies well inside, F(x) - F(z) <= gap * ||z - x|| / ||x||
    for every z outside it too, so x is optimal as the gap vanishes. The relative gap is that
    number divided by F(x).

    Args:
        problem: G problems with a linear physics, solved in turn.
        weight: w, in the units of y times an image value.
        tolerance: relative gap at which the iteration ends.
        max_iterations: it ends there too, and where the gap has not fallen for 500 iterations
            (float32 rounding is reached); compare the returned gap.

    Raises:
        UserError: the physics is nonlinear, an image has no spatial axis, or weight <= 0.
    """
    if not weight > 0:
        raise UserError(f"the TV weight must be positive, got {weight}")
    found = []
    for i in range(len(problem.y)):
        found.append(TVSolver(problem.select(i)).run(weight, tolerance, max_iterations))
    return TVResult(*(torch.cat(parts) for parts in zip(*found, strict=True)))


class TVSolver:
    """The iteration of `tv_solve` on one problem; a second `run` starts where the first ended.

    Args:
        problem: one problem.
        axes: how many axes, from the first on, differences are taken along; None = all.
    """

    def __init__(self, problem: Problem, axes: int | None = None) -> None:
        require_linear(problem, "tv")
        if len(problem.x_shape) < 2:
            raise UserError(
                "method 'tv' reconstructs images (C, H, W), volumes (C, D, H, W) and signals "
                f"(C, N); this problem's have the shape {problem.x_shape}"
            )
        self.axes = len(problem.x_shape) - 1 if axes is None else axes
        self.bound = 4.0 * self.axes  # of ||D||^2
        self.problem = problem.weighted("uniform").quick()
        self.metric = Metric(self.problem)
        self.data = Data(self.problem) if self.problem.gram() is None else ByGram(self.problem)
        self.norm_squared = self.metric.norm_squared(self.problem)
        self.box = problem.unit_range
        self.laplacian = Laplacian(problem.x_shape[1:], problem.y, self.axes)
        self.steps = (0.5, self.norm_squared / (2 * self.bound))
        self.weight = 0.0
        if problem.traits.missing_pixels:  # a filled hole needs no thousands of steps to fill
            x = fill_gaps(problem.y, problem.A(torch.ones_like(problem.y)))
        else:
            # A least-squares start finds the part of y that no image explains, which the dual p
            # would take long to find.
            x = cgsense(self.problem, mu=0.0, tolerance=1e-3)
        x = x.clamp(0, 1) if self.box else x
        Ax = self.data.measure(x)
        p = Ax - self.data.y
        q = torch.zeros_like(gradient(x, self.axes))
        self.at = Point(x, p, q, Ax, self.data.pull(p))

    def run(self, weight: float, tolerance: float, max_iterations: int) -> TVResult:
        """Iterate for this weight until the relative gap is below `tolerance`."""
        if self.weight:
            self.at = self.at._replace(q=self.at.q * (weight / self.weight))
        self.weight = weight
        # Steps balanced for another weight, and then again from there, may run away.
        self.steps = (0.5, self.norm_squared / (2 * self.bound))
        origin, mean, restart, count = self.at, self.at, 1, 0
        best, image, found_at, k = math.inf, self.at.x, 0, 0
        for k in range(1, max_iterations + 1):
            new = self._step()
            mean, count = _averaged(mean, new, count), count + 1
            if k % CHECK_EVERY == 0 or k == max_iterations:
                gap = self._gap(mean)
                found_at = k if gap < 0.95 * best else found_at
                if gap < best:
                    best, image = gap, mean.x
                if best <= tolerance or k - found_at >= STALLED:
                    break
            self.at = Point(*(a + RELAXATION * (b - a) for a, b in zip(self.at, new, strict=True)))
            if k >= restart:
                restart, count = math.ceil(1.5 * k), 0
            if k in BALANCE_AT:
                self._balance(origin)
                origin = self.at
        image = self.problem.supported(image)
        return TVResult(image, torch.tensor([best], dtype=torch.float64), torch.tensor([k]))

    def _step(self) -> Point:
        x, p, q, Ax, ATp = self.at
        sigma_p, sigma_q = self.steps
        new_x = x - self._precondition(ATp + gradient_adjoint(q))
        if self.box:
            new_x = new_x.clamp(0, 1)
        new_Ax = self.data.measure(new_x)
        # (I + S)^-1 (p + S r) = p + (I + S)^-1 S (r - p)
        ahead = 2 * new_Ax - Ax - self.data.y
        new_p = p + self.metric.prox_gain(ahead - p, sigma_p)
        new_q = q + sigma_q * gradient(2 * new_x - x, self.axes)
        new_q = new_q / (length(new_q) / self.weight).clamp_min(1)
        return Point(new_x, new_p, new_q, new_Ax, self.data.pull(new_p))

    def _precondition(self, s: Tensor) -> Tensor:
        """Compute T s."""
        data, smooth = self.steps[0] * self.norm_squared, self.steps[1]
        if self.box:
            return s / (data + self.bound * smooth)
        return self.laplacian.solve(s, data, smooth)

    def _balance(self, origin: Point) -> None:
        """Set the dual steps to those of the least distance moved, in the iteration's metric.

        The iteration contracts in that metric, which is ||x||^2 in T^-1 plus
        ||p||^2 / sigma_p plus ||q||^2 / sigma_q; its minimum over the two steps is the quotient of
        dual and primal distances.
        """
        x, p, q = (now - then for now, then in zip(self.at[:3], origin[:3], strict=True))
        size = float(x.norm())
        slope = math.sqrt(self.bound) * size if self.box else float(gradient(x, self.axes).norm())
        wanted = (
            (self.data.length(p), math.sqrt(self.norm_squared) * size),
            (float(q.norm()), slope),
        )
        if all(a > 0 and b > 0 for a, b in wanted):
            self.steps = (
                _towards(self.steps[0], wanted[0][0] / wanted[0][1]),
                _towards(self.steps[1], wanted[1][0] / wanted[1][1]),
            )

    def _gap(self, at: Point) -> float:
        """Compute the relative duality gap, see `tv_solve`."""
        d = gradient(at.x, self.axes)
        s = at.ATp + gradient_adjoint(at.q)
        variation = self.weight * length(d).double().sum()
        value = 0.5 * self.data.misfit(at) + variation
        data = 0.5 * self.data.squares(at.Ax - self.data.y - at.p)
        smooth = variation - (d.double() * at.q.double()).sum()
        bound = s.clamp_max(0).double().sum() if self.box else -2 * _norm(at.x) * _norm(s)
        feasible = (at.x.double() * s.double()).sum() - bound
        return float((data + smooth + feasible) / value.clamp_min(1e-300))


def _averaged(mean: Point, new: Point, count: int) -> Point:
    """Compute the mean of `count` points and one more."""
    return Point(*(m + (n - m) / (count + 1) for m, n in zip(mean, new, strict=True)))


def _norm(x: Tensor) -> Tensor:
    return x.double().square().sum().sqrt()


def _towards(old: float, new: float) -> float:
    """Interpolate 70 % of the way from old to new, on a logarithmic scale."""
    return old**0.3 * new**0.7


@torch.no_grad()
def tv(problem: Problem, weight: float | None = None) -> Tensor:
    r"""Reconstruct by total variation with a weight chosen without the truth.

    The functional, its iteration and the accuracy are those of `tv_solve`; the weight comes from
    `choose_weight`, each trial solved to a relative gap of 1 % or 60 iterations. Of a volume whose
    products take seconds (cone beam) 30 iterations and 7 trials have to do, and a gap of 1e-3.

    A nonlinear physics with a Jacobian is solved by `nonlinear_tv`.

    Args:
        problem: G problems with a linear physics, or one with a Jacobian, solved in turn.
        weight: the weight in the units of `tv_solve`, or of `nonlinear_tv`; None chooses it for
            each problem.

    Returns:
        `(G, C, ...)` in the problem's units.

    Raises:
        UserError: as `tv_solve`.
    """
    if problem.physics.has_jacobian:
        return nonlinear_tv(problem, weight)
    images = []
    for i in range(len(problem.y)):
        one = problem.select(i)
        chosen = tv_weight(one) if weight is None else weight
        gap = COSTLY_TOLERANCE if _costly(one) else TOLERANCE
        images.append(tv_solve(one, chosen, tolerance=gap).image)
    return torch.cat(images)


def _costly(problem: Problem) -> bool:
    """Tell whether the products of a volume take so long that fewer have to do."""
    return problem.physics.matrix_free and len(problem.x_shape) == 4


def rough_tv(problem: Problem, weight: float) -> Tensor:
    """Run `tv_solve` to a relative gap of 1e-3 or 1000 iterations, in a fraction of `tv`'s time."""
    return tv_solve(problem, weight, tolerance=1e-3, max_iterations=ROUGH_ITERATIONS).image


def tv_weight(problem: Problem) -> float:
    """Find the weight `tv` chooses for one problem, once; see `Problem.after`."""
    return float(problem.cached("tv weight", _search))


def _search(problem: Problem, name: str = "tv weight", axes: int | None = None) -> Tensor:
    def search(one: Problem) -> Tensor:
        return _search(one, name, axes)

    # few columns or views choose weights too far apart to take one over
    if problem.part is not None and not problem.traits.few_lines:
        return taken_over(problem, problem.part, float(problem.part.cached(name, search)))
    plain = problem.weighted("uniform")
    size = float(problem.adjoint_level[0]) * plain.norm_squared
    bracket = (WEIGHTS[0] * size, WEIGHTS[1] * size)
    if problem.traits.only_noise:
        level = noise_of(problem) * math.sqrt(plain.norm_squared)
        bracket = (OF_NOISE[0] * level, OF_NOISE[1] * level)

    slow = _costly(problem)
    most = COSTLY_ITERATIONS if slow else SEARCH_ITERATIONS

    def prepare(fit: Problem) -> Callable[[float], Tensor]:
        solver = TVSolver(fit, axes)
        return lambda weight: solver.run(weight, SEARCH_TOLERANCE, most).image

    evaluations = COSTLY_EVALUATIONS if slow else EVALUATIONS
    found = choose_weight(plain, prepare, bracket, evaluations) * LOWER.get(problem.task, 1.0)
    return torch.tensor(found, dtype=torch.float64)


@torch.no_grad()
def temporaltv(problem: Problem, weight: float | None = None) -> Tensor:
    r"""Reconstruct a series by total variation along time alone.

    .. math:: \min_x \tfrac12 \|A x - y\|^2 + w \sum_{i, t} \|x_{i, t+1} - x_{i, t}\|_2

    the length over channels (real and imaginary part of MRI). L. Feng et al., "Golden-angle radial
    sparse parallel MRI", Magn. Reson. Med. 72 (2014), has it as the sparsity of dynamic MRI. The
    iteration, its certified gap and the choice of w are those of `tv`; `tv` itself is
    total variation in space and time.

    Args:
        problem: G series, solved in turn.
        weight: w; None chooses it from the measurements.

    Returns:
        `(G, C, T, H, W)` in the problem's units.

    Raises:
        UserError: a nonlinear physics, or no series.
    """
    require_series(problem, "temporaltv")
    images = []
    for i in range(len(problem.y)):
        one = problem.select(i)
        chosen = weight
        if chosen is None:
            chosen = float(one.cached(TEMPORAL, lambda p: _search(p, TEMPORAL, 1)))
        images.append(TVSolver(one, axes=1).run(chosen, 1e-3, 1000).image)
    return torch.cat(images)

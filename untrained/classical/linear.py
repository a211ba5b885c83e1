"""Classical answers that are linear in the measurements."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.maths import per_problem, sum_squares
from untrained.problem import Problem
from untrained.problem.scaling import least_squares_gain


@torch.no_grad()
def adjoint(problem: Problem) -> Tensor:
    r"""Compute c A^H y, c minimising ||c A A^H y - y||^2: the zero-filled image of MRI.

    Args:
        problem: G problems.

    Returns:
        `(G, C, H, W)` in the problem's units.
    """
    return problem.estimate()


def fbp(problem: Problem) -> Tensor:
    """Compute the filtered backprojection of a CT sinogram, or of every slice of a volume.

    Args:
        problem: G sinograms; its physics has `fbp(y)`.

    Returns:
        `(G, C, H, W)` in the problem's units.

    Raises:
        UserError: the physics is no CT of slices.
    """
    if problem.physics.filtered_name != "fbp":
        raise UserError(
            "method 'fbp' backprojects slices, and this scan is one of a volume by a cone beam; "
            "take 'fdk'"
        )
    return filtered(problem, "fbp")


def fdk(problem: Problem) -> Tensor:
    """Compute Feldkamp's reconstruction of a cone-beam scan; see `physics.fdk`.

    Args:
        problem: G scans of a `ConeCT`.

    Returns:
        `(G, 1, D, H, W)` in the problem's units.

    Raises:
        UserError: the physics is no cone beam.
    """
    if problem.physics.filtered_name != "fdk":
        raise UserError(
            "method 'fdk' is Feldkamp's algorithm and needs the cone-beam scan of a volume "
            f"('geometry' cone); the task is '{problem.task}'. Use 'fbp' for CT of slices, or 'tv'."
        )
    return filtered(problem, "fdk")


@torch.no_grad()
def filtered(problem: Problem, name: str = "fbp") -> Tensor:
    """Backproject CT views, filtered, by the algorithm of their geometry (`fbp` or `fdk`).

    Views that are held out only lower the brightness: it is restored by the least-squares factor.

    Raises:
        UserError: the physics is no CT; `name` is what the message calls the method.
    """
    image = problem.physics.fbp(problem.y)
    if image is None:
        raise UserError(
            f"method '{name}' is filtered backprojection and needs a CT problem; the task is "
            f"'{problem.task}'. Use 'adjoint', 'cgsense' or 'tv' instead."
        )
    if problem.keep is None:
        return image
    return image * per_problem(least_squares_gain(problem, image), image)


@torch.no_grad()
def cgsense(
    problem: Problem, *, iterations: int = 30, mu: float = 1e-3, tolerance: float = 1e-2
) -> Tensor:
    r"""Solve the regularised normal equations by conjugate gradients (CG-SENSE).

    .. math:: (A^H A + \mu \|A\|^2 I)\, x = A^H y, \qquad x_0 = 0

    K. P. Pruessmann et al., "Advances in sensitivity encoding with arbitrary k-space
    trajectories", Magn. Reson. Med. 46 (2001). Conjugate gradients reach the directions that
    the measurements determine well first and the noise-dominated ones last, so stopping early
    regularises. The stop needs no truth: the iteration ends where the residual of the normal
    equations has fallen to `tolerance` times ||A^H y||, or after `iterations` steps.

    Args:
        problem: G problems with a linear physics, solved in turn.
        iterations: most steps.
        mu: weight of ||x||^2, relative to ||A||^2.
        tolerance: relative residual at which the iteration ends.

    Returns:
        `(G, C, H, W)` in the problem's units.

    Raises:
        UserError: a nonlinear physics.
    """
    require_linear(problem, "cgsense")
    singles = (one.quick() for one in problem.weighted("uniform").each())
    return torch.cat(
        [_conjugate_gradients(one, one.back(one.y), iterations, mu, tolerance) for one in singles]
    )


@torch.no_grad()
def data_step(
    problem: Problem, x: Tensor, mu: float, iterations: int = 10, tolerance: float = 1e-3
) -> Tensor:
    r"""Move x towards the measurements: the proximal point of the data term.

    .. math:: \arg\min_u \|W^{1/2}(A u - y)\|^2 / \|W^{1/2} A\|^2 + \mu \|u - x\|^2

    by conjugate gradients from u = x. It corrects what the data determine well and leaves the
    rest as it is. With mu = 0 and as many steps as it takes it is x + A^+ (y - A x), the point
    nearest to x among those that fit y best.

    Args:
        problem: G problems with a linear physics; W is its weighting.
        x: `(G, C, H, W)` in the problem's units.
        mu: >= 0; the smaller, the closer to the data.
        iterations: most steps of conjugate gradients.
        tolerance: relative residual of the normal equations at which they end; 0 = after
            `iterations` steps.

    Raises:
        UserError: a nonlinear physics.
    """
    require_linear(problem, "data step")
    steps = []
    for i, one in enumerate(one.quick() for one in problem.each()):
        r = one.descent(x[i : i + 1])
        steps.append(_conjugate_gradients(one, r, iterations, mu, tolerance))
    return x + torch.cat(steps)


def _conjugate_gradients(
    problem: Problem, r: Tensor, iterations: int, mu: float, tolerance: float
) -> Tensor:
    """Solve (A^H W A + mu ||A||^2 I) x = r from x = 0."""
    shift = mu * problem.norm_squared if mu else 0.0
    x, d = torch.zeros_like(r), r
    energy = float(sum_squares(r))
    enough = tolerance**2 * energy
    for _ in range(iterations):
        if energy <= enough:
            break
        h = problem.normal(d) + shift * d
        curvature = float((d * h).sum())
        if not curvature > 0:  # of a direction that is zero, or that no measurement sees
            break
        step = energy / curvature
        x, r = x + step * d, r - step * h
        previous, energy = energy, float(sum_squares(r))
        d = r + energy / previous * d
    return x


def require_linear(problem: Problem, name: str) -> None:
    """Raise UserError where the physics is nonlinear."""
    if not problem.linear:
        raise UserError(
            f"method '{name}' solves linear problems, and this physics says it is nonlinear; "
            "use a method that fits a network, for example 'dip'."
        )


def require_picture(problem: Problem, name: str) -> None:
    """Raise UserError where the physics is nonlinear, or the image no picture or series of them."""
    require_linear(problem, name)
    if len(problem.x_shape) != 3 and not problem.physics.is_series:
        raise UserError(
            f"{name} is for pictures (C, H, W), and this image is {problem.x_shape}; take dct"
        )


def require_series(problem: Problem, name: str) -> None:
    """Raise UserError where the physics is nonlinear or the image has no axis of time."""
    require_linear(problem, name)
    if not problem.physics.is_series:
        raise UserError(
            f"method '{name}' reconstructs a time series (C, T, H, W), and this image is "
            f"{problem.x_shape}: give the frames with --series (in Python: physics.Series), or "
            "take tv"
        )

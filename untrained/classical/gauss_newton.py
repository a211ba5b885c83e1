"""Gauss-Newton for nonlinear operators with a Jacobian: smooth images, and total variation."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from untrained.classical.weight import OUT_OF_PROPORTION
from untrained.errors import UserError
from untrained.physics.grid_basis import NODES, GridBasis
from untrained.problem import Problem

LENGTH = 0.5  # correlation of smooth images, the side being 2
SOFT = 0.02  # differences of the image below this count as smooth in total variation
STEPS = {"smooth": 8, "variation": 20}
BEGIN = 1e-2  # weight of the smooth image that total variation begins with
LONGEST = 2.0  # largest change of the image in one step
STEPS_OF_WEIGHT = 5.0  # usual steps of `path`
SETTLED = 1e-3  # relative fall of the objective that ends the iteration
HALVINGS = 6
FRACTION, SEEDS = 0.1, (0, 1, 2)
ENOUGH = 120  # held-out voltages of one draw that judge alone; of fewer, three draws
TRIED = 9
WEIGHTS = {"smooth": (1e-1, 1e-5), "variation": (4e-2, 4e-4)}
"""Largest and smallest weight that is tried, in units of the mean square of the Jacobian."""
LARGER = {"smooth": (10.0, 4), "variation": (4e-2 * 10**0.25, 1)}
"""Where the largest of them is the best, as with noise of a hundredth of the voltages, the range
goes on up to this one in so many steps. Total variation goes one step only: held-out voltages would
go on, and edges lose their contrast."""
RISEN = 1.1
"""Smaller weights are not tried once the held-out error is so many times its least."""
TIE = 1.2
"""Held-out errors up to this ratio are equal where measurements repeat each other: those held out
hold the same errors of the model, and an image that is fitted to them is rewarded for it. Of such
weights the largest is taken."""
FLAT, PER_REST, LEAST_FLAT = 0.45, 45.0, 0.1
"""t_0, k and t_1 of `smooth_or_flat`."""
WIDTH = 0.1
"""b of `smooth_or_flat`."""
LEAST_SMOOTH = 0.1
"""The least s where injections repeat each other, as those of measured tanks do."""


@dataclass
class GaussNewton:
    r"""Minimise a nonlinear least-squares functional on a coarse grid of unknowns.

    .. math:: \min_c \|A(Bc) - y\|^2 + w\, m\, R(c)

    B interpolates a grid of 32 nodes a side, m is the mean square of the columns of J(0) B. R is

    - `smooth`: :math:`\int |\nabla c|^2 + c^2 / \ell^2`, a Matern prior of correlation length l;
    - `variation`: :math:`\sum \sqrt{|\nabla c|^2 + \epsilon^2}`, of which each step takes the
      quadratic form that touches it from above (lagged diffusivity: Vogel & Oman, SIAM J. Sci.
      Comput. 17, 1996).

    A step solves the normal equations of the linearised problem, and is halved until the objective
    falls.

    Args:
        problem: one problem; its physics has `jacobian_along`.
        prior: `smooth` or `variation`.
    """

    problem: Problem
    prior: str = "smooth"

    def __post_init__(self) -> None:
        self.grid = coarse_grid(self.problem)
        self.y = self._values(self.problem.y)
        zero = np.zeros(self.grid.size)
        jacobian = self._jacobian(zero)
        # of all measurements, so that a weight means the same where some are held out
        whole = self.problem.physics.jacobian_along(self.image(zero), self.grid.matrix)
        self.unit = float(np.mean(whole**2) * len(whole))
        if not 0 < self.unit < math.inf:
            raise UserError(OUT_OF_PROPORTION)
        self._first = jacobian

    def image(self, values: np.ndarray) -> Tensor:
        """Interpolate the nodes' values to an image `(1, C, H, W)`, float64."""
        pixels = self.grid.matrix @ values
        return torch.from_numpy(pixels).reshape(1, *self.problem.x_shape)

    def run(self, weight: float, start: np.ndarray | None = None, steps: int = 0) -> np.ndarray:
        """Iterate for a weight w, from zero or from the values at the nodes given."""
        values = np.zeros(self.grid.size) if start is None else start
        rest = self._rest(values)
        for step in range(steps or STEPS[self.prior]):
            jacobian = self._first if start is None and step == 0 else self._jacobian(values)
            form = weight * self.unit * self._form(values)
            normal = jacobian.T @ jacobian + form.toarray()
            normal[np.diag_indices_from(normal)] += 1e-9 * self.unit
            change = cho_solve(cho_factor(normal), jacobian.T @ rest - form @ values)
            before = self._objective(rest, values, weight)
            share = min(1.0, LONGEST / max(float(np.abs(change).max()), 1e-300))
            for _ in range(HALVINGS):
                tried = values + share * change
                rest = self._rest(tried)
                after = self._objective(rest, tried, weight)
                if after <= before:
                    break
                share /= 2
            else:
                return values
            values = tried
            if before - after <= SETTLED * before:
                break
        return values

    def path(self, weights: list[float]) -> Iterator[np.ndarray]:
        """Solve for weights, the largest first, each from the solution of the one before.

        Total variation begins at a smooth image: its own steps from zero are short.
        """
        values = None
        if self.prior == "variation":
            values = replace(self, prior="smooth").run(BEGIN, steps=4)
        for weight in weights:
            values = self.run(weight, values)
            yield values

    def _form(self, values: np.ndarray):  # type: ignore[no-untyped-def]
        if self.prior == "smooth":
            return self.grid.roughness(LENGTH)
        # per unit of length, so that the weight hardly depends on the grid
        return self.grid.variation(values, SOFT) * self.grid.spacing

    def _objective(self, rest: np.ndarray, values: np.ndarray, weight: float) -> float:
        if self.prior == "smooth":
            price = float(values @ (self._form(values) @ values))
        else:
            down, across = (slope @ values for slope in self.grid.slopes)
            price = 2 * float(np.sqrt(down**2 + across**2 + SOFT**2).sum()) * self.grid.spacing
        return float(rest @ rest) + weight * self.unit * price

    def _rest(self, values: np.ndarray) -> np.ndarray:
        return self.y - self._values(self.problem.physics.A(self.image(values)))

    def _jacobian(self, values: np.ndarray) -> np.ndarray:
        found = self.problem.physics.jacobian_along(self.image(values), self.grid.matrix)
        return found * self._values(torch.ones_like(self.problem.y))[:, None]

    def _values(self, measured: Tensor) -> np.ndarray:
        """Flatten measurements; 0 where they are missing or held out."""
        values = self.problem.visible(measured.double())
        mask = self.problem.physics.sampling_mask(values)
        return (values if mask is None else values * mask).cpu().numpy().ravel()


def coarse_grid(problem: Problem) -> GridBasis:
    """Make the grid of unknowns for what the problem's measurements depend on."""
    support = problem.physics.support
    sides = problem.x_shape[1:]
    if len(problem.x_shape) != 3 or problem.x_shape[0] != 1:
        raise UserError(f"gaussnewton makes images (1, H, W); this one is {problem.x_shape}")
    seen = torch.ones(sides) if support is None else support.reshape(sides)
    return GridBasis((sides[0], sides[1]), seen.cpu().numpy() > 0)


@torch.no_grad()
def gaussnewton(problem: Problem, weight: float | None = None) -> Tensor:
    """Reconstruct a smooth image by Gauss-Newton, its weight chosen on held-out measurements.

    Args:
        problem: G problems whose physics has a Jacobian (EIT).
        weight: w of `GaussNewton`; None chooses it for each problem.

    Returns:
        `(G, 1, H, W)` in the problem's units.

    Raises:
        UserError: the physics has no Jacobian.
    """
    return _each(problem, "smooth", weight)


@torch.no_grad()
def nonlinear_tv(problem: Problem, weight: float | None = None) -> Tensor:
    """Reconstruct by total variation, as `gaussnewton` reconstructs smooth images; see there."""
    return _each(problem, "variation", weight)


@torch.no_grad()
def linearised(problem: Problem) -> Tensor:
    """Reconstruct by one linearised step with a smoothness prior, the operator's first image.

    As GREIT (Adler et al., Physiol. Meas. 30, 2009) it is one matrix times the measurements, of
    fixed regularisation; unlike it, the matrix is a Tikhonov inverse.

    Raises:
        UserError: the physics has no Jacobian.
    """
    require_jacobian(problem, "linearised")
    return problem.estimate()


@torch.no_grad()
def smooth_or_flat(problem: Problem) -> Tensor:
    r"""Mix the image of total variation with the smooth one where it shows no flat pieces.

    .. math:: x = s\, x_{smooth} + (1 - s)\, x_{tv}, \qquad
              s = \Bigl[\frac{t - f}{b} + \tfrac12\Bigr]_0^1, \qquad
              t = \max\Bigl(t_0 - k \frac{\|A(x_{tv}) - y\|}{\|y\|},\ t_1\Bigr)

    f is the `flatness` of x_tv. A body of smooth changes suits the one image, one of flat pieces
    the other, by 1 to 4 dB either way, and held-out voltages do not tell which: both images
    explain them, since what differs hardly reaches the electrodes. The gradient of x_tv tells: of
    flat pieces it is gathered at their edges. Noise spreads it, and t falls with the rest of the
    fit. Where injections repeat each other s is at least 0.1. Constants: docs/eit.md.

    Args:
        problem: one problem whose physics has a Jacobian.

    Returns:
        `(1, 1, H, W)` in the problem's units.
    """
    flat = problem.cached("tv", nonlinear_tv)
    threshold = max(FLAT - PER_REST * unexplained(problem, flat), LEAST_FLAT)
    share = (threshold - flatness(flat, problem.physics.support)) / WIDTH + 0.5
    share = min(max(share, LEAST_SMOOTH if problem.physics.repeats else 0.0), 1.0)
    if not share:
        return flat
    return flat.lerp(problem.cached("gaussnewton", gaussnewton), share)


def unexplained(problem: Problem, image: Tensor) -> float:
    """Compute ||A(x) - y|| / ||y|| of one problem, of what was measured."""
    off, seen = (problem.visible(v).norm() for v in (problem.A(image) - problem.y, problem.y))
    return float(off / seen)


@torch.no_grad()
def mixture_seconds(problem: Problem) -> float:
    """Estimate the time of `smooth_or_flat`.

    One step is taken, and counted as often as the weights that are tried usually ask for.
    """
    solver = GaussNewton(problem.select(0), "variation")
    began = time.perf_counter()
    solver.run(BEGIN, np.zeros(solver.grid.size), steps=1)
    step = time.perf_counter() - began
    paths = len(_draws(solver.problem)) + 0.5  # of all measurements, down to the found weight
    images = 2.0 if problem.physics.repeats else 1.5  # half of the bodies are not flat
    return images * step * TRIED * STEPS_OF_WEIGHT * paths


def flatness(image: Tensor, support: Tensor | None = None) -> float:
    r"""Tell images of flat pieces from smooth ones by the lengths g of the gradient.

    .. math:: f = \frac{\max g}{\max x - \min x} + 1 - \frac{g_{70 \%}}{\bar g}

    The first is the highest edge within one spacing of the grid of unknowns, relative to the range
    of the image; the second how little is left between the edges: a ramp has a quotient of 1.

    Args:
        image: `(1, 1, H, W)`.
        support: `(1, 1, H, W)`, 0 where nothing is measured; None: all is.

    Returns:
        About -0.3 to 2; 1 for an image without edges.
    """
    x = image[0, 0].double().cpu().numpy()
    seen = np.ones(x.shape, bool) if support is None else support[0, 0].cpu().numpy() > 0
    inner = seen[:-1, :-1] & seen[1:, :-1] & seen[:-1, 1:]
    steps = np.hypot(x[1:, :-1] - x[:-1, :-1], x[:-1, 1:] - x[:-1, :-1])[inner]
    if not steps.any():
        return 1.0
    spacing = max(1.0, (max(x.shape) - 1) / (NODES - 1))
    edge = spacing * float(steps.max() / np.ptp(x[seen]))
    return edge + 1.0 - float(np.quantile(steps, 0.7) / steps.mean())


def require_jacobian(problem: Problem, name: str) -> None:
    """Refuse a problem whose operator has no Jacobian."""
    if not problem.physics.has_jacobian:
        raise UserError(
            f"method '{name}' needs an operator with a Jacobian, as that of eit; this problem's "
            f"task is '{problem.task}'"
        )


def _each(problem: Problem, prior: str, weight: float | None) -> Tensor:
    require_jacobian(problem, "tv" if prior == "variation" else "gaussnewton")
    images = []
    for i in range(len(problem)):
        one = problem.select(i)
        last = found_weight(one, prior) if weight is None else weight
        solver = GaussNewton(one, prior)
        for values in solver.path(_path_to(last, prior)):
            image = solver.image(values)
        images.append(image.to(one.y))
    return torch.cat(images)


def found_weight(problem: Problem, prior: str) -> float:
    """Find the weight of one problem, once; of all measurements anew, beside that of a part."""
    return float(problem.cached(f"gaussnewton {prior}", lambda one: _search(one, prior)))


def tried_weights(prior: str) -> list[float]:
    """List the weights that are tried first, the largest first."""
    high, low = WEIGHTS[prior]
    return [float(w) for w in np.geomspace(high, low, TRIED)]


def larger_weights(prior: str) -> list[float]:
    """List larger weights, the largest first, and at last the largest of `tried_weights`."""
    most, steps = LARGER[prior]
    return [float(w) for w in np.geomspace(most, WEIGHTS[prior][0], steps + 1)]


def _path_to(last: float, prior: str) -> list[float]:
    """List the weights from which the solution for the last one starts, and it."""
    usual = tried_weights(prior)
    weights = larger_weights(prior) if last >= usual[0] else usual
    return [*(w for w in weights if w > last), last]


def _search(problem: Problem, prior: str) -> Tensor:
    """Choose the weight of the least held-out error, or the largest of nearly the least."""
    weights, draws = tried_weights(prior), _draws(problem)
    found = weights[len(weights) // 2]  # where nothing can be held out
    if draws:
        errors = _errors(weights, draws, prior)
        tie = TIE if problem.physics.repeats else 1.0
        found = weights[int(np.argmax(errors <= tie * errors.min()))]
    if found == weights[0]:
        weights = larger_weights(prior)
        errors = _errors(weights, draws, prior)
        found = weights[int(errors.argmin())]
    return torch.tensor(found, dtype=torch.float64)


def _errors(weights: list[float], draws: list[tuple[Problem, Problem]], prior: str) -> np.ndarray:
    """Sum the held-out errors of each weight; once they rise, the smaller ones are left out."""
    errors: list[float] = []
    for of_draws in zip(*(_held_out_errors(*draw, prior, weights) for draw in draws), strict=True):
        errors.append(sum(of_draws))
        if errors[-1] > RISEN * min(errors):
            break
    return np.array(errors)


def _held_out_errors(
    fit: Problem, held: Problem, prior: str, weights: list[float]
) -> Iterator[float]:
    """Yield the error of what is held out for each weight, the largest first."""
    solver = GaussNewton(fit, prior)
    for values in solver.path(weights):
        yield float(held.misfit(solver.image(values).to(fit.y))[0])


def _draws(problem: Problem) -> list[tuple[Problem, Problem]]:
    """Draw measurements to hold out, once or three times; an empty list where none can be.

    Single ones, unless measurements repeat each other: of few injections most are independent of
    the others, and how well one is predicted tells the errors of the mesh at the electrodes, not
    those of the image.
    """
    scattered = not problem.physics.repeats
    found = []
    for seed in SEEDS:
        try:
            found.append(problem.split(FRACTION, seed, scattered))
        except UserError:
            break
        if found[0][1].n_visible >= ENOUGH:
            break
    return found

"""The weight of a regulariser without the truth: by held-out measurements or the known noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.noncartesian import NonCartesianMRI
from untrained.problem import Problem

FRACTION = {"ct": 0.15}
"""Share of the measurements held out, 0.05 elsewhere. One view of twenty or thirty is a poor judge:
it chose levels of `dct` twice too high, at a cost of up to 3 dB (docs/methods/classical.md)."""
SEED = 0
GOLDEN = (math.sqrt(5) - 1) / 2
PROBE = 0.1  # step of the probe in standard deviations of the noise
OUT_OF_PROPORTION = (
    "no weight of a regulariser can be found: the measurements, or the numbers of the operator, "
    "are out of all proportion; check their units and scale"
)
TIE = 0.99  # errors on a few columns or views differ by as much without a reason
LEAST_SIGMA = 1e-3  # gains of a picture without noise would be 0/0
FOLDS = {"mri": 2}
"""How often 5 % are drawn anew, and the errors added: once elsewhere. Three columns of k-space
alone are off by up to 1 dB."""

Solve = Callable[..., Tensor]


def choose_weight(
    problem: Problem,
    prepare: Callable[[Problem], Solve],
    bracket: tuple[float, float],
    evaluations: int = 9,
) -> float:
    r"""Choose the weight that predicts held-out measurements best, or has least expected error.

    The latter where y is x with noise of known strength (denoising), the former elsewhere:

    .. math:: \hat w = \arg\min_w \|A_{held}\, x_w - y_{held}\|^2, \qquad
              x_w = \arg\min_x \tfrac12\|A_{fit}\, x - y_{fit}\|^2 + w R(x)

    5 % of the measurements, 15 % of views, are held out, as the physics says (`holdout`: pixels,
    k-space samples outside the centre, whole views); where it says so they stand for all that was
    never measured (`Problem.expected_misfit`). Golden-section search on log w, from large weights
    to small; each solution starts at the previous one. Columns and views are few, and of weights
    that predict them equally well up to 1 % the largest is taken. Where nothing can be held out
    (three views, no sample outside the centre of k-space) the middle of the bracket has to do.

    Denoising asks `sure_error`, with the noise level given or estimated, in place of held-out
    pixels, which are predicted from their neighbours alone and so call for too much smoothing where
    the image has details of one pixel: 2.7 dB on a volume of 2 mm voxels.

    Args:
        problem: one problem.
        prepare: gives, for the fitted part, a function from a weight to its solution
            `(1, C, H, W)`, in that part's own units.
        bracket: smallest and largest weight, in the units of `problem`.
        evaluations: number of solutions computed.

    Returns:
        The weight for all measurements, in the units of `problem`.
    """
    if not all(0 < bound < math.inf for bound in bracket):
        raise UserError(OUT_OF_PROPORTION)
    low, high = (math.log(b) for b in bracket)
    error = expected_error(problem, prepare)
    if error is None:
        return math.exp((low + high) / 2)
    best = golden_section(lambda w: error(math.exp(w)), low, high, evaluations, tie_of(problem))
    return math.exp(best)


def expected_error(
    problem: Problem, prepare: Callable[[Problem], Solve]
) -> Callable[..., float] | None:
    """Make the function from a weight to the error that `choose_weight` minimises.

    None where no measurement can be held out.
    """
    if problem.traits.only_noise:
        return sure_error(problem, prepare)
    seeds = range(SEED, SEED + FOLDS.get(problem.task, 1))
    errors = [held_out_error(problem, prepare, seed) for seed in seeds]
    asked = [error for error in errors if error is not None]
    return (lambda *given: sum(error(*given) for error in asked)) if asked else None


def held_out_error(
    problem: Problem, prepare: Callable[[Problem], Solve], seed: int = SEED
) -> Callable[..., float] | None:
    """Make the function from a weight to the error it has on held-out measurements.

    The weight is in the units of `problem`; arguments as of `choose_weight`. Further arguments of
    the function are passed on to the solution. None where no measurement can be held out.
    """
    try:
        fraction = FRACTION.get(problem.task, 0.05)
        fit, held = problem.split(fraction, seed, scattered=True)
    except UserError:
        return None
    solve = prepare(fit)
    # x and y shrink by this factor in fit's units; a weight of x's one-homogeneous R with them.
    shrink = float(problem.scale[0] / fit.scale[0])
    return lambda weight, *how: float(fit.expected_misfit(solve(weight * shrink, *how), held)[0])


def noise_of(problem: Problem) -> float:
    """Return the standard deviation of the noise in y, for denoising: as given, or estimated."""
    if problem.sigma:
        return float(problem.sigma)
    return noise_level(problem, problem.estimate()) * math.sqrt(problem.norm_squared)


def noise_level(problem: Problem, image: Tensor) -> float:
    """Return the standard deviation of the noise: given, or estimated from the finest wavelets."""
    from skimage.restoration import estimate_sigma

    sigma = problem.sigma
    if sigma is None:
        # constant channels have no level, and would lower the mean
        channels = [c for c in image[0].cpu().numpy() if c.min() < c.max()]
        # a last axis of 3 or 4, such as that of three views, would be taken for colours
        known = [float(estimate_sigma(c.T if c.shape[-1] in (3, 4) else c)) for c in channels]
        sigma = sum(known) / len(known) if known else 0.0
    return sigma if sigma > LEAST_SIGMA else LEAST_SIGMA  # of a nearly flat picture it is NaN


def relative_noise(problem: Problem) -> float:
    """Return the noise level of the measurements, seen as a picture, relative to their mean |y|."""
    return noise_level(problem, problem.y) / max(float(problem.y.abs().mean()), LEAST_SIGMA)


def sure_error(problem: Problem, prepare: Callable[[Problem], Solve]) -> Callable[..., float]:
    r"""Make the function from a weight to Stein's unbiased estimate of its squared error.

    .. math:: \|A x_w(y) - y\|^2 + \tfrac{2 \sigma^2}{\epsilon}\,
              b^T (A x_w(y + \epsilon b) - A x_w(y)), \qquad b_i = \pm 1

    up to a constant, over the visible measurements, with the divergence by one random probe
    (Ramani, Blu & Unser, IEEE Trans. Image Process. 17, 2008). Arguments as of `choose_weight`;
    sigma is `noise_of`.
    """
    sigma, step, probe, moved_problem = probed(problem)
    solve, solve_probed = prepare(problem), prepare(moved_problem)

    def error(weight: float, *how: object) -> float:
        x = problem.A(solve(weight, *how))
        moved = problem.A(solve_probed(weight, *how)) - x
        misfit = problem.visible(x - problem.y).double().square().sum()
        return float(misfit + 2 * sigma**2 / step * (probe * moved).double().sum())

    return error


def probed(problem: Problem) -> tuple[float, float, Tensor, Problem]:
    """Return noise level, step, random signs b, and the problem with step * b added to its y."""
    sigma = noise_of(problem)
    step = PROBE * sigma
    generator = torch.Generator().manual_seed(SEED)
    signs = torch.randint(2, problem.y.shape, generator=generator) * 2.0 - 1
    probe = problem.visible(signs.to(problem.y))
    return sigma, step, probe, problem.with_measurements(problem.y + step * probe)


def taken_over(problem: Problem, part: Problem, weight: float) -> Tensor:
    """Convert the weight of `part` to the units of the whole, `problem`; float64, no axes."""
    return weight * (part.scale[0].double() / problem.scale[0].double()).cpu()


def settings_taken_over(problem: Problem, source: Problem, found: tuple[float, float]) -> Tensor:
    """Convert a level and a setting without a unit from `source` to `problem`; float64, `(2,)`."""
    level, other = found
    taken = taken_over(problem, source, level)
    return torch.stack([taken, torch.full_like(taken, other)])


def on_trajectory(problem: Problem) -> bool:
    """Tell whether samples of k-space lie along the shots of a trajectory, and not on a grid."""
    return isinstance(problem.physics, NonCartesianMRI)


def tie_of(problem: Problem) -> float:
    """Return the ratio from which errors count as equal: TIE for few lines or views, else 1."""
    return TIE if problem.traits.few_lines else 1.0


def by_octaves(
    f: Callable[[float], float], start: float, halvings: int, doublings: int, tie: float = 1.0
) -> float:
    """Minimise f > 0 over points that are factors of two apart, refined by one of sqrt(2).

    Halves of `start` are tried until two in a row are worse than the best, and where `start` is
    the best then, doubles of it. Last come the best one's neighbours. Of points whose values
    agree up to the factor `tie` <= 1 the largest is the best.
    """
    tried = {start: f(start)}
    for factor, count in ((0.5, halvings), (2.0, doublings)):
        worse = 0
        for k in range(1, count + 1):
            value = start * factor**k
            tried[value] = f(value)
            worse = 0 if tried[value] == min(tried.values()) else worse + 1
            if worse == 2:
                break
        if _highest_of_the_best(tried, tie) < start:
            break
    middle = _highest_of_the_best(tried, tie)
    for value in (middle * math.sqrt(2), middle / math.sqrt(2)):
        tried[value] = f(value)
    return _highest_of_the_best(tried, tie)


def golden_section(
    f: Callable[[float], float], low: float, high: float, evaluations: int, tie: float = 1.0
) -> float:
    """Minimise a unimodal f > 0 on [low, high] by `evaluations` values: the best point tried.

    Of points whose values agree up to the factor `tie` <= 1 the highest is the best.
    """
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    tried = {right: f(right)}
    tried[left] = f(left)
    for _ in range(evaluations - 2):
        if tried[left] < tie * tried[right]:
            high, right = right, left
            left = new = high - GOLDEN * (high - low)
        else:
            low, left = left, right
            right = new = low + GOLDEN * (high - low)
        tried[new] = f(new)
    return _highest_of_the_best(tried, tie)


def _highest_of_the_best(tried: dict[float, float], tie: float) -> float:
    """Return the highest point whose value is the least, up to the factor `tie`."""
    least = min(tried.values())
    if not math.isfinite(least):
        raise UserError(OUT_OF_PROPORTION)
    return max(point for point in tried if tie * tried[point] <= least)

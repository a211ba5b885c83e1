"""Shares of several images in the mixture of least expected error, without the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from untrained.classical.linear import data_step
from untrained.classical.weight import SEED, noise_level, probed
from untrained.errors import UserError
from untrained.problem import Problem

HELD_OUT = 0.05
SPLIT = 0.3  # alpha of `split_noise_shares`
CUT, ITERATIONS = 1e-4, 60
"""epsilon of `split_noise_shares`, and the conjugate gradients that P takes. What the blur lowers
to less than 1 % does not count; a higher epsilon misses where total variation is the better."""

Images = Callable[[Problem], Tensor]


def sure_shares(problem: Problem, images: Images) -> Tensor:
    r"""Find the shares of several denoised images by Stein's unbiased risk estimate.

    .. math:: \min_{s \ge 0,\ \sum s_k = 1} \Bigl\|\sum_k s_k (A x_k(y) - y)\Bigr\|^2
              + \tfrac{2 \sigma^2}{\epsilon} \sum_k s_k\,
              b^T (A x_k(y + \epsilon b) - A x_k(y))

    As in `weight.sure_error`, for any linear mixture (T. Blu, F. Luisier, "The SURE-LET approach to
    image denoising", IEEE Trans. Image Process. 16, 2007).

    Args:
        problem: one problem.
        images: gives K images of a problem, `(K, 1, C, *sides)` in its units.

    Returns:
        s, float64 `(K,)` on the CPU.
    """
    sigma, step, probe, moved_problem = probed(problem)
    seen, moved = ([problem.A(x).double() for x in images(one)] for one in (problem, moved_problem))
    off = torch.stack([problem.visible(x - problem.y).flatten() for x in seen])
    pairs = zip(seen, moved, strict=True)
    divergence = torch.stack([(probe * (after - before)).sum() / step for before, after in pairs])
    return least_quadratic(off @ off.T, 2 * sigma**2 * divergence)


def split_noise_shares(problem: Problem, images: Images, pilot: Tensor) -> Tensor:
    r"""Find the shares of several deblurred images by measurements with independent noise.

    .. math:: y_1 = y + \alpha n, \quad y_2 = y - n / \alpha, \quad n \sim N(0, \sigma^2 I),
              \qquad \min_{s \ge 0,\ \sum s_k = 1}
              \Bigl\|P \Bigl(\sum_k s_k A x_k(y_1) - y_2\Bigr)\Bigr\|^2, \quad
              P = (A^T A / \|A\|^2 + \epsilon I)^{-1} A^T

    Given the image, y_1 and y_2 are independent, so that y_2 judges what was made of y_1 without
    bias, and the noise of y_1 is larger by 4 % only (N. L. Oliveira, J. Lei, R. J. Tibshirani,
    "Unbiased risk estimation in the normal means problem via coupled bootstrap techniques", 2021).
    P undoes the blur where it leaves 1 % and more of a frequency: an error there counts as it does
    in the image. The error of held-out pixels is blurred, and does not show whether the blur was
    undone.

    Args:
        problem: one problem of deblurring.
        images: gives K images of a problem, `(K, 1, C, H, W)` in its units.
        pilot: an image `(1, C, H, W)`, whose measurements stand in for hidden ones where an
            unknown noise level is estimated.

    Returns:
        s, float64 `(K,)` on the CPU.
    """
    seen = problem.visible(torch.ones_like(problem.y))
    whole = seen * problem.y + (1 - seen) * problem.physics.A(pilot)
    sigma = noise_level(problem, whole)
    draw = torch.randn(problem.y.shape, generator=torch.Generator().manual_seed(SEED))
    noise = sigma * problem.visible(draw.to(problem.y))
    judge = problem.y - noise / SPLIT

    def undone(x: Tensor) -> Tensor:
        residual = problem.visible(problem.A(x) - judge)
        return data_step(
            problem.with_measurements(residual), torch.zeros_like(x), CUT, ITERATIONS
        ).double()

    made = images(problem.with_measurements(problem.y + SPLIT * noise))
    off = torch.stack([undone(x).flatten() for x in made])
    return least_squares(off)


def held_out_residuals(
    problem: Problem, images: Callable[[Problem, float], Sequence[Tensor]], seed: int = SEED
) -> Tensor | None:
    """Compute how far off several images of the fitted part are on the measurements held out.

    Args:
        problem: one problem, of whose measurements 5 % are held out.
        images: gives K images `(1, C, *sides)` of the fitted part, in its units, from that part
            and the factor by which images and weights shrink in its units.
        seed: of the draw.

    Returns:
        The residuals, float64 `(K, n)`, for `least_squares`; None where nothing can be held out.
    """
    try:
        fit, held = problem.split(HELD_OUT, seed, scattered=True)
    except UserError:
        return None
    made = images(fit, float(problem.scale[0] / fit.scale[0]))
    return torch.stack([held.visible(held.A(x) - held.y).flatten().double() for x in made])


def least_squares(off: Tensor) -> Tensor:
    """Minimise ||sum_k s_k off_k||^2 over shares s >= 0 of sum one.

    Args:
        off: float64 `(K, n)`, the residual of each image.

    Returns:
        s, float64 `(K,)` on the CPU.
    """
    return least_quadratic(off @ off.T, off.new_zeros(len(off)))


def least_quadratic(square: Tensor, line: Tensor) -> Tensor:
    """Minimise s^T Q s + l^T s over shares s >= 0 of sum one; equal shares where Q is zero.

    Args:
        square: Q, `(K, K)`, positive semidefinite.
        line: l, `(K,)`.

    Returns:
        s, float64 `(K,)` on the CPU.
    """
    from scipy.optimize import minimize

    count, size = len(line), float(square.diagonal().max())
    if size == 0:  # no noise: all images are the measured one
        return torch.full((count,), 1 / count, dtype=torch.float64)
    quadratic, linear = ((part.double() / size).cpu().numpy() for part in (square, line))
    found = minimize(
        lambda s: s @ quadratic @ s + linear @ s,
        [1 / count] * count,
        jac=lambda s: 2 * quadratic @ s + linear,
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda s: s.sum() - 1, "jac": lambda s: 0 * s + 1},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 200},
    )
    return torch.from_numpy(found.x / found.x.sum())

r"""Low rank and non-local Bayes of similar blocks as one prior: the classical part of `house`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from torch import Tensor

from untrained.classical import low_rank, nonlocal_bayes
from untrained.classical.block_matching import match_blocks, noise_of_views
from untrained.classical.kept_pixels import closed, kept_noise
from untrained.classical.linear import data_step, require_picture
from untrained.classical.low_rank import shrink_groups
from untrained.classical.nonlocal_bayes import likeliest
from untrained.classical.sliding_dct import (
    DOUBLINGS,
    HALVINGS,
    LEVEL,
    STEPS,
    TRIAL_ROUNDS,
    UNTRIED,
    dct_weighed,
    falling,
    levels_to,
    split_by_cosines,
    tv_start,
    unit,
)
from untrained.classical.weight import (
    by_octaves,
    expected_error,
    held_out_error,
    on_trajectory,
    relative_noise,
    settings_taken_over,
    tie_of,
)
from untrained.problem import Problem

ROUNDS, FRESH, MOMENTUM = 12, 3, 0.7
ROUNDS_OF = {"ct": (8, 8)}
"""Rounds in which the level falls, and rounds at the last level, elsewhere ROUNDS and none."""
FIRST_LEVEL = 3.0  # in units of the last
RANK_LEVEL = 1.25  # of low rank, in units of that of non-local Bayes

COUPLINGS = (2.0, 0.6, 0.2, 0.06, 0.02, 0.006)
FIRST = 0.2  # the search begins with it, or with the highest one that is tried
LEVELS = LEVEL / 2**HALVINGS, LEVEL * 2**DOUBLINGS
MOST_TRIALS = 26

SHARE = {"inpaint": 0.35}
"""The last level in units of the one found, 0.5 elsewhere. It is found with cosines, which describe
structure worse and so ask for more."""
COUPLING = 3.0  # in units of the one found, which goes with the higher level
OF_RANK = {"deblur": 0.25, "mri": 0.25}
"""Share of low rank in x; 0.5 elsewhere. Blurred photographs have noise, which it keeps more of."""
TRIED = {"ct": COUPLINGS[:5], "mri": COUPLINGS[3:5]}
"""The couplings tried; elsewhere all of them. A few held-out columns of k-space may prefer one of
2, where knees at 2x are 8 dB worse than at 0.06."""
LOWER = {"mri": {0.06: 0.83, 0.02: 0.7}}
"""Factor of the level at a coupling: at the smallest ones there is little noise, and the aliases of
the columns that were fitted, fewer than were measured, call for too high a level."""

NOISY = {"ct": 0.02}
"""Noise relative to the mean |y| above which what was set on good measurements fails."""
RAISED = ("ct",)
"""Where higher levels than the one found with cosines are tried: on some scans it is half of the
best, and the image 1 to 3 dB worse. With little noise the gap of a held-out view, twice as wide as
the others, asks for too much, and half of the octaves are taken."""
LEAST_OF_NOISE = 0.85, 0.27
"""The least s, in units of the noise of kept pixels beside missing ones, and the least mu s^2, in
units of its square. Held-out pixels are noisy themselves, and do not show that kept ones are to be
denoised. Set on 8 pictures: docs/methods/house.md."""
RAISE, MOST_RAISES, COARSE = math.sqrt(2), 3, 5


@torch.no_grad()
def two_priors(problem: Problem) -> Tensor:
    r"""Reconstruct by half-quadratic splitting with the mean of two denoisers as the prior.

    .. math:: q_k = z_{k-1} + 0.7\, (z_{k-1} - z_{k-2}), \qquad
              x_k = r L_{1.25 \sigma_k}(q_k) + (1 - r) B_{\sigma_k}(q_k), \qquad
              z_k = \arg\min_z \frac{\|W^{1/2} (A z - y)\|^2}{\|W^{1/2} A\|^2}
                    + 3 \mu\, \frac{\sigma_K^2}{\sigma_k^2}\, \|z - x_k\|^2

    r is 1/2, for deblurring and MRI 1/4. L is `shrink_groups`, B the non-local Bayes of `nlbayes`,
    whose statistics are those of the image of L. z_0 is the image of `dct`'s splitting with the
    level s and the coupling mu that predict held-out measurements best (on MRI mu is 0.06 or 0.02:
    a few columns cannot find it). sigma_k falls in equal ratios to sigma_K = s/2 in K = 12 rounds,
    from three times that or, on MRI, from where `lowrank` begins. The answer is x_K, for missing
    pixels z_K, where noise lets it (`closed`). On CT sigma_k falls in 8 rounds and stays for 8
    more, and L and B expect noise as it comes from views (`noise_of_views`).

    Where pixels are missing and the kept ones are noisy, by sigma (`kept_noise`), s is at least
    0.85 sigma and mu s^2 at least 0.27 sigma^2.

    mu stands for the noise of the measurements, s for how far the prior is to be trusted. With a
    fixed mu, as `dct`, `lowrank` and `nlbayes` have it, noisy scans get a level that is too low.
    Means of several denoisers in one splitting: G. T. Buzzard et al., "Plug-and-play unplugged:
    optimization-free reconstruction using consensus equilibrium", SIAM J. Imaging Sci. 11 (2018).

    Args:
        problem: G problems with a linear physics, solved in turn.

    Returns:
        `(G, C, H, W)` in the problem's units.

    Raises:
        UserError: a nonlinear physics, or no picture.
    """
    require_picture(problem, "two_priors")
    singles = [dct_weighed(problem.select(i)) for i in range(len(problem.y))]
    return torch.cat([solve_at(one, *settings(one)) for one in singles])


def solve_at(problem: Problem, found: float, coupling: float, stride: int = 4) -> Tensor:
    """Run `two_priors` on one problem at the s and mu of `settings`; blocks `stride` apart."""
    found, coupling = _at_least_for(kept_noise(problem), found, coupling)
    x = split_by_cosines(problem, tv_start(problem), levels_to(problem, found), coupling)
    level = SHARE.get(problem.task, 0.5) * found
    level *= LOWER.get(problem.task, {}).get(coupling, 1.0)
    level = max(level, LEVELS[0] * unit(problem))
    coupling *= COUPLING
    rank = OF_RANK.get(problem.task, 0.5)
    first, fixed = FIRST_LEVEL, problem.traits.measures == "lines"
    if fixed:
        # few columns leave aliases in the start; a coupling that followed so high a level would
        # leave x without a say
        first = max(first, low_rank.FIRST_LEVEL * unit(problem) / level)
    z = before = data_step(problem, x, coupling, STEPS)
    of_rank, of_bayes = _noise_of(problem, x)
    for k, above in enumerate(_levels(problem, first)):
        q, sigma = z + MOMENTUM * (z - before), above * level
        if k % FRESH == 0:
            groups = match_blocks(q, low_rank.BLOCKS._replace(stride=stride))
        low = problem.supported(shrink_groups(q, groups, RANK_LEVEL * sigma, of_rank))
        if k % FRESH == 0:
            draws = match_blocks(low, nonlocal_bayes.BLOCKS._replace(stride=stride))
        x = problem.supported(likeliest(low, q, draws, sigma, of_bayes)).lerp(low, rank)
        z, before = data_step(problem, x, coupling / (1 if fixed else above**2), STEPS), z
    return closed(problem, x, z) if problem.traits.missing_pixels else x


def _levels(problem: Problem, first: float) -> list[float]:
    """List the levels of the rounds, in units of the last."""
    falls, stays = ROUNDS_OF.get(problem.task, (ROUNDS, 0))
    return falling(first, 1.0, falls) + [1.0] * stays


def _noise_of(problem: Problem, image: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return the covariance of the noise in a block of low rank, and in one of non-local Bayes."""
    if problem.traits.measures != "views":
        return None, None
    kinds = low_rank.BLOCKS, nonlocal_bayes.BLOCKS
    of_rank, of_bayes = (noise_of_views(kind, image) for kind in kinds)
    return of_rank, of_bayes


def _at_least_for(noise: float, level: float, coupling: float) -> tuple[float, float]:
    """Raise s and mu to what noise in kept pixels asks for (`LEAST_OF_NOISE`); unchanged without.

    mu s^2 stays what it was where it is enough: the two were found together, and a higher level
    goes with a smaller coupling.
    """
    if not noise:
        return level, coupling
    least, strength = LEAST_OF_NOISE
    raised = max(level, least * noise)
    return raised, max(coupling * level**2, strength * noise**2) / raised**2


def settings(problem: Problem) -> tuple[float, float]:
    """Find s, in the problem's units, and mu, once per problem; see `Problem.after`."""
    level, coupling = problem.cached("two priors settings", _search).tolist()
    return level, coupling


def _search(problem: Problem) -> Tensor:
    if problem.part is not None:
        return settings_taken_over(problem, problem.part, settings(problem.part))

    def prepare(fit: Problem) -> Callable[[float, float], Tensor]:
        start = tv_start(fit)
        return lambda level, coupling: split_by_cosines(
            fit, start, levels_to(fit, level, TRIAL_ROUNDS), coupling, stride=2
        )

    # one draw of shots, which cross all of k-space, judges well enough
    error = held_out_error if on_trajectory(problem) else expected_error
    asked = error(problem, prepare)
    if asked is None:
        return torch.tensor([UNTRIED * unit(problem), _tried(problem)[1]], dtype=torch.float64)
    level, coupling = _descend(asked, problem)
    if problem.task in RAISED:
        raised = _raised(problem, level, coupling)
        level = raised if is_noisy(problem) else math.sqrt(level * raised)
    return torch.tensor([level, coupling], dtype=torch.float64)


def is_noisy(problem: Problem) -> bool:
    """Tell whether measurements are so noisy that what was set on good ones fails (`NOISY`)."""
    return problem.task in NOISY and relative_noise(problem) > NOISY[problem.task]


def _raised(problem: Problem, level: float, coupling: float) -> float:
    """Raise the level while `two_priors` itself predicts held-out views as well, up to 1 %."""
    error = held_out_error(problem, lambda fit: partial(solve_at, fit, stride=COARSE))
    if error is None:
        return level
    tie, known = tie_of(problem), error(level, coupling)
    for _ in range(MOST_RAISES):
        higher = error(level * RAISE, coupling)
        if tie * higher > known:
            break
        level, known = level * RAISE, min(known, higher)
    return level


def _tried(problem: Problem) -> tuple[Sequence[float], float]:
    """Return the couplings that are tried, and the first of them."""
    couplings = TRIED.get(problem.task, COUPLINGS)
    return couplings, min(FIRST, couplings[0])


def _descend(asked: Callable[..., float], problem: Problem) -> tuple[float, float]:
    """Descend a grid to the level and coupling of least error, from one coupling's best level.

    A step goes to any neighbour, also along the valley, where a higher level goes with a smaller
    coupling.
    """
    error, (couplings, middle) = cache(asked), _tried(problem)
    start = LEVEL * unit(problem)
    first = by_octaves(
        lambda level: error(level, middle), start, HALVINGS, DOUBLINGS, tie_of(problem)
    )

    lowest, highest = (round(2 * math.log2(end * unit(problem) / first)) for end in LEVELS)

    def at(i: int, j: int) -> float:
        return error(first * 2 ** (i / 2), couplings[j])

    best = 0, couplings.index(middle)
    tried = {best: at(*best)}
    while len(tried) < MOST_TRIALS:
        i, j = best
        near = [(i + 1, j + 1), (i - 1, j - 1), (i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
        inside = [(a, b) for a, b in near if 0 <= b < len(couplings)]
        tried |= {(a, b): at(a, b) for a, b in inside if lowest <= a <= highest}
        best = min(tried, key=lambda place: tried[place])
        if best == (i, j):
            break
    return first * 2 ** (best[0] / 2), couplings[best[1]]

"""Several classical images of one measurement, mixed with the least expected error."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from untrained.classical import low_rank
from untrained.classical.block_matching import match_blocks
from untrained.classical.flat_pieces import flat_shares, mixed_if_flat
from untrained.classical.kept_pixels import kept_noise
from untrained.classical.low_rank import lowrank, shrink_groups
from untrained.classical.nonlocal_bayes import BLOCKS, likeliest, nlbayes
from untrained.classical.pair_of_priors import is_noisy, settings, solve_at, two_priors
from untrained.classical.shares import (
    held_out_residuals,
    least_squares,
    split_noise_shares,
    sure_shares,
)
from untrained.classical.shots import of_shots
from untrained.classical.sliding_dct import dct_denoise, hand_down
from untrained.classical.total_variation import rough_tv, tv_weight
from untrained.classical.weight import noise_level, on_trajectory
from untrained.physics.masks import along_lines
from untrained.problem import Problem

OF_LINES = 0.7, 0.3  # shares of `two_priors` and `lowrank` from views or columns
FEW_VIEWS = 12, 24  # up to the first, `two_priors` has no share; from the second on OF_LINES holds
COLUMNS = 0.125, 0.25
"""Shares of k-space: up to the first, OF_LINES holds; from the second on, `lowrank` has LOW, and
held-out columns divide the rest between `two_priors` and `nlbayes`."""
LOW, OF_BAYES = 0.2, 0.4  # the latter: of `nlbayes` in that rest, where no column can be held out
OF_COARSE = 0.5, 0.3, 0.2  # shares of `two_priors`, `nlbayes` and `tv` in super-resolution
OWN_SHARE = "share of two priors"  # name of s in the problem's cache
OF_TWO_NOISY = 0.7  # share of `two_priors` where kept pixels are noisy; beside `nlbayes`
SPARSE = 5  # distance of two blocks where shares are found


@torch.no_grad()
def denoised(problem: Problem) -> Tensor:
    r"""Mix the images of several denoisers so that the expected error is least.

    .. math:: x = \sum_k s_k x_k, \qquad
              s = \arg\min_{s \ge 0,\ \sum s_k = 1} \mathrm{SURE}(s)

    x_1 is `nlbayes`; x_2 is non-local Bayes once more, with the blocks and the statistics of x_1;
    x_3 is `shrink_groups` with the blocks of x_1; x_4 is `tv`, solved to a relative gap of 1e-3. A
    volume has x_1 and x_4. Stein's estimate (`sure_shares`) is a quadratic form in s; it takes
    two thirds of the blocks. The second pass suits images whose structures repeat, total variation
    images of flat pieces (docs/methods/house.md, "The classical image"). Where a part of the pixels
    was solved before, its s is taken. An unknown noise level is estimated (`noise_of`).

    Args:
        problem: one problem of denoising, an image or a volume.

    Returns:
        `(1, C, *sides)` in the problem's units.
    """
    weight, shares = tv_weight(problem), _found_once(problem, "shares", _search)
    return torch.einsum("k,k...->...", shares.to(problem.y), candidates(problem, weight))


def candidates(problem: Problem, weight: float, sparse: bool = False) -> Tensor:
    """Stack x_1 to x_4 of `denoised`, `(4, 1, C, *sides)`; `weight` is that of `tv`.

    With `sparse` they are made of two thirds of the blocks.
    """
    flat = problem.cached("rough tv", lambda one: rough_tv(one, weight))
    if flat.ndim != 4 and not problem.physics.is_series:
        return torch.stack([problem.cached("nlbayes", nlbayes), flat])
    image = problem.estimate()
    sigma = noise_level(problem, image)

    def pass_after(pilot: Tensor) -> Tensor:
        blocks = BLOCKS._replace(stride=SPARSE) if sparse else BLOCKS
        return likeliest(pilot, image, match_blocks(pilot, blocks), sigma)

    first = (
        pass_after(dct_denoise(image, sigma, 2)) if sparse else problem.cached("nlbayes", nlbayes)
    )
    kind = low_rank.BLOCKS._replace(stride=SPARSE) if sparse else low_rank.BLOCKS
    low = shrink_groups(image, match_blocks(first, kind), sigma)
    return torch.stack([first, pass_after(first), low, flat])


def _found_once(problem: Problem, name: str, search: Callable[[Problem], Tensor]) -> Tensor:
    """Find the shares of a mixture once: on the part solved before, where there is one."""
    if problem.part is not None:
        return _found_once(problem.part, name, search)
    return problem.cached(name, search)


def _search(problem: Problem) -> Tensor:
    weight = tv_weight(problem)
    return sure_shares(problem, lambda one: candidates(one, weight, sparse=True))


@torch.no_grad()
def deblurred(problem: Problem) -> Tensor:
    r"""Mix the image of `two_priors` and that of `tv` so that the expected error is least.

    .. math:: x = s\, x_{\mathrm{two}} + (1 - s)\, x_{\mathrm{tv}}

    Where a blurred picture has edges and flat areas only, total variation is better by half a
    decibel, elsewhere worse by one and a half. s is found by independent noise
    (`split_noise_shares`), with `two_priors` solved on fewer blocks; where a part of the pixels was
    solved before, its s is taken.

    Args:
        problem: one problem of deblurring a picture.

    Returns:
        `(1, C, H, W)` in the problem's units.
    """
    share = float(_found_once(problem, OWN_SHARE, _search_deblurring))
    return rough_tv(problem, tv_weight(problem)).lerp(_two(problem), share)


def _two(problem: Problem) -> Tensor:
    return problem.cached("two priors", two_priors)


def _search_deblurring(problem: Problem) -> Tensor:
    weight, (level, coupling) = tv_weight(problem), settings(problem)

    def images(one: Problem) -> Tensor:
        return torch.stack([solve_at(one, level, coupling, SPARSE), rough_tv(one, weight)])

    return split_noise_shares(problem, images, _two(problem))[0]


@torch.no_grad()
def of_few_lines(problem: Problem) -> Tensor:
    r"""Mix the images of `two_priors`, `lowrank` and `nlbayes` in fixed shares, for CT and MRI.

    .. math:: x = s_1\, x_{\mathrm{two}} + s_2\, x_{\mathrm{low}} + s_3\, x_{\mathrm{Bayes}}

    Their errors differ where one level and one coupling do not suit the whole image. Columns and
    views are too few to find shares by: `line_shares` sets them. Noisy views take x_two alone:
    `lowrank`, with its fixed coupling, is up to 5 dB below it there. Where single samples of
    k-space were measured, held-out ones are many and find the shares. Shots of a trajectory have a
    mixture of their own (`of_shots`). An object of flat pieces has a share of total variation
    beside it (`mixed_if_flat`).

    Args:
        problem: one problem of lines of k-space or views.

    Returns:
        `(1, C, H, W)` in the problem's units.
    """
    if on_trajectory(problem):
        return mixed_if_flat(problem, of_shots(problem))
    if is_noisy(problem):
        return mixed_if_flat(problem, _two(problem))
    if samples_are_scattered(problem):
        shares = [float(s) for s in _found_once(problem, "shares", _search_samples)]
    else:
        shares = line_shares(problem)
    named = (("two priors", two_priors), ("lowrank", lowrank), ("nlbayes", nlbayes))
    parts = [
        share * problem.cached(name, made)
        for share, (name, made) in zip(shares, named, strict=True)
        if share
    ]
    return mixed_if_flat(problem, torch.stack(parts).sum(0))


def line_shares(problem: Problem) -> list[float]:
    """Set the shares of `two_priors`, `lowrank` and `nlbayes` by how much was measured.

    Of a dozen views two are held out, which cannot tell the level and the coupling of `two_priors`:
    up to 1.3 dB below the others. So it has no share up to 12 views and 0.7 from 24 on; of what
    it lacks, `nlbayes` takes 0.6. On MRI `lowrank` has 0.3 up to an eighth of k-space, with nothing
    of `nlbayes`, and 0.2 from a quarter on, where a further 5 % of the columns divide the rest
    between the two others. Between, shares are linear. Set on many scans: docs/methods/house.md.

    Args:
        problem: one problem of views or of lines of k-space.

    Returns:
        Three shares of sum one.
    """
    two, low = OF_LINES
    if problem.traits.measures == "views":
        views = int((problem.measured != 0).flatten(0, -2).any(0).sum())
        lacking = two * (1 - _rise(views, *FEW_VIEWS))
        return [two - lacking, low + 0.4 * lacking, 0.6 * lacking]
    much = _rise(float(problem.measured.mean()), *COLUMNS)
    if not much:
        return [two, low, 0.0]
    low += much * (LOW - low)
    bayes = much * (1 - low) * float(_found_once(problem, "share of Bayes", _search_bayes))
    return [1 - low - bayes, low, bayes]


def _search_bayes(problem: Problem) -> Tensor:
    """Find the share of `nlbayes` beside `two_priors` that predicts held-out columns best."""
    found = _predict_best(problem, nlbayes)
    return torch.tensor(OF_BAYES, dtype=torch.float64) if found is None else found[1]


def _predict_best(problem: Problem, *others: Callable[[Problem], Tensor]) -> Tensor | None:
    """Find the shares of `two_priors` and of other answers that predict held-out measurements best.

    `two_priors` is solved on fewer blocks. None where nothing can be held out.
    """

    def images(fit: Problem, shrink: float) -> list[Tensor]:
        level, coupling = settings(problem)
        two = solve_at(fit, level * shrink, coupling, SPARSE)
        if problem.traits.few_lines:  # which would find another level from fewer of them
            hand_down(problem, fit)
        return [two, *(other(fit) for other in others)]

    off = held_out_residuals(problem, images)
    return None if off is None else least_squares(off)


def _rise(value: float, low: float, high: float) -> float:
    """Rise from 0 at `low` to 1 at `high`."""
    return min(max((value - low) / (high - low), 0.0), 1.0)


def samples_are_scattered(problem: Problem) -> bool:
    """Tell whether single positions of k-space were measured, not whole rows or columns."""
    mask = problem.physics.mask
    lines = problem.traits.measures == "lines"
    return lines and mask is not None and along_lines(mask[0, 0, 0]) is None


def _search_samples(problem: Problem) -> Tensor:
    found = _predict_best(problem, lowrank, nlbayes)
    return torch.tensor(line_shares(problem), dtype=torch.float64) if found is None else found


@torch.no_grad()
def enlarged(problem: Problem) -> Tensor:
    r"""Run `two_priors`; of coarse pictures, mix its image with those of two other answers.

    .. math:: x = 0.5\, x_{\mathrm{two}} + 0.3\, x_{\mathrm{Bayes}} + 0.2\, x_{\mathrm{tv}}

    The detail that coarse pixels leave out is each prior's guess, and the guesses err differently:
    docs/methods/house.md. Coarse pixels do not see which one is right, so that the shares are
    fixed. An object of flat pieces has x_two and a larger share of total variation instead
    (`mixed_if_flat`).

    Args:
        problem: one problem with a linear physics on pictures, such as super-resolution.

    Returns:
        `(1, C, H, W)` in the problem's units.
    """
    if not problem.traits.coarse or float(flat_shares(problem)):
        return mixed_if_flat(problem, _two(problem))
    tv = rough_tv(problem, tv_weight(problem))
    parts = torch.stack([_two(problem), problem.cached("nlbayes", nlbayes), tv])
    return torch.einsum("k,k...->...", parts.new_tensor(OF_COARSE), parts)


@torch.no_grad()
def filled(problem: Problem) -> Tensor:
    r"""Mix the images of `two_priors` and `lowrank` so that held-out pixels are predicted best.

    .. math:: x = s\, x_{\mathrm{two}} + (1 - s)\, x_{\mathrm{low}}, \qquad
              s = \arg\min_{0 \le s \le 1} \|x_{held} - y_{held}\|^2

    Pixels without noise judge an image as the missing ones do. s is found on a further 5 % of them,
    with `two_priors` solved on fewer blocks; where a part of the pixels was solved before, its s is
    taken. Where no pixel can be held out, s = 1/2. Noisy kept pixels take `nlbayes` in the place of
    `lowrank`, whose fixed coupling is up to 5 dB worse there, and s = 0.7.

    Args:
        problem: one problem of filling in missing pixels of a picture.

    Returns:
        `(1, C, H, W)` in the problem's units.
    """
    if kept_noise(problem):
        return problem.cached("nlbayes", nlbayes).lerp(_two(problem), OF_TWO_NOISY)
    share = float(_found_once(problem, OWN_SHARE, _search_filling))
    return problem.cached("lowrank", lowrank).lerp(_two(problem), share)


def _search_filling(problem: Problem) -> Tensor:
    found = _predict_best(problem, lowrank)
    return torch.tensor(0.5, dtype=torch.float64) if found is None else found[0]

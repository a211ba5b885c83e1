r"""Alike blocks are of low rank: small groups of them, denoised together, plugged in as a prior."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional

from untrained.classical.linear import data_step, require_linear
from untrained.classical.sliding_dct import STEPS, dct_steps, quick_tv
from untrained.errors import UserError
from untrained.problem import Problem

SIDE, STRIDE, REACH, ALIKE = 6, 4, 8, 24  # of blocks, their distance, the search, the groups
ROUNDS, FEW_ROUNDS = 30, 8  # of MRI; of CT, where later rounds draw noise
FRESH = 4  # blocks are matched anew in every fourth round
FIRST_LEVEL, LAST_LEVEL = 0.04, 1.5  # the second in units of the level of `dct`
COUPLING, MOMENTUM = 0.1, 0.9
BRIGHTEST = 1.2


@torch.no_grad()
def lowrank(problem: Problem) -> Tensor:
    r"""Half-quadratic splitting with groups of alike blocks as the prior, accelerated.

    .. math:: q_k = z_{k-1} + 0.9\, (z_{k-1} - z_{k-2}), \qquad
              x_k = L_{\sigma_k}(q_k), \qquad
              z_k = \arg\min_z \|W^{1/2} (A z - y)\|^2 / \|W^{1/2} A\|^2 + 0.1\, \|z - x_k\|^2

    L is `shrink_groups`, z_0 the image of `dct` after a data step, and sigma_k falls in equal
    ratios from 0.04 to 1.5 times the level that `dct` found by held-out measurements, in 30 rounds,
    8 for CT. The answer is the last z, or the last x where `dct` found its like better. No x is
    brighter than 1.2 times the brightest pixel of a quick total-variation image: where coil maps
    are wrong, as at a border that cuts the object, splitting would explain the data by ever larger
    values.

    Blocks that look alike tell each other's missing parts: structures return all over an image,
    and the aliases of undersampling do not. That is worth most where much of k-space is missing. It
    is of W. Dong et al., "Compressive sensing via nonlocal low-rank regularization", IEEE TIP 23
    (2014); the momentum is ours, without which it takes ten times the rounds.

    Args:
        problem: G problems with a linear physics, solved in turn.

    Returns:
        `(G, C, H, W)` in the problem's units.

    Raises:
        UserError: a nonlinear physics, or no picture.
    """
    require_linear(problem, "lowrank")
    if len(problem.x_shape) != 3:
        raise UserError(
            f"lowrank is for pictures (C, H, W), and this image is {problem.x_shape}; take dct"
        )
    return torch.cat([_solved(problem.select(i)) for i in range(len(problem.y))])


def _solved(problem: Problem) -> Tensor:
    start, level, closing, weighed = dct_steps(problem)
    last = LAST_LEVEL * level
    first = max(FIRST_LEVEL, last)
    rounds = FEW_ROUNDS if problem.task == "ct" else ROUNDS
    bound = BRIGHTEST * _size(weighed.cached("quick tv", quick_tv)).max()
    x = start
    z = before = data_step(weighed, start, COUPLING, STEPS)
    for k in range(rounds):
        sigma = first * (last / first) ** (k / (rounds - 1))
        q = z + MOMENTUM * (z - before)
        if k % FRESH == 0:
            blocks = alike_blocks(q)
        x = problem.supported(shrink_groups(q, blocks, sigma))
        x = x * (bound / _size(x).clamp_min(bound))
        z, before = data_step(weighed, x, COUPLING, STEPS), z
    return z if closing else x


def _size(image: Tensor) -> Tensor:
    """Magnitude of every pixel over its channels, `(1, 1, H, W)`."""
    return image.square().sum(1, keepdim=True).sqrt()


def alike_blocks(image: Tensor) -> Tensor:
    """Groups of blocks of 6x6 pixels that look alike.

    Around every reference block, four pixels apart, those 24 that differ least from it, itself
    among them, within 8 pixels to every side.

    Args:
        image: `(1, C, H, W)`; blocks are compared in all channels.

    Returns:
        Places of their pixels in a plane, row by row: int64 `(groups, 24, 36)`, fewer of each in
        an image that is smaller than that.
    """
    height, width = image.shape[-2:]
    high, wide = min(SIDE, height), min(SIDE, width)
    rows, columns = _places(height - high, image), _places(width - wide, image)
    reach = [min(REACH, height - high), min(REACH, width - wide)]
    steps = [torch.arange(-r, r + 1, device=image.device) for r in reach]
    offsets = torch.cartesian_prod(*steps)
    wider = functional.pad(image, (reach[1], reach[1], reach[0], reach[0]))
    distances = []
    for down, right in (offsets + torch.tensor(reach, device=image.device)).tolist():
        moved = wider[..., down : down + height, right : right + width]
        difference = (moved - image).square_().sum(1)[0]
        strips = _sums(difference, columns, wide)
        distances.append(_sums(strips.T, rows, high).T.flatten())
    corners = torch.cartesian_prod(rows, columns)[:, None]
    most = torch.tensor([height - high, width - wide], device=image.device)
    there = corners + offsets
    outside = ((there < 0) | (there > most)).any(2)
    found = torch.stack(distances, 1).masked_fill_(outside, torch.inf)
    found[:, len(offsets) // 2] = -1  # itself, also where all is flat
    count = min(ALIKE, (reach[0] + 1) * (reach[1] + 1))  # so many a corner has
    corners = corners + offsets[found.topk(count, largest=False).indices]
    inside = torch.arange(high, device=image.device)[:, None] * width
    pixels = (inside + torch.arange(wide, device=image.device)).flatten()
    return (corners[..., 0] * width + corners[..., 1])[..., None] + pixels


def shrink_groups(image: Tensor, blocks: Tensor, sigma: float) -> Tensor:
    r"""The image with every group of blocks brought to low rank, overlaps averaged.

    The blocks of a group, less their mean, are the rows of a matrix of K x d. Its singular values
    s are shrunk as is best for a low-rank matrix in white noise,

    .. math:: \hat s = \sigma \sqrt{n}\, \sqrt{(t^2 - b - 1)^2 - 4 b}\, /\, t, \qquad
              t = \frac{s}{\sigma \sqrt n} > 1 + \sqrt b, \qquad
              n = \max(K, d), \quad b = \min(K, d) / n

    and 0 below (M. Gavish, D. Donoho, "Optimal shrinkage of singular values", IEEE Trans. Inf.
    Theory 63 (2017)). Where blocks overlap, those of groups with few and small values left count
    more, by one over 1 plus the sum of the squared gains.

    Args:
        image: `(1, C, H, W)`.
        blocks: see `alike_blocks`.
        sigma: standard deviation of the noise in every pixel and channel.
    """
    flat = image[0].flatten(1)
    groups, count, pixels = blocks.shape
    values = flat[:, blocks.flatten()].view(-1, groups, count, pixels)
    matrix = values.permute(1, 2, 0, 3).flatten(2)
    mean = matrix.mean(1, keepdim=True)
    rest = matrix - mean
    energy, basis = _eigh(rest @ rest.mT)
    long, short = max(rest.shape[1:]), min(rest.shape[1:])
    ratio, relative = short / long, (energy / (long * sigma**2)).clamp_min(1e-9)
    shrunk = ((relative - ratio - 1).square() - 4 * ratio).clamp_min(0).sqrt() / relative
    gain = shrunk * (relative > (1 + ratio**0.5) ** 2)
    projection = (basis * gain[:, None]) @ basis.mT
    lowered = mean + projection @ rest
    weight = 1 / (1 + gain.square().sum(1))
    laid = lowered.view(groups, count, -1, pixels) * weight[:, None, None, None]
    places = blocks.flatten()
    share = flat.new_zeros(flat.shape[1])
    share.index_add_(0, places, weight[:, None, None].expand(blocks.shape).flatten())
    planes = [flat.new_zeros(flat.shape[1]) for _ in flat]
    for channel, plane in enumerate(planes):
        plane.index_add_(0, places, laid[:, :, channel].flatten())
    return (torch.stack(planes) / share).view_as(image)


def _eigh(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and vectors of many small matrices; every thread takes a part of them.

    On a CPU torch takes one after the other, which was half of the time of a round.
    """
    threads = 1 if matrices.device.type != "cpu" else torch.get_num_threads()
    if threads == 1:
        return tuple(torch.linalg.eigh(matrices))
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(torch.linalg.eigh, matrices.chunk(threads)))
    energies, bases = zip(*parts, strict=True)
    return torch.cat(energies), torch.cat(bases)


def _sums(lines: Tensor, first: Tensor, length: int) -> Tensor:
    """Of the `length` entries of every line from each of the places `first` on."""
    total = functional.pad(lines.cumsum(1), (1, 0))
    return total[:, first + length] - total[:, first]


def _places(most: int, like: Tensor) -> Tensor:
    """Every fourth place from 0 to `most`, and the last."""
    last = torch.tensor([most], device=like.device)
    return torch.cat([torch.arange(0, most, STRIDE, device=like.device), last])

"""Block matching: similar small blocks of a picture, grouped, estimated together, put back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from untrained.threads import current_threads, set_threads
from untrained.waiting import tick

AT_ONCE = 512  # groups whose matrices are held at a time
CORNER = 0.08  # of the power of `noise_of_views`, in cycles per pixel


class Blocks(NamedTuple):
    """Size of blocks, and how they are grouped.

    Attributes:
        side: of a block, in pixels.
        stride: distance of two reference blocks.
        reach: how far around one similar blocks are searched, to every side, in pixels.
        group_size: blocks in a group, the reference block among them.
        frames: how many frames before and after its own are searched, of a series.
    """

    side: int
    stride: int
    reach: int
    group_size: int
    frames: int = 3


def match_blocks(image: Tensor, kind: Blocks) -> Tensor:
    """Find around every reference block those that differ least from it, itself among them.

    Args:
        image: `(1, C, H, W)`; blocks are compared in all channels. Or a series `(1, C, T, H, W)`,
            whose blocks lie in one frame each, and are searched in the frames around it, too.
        kind: size of blocks and of groups, distance of reference blocks, reach of the search.

    Returns:
        Indices of their pixels in a plane, row by row (in a series frame by frame): int64
        `(groups, group_size, side * side)`, fewer of each in an image that is smaller than that.
    """
    if image.ndim == 5:
        return torch.cat([_match_in_time(image[0], t, kind) for t in range(image.shape[2])])
    height, width = image.shape[-2:]
    high, wide = min(kind.side, height), min(kind.side, width)
    rows = _places(height - high, kind.stride, image)
    columns = _places(width - wide, kind.stride, image)
    reach = [min(kind.reach, height - high), min(kind.reach, width - wide)]
    steps = [torch.arange(-r, r + 1, device=image.device) for r in reach]
    offsets = torch.cartesian_prod(*steps)
    wider = functional.pad(image, (reach[1], reach[1], reach[0], reach[0]))
    distances = []
    tick()
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
    # no more than a block in a corner finds
    count = min(kind.group_size, (reach[0] + 1) * (reach[1] + 1))
    corners = corners + offsets[found.topk(count, largest=False).indices]
    inside = torch.arange(high, device=image.device)[:, None] * width
    pixels = (inside + torch.arange(wide, device=image.device)).flatten()
    return (corners[..., 0] * width + corners[..., 1])[..., None] + pixels


def _match_in_time(series: Tensor, t: int, kind: Blocks) -> Tensor:
    """Match the blocks of frame t of a series `(C, T, H, W)` in the frames around it.

    After P. Arias, J.-M. Morel, "Video denoising via empirical Bayesian estimation of space-time
    patches", J. Math. Imaging Vis. 60 (2018), with blocks of one frame and without optical flow.
    """
    height, width = series.shape[-2:]
    high, wide = min(kind.side, height), min(kind.side, width)
    rows = _places(height - high, kind.stride, series)
    columns = _places(width - wide, kind.stride, series)
    first, last = max(0, t - kind.frames), min(series.shape[1], t + kind.frames + 1)
    near = series[:, first:last].movedim(1, 0)
    here = series[None, :, t]
    reach = [min(kind.reach, height - high), min(kind.reach, width - wide)]
    offsets = torch.cartesian_prod(*(torch.arange(-r, r + 1, device=series.device) for r in reach))
    wider = functional.pad(near, (reach[1], reach[1], reach[0], reach[0]))
    distances = []
    tick()
    for down, right in (offsets + torch.tensor(reach, device=series.device)).tolist():
        moved = wider[..., down : down + height, right : right + width]
        squares = (moved - here).square_().sum(1)
        strips = _sums(squares.flatten(0, 1), columns, wide).unflatten(0, squares.shape[:2])
        sums = _sums(strips.mT.flatten(0, 1), rows, high).unflatten(0, (len(near), -1))
        distances.append(sums.mT.flatten(1).T)  # (blocks, frames)
    corners = torch.cartesian_prod(rows, columns)[:, None]
    there = corners + offsets
    most = torch.tensor([height - high, width - wide], device=series.device)
    outside = ((there < 0) | (there > most)).any(2)
    found = torch.stack(distances, 1).masked_fill_(outside[..., None], torch.inf)
    found[:, len(offsets) // 2, t - first] = -1  # itself, also where all is flat
    count = min(kind.group_size, (reach[0] + 1) * (reach[1] + 1) * len(near))
    chosen = found.flatten(1).topk(count, largest=False).indices
    places = corners + offsets[chosen // len(near)]
    frames = first + chosen % len(near)
    inside = torch.arange(high, device=series.device)[:, None] * width
    pixels = (inside + torch.arange(wide, device=series.device)).flatten()
    corner = (frames * height + places[..., 0]) * width + places[..., 1]
    return corner[..., None] + pixels


Estimate = Callable[..., tuple[Tensor, Tensor]]
"""Groups of blocks of every image, `(groups, count, values)`, -> the estimated blocks and
their weights `(groups,)`."""


def from_groups(estimate: Estimate, blocks: Tensor, *images: Tensor) -> Tensor:
    """Estimate an image group by group; where blocks overlap, take their weighted mean.

    On a CPU torch takes the small matrices of many groups one after the other, so every thread
    gets a part of them; the sums are in the same order whatever their number.

    Args:
        estimate: see `Estimate`.
        blocks: see `match_blocks`.
        images: `(1, C, H, W)` each; the answer has the channels of the first.
    """
    like = images[0]
    total, share = torch.zeros_like(like[0]).flatten(1), like.new_zeros(like[0, 0].numel())

    def told(part: Tensor) -> tuple[Tensor, Tensor]:
        return estimate(*(_rows(image, part) for image in images))

    threads = current_threads() if like.device.type == "cpu" else 1
    with _workers(threads) as each_of:
        for some in blocks.split(threads * AT_ONCE):
            tick()
            parts = some.split(AT_ONCE)
            for part, (rows, weight) in zip(parts, each_of(told, parts), strict=True):
                places, each = part.flatten(), weight[:, None, None]
                share.index_add_(0, places, each.expand(part.shape).flatten())
                laid = rows.unflatten(2, (len(total), -1)) * each[..., None]
                for channel, plane in enumerate(total):
                    plane.index_add_(0, places, laid[:, :, channel].flatten())
    return (total / share).view_as(like)


def noise_of_views(kind: Blocks, image: Tensor) -> Tensor:
    r"""Compute the covariance in a block of noise as white noise in views becomes in an image.

    Views measure the low frequencies of an image more densely than the high ones, so that the noise
    of a reconstruction has a power that grows with the frequency k, in cycles per pixel (A. C. Kak,
    M. Slaney, "Principles of computerized tomographic imaging", 1988, ch. 5). Its power here is
    :math:`\sqrt{1 + (k / 0.08)^2}`, which keeps some noise at low frequencies, times a factor that
    makes the variance of a pixel 1.

    Args:
        kind: of blocks; those of a smaller image are as `match_blocks` makes them.
        image: `(1, 1, H, W)`.

    Returns:
        `(d, d)` for blocks of d pixels, row by row.
    """
    sides = [min(kind.side, n) for n in image.shape[-2:]]
    frequencies = torch.fft.fftfreq(4 * kind.side, dtype=torch.float64)
    radius = torch.hypot(frequencies[:, None], frequencies)
    correlation = torch.fft.ifft2((1 + (radius / CORNER).square()).sqrt()).real
    rows, columns = torch.cartesian_prod(*(torch.arange(n) for n in sides)).T
    lag = [(x[:, None] - x) % len(frequencies) for x in (rows, columns)]
    return (correlation[lag[0], lag[1]] / correlation[0, 0]).to(image)


def with_noise_of(covariance: Tensor | None, estimate: Estimate) -> Estimate:
    """Let an estimate for white noise work on blocks whose noise has another covariance.

    The blocks are multiplied by the inverse root of the covariance before, and by its root after.

    Args:
        covariance: of the pixels of a block, positive definite; None = white noise.
        estimate: see `Estimate`.
    """
    if covariance is None:
        return estimate
    values, basis = torch.linalg.eigh(covariance.double())
    root, inverse = ((basis * values**power) @ basis.T for power in (0.5, -0.5))
    root, inverse = root.to(covariance), inverse.to(covariance)

    def whitened(*rows: Tensor) -> tuple[Tensor, Tensor]:
        found, weight = estimate(*(each @ inverse for each in rows))
        return found @ root, weight

    return whitened


@contextlib.contextmanager
def _workers(threads: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """Provide `map` on so many threads, each of which runs its torch operations on one core."""
    if threads == 1:
        yield map
        return
    with ThreadPoolExecutor(threads, initializer=set_threads, initargs=(1,)) as pool:
        yield pool.map


def _rows(image: Tensor, blocks: Tensor) -> Tensor:
    """Gather the blocks of a group as rows, channel after channel: `(groups, count, values)`."""
    values = image[0].flatten(1)[:, blocks.flatten()].unflatten(1, tuple(blocks.shape))
    return values.permute(1, 2, 0, 3).flatten(2)


def _sums(lines: Tensor, first: Tensor, length: int) -> Tensor:
    """Sum the `length` entries of every line from each of the indices `first` on."""
    total = functional.pad(lines.cumsum(1), (1, 0))
    return total[:, first + length] - total[:, first]


def _places(most: int, stride: int, like: Tensor) -> Tensor:
    """List every `stride`-th index from 0 to `most`, and the last."""
    last = torch.tensor([most], device=like.device)
    return torch.cat([torch.arange(0, most, stride, device=like.device), last])

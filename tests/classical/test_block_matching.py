"""Groups of similar blocks, and what is put together from them."""

import pytest
import torch
from torch import Tensor

from untrained.classical.block_matching import (
    Blocks,
    from_groups,
    match_blocks,
    noise_of_views,
    with_noise_of,
)

KIND = Blocks(side=6, stride=4, reach=8, group_size=24)


def test_matched_blocks_look_the_same_and_begin_with_the_block_itself(stripes: Tensor) -> None:
    blocks = match_blocks(stripes, KIND)
    assert blocks.shape[1:] == (24, 36)
    assert int(blocks.min()) >= 0
    assert int(blocks.max()) < 40 * 36
    values = stripes[0].flatten(1)[:, blocks]  # (2, groups, 24, 36)
    distance = (values - values[:, :, :1]).square().sum((0, 3))
    assert float(distance[:, :4].max()) < 1e-6  # so many repetitions lie within reach of a corner
    assert bool((distance[:, 1:] >= distance[:, :-1] - 1e-4).all())


@pytest.mark.parametrize("kind", [KIND, Blocks(5, 3, 10, 50)])
@pytest.mark.parametrize("size", [(40, 36), (7, 30), (3, 5), (6, 6), (1, 1)])
def test_every_pixel_lies_in_a_group_also_where_all_is_flat(
    size: tuple[int, int], kind: Blocks
) -> None:
    flat = torch.zeros(1, 1, *size)
    assert len(match_blocks(flat, kind).unique()) == size[0] * size[1]


def test_where_blocks_overlap_the_weighted_mean_is_taken() -> None:
    image, other = (torch.rand(1, n, 20, 20) for n in (2, 3))
    blocks = match_blocks(image, KIND)
    weights = torch.rand(len(blocks))
    seen = []

    def told(rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        weight = weights[sum(seen) :][: len(rows)]
        seen.append(len(rows))
        assert others.shape[2] == 3 * 36
        return weight[:, None, None].expand_as(rows), weight

    found = from_groups(told, blocks, image, other)
    square, share = torch.zeros(400), torch.zeros(400)
    for group, weight in zip(blocks, weights, strict=True):
        square.index_add_(0, group.flatten(), (weight**2).expand(group.numel()))
        share.index_add_(0, group.flatten(), weight.expand(group.numel()))
    torch.testing.assert_close(found, (square / share).view(1, 1, 20, 20).expand(1, 2, 20, 20))


def test_as_many_threads_as_there_are_give_the_same_bits() -> None:
    image = torch.rand(1, 2, 120, 110)
    blocks = match_blocks(image, KIND)
    assert len(blocks) > 512  # more than are held at a time

    def lowered(rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows.sqrt(), rows.mean((1, 2))

    before = torch.get_num_threads()
    found = {}
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found[threads] = from_groups(lowered, blocks, image)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[1], found[3])


@pytest.mark.parametrize(("size", "pixels"), [((40, 40), 36), ((4, 40), 24)])
def test_noise_of_views_has_variance_one_and_little_power_at_low_frequencies(
    size: tuple[int, int], pixels: int
) -> None:
    covariance = noise_of_views(KIND, torch.zeros(1, 1, *size)).double()
    assert covariance.shape == (pixels, pixels)
    torch.testing.assert_close(covariance.diagonal(), torch.ones(pixels).double())
    powers = torch.linalg.eigvalsh(covariance)
    assert 0 < float(powers[0]) < 0.6
    mean = torch.full((pixels,), pixels**-0.5).double()  # the frequency 0
    alternating = (torch.arange(pixels) % 2 * 2.0 - 1) * mean
    assert float(mean @ covariance @ mean) < 0.6
    assert float(alternating @ covariance @ alternating) > 1


def test_wieners_estimate_in_white_noise_becomes_that_in_coloured_noise() -> None:
    """(S + C)^(-1) S for blocks of covariance S in noise of covariance C, row by row."""
    image = torch.zeros(1, 1, 12, 12)
    noise = noise_of_views(Blocks(4, 2, 4, 6), image).double()
    signal = torch.diag(torch.linspace(0.5, 2, 16)).double()
    values, basis = torch.linalg.eigh(noise)
    inverse = (basis * values**-0.5) @ basis.T
    whitened = inverse @ signal @ inverse  # the covariance of blocks after whitening
    gain = torch.linalg.solve(whitened + torch.eye(16).double(), whitened)
    rows = torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(0)).double()
    told = with_noise_of(noise, lambda one: (one @ gain, torch.ones(3)))
    wiener = torch.linalg.solve(signal + noise, signal)
    torch.testing.assert_close(told(rows)[0], rows @ wiener)
    same = with_noise_of(None, lambda one: (one @ gain, torch.ones(3)))
    torch.testing.assert_close(same(rows)[0], rows @ gain)

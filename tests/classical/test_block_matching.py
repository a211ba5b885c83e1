"""Groups of similar blocks, and what is put together from them."""

import pytest
import torch
from torch import Tensor

from untrained.classical.block_matching import Blocks, from_groups, match_blocks

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

"""Groups of similar blocks: exact limits, and what they are worth on undersampled scans."""

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.classical import CLASSICAL
from untrained.classical.block_matching import match_blocks
from untrained.classical.low_rank import BLOCKS, shrink_groups
from untrained.data.phantoms import shepp_logan
from untrained.metrics import psnr


@pytest.mark.parametrize("size", [(40, 36), (7, 30), (3, 5), (6, 6)])
def test_a_flat_picture_stays_flat(size: tuple[int, int]) -> None:
    flat = torch.zeros(1, 1, *size)
    blocks = match_blocks(flat, BLOCKS)
    torch.testing.assert_close(shrink_groups(flat + 0.7, blocks, 0.1), flat + 0.7)


def test_without_noise_nothing_is_lost_and_in_noise_only_the_mean_is_left() -> None:
    image = torch.rand(1, 2, 30, 30, generator=torch.Generator().manual_seed(0))
    blocks = match_blocks(image, BLOCKS)
    torch.testing.assert_close(shrink_groups(image, blocks, 1e-5), image, atol=1e-3, rtol=0)
    heavy = shrink_groups(image, blocks, 10.0)
    values = image[0].flatten(1)[:, blocks]
    means = values.mean(2, keepdim=True).expand_as(values)
    total = torch.zeros(2, 900).index_add_(1, blocks.flatten(), means.flatten(1))
    count = torch.zeros(900).index_add_(0, blocks.flatten(), torch.ones(blocks.numel()))
    torch.testing.assert_close(heavy[0].flatten(1), total / count, atol=1e-5, rtol=1e-5)


def test_what_repeats_is_cleaned_of_noise(stripes: Tensor) -> None:
    clean = stripes
    noise = 0.2 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy = clean + noise
    found = shrink_groups(noisy, match_blocks(noisy, BLOCKS), 0.2)
    assert (found - clean).square().mean() < 0.15 * noise.square().mean()


def scan(lines: int, size: int = 64) -> tuple[ut.Problem, Tensor]:
    """A phantom behind four coils, every third column, and the truth."""
    x = torch.from_numpy(shepp_logan(size))[None, None]
    x = torch.cat([x, 0.2 * x], 1)
    y, z = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    corners = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    far = torch.stack([((y - a) ** 2 + (z - b) ** 2) for a, b in corners])
    maps = torch.polar(torch.exp(-far / 3), far)
    mask = torch.zeros(size)
    mask[torch.randperm(size, generator=torch.Generator().manual_seed(1))[:lines]] = 1
    mask[size // 2 - 5 : size // 2 + 5] = 1
    physics = ut.physics.MRI(mask, maps)
    noise = torch.randn(1, 2, 4, size, size, generator=torch.Generator().manual_seed(2))
    return ut.Problem(physics.A(x) + 0.002 * noise * mask, physics), x


def test_it_beats_the_cosines_that_it_starts_from_on_undersampled_scans() -> None:
    problem, x = scan(14)
    quality = {
        name: psnr(problem.to_units(CLASSICAL[name](problem))[0], x[0], data_range=float(x.max()))
        for name in ("tv", "dct", "lowrank")
    }
    assert quality["lowrank"] > quality["dct"] + 1


def test_the_same_numbers_in_other_units() -> None:
    problem, _ = scan(20, 32)
    other = ut.Problem(1e3 * problem.to_units(problem.y), problem.physics)
    mine = problem.to_units(CLASSICAL["lowrank"](problem))
    theirs = other.to_units(CLASSICAL["lowrank"](other))
    torch.testing.assert_close(theirs, 1e3 * mine, rtol=0, atol=0.05 * float(theirs.abs().max()))

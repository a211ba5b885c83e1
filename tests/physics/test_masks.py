"""Sampling masks: counts, symmetry, repeatability."""

import numpy as np
import pytest
import torch

from untrained.errors import UserError
from untrained.physics import (
    Inpaint,
    box_mask,
    calibration_block,
    random_mask,
    random_mask_columns,
    sampling_pattern,
    vdrs_mask,
)
from untrained.physics.masks import as_mask, centre_crop, in_patches, moved_patches, one_sided


@pytest.mark.parametrize(("ny", "lines"), [(368, 91), (372, 93)])
def test_vdrs_counts_of_the_papers(ny, lines):
    mask = vdrs_mask(ny, 4, 0.08)
    low, high = (ny - 29) // 2, (ny + 29) // 2
    assert mask.dtype == torch.bool
    assert int(mask.sum()) == lines
    assert bool(mask[low:high].all())
    assert int(mask[:low].sum()) == int(mask[high:].sum()) == (lines - 29) // 2
    assert torch.equal(mask, vdrs_mask(ny, 4, 0.08))
    assert not torch.equal(mask, vdrs_mask(ny, 4, 0.08, seed=1))


def test_fastmri_random_keeps_one_in_acceleration_on_average():
    for ny, acceleration, fraction in ((368, 4, 0.08), (320, 8, 0.04)):
        masks = [random_mask_columns(ny, acceleration, fraction, seed=s) for s in range(300)]
        mean = float(torch.stack(masks).sum(1).float().mean())
        assert mean == pytest.approx(ny / acceleration, rel=0.02)
        centre, start = round(ny * fraction), (ny - round(ny * fraction) + 1) // 2
        assert all(bool(m[start : start + centre].all()) for m in masks)
    assert torch.equal(random_mask_columns(50, seed=3), random_mask_columns(50, seed=3))


def test_partial_fourier_is_recognised_and_random_masks_are_none():
    half = torch.ones(64, 48, dtype=torch.bool)
    half[:24] = False
    assert one_sided(half) == (0, 8, 32)
    half[1::2] = False
    half[28:36] = True
    assert one_sided(half.T) == (1, 8, 31)
    for seed in range(20):
        columns = random_mask_columns(320, 8.0, 0.04, seed)
        assert one_sided(columns.expand(300, 320)) is None
    assert one_sided(torch.ones(5, 7, dtype=torch.bool)) is None


@pytest.mark.parametrize("make", [vdrs_mask, random_mask_columns])
def test_impossible_masks(make):
    with pytest.raises(UserError, match=r"keeps 10 .*center_fraction"):
        make(100, 10, 0.2)
    for arguments in ((100, 0.5, 0.1), (100, 4, 0.0), (1, 4, 0.1)):
        with pytest.raises(UserError, match="column mask needs"):
            make(*arguments)


def test_sampling_pattern_is_where_any_coil_is_not_zero():
    kspace = np.zeros((3, 4, 5), np.complex64)
    kspace[0, 1, 2], kspace[2, 3, 4] = 1j, 2
    pattern = sampling_pattern(kspace)
    assert pattern.nonzero().tolist() == [[1, 2], [3, 4]]
    assert torch.equal(sampling_pattern(torch.from_numpy(kspace)[None]), pattern)
    with pytest.raises(UserError, match="zero everywhere"):
        sampling_pattern(np.zeros((2, 3, 3)))


def test_calibration_block_of_columns_and_rectangles():
    assert calibration_block(vdrs_mask(368, 4, 0.08).expand(20, -1))[0] == 20
    columns = torch.zeros(30, dtype=torch.bool)
    columns[[2, 11, *range(12, 18), 25]] = True
    assert calibration_block(columns.expand(16, -1)) == (16, 7 - 1)
    for block in ((8, 6), (7, 5), (20, 3)):
        mask = torch.zeros(24, 31, dtype=torch.bool)
        mask[centre_crop((24, 31), block)] = True
        mask[0, 0] = mask[-1, 5] = True
        assert calibration_block(mask) == block
    assert calibration_block(torch.ones(9, 8)) == (9, 8)


def test_no_calibration_block():
    mask = torch.ones(8, 8)
    mask[4, 4] = 0
    assert calibration_block(mask) == (0, 0)


def test_masks_of_other_types():
    assert torch.equal(as_mask(np.array([1.0, 0.0])), torch.tensor([True, False]))
    with pytest.raises(UserError, match=r"only 0 .* holds 0\.5"):
        as_mask(torch.tensor([1.0, 0.5]))


def test_patches_are_told_from_single_pixels():
    for missing in (0.1, 0.5, 0.9, 0.97):
        assert not in_patches(random_mask((64, 64), missing)[None].float())
    assert in_patches(box_mask((64, 64), (20, 20))[None].float())
    assert in_patches(box_mask((64, 64), (64, 9))[None].float())
    assert not in_patches(torch.ones(1, 64, 64))
    assert not in_patches(random_mask((20, 20), 0.5).float()[None, :, :, None].expand(1, 20, 20, 4))


def test_held_out_patches_are_gaps_moved_somewhere_else():
    measured = box_mask((64, 64), (20, 20), (10, 10)).float()
    for seed in range(5):
        g = torch.Generator().manual_seed(seed)
        held = moved_patches(measured, 0.05, g)
        count = int(held.sum())
        assert 0 < count <= 0.05 * float(measured.sum())
        assert not bool((held & (measured == 0)).any())
        # one or a few compact pieces, the gap being cut by the border
        assert in_patches((1 - held.float())[None])
        again = moved_patches(measured, 0.05, torch.Generator().manual_seed(seed))
        assert torch.equal(held, again)
    everything = moved_patches(torch.ones(8, 8), 0.1, torch.Generator().manual_seed(0))
    assert not bool(everything.any())


def test_inpainting_holds_out_what_looks_like_the_gaps():
    y = torch.zeros(1, 3, 64, 64)
    hole = Inpaint(box_mask((64, 64), (20, 20), (10, 10)), (3, 64, 64))
    held = hole.holdout(y, 0.05, torch.Generator().manual_seed(0))
    assert held.shape == (1, 3, 64, 64)
    assert torch.equal(held[:, 0], held[:, 2])
    assert in_patches(1 - held[0, :1].float())
    scattered = hole.scattered(y, 0.05, torch.Generator().manual_seed(0))
    assert not in_patches(1 - scattered[0, :1].float())
    single = Inpaint(random_mask((64, 64), 0.5), (3, 64, 64))
    for draw in (single.holdout, single.scattered):
        assert not in_patches(1 - draw(y, 0.05, torch.Generator().manual_seed(0))[0, :1].float())

"""Sampling masks: counts, symmetry, repeatability."""

import numpy as np
import pytest
import torch

from untrained.errors import UserError
from untrained.physics import calibration_block, random_mask_columns, sampling_pattern, vdrs_mask
from untrained.physics.masks import as_mask, centre_crop


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

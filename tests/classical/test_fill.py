"""Gaps filled from what is known around them."""

from __future__ import annotations

import pytest
import torch

from untrained.classical.fill import fill_gaps

G = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("sides", [(17,), (16, 16), (5, 31), (6, 7, 8)])
def test_what_is_known_stays_and_a_constant_is_continued(sides):
    known = (torch.rand(2, 3, *sides, generator=G) < 0.2).float()
    known[:, :, :1] = 1
    x = torch.rand(2, 3, *sides, generator=G)
    filled = fill_gaps(x, known)
    assert torch.equal(filled * known, x * known)
    assert filled.min() >= x.min() - 1e-6
    assert filled.max() <= x.max() + 1e-6
    flat = fill_gaps(torch.full_like(x, 0.7), known)
    assert torch.allclose(flat, torch.full_like(x, 0.7), atol=1e-5)


def test_unknown_pixels_are_not_looked_at():
    known = (torch.rand(1, 1, 20, 20, generator=G) < 0.5).float()
    x = torch.rand(1, 1, 20, 20, generator=G)
    assert torch.equal(fill_gaps(x, known), fill_gaps(x * known + 9 * (1 - known), known))


def test_a_smooth_image_is_nearly_restored():
    row = torch.linspace(0, 1, 64)
    x = (row[:, None] + row)[None, None] / 2
    known = (torch.rand(x.shape, generator=G) < 0.5).float()
    assert (fill_gaps(x, known) - x).abs().mean() < 0.01


def test_nothing_known_gives_zeros():
    assert not fill_gaps(torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)).any()

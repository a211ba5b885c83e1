"""A blur kernel is moved to where the picture's border is explained best."""

import pytest
import torch
from skimage.data import camera

from untrained import Problem
from untrained.classical.kernel_place import placed
from untrained.physics import BlindBlur, Blur
from untrained.physics.blind import shifted


@pytest.fixture(autouse=True)
def unsearched() -> None:
    """Solve every place in as many iterations as the library does."""


def kernel() -> torch.Tensor:
    """Make a slanted line whose centre lies a pixel up and right of the middle."""
    k = torch.zeros(9, 9)
    k[range(1, 6), range(3, 8)] = torch.tensor([1.0, 3.0, 4.0, 2.0, 1.0])
    return k / k.sum()


def blurred() -> Problem:
    clean = camera().reshape(32, 16, 32, 16).mean((1, 3)) / 255
    y = Blur(kernel(), (1, 32, 32)).A(torch.from_numpy(clean).float()[None, None])
    y += 0.002 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    return Problem(y, BlindBlur(9, (1, 32, 32)))


def test_a_moved_kernel_goes_back_to_its_place() -> None:
    """Only the mirrored border tells where."""
    found = placed(blurred(), shifted(kernel(), 1, -1))
    torch.testing.assert_close(found, kernel())


def test_a_kernel_in_its_place_stays() -> None:
    assert torch.equal(placed(blurred(), kernel()), kernel())


def test_a_kernel_is_not_moved_out_of_its_square() -> None:
    """The best place of this one would need more rows: its end would be lost."""
    cut = kernel()[1:6]  # five full rows
    true = blurred()
    problem = Problem(true.y, BlindBlur((5, 9), (1, 32, 32)))
    assert placed(problem, cut).sum(1).gt(0).all()

"""Pictures that several tests of classical answers share."""

import math

import pytest
import torch
from torch import Tensor


@pytest.fixture
def stripes() -> Tensor:
    """A picture of 40x36 that repeats itself every 8 pixels in both directions."""
    y, x = torch.meshgrid(torch.arange(40), torch.arange(36), indexing="ij")
    one = torch.sin(2 * math.pi * x / 8) + 0.5 * torch.cos(2 * math.pi * y / 8)
    return torch.stack([one, 0.3 * one])[None]


@pytest.fixture(autouse=True)
def unsearched() -> None:
    """Search for levels as in earnest: here the classical images are judged."""

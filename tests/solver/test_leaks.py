"""A process that reconstructs all day does not grow; its MiB: benchmarks/at_once.py."""

from __future__ import annotations

import gc

import pytest
import torch

import untrained as ut

CALLS = 30


@pytest.fixture
def no_collector():
    """Python's collector off: what it would find is counted too."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def reconstruct() -> None:
    physics = ut.physics.Inpaint(ut.physics.random_mask((32, 32), missing=0.4), (1, 32, 32))
    y = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    small = ["net.widths=8,16"]
    ut.reconstruct(y, physics, "dip", steps=2, settings=small, progress=False, compare=False)


def test_a_reconstruction_leaves_nothing_behind(no_collector):
    for _ in range(3):
        reconstruct()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(CALLS):
        reconstruct()
    growth = len(gc.get_objects()) - before
    assert growth < 5 * CALLS

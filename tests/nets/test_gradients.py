"""Gradients found in two threads are those of one, to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import untrained as ut
from untrained.nets import SKIP, Compact, initialise
from untrained.nets.blocks import with_careful_convolutions
from untrained.optim import Muon
from untrained.threads import second_beside, second_thread, threads_for

PLACE = (64, 64)


def stepped(net: nn.Module, half: bool) -> list[torch.Tensor]:
    """Gradients and weights after a step of Muon."""
    initialise(net, 0)
    x = torch.rand(1, 2, *PLACE, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        image = net(x)
    image.float().square().mean().backward()
    weights = list(net.parameters())
    found = [w.grad.clone() for w in weights if w.grad is not None]
    stacked = [w.detach()[None].clone() for w in weights]
    for copy, w in zip(stacked, weights, strict=True):
        copy.grad = None if w.grad is None else w.grad[None]
        w.grad = None
    Muon(stacked).step()
    return [*found, *stacked]


NETS = {
    "compact": lambda: Compact(widths=(8, 16, 16)).build(2, 1),
    "skip": lambda: SKIP.build(2, 1),
    "own": lambda: nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(6, 6, 3, padding="same", groups=2),
        nn.Conv2d(6, 8, 3, stride=2, dilation=2, groups=2, padding=2, padding_mode="reflect"),
        nn.ConvTranspose2d(8, 1, 2, stride=2),
    ),
}


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", NETS)
def test_two_threads_find_the_bits_of_one(name, half):
    net = with_careful_convolutions(NETS[name]())
    alone = stepped(net, half)
    with second_beside(2, PLACE):
        assert second_thread() is not None
        together = stepped(net, half)
    assert second_thread() is None
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_gradients_can_be_differentiated_again():
    def twice() -> torch.Tensor:
        net = with_careful_convolutions(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 3)))
        initialise(net, 0)
        z = torch.ones(1, 1, 8, 8, requires_grad=True)
        (first,) = torch.autograd.grad(net(z).square().sum(), z, create_graph=True)
        return torch.autograd.grad(first.square().sum(), net[1].weight)[0]

    alone = twice()
    with second_beside(2, (8, 8)):
        assert torch.equal(twice(), alone)


def test_an_error_in_the_second_thread_reaches_the_caller(monkeypatch):
    def fail(*given):
        raise MemoryError

    monkeypatch.setattr("untrained.nets.gradients._plain_gradients", fail)
    net = with_careful_convolutions(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 3)))
    with second_beside(2, (8, 8)), pytest.raises(MemoryError):
        net(torch.ones(1, 1, 8, 8, requires_grad=True)).sum().backward()


@pytest.mark.parametrize(
    ("sides", "count"),
    [((64, 64), 1), ((199, 200), 1), ((200, 200), 2), ((16, 16, 16), 1), ((32, 32, 32), 2)],
)
def test_the_number_follows_the_size(sides, count):
    from untrained.threads import asked_threads, use_threads

    with use_threads(2):
        assert threads_for(sides) == count
    with use_threads(1):
        assert threads_for(sides) == 1
    with asked_threads(2):
        assert threads_for(sides) == 2


def test_a_run_on_two_threads_has_the_bits_of_one_and_says_its_number():
    y = torch.rand(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    how = {"settings": ["net.widths=4,8"], "steps": 3, "progress": False, "compare": False}
    alone = ut.reconstruct(y, ut.physics.Denoise(), "dip", **how)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        two = ut.reconstruct(y, ut.physics.Denoise(), "dip", **how)
        small = ut.reconstruct(y[..., :32, :32], ut.physics.Denoise(), "dip", **how)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert (alone.threads, two.threads, small.threads) == (1, 2, 1)
    assert torch.equal(two.image, alone.image)

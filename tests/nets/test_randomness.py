"""Drawing from a generator of one's own gives torch's own numbers, and touches nothing."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from untrained.errors import UserError
from untrained.nets import (
    MEDIUM_UNET,
    SKIP,
    AttentionUNet,
    Compact,
    ConvDecoder,
    DeepDecoder,
    DrawnFrom,
    EdipUNet,
    Siren,
    Wire,
    initialise,
)


class Everything(nn.Module):
    """A user's own layer, drawn in many ways, also while it is made."""

    def __init__(self) -> None:
        super().__init__()
        for k in range(9):
            self.register_parameter(f"w{k}", nn.Parameter(torch.empty(6, 5)))
        self.register_buffer("fixed", torch.randn(7))
        self.register_buffer("places", torch.randperm(7))

    def reset_parameters(self) -> None:
        w = self.parameters()
        nn.init.normal_(next(w), 1.0, 2.0)
        nn.init.uniform_(next(w), -1.0, 2.0)
        nn.init.trunc_normal_(next(w))
        nn.init.orthogonal_(next(w))
        nn.init.sparse_(next(w), 0.4)
        with torch.no_grad():
            next(w).bernoulli_(0.3)
            next(w).copy_(torch.rand(6, 5) + torch.randint(3, (6, 5)) + torch.randint(1, 3, (5,)))
            next(w).copy_(torch.randn(6, 5) * torch.rand_like(self.fixed[:5]))
            next(w).exponential_().add_(torch.multinomial(torch.ones(4), 5, replacement=True))


def own() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), Everything(), nn.LSTM(3, 4), nn.Conv2d(2, 3, 3))


NETS = {
    "compact": lambda: Compact(widths=(8, 16)).build(2, 1),
    "skip": lambda: SKIP.build(2, 1),
    "unet": lambda: MEDIUM_UNET.build(2, 1),
    "deepdecoder": lambda: DeepDecoder(sides=(32, 32)).build(2, 1),
    "convdecoder": lambda: ConvDecoder(channels=16, sides=(32, 32)).build(2, 1),
    "siren": lambda: Siren().build(2, 1),
    "wire": lambda: Wire().build(2, 1),
    "attention_unet": lambda: AttentionUNet(widths=(4, 8, 8)).build(2, 1),
    "edip": lambda: EdipUNet().build(2, 1),
    "own": own,
}


def forked(net: nn.Module, seed: int) -> None:
    """Draw weights as was done before: from the global generator, put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in reversed(list(net.modules())):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()


@pytest.mark.parametrize("name", NETS)
def test_the_bits_are_those_of_the_global_generator(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = NETS[name]()
    with DrawnFrom(3):
        again = NETS[name]()
    for old, new in zip(net.state_dict().values(), again.state_dict().values(), strict=True):
        if name != "own" or old.numel() == 7:  # its parameters are empty until they are drawn
            assert torch.equal(old, new)
    before = torch.get_rng_state()
    forked(net, 5)
    initialise(again, 5)
    assert torch.equal(torch.get_rng_state(), before)
    for old, new in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(old, new)


def test_draws_of_other_threads_go_on_as_they_were():
    """The global generator gives its own numbers to those who ask it meanwhile."""
    drawn: list[torch.Tensor] = []
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    with DrawnFrom(2):
        other = threading.Thread(target=lambda: drawn.append(torch.rand(4)))
        other.start()
        other.join()
        mine = torch.rand(4)
    assert torch.equal(drawn[0], expected)
    assert torch.equal(mine, torch.rand(4, generator=torch.Generator().manual_seed(2)))


def test_a_generator_that_is_given_is_taken():
    given = torch.Generator().manual_seed(9)
    with DrawnFrom(2):
        drawn = torch.rand(4, generator=given)
    assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(9)))


def test_what_has_no_generator_is_refused():
    with DrawnFrom(0), pytest.raises(UserError, match="reset_parameters"):
        torch.native_dropout(torch.ones(4), 0.5, True)

"""What is done where a step does not fit into memory."""

from __future__ import annotations

import pytest
import torch

import untrained as ut
from untrained.core.recipe import Recipe
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.methods import DIP, TVDIP
from untrained.nets import MEDIUM_UNET, SKIP, Compact
from untrained.physics import Denoise
from untrained.solver import memory as room
from untrained.solver.memory import is_out_of_memory, memory_need

SMALL = Compact(widths=(8, 16, 16))


class Heard(Watch):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def noisy(side: int = 32) -> ut.Problem:
    y = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    return ut.Problem(y, Denoise())


def fit(problem: ut.Problem, heard: Heard, **how) -> torch.Tensor:
    return ut.solve(DIP(), problem, net=SMALL, steps=4, watch=[heard], **how).image


@pytest.mark.parametrize("net", [SMALL, SKIP, MEDIUM_UNET], ids=["compact", "skip", "unet"])
def test_lean_steps_have_the_same_bits_and_keep_less(net, monkeypatch):
    problem, heard = noisy(64), Heard()
    plain = ut.solve(TVDIP(), problem, net=net, steps=2, watch=[heard]).image
    need = memory_need(Recipe(TVDIP(), net), problem)
    assert need.lean < 0.85 * need.full
    between = (need.lean + need.full) // 2
    monkeypatch.setattr(room, "available_memory", lambda device: between)
    assert heard.said == []
    lean = ut.solve(TVDIP(), problem, net=net, steps=2, watch=[heard]).image
    assert torch.equal(lean, plain)
    assert len(heard.said) == 1
    assert "memory is short" in heard.said[0]


def test_the_count_is_what_the_backward_pass_keeps():
    problem, net = noisy(64), Compact(widths=(16, 32, 32))
    kept: dict[int, int] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    module = net.build(32, 1)
    z = torch.rand(1, 32, 64, 64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module(z)
    weights = sum(p.numel() for p in module.parameters())
    counted = memory_need(Recipe(DIP(), net), problem).full - 5 * 4 * weights
    assert counted == pytest.approx(sum(kept.values()), rel=0.1)
    assert out.shape == (1, 1, 64, 64)


def test_too_large_even_so_is_refused_before_the_first_step(monkeypatch):
    monkeypatch.setattr(room, "available_memory", lambda device: 1000)
    with pytest.raises(UserError, match=r"needs about .* MiB .* crop the image"):
        fit(noisy(), Heard())


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), MemoryError()])
def test_a_full_memory_in_the_middle_is_survived_with_the_same_bits(error, monkeypatch):
    plain, heard = fit(noisy(), Heard()), Heard()
    real, calls = DIP.loss, []

    def once_full(self, s):
        calls.append(s.step)
        if len(calls) == 3:
            raise error
        return real(self, s)

    monkeypatch.setattr(DIP, "loss", once_full)
    image = fit(noisy(), heard)
    assert calls == [0, 1, 2, 2, 3]
    assert torch.equal(image, plain)
    assert len(heard.said) == 1


def test_full_twice_is_explained(monkeypatch):
    def always_full(self, s):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr(DIP, "loss", always_full)
    with pytest.raises(UserError, match=r"not enough memory for a step; crop the image"):
        fit(noisy(), Heard())


def test_other_errors_pass_through(monkeypatch):
    def broken(self, s):
        raise RuntimeError("something else")

    monkeypatch.setattr(DIP, "loss", broken)
    with pytest.raises(RuntimeError, match="something else"):
        fit(noisy(), Heard())


def test_an_update_that_was_begun_is_not_repeated(monkeypatch):
    def full(self, *args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(torch.optim.Adam, "step", full)
    with pytest.raises(UserError, match="not enough memory"):
        fit(noisy(), Heard())


def test_is_out_of_memory():
    assert is_out_of_memory(MemoryError())
    for text in (
        "std::bad_alloc",
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory",
        "Unable to allocate 3.35 GiB for an array",
        "[Errno 12] Cannot allocate memory",
        "CUDA out of memory. Tried to allocate",
    ):
        assert is_out_of_memory(RuntimeError(text))
    assert not is_out_of_memory(RuntimeError("no"))
    assert room.LEAN.startswith("memory is short")

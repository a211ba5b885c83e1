"""Threads may reconstruct at once: each gets what it would get alone, and changes nothing else."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import untrained as ut

SIDE = 32
SMALL = ["net.widths=8,16"]


def picture() -> torch.Tensor:
    return torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def holes() -> tuple[torch.Tensor, Any]:
    mask = ut.physics.random_mask((SIDE, SIDE), missing=0.4)
    physics = ut.physics.Inpaint(mask, (1, SIDE, SIDE))
    return physics.A(picture()), physics


def views() -> tuple[torch.Tensor, Any]:
    angles = [15.0 * k for k in range(12)]
    physics = ut.physics.CT((SIDE, SIDE), angles, SIDE)
    return physics.A(picture()), physics


class Halved:
    """An operator of the user's own, whose adjoint is derived."""

    x_shape = (1, SIDE, SIDE)

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., ::2] + x[..., 1::2]


def own() -> tuple[torch.Tensor, Any]:
    return Halved().A(picture()), Halved()


def settings(*more: str, **how: Any) -> dict[str, Any]:
    return {"steps": 3, "settings": [*SMALL, *more], "progress": False, "compare": False, **how}


CASES: dict[str, tuple[Callable[[], tuple[torch.Tensor, Any]], dict[str, Any]]] = {
    "holes": (holes, {"method": "dip", **settings()}),
    "half precision": (holes, {"method": "dip", **settings("engine.precision=bf16")}),
    "views": (views, {"method": "aseqdip", **settings()}),
    "own operator": (own, {"method": "dip", **settings(stop="selfval:5")}),
}


def global_state() -> tuple[Any, ...]:
    numpy = np.random.get_state()[1].tobytes()
    torch_bytes = torch.get_rng_state().numpy().tobytes()
    return torch_bytes, numpy, random.getstate(), torch.get_num_threads()


def at_once(work: Callable[[int], None], count: int) -> None:
    """`work(0)`, `work(1)`, ..., begun at the same moment in threads of their own."""
    together = threading.Barrier(count)
    errors: list[BaseException] = []

    def begin(which: int) -> None:
        together.wait()
        try:
            work(which)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=begin, args=(which,)) for which in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("name", CASES)
def test_two_threads_with_the_same_physics_get_the_bits_of_one(name):
    make, how = CASES[name]
    y, physics = make()
    alone = {seed: ut.reconstruct(y, physics, seed=seed, **how).image for seed in (0, 1)}
    torch.manual_seed(4)
    before = global_state()
    found: list[tuple[int, torch.Tensor]] = []

    def work(which: int) -> None:
        for seed in (which, 1 - which, which):
            found.append((seed, ut.reconstruct(y, physics, seed=seed, **how).image))

    at_once(work, 2)
    assert global_state() == before
    assert len(found) == 6
    for seed, image in found:
        assert torch.equal(image, alone[seed])


def test_each_thread_keeps_its_number_of_threads():
    y, physics = holes()
    told: dict[int, int] = {}

    def work(which: int) -> None:
        torch.get_num_threads()  # else torch takes the newest number of all at its first operation
        torch.set_num_threads(which + 1)
        for _ in range(2):
            ut.reconstruct(y, physics, "dip", **settings())
        told[which] = torch.get_num_threads()

    before = torch.get_num_threads()
    try:
        at_once(work, 2)
    finally:
        torch.set_num_threads(before)
    assert told == {0: 1, 1: 2}


@pytest.mark.parametrize("method", ["house", "lowrank", "nlbayes", "dct", "tv", "deepred"])
def test_no_method_touches_what_is_global(method):
    y, physics = holes()
    how = settings()
    if ut.METHODS[method].classical:
        how = {"progress": False, "compare": False}
    before = global_state()
    ut.reconstruct(y, physics, method, **how)
    assert global_state() == before

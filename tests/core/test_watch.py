"""Watchers are told how a phase goes; what they remember is in the checkpoint."""

import contextlib
from pathlib import Path
from typing import Any

import torch

import untrained as ut
from untrained.core.method import Method
from untrained.core.rule import Frame, Stopped
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.nets import Compact
from untrained.rules import HeldOut


class Counter(Watch):
    """Counts the steps of a phase over all sittings, and keeps the phase's first image."""

    def __init__(self, pause_after: int = 0) -> None:
        self.left = pause_after
        self.counted: dict[str, int] = {}
        self.count, self.phase = 0, ""
        self.first = torch.zeros(1)

    def begin(self, phase: str, total: int, step: int) -> None:
        self.count, self.phase = 0, phase

    def step(self, frame: Frame, columns: dict[str, float]) -> None:
        self.count += 1
        if frame.step == 1:
            self.first = frame.x.clone()

    def end(self, phase: str) -> None:
        self.counted[phase] = self.count

    def interrupted(self) -> Stopped | None:
        self.left -= 1
        return Stopped("interrupted", 0, "for the test") if self.left == 0 else None

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "first": self.first}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.count, self.first = saved["count"], saved["first"]


def sit(folder: Path, pause_after: int = 0) -> Counter:
    """One sitting of a run of two phases, 5 and 5 steps."""
    y = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    counter = Counter(pause_after)
    ut.solve(
        ut.methods.DIP(rounds=5),
        ut.Problem(y, ut.physics.Denoise((1, 16, 16))),
        net=Compact(widths=(4, 8), skip=2),
        # the error never counts as higher: the last step is the best
        stop=HeldOut(skip=0, slack=1e9, again=True),
        watch=[counter],
        run_dir=folder,
    )
    return counter


def test_a_watcher_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = sit(tmp_path / "whole")
    assert whole.counted == {"0/fit": 5, "0/refit": 5}
    sit(tmp_path / "paused", pause_after=3)
    going_on = sit(tmp_path / "paused")
    assert going_on.counted == {"0/fit": 5, "0/refit": 5}


def test_a_watcher_gets_back_what_it_knew_of_a_finished_phase(tmp_path: Path) -> None:
    whole = sit(tmp_path)
    again = sit(tmp_path)
    assert again.counted == {}
    assert again.count == 5
    assert torch.equal(again.first, whole.first)
    assert bool(again.first.any())


class Order(Watch):
    """The names of what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def prepare(self, phase: str) -> None:
        self.told.append("prepare")

    def begin(self, phase: str, total: int, step: int) -> None:
        self.told.append("begin")

    def end(self, phase: str) -> None:
        self.told.append("end")


def follow(method: Method) -> Order:
    """A watcher of one step of `method`, whatever comes of it."""
    order = Order()
    problem = ut.Problem(torch.rand(1, 1, 16, 16), ut.physics.Denoise((1, 16, 16)))
    with contextlib.suppress(ut.UserError):
        ut.solve(method, problem, net=Compact(widths=(4, 8), skip=2), watch=[order])
    return order


def test_a_watcher_sees_the_preparation_before_the_steps() -> None:
    assert follow(ut.methods.DIP(rounds=1)).told == ["prepare", "begin", "end"]


def test_a_phase_ends_for_its_watchers_too_when_preparing_fails() -> None:
    class Unable(ut.methods.DIP):
        def start(self, s: State) -> None:
            raise ut.UserError("for the test")

    assert follow(Unable(rounds=1)).told == ["prepare", "end"]

"""A fit that leaves the track of an earlier one is noticed, and not used."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.core.state import State
from untrained.nets import Compact
from untrained.rules import HeldOut
from untrained.solver.track import FACTOR, PATIENCE, off_track

NET = Compact(widths=(8, 16, 16), skip=0)
ENGINE = ut.Engine("muon", lr=0.02, precision="fp32")


def problem(count: int = 1) -> ut.Problem:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    image = 0.5 + 0.3 * torch.sin(x / 6) * torch.cos(y / 9)
    noise = torch.randn(count, 1, 64, 48, generator=torch.Generator().manual_seed(0))
    return ut.Problem(image + 0.02 * noise, ut.physics.Denoise((1, 64, 48)))


@dataclass(frozen=True)
class Jumps(ut.methods.DIP):
    """From a step on its images are too bright and too dark in turn, which no weights can mend."""

    name = "jumps"
    at: int = 40
    only_all: bool = True  # not while measurements are held out

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        x = s.net(s["z"])
        if s.step >= self.at and (s.problem.keep is None or not self.only_all):
            x = x + (0.3 if s.step % 2 else -0.3)
        return x, {"data": s.problem.misfit(x)}


def solve(method: ut.Method, count: int = 1, **more: object) -> ut.Result:
    parts = {"net": NET, "engine": ENGINE, "steps": 90}
    stop = HeldOut(fraction=0.2, patience=60, skip=2, again=True)
    return ut.solve(method, problem(count), stop=stop, **{**parts, **more})


def test_a_second_fit_that_jumps_is_dropped_for_the_first() -> None:
    good, bad = solve(Jumps(at=10**6)), solve(Jumps())
    assert good.dropped == ""
    assert "the data term was more than 2 times" in bad.dropped
    assert bad.dropped in bad.stop[0].reason
    assert bad.stop[0].step == good.stop[0].step
    truth = problem().y
    assert (bad.image - truth).square().mean() < 0.01
    phases = bad.history["phase"]
    assert phases.count("refit") == 0  # the first fit's history, which belongs to the image


def test_every_image_of_a_group_has_a_track_of_its_own() -> None:
    """Side by side as in turn."""
    engine = replace(ENGINE, together=2)
    together = solve(Jumps(), 2, engine=engine)
    torch.testing.assert_close(together.image[:1], solve(Jumps()).image)
    assert "dropped" in together.stop[0].reason
    assert "dropped" in together.stop[1].reason


def test_a_first_fit_that_jumps_ends_with_its_best_image() -> None:
    bad = solve(Jumps(only_all=False))
    assert bad.stop[0].rule in ("off track", "heldout")
    assert bad.stop[0].step <= 40
    assert (bad.image - problem().y).square().mean() < 0.05  # 0.09 and more after the jump


def test_a_resumed_fit_leaves_the_track_at_the_same_step(tmp_path, pause_after) -> None:
    whole = solve(Jumps())
    paused = solve(Jumps(), run_dir=tmp_path, watch=[pause_after(90 + 50)])
    assert not paused.finished
    again = solve(Jumps(), run_dir=tmp_path)
    assert again.stop == whole.stop
    assert torch.equal(again.image, whole.image)


def test_further_seeds_that_jump_are_left_out_of_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    from untrained.methods import dip

    class Unlucky(Jumps):
        """Only the second seed of three jumps."""

        def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
            if s.seeds != (1,):
                return dip.DIP.loss(self, s)
            return super().loss(s)

    made = dip.recipe
    monkeypatch.setattr(
        "untrained.methods.dip.recipe",
        lambda task, preset: replace(made(task, preset), method=Unlucky(), net=NET, engine=ENGINE),
    )
    known = ut.METHODS["dip"]
    monkeypatch.setitem(ut.METHODS, "dip", replace(known, recipe=dip.recipe))
    result = ut.reconstruct(
        problem().y,
        ut.physics.Denoise((1, 64, 48)),
        "dip",
        seeds=3,
        steps=90,
        progress=False,
        compare=False,
    )
    assert "seed 1 was dropped from the mean" in result.dropped
    assert result.dropped in result.about.notes


def test_the_count_starts_anew_when_the_fit_comes_back() -> None:
    s = State(problem(), NET.build(32, 1), 0)
    values = [1.0] * 5 + [2.2] * (PATIENCE - 1) + [1.0] + [2.2] * (PATIENCE - 1)
    for value in values:
        assert not bool(off_track(s, torch.tensor([value]), {0: [1.0]}).any())
        s.step += 1
    assert bool(off_track(s, torch.tensor([2.2]), {0: [1.0]}).all())
    assert FACTOR == 2


def test_a_fit_may_leave_a_learned_start_and_come_back() -> None:
    s = State(problem(), NET.build(32, 1), 0)
    for value in [0.01] + [0.1] * 200 + [0.004] + [0.1] * (PATIENCE - 1):
        assert not bool(off_track(s, torch.tensor([value]), {}).any())
    assert bool(off_track(s, torch.tensor([0.1]), {}).all())

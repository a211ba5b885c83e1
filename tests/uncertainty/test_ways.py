"""The three ways to an error bar, through `reconstruct`, and what each of them promises."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_api import FAST, measured
from torch import Tensor

import untrained as ut
from untrained.cli.closing import closing_lines
from untrained.core.rule import Stopped
from untrained.core.rule_memory import Memory
from untrained.core.watch import Watch
from untrained.methods import DIP
from untrained.problem import Problem
from untrained.rules import HeldOut, Posterior
from untrained.run.case import Case, RunSettings
from untrained.run.estimate import PRODUCT, estimate
from untrained.run.execute import run
from untrained.run.plan import plan
from untrained.uncertainty import quantify
from untrained.uncertainty.draw import Task, draw
from untrained.uncertainty.drawn import Drawn
from untrained.uncertainty.roles import divide, visible
from untrained.uncertainty.settings import SGLD, WAYS, Ensemble, Linearised, Way, find_way
from untrained.uncertainty.walk import Walk

QUICK: dict[str, list[str]] = {
    "ensemble": [],
    "sgld": ["uncertainty.steps=8", "uncertainty.keep=4"],
    "linearised": ["uncertainty.samples=3", "uncertainty.probes=6", "uncertainty.iterations=3"],
}


def reconstruct(y: Tensor, physics: object, way: str, *more: str, **options: object) -> ut.Result:
    settings = [*FAST, *QUICK[way], *more]
    options = {"method": "dip", "steps": 6, "seeds": 2 if way == "ensemble" else 1, **options}
    return ut.reconstruct(
        y, physics, uncertainty=way, settings=settings, progress=False, compare=False, **options
    )


@pytest.mark.parametrize("way", WAYS)
def test_files_and_facts(way: str, tmp_path: Path) -> None:
    y, truth, physics = measured()
    result = reconstruct(y, physics, way, truth=truth, level=0.8)
    told = result.uncertainty
    assert (told.method, told.level) == (way, 0.8)
    assert 0 <= told.coverage_heldout <= 1
    assert 0 < told.measured_share < 1
    place = result.save(tmp_path / "out")
    facts = json.loads((place / "result.json").read_text())["uncertainty"]
    assert facts["coverage_heldout"] == told.coverage_heldout
    assert set(facts["reference"]) >= {"before", "after", "measured_after", "null_after"}
    image, std, lower, upper = (
        np.load(place / f"{name}.npy") for name in ("reconstruction", "std", "lower", "upper")
    )
    assert np.allclose(upper - image, image - lower, atol=1e-5)
    assert np.allclose(upper - image, told.quantile * std, atol=1e-5)
    told_to_the_user = closing_lines(place, json.loads((place / "result.json").read_text()))
    assert any("80 % intervals hold" in line for line in told_to_the_user)
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "How sure it is" in page
    assert "Standard deviation of what is not measured" in page


@pytest.mark.parametrize("way", WAYS)
def test_measurements_that_test_and_calibrate_reach_nothing_else(way: str) -> None:
    """With other values there image and raw spread keep their bits."""
    y, _, physics = measured()
    roles = divide(Problem(y, physics), 0.05, 0)
    first = reconstruct(y, physics, way)
    other = y.clone()
    other[0][visible(roles.test)] = 0.5
    changed = reconstruct(other, physics, way)
    assert torch.equal(changed.image, first.image)
    assert torch.equal(changed.std, first.std)
    assert changed.uncertainty.quantile == first.uncertainty.quantile
    assert changed.uncertainty.coverage_heldout != first.uncertainty.coverage_heldout
    other = y.clone()
    other[0][visible(roles.calibrate)] = 0.5
    changed = reconstruct(other, physics, way)
    assert torch.equal(changed.image, first.image)
    assert torch.equal(changed.std, first.std)
    assert changed.uncertainty.quantile != first.uncertainty.quantile


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_is_its_singles(way: str) -> None:
    y, _, physics = measured()
    pair = torch.cat([y, y.flip(-1) * physics.mask])
    both = reconstruct(pair, physics, way)
    for i in range(2):
        alone = reconstruct(pair[i : i + 1], physics, way)
        assert torch.equal(both.image[i], alone.image[0])
        assert torch.equal(both.std[i], alone.std[0])
        assert torch.equal(both.lower[i], alone.lower[0])


class Pauses(Watch):
    """Interrupts once, after so many steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def step(self, frame: object, columns: dict[str, float]) -> None:
        self.left -= 1

    def interrupted(self) -> Stopped | None:
        return Stopped("interrupted", 0, "asked to") if self.left <= 0 else None


@pytest.mark.parametrize(("way", "after"), [("ensemble", 9), ("sgld", 9), ("linearised", 3)])
def test_an_interrupted_run_is_resumed_to_the_same_bits(
    way: str, after: int, tmp_path: Path
) -> None:
    y, _, physics = measured()
    chosen = plan("inpaint", method="dip", steps=6, settings=FAST)
    fields = {one.split(".")[1].split("=")[0]: int(one.split("=")[1]) for one in QUICK[way]}
    sure = WAYS[way](**fields)

    def go(folder: Path | None, watch: list[Watch]) -> ut.Result:
        how = RunSettings(
            seeds=2 if way == "ensemble" else 1,
            compare=False,
            sure=sure,
            run_dir=folder,
            watch=watch,
        )
        return run(chosen, [Case(Problem(y, physics))], how)[0]

    paused = go(tmp_path / "run", [Pauses(after)])
    assert not paused.finished
    assert paused.std is None
    assert paused.uncertainty is None
    resumed, whole = go(tmp_path / "run", []), go(None, [])
    assert resumed.resumed_from
    assert torch.equal(resumed.image, whole.image)
    assert torch.equal(resumed.std, whole.std)
    assert resumed.uncertainty.coverage_heldout == whole.uncertainty.coverage_heldout


def test_nothing_is_refitted_and_an_ensemble_of_four_takes_four_runs() -> None:
    y, _, physics = measured()
    result = reconstruct(y, physics, "ensemble", seeds=1)
    assert result.steps == 4 * 6
    assert result.about.seeds == 4
    assert set(result.history["phase"]) == {"fit"}
    assert not result.recipe.stop.refit


def test_bootstrapped_members_fit_other_measurements() -> None:
    y, _, physics = measured()
    plain = reconstruct(y, physics, "ensemble", seeds=3)
    other = reconstruct(y, physics, "ensemble", "uncertainty.bootstrap=true", seeds=3)
    first = reconstruct(y, physics, "sgld")
    assert torch.equal(other.image, first.image)  # one fit of what was measured
    assert not torch.equal(other.std, plain.std)
    assert other.uncertainty.settings["bootstrap"] is True


def test_a_mixture_is_given_the_spread_of_its_networks() -> None:
    y, _, physics = measured()
    result = reconstruct(y, physics, "ensemble", method="house")
    assert float((result.std > 0).double().mean()) > 0.95
    assert "flat" not in result.uncertainty.facts


def test_without_any_spread_the_intervals_have_one_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal members say nothing of where an image is unsure: a plain conformal interval."""

    def equal(way: Way, task: Task) -> Drawn:
        drawn = draw(way, task)
        return replace(drawn, samples=0 * drawn.samples, std=0 * drawn.std)

    monkeypatch.setattr(quantify, "draw", equal)
    y, _, physics = measured()
    result = reconstruct(y, physics, "ensemble")
    assert result.uncertainty.facts["flat"] == 1
    assert float(result.std.max()) == float(result.std.min()) > 0


def test_the_posterior_rule_keeps_the_second_moment() -> None:
    images = torch.randn(9, 2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    rule, m = Posterior(burn_in=2, every=2, keep=3), Memory({}, "")

    class S:
        size, device, step = 2, "cpu", 0

    s = S()
    rule.start(s, m)
    for s.step, x in enumerate(images):
        mean = rule.see(s, m, x, None)
    drawn = images[2::2]
    kept, std = rule.samples(m)
    assert torch.allclose(mean, drawn.mean(0), atol=1e-6)
    assert torch.allclose(std, drawn.std(0), atol=1e-5)
    assert kept.shape == (2, 3, 1, 4, 4)
    assert {float(k.sum()) for k in kept[0]} == {float(x[0].sum()) for x in drawn[1:]}
    assert Posterior(burn_in=2, every=2).samples(Memory({}, "")) is None


def test_a_walk_without_noise_takes_the_steps_of_the_method() -> None:
    y, _, physics = measured()
    problem = Problem(y, physics)
    net = plan("inpaint", method="dip", settings=FAST).recipe.net
    own = ut.solve(DIP(rounds=5), problem, net=net)
    walk = ut.solve(Walk(DIP(rounds=5), 5, 0.0), problem, net=net)
    noisy = ut.solve(Walk(DIP(rounds=5), 5, 0.5), problem, net=net)
    assert torch.equal(own.image, walk.image)
    assert not torch.equal(own.image, noisy.image)


def test_the_method_sgld_gives_its_own_walk() -> None:
    y, _, physics = measured()
    result = reconstruct(y, physics, "sgld", method="sgld", steps=40)
    assert result.steps == 40
    assert result.uncertainty.facts["samples"] == 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "tv"}, "classical method, which has no network"),
        ({"way": "sgld", "seeds": 2}, "leave --seeds out"),
        ({"level": 1.0}, "level must lie between 0 and 1"),
        ({"way": "linearised", "more": "uncertainty.samples=1"}, "at least 2"),
        ({"way": "sgld", "more": "uncertainty.rank=3"}, "no field 'rank'"),
        ({"way": "sgld", "more": "uncertainty.burn_in=1"}, "burn_in must lie"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], says: str) -> None:
    y, _, physics = measured()
    options = dict(options)
    way, more = str(options.pop("way", "ensemble")), options.pop("more", None)
    if options.get("method") == "tv":
        with pytest.raises(ut.UserError, match=says):
            ut.reconstruct(y, physics, "tv", uncertainty="ensemble", progress=False)
        return
    with pytest.raises(ut.UserError, match=says):
        reconstruct(y, physics, way, *([more] if more else []), **options)


def test_names_settings_and_nonlinear_operators() -> None:
    with pytest.raises(ut.UserError, match="'ensemble', 'sgld', 'linearised', or None"):
        find_way("bayes")
    assert find_way(Ensemble(bootstrap=True)) == Ensemble(bootstrap=True)
    y, _, physics = measured()
    with pytest.raises(ut.UserError, match="there is no --uncertainty in this run"):
        ut.reconstruct(y, physics, "dip", settings=["uncertainty.rank=3"], progress=False)
    phase = ut.physics.PhaseRetrieval((1, 12, 12))
    amplitudes = phase.A(torch.rand(1, 1, 12, 12))
    for way, says in ((Linearised(), "needs a linear operator"), (Ensemble(), "turned or moved")):
        with pytest.raises(ut.UserError, match=says):
            ut.reconstruct(amplitudes, phase, "dip", uncertainty=way, progress=False)
    way = SGLD(steps=8, keep=4)
    result = ut.reconstruct(
        amplitudes,
        phase,
        "dip",
        uncertainty=way,
        steps=4,
        settings=FAST,
        progress=False,
        compare=False,
    )
    assert result.uncertainty.measured_share is None
    assert result.std is not None


def test_a_stop_rule_that_holds_nothing_out_has_a_share_kept_back() -> None:
    y, _, physics = measured()
    result = reconstruct(y, physics, "sgld", stop="none")
    assert result.uncertainty.factor > 0
    assert HeldOut().without_refit() == HeldOut(again=False)
    combined = (HeldOut(again=True) | HeldOut(again=True)).without_refit()
    assert not combined.refit


def test_the_estimate_counts_every_product_of_the_linearised_way() -> None:
    """A product with J and J^T takes about two steps; conjugate gradients take all iterations."""
    y, _, physics = measured()
    chosen = plan("inpaint", method="dip", steps=100, settings=FAST)
    few, many = (
        estimate(chosen, Problem(y, physics), sure=Linearised(samples=n, probes=10, iterations=20))
        for n in (0, 10)
    )
    assert many["steps"] - few["steps"] == round(PRODUCT * 10 * 22)
    assert few["steps"] == round(100 + PRODUCT * 10)

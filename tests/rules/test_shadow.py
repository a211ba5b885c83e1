"""A shadow rule does what the rule itself would have done, and nobody notices."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.core.method import Method
from untrained.core.rule import Last, Never, Stop
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.nets import Compact
from untrained.result import Result
from untrained.rules import (
    EMV,
    WMV,
    Average,
    Discrepancy,
    HeldOut,
    MaxSteps,
    SelfValidation,
    Shadow,
    ZeroCrossing,
    verdicts,
)
from untrained.rules.watch import Reference
from untrained.run.solve import solve

STEPS = 14
TRUTH = torch.linspace(0, 1, 20).expand(1, 1, 16, 20).clone()
PARTS = {
    "net": Compact(widths=(4, 8), skip=2),
    "engine": ut.Engine("muon", lr=0.05, precision="fp32"),
    "output": Average(0.8),
}


@dataclass(frozen=True)
class Bumpy(Method):
    """A network whose objective has a divergence, and whose image jumps more and more."""

    name: ClassVar[str] = "bumpy"
    rounds: int = STEPS
    inner: int = 1

    def input_channels(self, image_channels: int) -> int:
        return 2

    def start(self, s: State) -> None:
        s["z"] = s.noise("z", (2, *s.problem.x_shape[1:]), "uniform")
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        x = s.net(s["z"])
        late = max(0, s.step - 4)
        divergence = 0 * x.flatten(1).sum(1) + 0.5 - 0.2 * s.step  # its sign alone is looked at
        terms = {"data": s.problem.misfit(x), "divergence": divergence}
        return x + 0.05 * late * (-1) ** s.step, terms


RULES: dict[str, Stop] = {
    "wmv": WMV(window=3, patience=4),
    "emv": EMV(skip=2, patience=3),
    "patient": EMV(skip=2, patience=50),
    "blind": WMV(window=50),
    "selfval": SelfValidation(window=2, patience=3, side=8, batch=2),
    "discrepancy": Discrepancy(tau=1.0),
    "zero": ZeroCrossing(decay=0.5),
    "steps": MaxSteps(5),
    "either": WMV(window=3, patience=4) | MaxSteps(7),
    "both": MaxSteps(6) & EMV(skip=2, patience=3),
    "none": Never(),
}


def problem() -> ut.Problem:
    noise = torch.randn(TRUTH.shape, generator=torch.Generator().manual_seed(0))
    return ut.Problem(TRUTH + 0.3 * noise, ut.physics.Denoise(TRUTH.shape[1:]), sigma=0.3)


@pytest.fixture(scope="module")
def watched() -> Result:
    watch = [Reference(TRUTH, 1.0), Shadow(RULES)]
    return solve(Bumpy(), problem(), watch=watch, **PARTS)


@pytest.mark.parametrize("name", RULES)
def test_it_says_what_a_run_with_that_rule_does(watched: Result, name: str) -> None:
    real = solve(Bumpy(), problem(), stop=RULES[name], watch=[Reference(TRUTH, 1.0)], **PARTS)
    verdict = verdicts(watched.history)[name]
    assert verdict.stopped == (None if real.stop[0].rule == "budget" else real.steps)
    assert verdict.chosen == real.stop[0].step
    shown = ut.metrics.psnr(real.image, TRUTH, data_range=1.0)
    assert verdict.psnr_output == pytest.approx(shown, abs=1e-5)
    for column, origin in real.origins.items():
        if origin == "stop":
            seen = watched.history[f"shadow/{name}/{column}"]
            assert str(seen[: real.steps]) == str(real.history[column])
            assert all(math.isnan(float(value)) for value in seen[real.steps :])


def test_the_rules_end_at_different_steps(watched: Result) -> None:
    """Or the comparison above would compare nothing."""
    stopped = {verdict.stopped for verdict in verdicts(watched.history).values()}
    assert len(stopped) >= 5
    assert None in stopped


def test_the_run_does_not_notice(watched: Result) -> None:
    alone = solve(Bumpy(), problem(), **PARTS)
    assert torch.equal(alone.image, watched.image)
    assert all(watched.history[name] == alone.history[name] for name in alone.history)


def test_a_rule_that_ended_sees_nothing_more() -> None:
    @dataclass(frozen=True)
    class Counting(MaxSteps):
        seen: tuple = ()

        def see(self, s, m, frame) -> None:
            self.seen[0].append(frame.step)
            super().see(s, m, frame)

    counter = Counting(3, ([],))
    solve(Bumpy(), problem(), watch=[Shadow({"three": counter})], **PARTS)
    assert counter.seen[0] == [1, 2, 3]


def test_without_a_reference_there_is_no_psnr() -> None:
    history = solve(Bumpy(), problem(), watch=[Shadow({"a": MaxSteps(2)})], **PARTS).history
    assert verdicts(history) == {"a": ut.rules.Verdict(2, 2, None, None)}


def test_a_paused_run_goes_on_with_the_same_shadows(
    watched: Result, tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    watch = [Reference(TRUTH, 1.0), Shadow(RULES)]
    solve(Bumpy(), problem(), watch=[*watch, pause_after(6)], run_dir=tmp_path, **PARTS)
    watch = [Reference(TRUTH, 1.0), Shadow(RULES)]
    rest = solve(Bumpy(), problem(), watch=watch, run_dir=tmp_path, **PARTS)
    assert rest.resumed_from == (6,)
    assert str(rest.history) == str(watched.history)


def test_beside_a_held_out_stop_the_first_phase_counts() -> None:
    stop = HeldOut(fraction=0.2, patience=2, skip=0, again=True)
    shadow = Shadow({"wmv": WMV(window=2, patience=2), "late": MaxSteps(99)})
    parts = {**PARTS, "output": replace(PARTS["output"], keep_best=True)}
    history = solve(Bumpy(), problem(), stop=stop, watch=[shadow], **parts).history
    assert set(history["phase"]) == {"fit", "refit"}
    late = verdicts(history)["late"]
    assert (late.stopped, late.chosen) == (None, history["phase"].count("fit"))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"a": HeldOut()}, "'a' holds measurements out"),
        ({"b": MaxSteps(3) | HeldOut()}, "'b' holds measurements out"),
        ({"a/b": MaxSteps(3)}, "without '/'"),
        ({}, "at least one"),
    ],
)
def test_what_cannot_be_watched_is_refused(rules: dict[str, Stop], message: str) -> None:
    with pytest.raises(ut.UserError, match=message):
        Shadow(rules)


def test_columns_tell_whose_they_are() -> None:
    watch = [Reference(TRUTH, 1.0), Shadow({"a": MaxSteps(2)})]
    method = ut.methods.House(rounds=2, channels=2, guided=False)
    stop = HeldOut(fraction=0.2)
    output = ut.rules.Blend()
    result = solve(method, problem(), net=PARTS["net"], stop=stop, output=output, watch=watch)
    assert result.origins == {
        "data": "objective",
        "tv": "objective",
        "held-out error": "stop",
        "network share": "output",
        "held-out error of the classical image": "output",
        "psnr": "watch",
        "psnr_output": "watch",
        "shadow/a/stopped": "watch",
        "shadow/a/chosen": "watch",
    }


def test_a_rule_without_an_opinion_returns_the_newest_image() -> None:
    parts = {**PARTS, "stop": WMV(window=50), "output": Last(keep_best=True)}
    result = solve(Bumpy(), problem(), **parts)
    assert result.stop[0].step == STEPS

"""The zero-crossing stop on sequences whose crossing is known."""

import pytest
import torch

import untrained as ut
from untrained.core.rule import Frame
from untrained.core.state import State
from untrained.nets import Compact
from untrained.rules import MaxSteps, ZeroCrossing

RISK = [0.9, 0.5, 0.2, -0.1, 0.3, 0.1, -0.2, -0.4, -0.6, -0.8]


def drive(rule, names: tuple[str, ...] = ("data", "divergence")) -> tuple[int, str]:
    """(step at which it ended or 0, reason), the risk split among the terms."""
    y = torch.zeros(1, 1, 8, 8)
    s = State(ut.Problem(y, ut.physics.Denoise(y.shape[1:])), Compact((4, 8)).build(1, 1), seed=0)
    m = s.memory("stop")
    rule.start(s, m)
    for step, risk in enumerate(RISK, start=1):
        s.step = step - 1
        parts = [torch.full((1,), 1.0), torch.full((1,), risk - 1.0)]
        rule.see(s, m, Frame(step, y, y, dict(zip(names, parts, strict=True)), None))
        assert rule.improved(m) is None
        if bool(rule.done(m)[0]):
            return step, rule.reason(m)
    return 0, ""


def test_without_smoothing_it_ends_at_the_first_negative_value() -> None:
    ended, reason = drive(ZeroCrossing(decay=0.0))
    assert ended == 4
    assert "below zero" in reason
    assert "at step 4" in reason


@pytest.mark.parametrize("decay", [0.5, 0.8])
def test_it_ends_where_the_running_mean_is_negative(decay: float) -> None:
    mean, expected = 0.0, 0
    for step, risk in enumerate(RISK, start=1):
        share = max(1 - decay, 1 / step)
        mean += share * (risk - mean)
        if mean < 0:
            expected = step
            break
    assert expected > 4  # one lucky draw of the divergence ends nothing
    assert drive(ZeroCrossing(decay))[0] == expected


def test_it_combines_with_other_rules() -> None:
    assert drive(ZeroCrossing(0.0) | MaxSteps(3))[0] == 3
    assert drive(ZeroCrossing(0.0) & MaxSteps(6))[0] == 6


def test_a_method_without_a_divergence_is_refused_by_name() -> None:
    with pytest.raises(ut.UserError, match="terms are data, tv"):
        drive(ZeroCrossing(), names=("data", "tv"))


def test_a_decay_that_makes_no_mean_is_refused() -> None:
    with pytest.raises(ut.UserError, match=r"stop\.decay"):
        ZeroCrossing(1.0)

"""Stop rules find what they promise on curves where the answer is known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.core.rule import Both, Either, Frame, Never
from untrained.core.state import State
from untrained.errors import UserError
from untrained.nets import Compact
from untrained.physics import CT, MRI, Inpaint, SuperRes
from untrained.rules import (
    EMV,
    RULES,
    WMV,
    Average,
    Discrepancy,
    HeldOut,
    MaxSteps,
    SelfValidation,
    TimeLimit,
    ZeroCrossing,
    parse_stop,
)


def state(sigma: float | None = 0.1) -> State:
    y = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    problem = ut.Problem(y, ut.physics.Denoise(y.shape[1:]), sigma=sigma)
    return State(problem, Compact(widths=(4, 8)).build(1, 1), seed=0)


def frame(step: int, x: Tensor, held: ut.Problem | None = None) -> Frame:
    return Frame(step, x, x, {"data": torch.zeros(1)}, held)


def drive(rule, images, s: State | None = None, held: ut.Problem | None = None) -> tuple[int, int]:
    """(step at which the rule ended, best step) over a list of images."""
    s = s or state()
    m = s.memory("stop")
    rule.start(s, m)
    best = 0
    for step, x in enumerate(images, start=1):
        s.step = step - 1
        rule.see(s, m, frame(step, x, held))
        improved = rule.improved(m)
        if improved is not None and bool(improved[0]):
            best = step
        if bool(rule.done(m)[0]):
            assert rule.reason(m)
            return step, best
    return 0, best


def wobble(amplitudes: list[float]) -> list[Tensor]:
    """Images that alternate by +-a around a constant: their windowed variance is a^2."""
    return [torch.full((1, 1, 4, 4), (-1) ** i * a) for i, a in enumerate(amplitudes)]


def test_wmv_finds_the_minimum_of_a_made_up_variance_and_stops() -> None:
    valley = [1.0 - 0.01 * i for i in range(60)] + [0.4 + 0.02 * i for i in range(100)]
    window = 4
    ended, best = drive(WMV(window=window, patience=20), wobble(valley))
    variances = [
        torch.stack(wobble(valley)[i - window : i]).var(0, unbiased=False).mean().item()
        for i in range(window, len(valley) + 1)
    ]
    expected = window + min(range(len(variances)), key=variances.__getitem__)
    assert best == expected
    assert ended == best + 20


def test_emv_is_the_exponentially_weighted_variance_of_a_stationary_signal() -> None:
    """Independent samples of variance 1: the recursion has a known mean."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(1, 1, 64, 64, generator=generator) for _ in range(400)]
    s, rule = state(), EMV(alpha=0.1, skip=0, patience=1000)
    m = s.memory("stop")
    rule.start(s, m)
    values = []
    for step, x in enumerate(images, start=1):
        rule.see(s, m, frame(step, x))
        values.append(float(m["variance"]))
    # V = (1-a)(V + a E d^2) with E d^2 = v (1 + a/(2-a)) for a mean lagging by one step.
    a = 0.1
    expected = (1 - a) * (1 + a / (2 - a))
    assert math.isclose(sum(values[200:]) / 200, expected, rel_tol=0.01)


def test_the_mean_of_emv_starts_at_the_first_image() -> None:
    """Follow a run that does not move: its variance is 0 from the first step on."""
    s, rule = state(), EMV(alpha=0.1, skip=0, patience=1000)
    m = s.memory("stop")
    rule.start(s, m)
    for step in (1, 2, 3):
        rule.see(s, m, frame(step, torch.full((1, 1, 8, 8), 0.7)))
        assert float(m["variance"]) == 0


@pytest.mark.parametrize(
    "rule",
    [HeldOut(patience=6, skip=3), WMV(window=4, patience=6), EMV(skip=3, patience=6)],
    ids=str,
)
def test_the_earliest_end_is_that_of_a_run_that_gets_worse_from_the_start(rule) -> None:
    s = state()
    s.problem, held = s.problem.split(0.3, seed=0)
    ended, best = drive(rule, [s.problem.y + 0.1 * i**2 for i in range(1, 30)], s, held)
    assert ended == rule.earliest
    assert best == rule.ignored + 1


def test_the_discrepancy_stops_at_the_noise_level() -> None:
    s = state(sigma=0.1)
    levels = [0.5, 0.3, 0.2, 0.11, 0.09]
    images = [s.problem.y + level for level in levels]
    ended, _ = drive(Discrepancy(tau=1.0), images, s)
    assert ended == 5


def test_the_discrepancy_needs_a_noise_level() -> None:
    s = state(sigma=None)
    with pytest.raises(UserError, match="--sigma"):
        Discrepancy().start(s, s.memory("stop"))


@pytest.mark.parametrize(
    ("physics", "said"),
    [
        (ut.physics.Denoise((1, 16, 16)), "give --sigma, or store it in the file as 'sigma', on t"),
        (
            Inpaint(np.eye(16), (1, 16, 16)),
            "give --sigma, or store it in the file as 'sigma', on t",
        ),
        (SuperRes((1, 16, 16), 2), "level: store it in the file as 'sigma', on the 0..255"),
        (
            CT((16, 16), np.arange(6) * 30.0, 24),
            "in the file as 'sigma', in the units of the",
        ),
        (MRI(np.ones(16), x_shape=(2, 16, 16)), "on mri no file says it"),
    ],
    ids=lambda value: getattr(value, "task", ""),
)
def test_where_the_noise_level_is_said_depends_on_the_task(physics, said: str) -> None:
    problem = ut.Problem(physics.A(torch.rand(1, *physics.x_shape)), physics)
    s = State(problem, Compact(widths=(4, 8)).build(1, 1), seed=0)
    with pytest.raises(UserError, match=said):
        Discrepancy().start(s, s.memory("stop"))


def test_heldout_finds_the_image_that_predicts_what_was_hidden() -> None:
    truth = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    noise = 0.3 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))
    problem = ut.Problem(truth + noise, ut.physics.Denoise(truth.shape[1:]))
    fit, held = problem.split(0.3, seed=0)
    # first towards the truth, then towards the noise of the visible pixels, wrong elsewhere
    other = 0.3 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(3))
    wrong = (fit.y - truth) * fit.keep + other * held.keep
    towards = [truth * (i / 20) for i in range(21)]
    away = [truth + wrong * (i / 20) for i in range(1, 40)]
    s = State(fit, Compact(widths=(4, 8)).build(1, 1), seed=0)
    rule = HeldOut(patience=10, skip=0)
    ended, best = drive(rule, [*towards, *away], s, held)
    assert abs(best - 21) <= 2
    assert ended == best + 10


def test_a_rule_without_a_statistic_says_so() -> None:
    s = state()
    for rule in (Never(), MaxSteps(3), TimeLimit(1.0)):
        m = s.memory(rule.name)
        rule.start(s, m)
        assert rule.improved(m) is None


def test_either_and_both() -> None:
    images = [torch.zeros(1, 1, 4, 4)] * 10
    assert drive(MaxSteps(3) | MaxSteps(6), images)[0] == 3
    assert drive(MaxSteps(3) & MaxSteps(6), images)[0] == 6
    s = state()
    m = s.memory("stop")
    rule = MaxSteps(2) | MaxSteps(5)
    rule.start(s, m)
    for step in (1, 2):
        rule.see(s, m, frame(step, images[0]))
    assert "2 steps" in rule.reason(m)


def test_both_remembers_a_rule_that_has_ended() -> None:
    """A discrepancy that was met once counts although the residual rises again."""
    s = state(sigma=0.1)
    images = [s.problem.y + level for level in (0.5, 0.05, 0.5, 0.5)]
    assert drive(Discrepancy() & MaxSteps(4), images, s)[0] == 4


def test_a_pair_passes_on_what_its_sides_need() -> None:
    rule = MaxSteps(3) | HeldOut(fraction=0.1, again=True)
    assert rule.holdout == 0.1
    assert rule.refit


def test_time_limit_ends() -> None:
    assert drive(TimeLimit(1e-9), [torch.zeros(1, 1, 4, 4)] * 3)[0] <= 2


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("none", Never()),
        ("wmv", WMV()),
        ("steps:20", MaxSteps(20)),
        ("time:1.5", TimeLimit(1.5)),
        ("discrepancy:0.9", Discrepancy(0.9)),
        ("heldout:70", HeldOut(patience=70)),
        ("selfval:80", SelfValidation(patience=80)),
        ("zero", ZeroCrossing()),
        ("wmv | steps:9", Either(WMV(), MaxSteps(9))),
        ("emv & wmv | steps:9", Either(Both(EMV(), WMV()), MaxSteps(9))),
    ],
)
def test_rules_from_text(text: str, rule) -> None:
    assert parse_stop(text) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wvm", "did you mean 'wmv'"),
        ("steps:x", "not a number"),
        ("steps:-1", "positive"),
        ("zero:3", "takes no number"),
        ("none:3", "takes no number"),
        ("", "unknown"),
        ("heldout:100 time:120", r"combined with \| .* or & .*'heldout:100 \| time:120'"),
        ("heldout, time:120", r"for example 'heldout \| time:120'"),
        ("steps:9 | heldout or wmv", r"stop rule 'heldout or wmv': rules are combined with \|"),
    ],
)
def test_wrong_text_is_named(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_stop(text)


def test_the_average_starts_as_a_plain_mean_and_forgets_later() -> None:
    s, rule = state(), Average(decay=0.5)
    m = s.memory("output")
    values = []
    for step, x in enumerate([2.0, 4.0, 8.0]):
        s.step = step
        values.append(float(rule.see(s, m, torch.full((1, 1, 2, 2), x), None)[0, 0, 0, 0]))
    assert values == [2.0, 3.0, 5.5]


def test_slack_prefers_the_later_of_two_equal_steps() -> None:
    truth = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    problem = ut.Problem(truth, ut.physics.Denoise(truth.shape[1:]))
    fit, held = problem.split(0.3, seed=0)
    errors = [0.5, 0.2, 0.1, 0.1004, 0.1008, 0.2, 0.3]
    images = [truth + e for e in errors]
    s = State(fit, Compact(widths=(4, 8)).build(1, 1), seed=0)
    assert drive(HeldOut(patience=50, skip=0), images, s, held)[1] == 3
    s = State(fit, Compact(widths=(4, 8)).build(1, 1), seed=0)
    assert drive(HeldOut(patience=50, skip=0, slack=0.05), images, s, held)[1] == 5


def test_the_lowest_objective_is_found_and_nothing_is_ended() -> None:
    s, rule = state(), parse_stop("lowest")
    m = s.memory("stop")
    rule.start(s, m)
    improved = []
    for step, value in enumerate([3.0, 1.0, 2.0, 0.5], 1):
        x = torch.zeros(1, 1, 2, 2)
        terms = {"data": torch.tensor([value]), "tv": torch.tensor([0.1])}
        rule.see(s, m, Frame(step, x, x, terms, None))
        improved.append(bool(rule.improved(m)))
        assert not bool(rule.done(m).any())
    assert improved == [True, True, False, True]


REASONED = {
    "heldout": (HeldOut(patience=2, skip=0), "smallest"),
    "wmv": (WMV(window=1, patience=2), "smallest"),
    "emv": (EMV(skip=0, patience=2), "smallest"),
    "selfval": (SelfValidation(window=1, patience=2, side=8, batch=1), "smallest"),
    "discrepancy": (Discrepancy(tau=1e9), "noise level"),
    "zero": (ZeroCrossing(), "below zero"),
    "steps": (MaxSteps(3), "3 steps"),
    "time": (TimeLimit(1e-9), "time limit"),
}


@pytest.mark.parametrize("name", sorted(RULES.keys() - {"none", "lowest", "biasvariance"}))
def test_every_rule_ends_a_run_with_a_sentence(name: str) -> None:
    """Images that get worse by every statistic, after a first that is good by all."""
    truth = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    problem = ut.Problem(truth, ut.physics.Denoise(truth.shape[1:]), sigma=0.1)
    fit, held = problem.split(0.3, seed=0)
    s, (rule, word) = State(fit, Compact(widths=(4, 8)).build(1, 1), seed=0), REASONED[name]
    m = s.memory("stop")
    rule.start(s, m)
    for step in range(1, 20):
        x = truth + (-1) ** step * 0.5 * (step - 1)
        terms = {"data": torch.ones(1), "divergence": torch.full((1,), -2.0)}
        with torch.no_grad():
            rule.see(s, m, Frame(step, x, x, terms, held))
        s.step = step
        if bool(rule.done(m)[0]):
            break
    assert bool(rule.done(m)[0])
    reason = rule.reason(m)
    assert word in reason
    assert len(reason.split()) >= 5
    assert "\n" not in reason
    assert "nan" not in reason.split()


@pytest.mark.parametrize(
    "rule", [WMV(window=5), EMV(skip=5), HeldOut(skip=5), SelfValidation(window=5, side=8)]
)
def test_a_rule_has_no_opinion_before_its_first_number(rule) -> None:
    """Or a run that ends early would return its first image as the best."""
    truth = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    fit, held = ut.Problem(truth, ut.physics.Denoise(truth.shape[1:])).split(0.3, seed=0)
    s = State(fit, Compact(widths=(4, 8)).build(1, 1), seed=0)
    m = s.memory("stop")
    rule.start(s, m)
    opinions = []
    for step in range(1, 7):
        s.step = step - 1
        with torch.no_grad():
            rule.see(s, m, frame(step, truth / step, held))
        opinions.append(rule.improved(m) is not None)
    first = 6 if isinstance(rule, EMV | HeldOut) else 5
    assert opinions == [step >= first for step in range(1, 7)]

"""Self-validation: the autoencoder's error turns where the images begin to drift."""

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.core.rule import Frame
from untrained.core.rule_memory import Memory
from untrained.core.state import State
from untrained.nets import Compact
from untrained.rules import MaxSteps, SelfValidation

TURN = 60
NET = Compact(widths=(4, 8), skip=2)


def state(shape: tuple[int, ...] = (1, 16, 16), seed: int = 0) -> State:
    y = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    module = NET.build(shape[0], shape[0], len(shape) - 1)
    return State(ut.Problem(y, ut.physics.Denoise(shape)), module, seed=seed)


def images(count: int, seed: int) -> list[Tensor]:
    """They converge to a picture; from step TURN on they walk away from it in random steps."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(0, 6, 16), torch.linspace(0, 6, 16), indexing="ij")
    picture = (0.5 + 0.3 * torch.sin(y) * torch.cos(2 * x))[None, None]
    drift, found = torch.zeros_like(picture), []
    for step in range(1, count + 1):
        if step > TURN:
            drift = drift + 0.03 * torch.randn(picture.shape, generator=generator)
        found.append(picture + (0.5 - picture) * 0.95**step + drift)
    return found


def drive(rule, sequence: list[Tensor], s: State) -> tuple[int, int, Memory]:
    """(step at which it ended or 0, best step, memory)."""
    m, best = s.memory("stop"), 0
    rule.start(s, m)
    with torch.no_grad():
        for step, x in enumerate(sequence, start=1):
            s.step = step - 1
            rule.see(s, m, Frame(step, x, x, {"data": torch.zeros(1)}, None))
            flag = rule.improved(m)
            best = step if flag is not None and bool(flag[0]) else best
            if bool(rule.done(m)[0]):
                return step, best, m
    return 0, best, m


@pytest.mark.parametrize("seed", [0, 1])
def test_it_chooses_the_moment_at_which_the_images_begin_to_drift(seed: int) -> None:
    rule = SelfValidation(window=8, patience=25, side=16, batch=8, lr=0.01)
    ended, best, m = drive(rule, images(120, seed), state(seed=seed))
    assert abs(best - TURN) <= 5
    assert ended == best + 25
    assert f"at step {best} and did not fall for 25 steps" in rule.reason(m)


def test_it_combines_with_other_rules() -> None:
    rule = SelfValidation(window=2, patience=3, side=8, batch=2, lr=0.01)
    sequence = [torch.full((1, 1, 16, 16), 10.0**k) for k in range(12)]  # ever harder to repeat
    ended, best, _ = drive(rule, sequence, state())
    assert (ended, best) == (5, 2)
    assert drive(rule | MaxSteps(4), sequence, state())[:2] == (4, 2)
    assert drive(rule & MaxSteps(9), sequence, state())[:2] == (9, 2)


def test_an_image_is_tested_before_it_is_learnt() -> None:
    """The first error is that of the weights as drawn, whatever the learning rate."""
    errors = []
    for lr in (0.0, 0.1):
        rule = SelfValidation(window=1, side=8, batch=1, lr=lr)
        s = state()
        m = s.memory("stop")
        rule.start(s, m)
        for step in (1, 2):
            s.step = step - 1
            x = s.problem.y
            rule.see(s, m, Frame(step, x, x, {}, None))
            errors.append(float(m["value"]))
    assert errors[0] == errors[2]
    assert errors[1] != errors[3]


def test_noise_is_not_averaged_away_by_the_grid() -> None:
    x = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    s = state((1, 64, 64))
    m, rule = s.memory("stop"), SelfValidation(window=1, side=16, batch=1)
    rule.start(s, m)
    with torch.no_grad():
        rule.see(s, m, Frame(1, x, x, {}, None))
    assert 0.9 < float(m["ring"].std()) < 1.1  # the mean of 4x4 pixels would have 0.25


@pytest.mark.parametrize("shape", [(1, 30), (2, 24, 20), (1, 8, 10, 12)])
def test_any_size_dimension_and_channel_count(shape: tuple[int, ...]) -> None:
    s = state(shape)
    x = s.problem.y
    ended, best, m = drive(SelfValidation(window=2, side=8, batch=2), [x] * 4, s)
    assert (ended, m["ring"].shape[1:]) == (0, (2, shape[0], *[8] * (len(shape) - 1)))
    assert best >= 2
    assert bool(torch.isfinite(m["best"]).all())


def test_two_problems_are_judged_as_if_alone() -> None:
    both = torch.cat([images(6, 0)[-1], images(6, 1)[3] * 2])
    rule = SelfValidation(window=2, side=8, batch=2)

    def errors(y: Tensor) -> Tensor:
        s = State(ut.Problem(y, ut.physics.Denoise((1, 16, 16))), NET.build(1, 1), seed=0)
        m = s.memory("stop")
        rule.start(s, m)
        for step in range(1, 5):
            s.step = step - 1
            x = y * (1 + 0.1 * step)
            rule.see(s, m, Frame(step, x, x, {}, None))
        return m["value"].clone()

    together = errors(both)
    assert together[0] == errors(both[:1])[0]
    assert together[1] == errors(both[1:])[0]
    assert together[0] != together[1]


@pytest.mark.parametrize(
    ("field", "value"), [("side", 48), ("side", 4), ("window", 0), ("batch", 0), ("updates", 0)]
)
def test_settings_that_make_no_sense_are_named(field: str, value: int) -> None:
    with pytest.raises(ut.UserError, match=f"stop.{field}"):
        SelfValidation(**{field: value})

"""One table: every rule against every promise that all of them make."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained import nets
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.rule import Guard, Last, Output, Stop
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.rules import (
    EMV,
    RULES,
    WMV,
    Average,
    BiasVariance,
    Blend,
    Discrepancy,
    HeldOut,
    Lowest,
    MaxSteps,
    Nearer,
    Never,
    Posterior,
    Rollback,
    SelfValidation,
    TimeLimit,
    ZeroCrossing,
    parse_stop,
)
from untrained.rules.parse import NUMBERS
from untrained.solver.procedure import solve_each, solve_recipe

NET = nets.Compact(widths=(4, 8), skip=2)
ADAM = Engine("adam", lr=0.003, precision="fp32")  # at 0.01 the last bits grow within ten steps
DIP = Recipe(ut.methods.DIP(rounds=12), NET, ADAM)
RISK = Recipe(ut.methods.Rethinking(12), nets.S2SNet(4, 6, (6, 4), depth=2), ADAM)
HELD = HeldOut(fraction=0.2, patience=3, skip=2, slack=0.01, again=True, more=0.5)

STOPS: dict[str, Recipe] = {
    "heldout": replace(DIP, stop=HELD),
    "wmv": replace(DIP, stop=WMV(window=3, patience=2)),
    "emv": replace(DIP, stop=EMV(alpha=0.2, skip=3, patience=4)),
    "selfval": replace(
        DIP, stop=SelfValidation(window=3, patience=2, side=8, batch=2, updates=2, lr=2e-3)
    ),
    "discrepancy": replace(DIP, stop=Discrepancy(tau=0.9)),
    "biasvariance": replace(
        DIP,
        method=ut.methods.DIP(12, jitter=0.0),
        engine=Engine("sgd", lr=0.005, precision="fp32"),
        stop=BiasVariance(probes=2, patience=6, seed=1),
    ),
    "zero": replace(RISK, stop=ZeroCrossing(decay=0.8)),
    "steps": replace(DIP, stop=MaxSteps(7)),
    "time": replace(DIP, stop=TimeLimit(1000.0)),
    "lowest": replace(DIP, stop=Lowest()),
    "none": replace(DIP, stop=Never()),
}
COMBINED: dict[str, Recipe] = {
    "either": replace(DIP, stop=WMV(window=3, patience=9) | MaxSteps(8)),
    "both": replace(DIP, stop=EMV(skip=1, patience=2) & MaxSteps(6)),
}
OTHERS: dict[str, Recipe] = {
    "last": replace(DIP, output=Last()),
    "average": replace(DIP, stop=HELD, output=Average(0.8, keep_best=False, mu=0.2)),
    "nearer": replace(DIP, stop=HELD, output=Nearer(0.8, ask=True, newest=0.5)),
    "blend": replace(DIP, stop=HELD, output=Blend(0.7, share=0.4, prior=0.1)),
    "posterior": replace(DIP, output=Posterior(burn_in=2, every=3)),
    "rollback": replace(DIP, guard=Rollback(drop=0.01, every=2)),
}
TABLE = STOPS | COMBINED | OTHERS


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def problem(count: int = 1) -> ut.Problem:
    """Pictures of different roughness, so that they end at different steps."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in (16, 18)], indexing="ij")
    clean = torch.stack([0.5 + 0.3 * torch.sin(3 * (k + 1) * x + y) for k in range(count)])
    noise = 0.1 * (draw(count, 1, 16, 18) - 0.5)
    return ut.Problem(clean[:, None] + noise, ut.physics.Denoise((1, 16, 18)), sigma=0.03)


def kinds(base: type) -> Iterator[type]:
    """The package's own rules of a kind: those with a name."""
    for kind in base.__subclasses__():
        yield from kinds(kind)
        if kind.__module__.startswith("untrained.") and isinstance(getattr(kind, "name", 0), str):
            yield kind


def test_the_table_has_every_rule() -> None:
    assert set(RULES) == set(STOPS)
    assert all(type(row.stop) is RULES[name] for name, row in STOPS.items())
    names = {kind.name for base in (Stop, Output, Guard) for kind in kinds(base)}
    assert names - {"blend with a prior"} == set(TABLE)  # that one: test_prior_mixture.py
    assert all(name in (row.stop.name, row.output.name, row.guard and row.guard.name)
               for name, row in TABLE.items())  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_a_resumed_run_is_bit_identical(
    name: str, tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    before = torch.get_rng_state()
    whole = solve_recipe(TABLE[name], problem())
    assert torch.equal(torch.get_rng_state(), before)
    paused = solve_recipe(TABLE[name], problem(), run_dir=tmp_path, watch=[pause_after(4)])
    assert not paused.finished
    resumed = solve_recipe(TABLE[name], problem(), run_dir=tmp_path)
    assert resumed.resumed_from == (4,)
    assert torch.equal(resumed.image, whole.image)
    assert str(resumed.history) == str(whole.history)  # where NaN equals NaN
    assert resumed.stop == whole.stop


@pytest.mark.parametrize("name", TABLE)
def test_side_by_side_each_is_as_if_alone(name: str) -> None:
    """Up to the last digits: sums of another length are added in another order."""
    recipe, both = TABLE[name], problem(2)
    each = [both.select(i) for i in range(2)]
    beside = replace(recipe, engine=replace(recipe.engine, together=2))
    found = solve_each(beside, each, seeds=[0, 0])
    for one, other in zip(found, (solve_recipe(recipe, p) for p in each), strict=True):
        torch.testing.assert_close(one.image, other.image, atol=2e-3, rtol=0)
        assert (one.steps, one.stop[0].rule) == (other.steps, other.stop[0].rule)
        assert one.stop[0].step == other.stop[0].step
        assert one.history["phase"] == other.history["phase"]


@pytest.mark.parametrize("name", STOPS)
def test_a_stop_rule_is_made_from_its_name_and_its_main_number(name: str) -> None:
    assert parse_stop(name) == RULES[name]()
    field = NUMBERS.get(name, "patience")
    if field:
        assert parse_stop(f"{name}:7") == RULES[name](**{field: 7})
    else:
        with pytest.raises(UserError, match="takes no number"):
            parse_stop(f"{name}:7")


@pytest.mark.parametrize("name", STOPS | OTHERS)
def test_every_field_can_be_set_from_text(name: str) -> None:
    """The settings that a recipe shows, given to the same rules without any, make it again."""
    row = TABLE[name]
    for part in ("stop", "output", "guard"):
        rule = getattr(row, part)
        if rule is not None:
            bare = replace(row, **{part: type(rule)()})
            shown = [f"{part}.{k}={v}" for k, v in dataclasses.asdict(rule).items()]
            assert bare.with_settings(shown) == row
            assert row.to_dict()[part] == {"name": rule.name, **dataclasses.asdict(rule)}

"""`lam=auto`: lambda found on held-out measurements before the run."""

from __future__ import annotations

import pytest
import torch

import untrained as ut
from untrained.errors import UserError
from untrained.methods.lambdas import TRIED
from untrained.physics import Inpaint
from untrained.problem import Problem
from untrained.run.plan import plan
from untrained.solver.procedure import solve_recipe

SMALL = ["net.widths=4,8", "net.skip=2"]


def holes() -> Problem:
    g = torch.Generator().manual_seed(0)
    line = torch.linspace(0, 1, 24)
    x = (line[:, None] * line)[None, None]
    mask = (torch.rand(24, 24, generator=g) > 0.4).float()
    physics = Inpaint(mask, (1, 24, 24))
    return Problem(physics.A(x), physics)


@pytest.mark.parametrize("method", ["aseqdip"])
def test_the_lambda_of_least_held_out_error_is_run(method: str) -> None:
    """A run with that number given is the same to the bit."""
    auto = plan("inpaint", method=method, settings=["lam=auto", *SMALL], steps=80).recipe
    assert auto is not None
    result = solve_recipe(auto, holes())
    lam = TRIED[result.candidate[0]]
    errors = []
    for value in TRIED:
        short = plan("inpaint", method=method, settings=[f"lam={value}", *SMALL], steps=20).recipe
        assert short is not None
        tried = solve_recipe(short, holes()).history
        of_fit = zip(tried["phase"], tried["held-out error"], strict=True)
        errors.append(min(float(error) for phase, error in of_fit if phase == "fit"))
    assert lam == TRIED[errors.index(min(errors))]
    given = plan("inpaint", method=method, settings=[f"lam={lam}", *SMALL], steps=80).recipe
    assert given is not None
    alone = solve_recipe(given, holes())
    assert torch.equal(result.image, alone.image)
    assert result.final_recipe().method == given.method
    assert f"lambda {lam:g} predicts held-out measurements best" in result.stop[0].reason
    assert result.steps == alone.steps + 20 * len(TRIED)


def test_it_is_refused_where_nothing_is_held_out() -> None:
    for options in ({"stop": "none"}, {"preset": "paper"}):
        with pytest.raises(UserError, match="found on held-out measurements"):
            plan("inpaint", method="aseqdip", settings=["lam=auto"], **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="lam=auto of aseqdip"):
        ut.solve(ut.methods.ASeqDIP(lam="auto"), holes(), steps=4)


def test_no_preset_has_it() -> None:
    for preset in ("fast", "paper", "best"):
        for method in ("aseqdip", "autoencoder"):
            recipe = plan("mri", method=method, preset=preset).recipe
            assert recipe is not None
            assert recipe.method.lam != "auto"  # type: ignore[attr-defined]


def test_the_user_is_told_which() -> None:
    problem = holes()
    result = ut.reconstruct(
        problem.y,
        problem.physics,
        method="aseqdip",
        settings=["lam=auto", *SMALL],
        steps=40,
        device="cpu",
        progress=False,
    )
    chosen = TRIED[result.candidate[0]]
    assert any(f"with lambda {chosen:g}" in note for note in result.about.notes)


def test_a_word_that_is_none_of_its_values_is_refused() -> None:
    with pytest.raises(UserError, match="'automatic' is not a float"):
        plan("mri", method="aseqdip", settings=["lam=automatic"])
    recipe = plan("mri", method="aseqdip", settings=["lam=auto", "lam=0.5"]).recipe
    assert recipe is not None
    assert recipe.method.lam == 0.5  # type: ignore[attr-defined]

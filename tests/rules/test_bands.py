"""The watcher of spectral bias: its parts add up, and are the right ones."""

from __future__ import annotations

import pytest
import torch

import untrained as ut
from untrained import nets
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.errors import UserError
from untrained.physics.inpaint import random_mask
from untrained.rules import Bands
from untrained.rules.bands import in_bands, measured_part
from untrained.solver.procedure import solve_recipe

SIDES = (12, 10)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_bands_add_up_to_the_whole_and_a_wave_lies_in_one() -> None:
    x = draw(2, 3, *SIDES)
    torch.testing.assert_close(in_bands(x, 4).sum(1), x.square().flatten(1).sum(1))
    wave = torch.cos(torch.arange(16) * torch.pi * 3 / 4).expand(1, 1, 16, 16)  # 3/4 of Nyquist
    found = in_bands(wave, 4)
    torch.testing.assert_close(found[0, 3], found.sum())
    torch.testing.assert_close(in_bands(torch.ones(1, 1, 9, 7), 4)[0, 0], torch.tensor(63.0))


def test_the_measured_part_is_what_the_operator_sees() -> None:
    e = draw(1, 1, *SIDES)
    mask = random_mask(SIDES, 0.4)
    physics = ut.physics.Inpaint(mask)
    problem = ut.Problem(physics.A(e.abs()), physics)
    seen = measured_part(problem, e, 5)
    torch.testing.assert_close(seen, problem.A_adjoint(problem.A(e)))
    blur = ut.physics.Blur(torch.ones(3, 3) / 9, (1, *SIDES))
    one = ut.Problem(blur.A(e.abs()), blur)
    seen = measured_part(one, e, 200)
    # what is left leaves no trace in the measurements, and the part is its own part
    assert float(one.A(e - seen).norm() / one.A(e).norm()) < 1e-2


def test_a_run_records_the_errors_of_its_images() -> None:
    truth = draw(2, 1, *SIDES).abs().clamp_max(1)
    physics = ut.physics.Inpaint(random_mask(SIDES, 0.4))
    problem = ut.Problem(physics.A(truth), physics)
    net = nets.Compact(widths=(4, 6), skip=2)
    recipe = Recipe(ut.methods.DIP(4), net, Engine("adam", lr=0.01, precision="fp32"))
    fit = solve_recipe(recipe, problem, watch=[Bands(truth, bands=3)])
    names = [f"error in band {b}" for b in (1, 2, 3)] + [
        "error, measured part",
        "error, null space",
    ]
    assert all(len(fit.history[name]) == 4 for name in names)
    # the two parts of an error are orthogonal, and the bands share it out
    size = truth[:1].square().sum()
    whole = fit.history["error, measured part"][-1] + fit.history["error, null space"][-1]
    power = in_bands(truth[:1], 3)[0]
    shared = sum(float(power[b]) * fit.history[f"error in band {b + 1}"][-1] for b in range(3))
    assert whole * float(size) == pytest.approx(shared, rel=1e-4)


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="bands=0"):
        Bands(draw(1, 1, 4, 4), bands=0)
    truth = draw(1, 1, 5, 5)
    one = ut.Problem(draw(1, 1, *SIDES).abs().clamp_max(1), ut.physics.Denoise((1, *SIDES)))
    net = nets.Compact(widths=(4, 6), skip=2)
    recipe = Recipe(ut.methods.DIP(1), net, Engine("adam", lr=0.01, precision="fp32"))
    with pytest.raises(UserError, match="the truth of Bands"):
        solve_recipe(recipe, one, watch=[Bands(truth)])

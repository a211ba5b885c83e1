"""The method that `auto` and `house` mean on missing pixels."""

from __future__ import annotations

import pytest
import torch

import untrained as ut
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods import FillIn
from untrained.metrics import psnr
from untrained.nets import Compact
from untrained.physics import Inpaint, box_mask, random_mask
from untrained.run.plan import plan

SIDE = 48


def problem(keep: torch.Tensor | None = None) -> tuple[ut.Problem, torch.Tensor]:
    row = torch.arange(SIDE)
    truth = (((row[:, None] // 4 + row // 4) % 2).float() * 0.6 + 0.2)[None, None]
    physics = Inpaint(random_mask((SIDE, SIDE), 0.5), (1, SIDE, SIDE))
    found = ut.Problem(physics.A(truth), physics)
    return found if keep is None else found._masked(keep), truth


def state(p: ut.Problem) -> State:
    method = FillIn()
    s = State(p, Compact(widths=(8, 16)).build(method.input_channels(1), 1), 0)
    method.start(s)
    return s


def test_the_network_never_sees_the_pixels_it_is_asked_for(monkeypatch):
    p, _ = problem()
    s = state(p)
    seen: list[torch.Tensor] = []
    real = s.net

    def spy(z, *rest, **options):
        seen.append(z)
        return real(z, *rest, **options)

    monkeypatch.setattr(s, "net", spy)
    x, _ = FillIn().loss(s)
    shown = seen[0][:, 1:]
    asked = p.A(torch.ones_like(p.y)) * (1 - shown)
    assert 0.2 < float(asked.sum() / p.y.count_nonzero()) < 0.4
    assert torch.equal(x * shown, p.y * shown)
    # other values at the asked pixels change nothing of what goes in
    p.y = p.y + asked
    FillIn().loss(s)
    assert torch.equal(seen[0], seen[1])


def test_held_out_pixels_are_never_shown():
    p, _ = problem()
    fit, held = p.split(0.2, 0)
    s = state(fit)
    for step in range(5):
        s.step = step
        x, _ = FillIn().loss(s)
        hidden = held.visible(torch.ones_like(p.y)) > 0
        assert not torch.equal(x[hidden], p.y[hidden])


def test_it_learns_a_texture_that_total_variation_cannot_know():
    p, truth = problem()
    result = ut.reconstruct(p.y, p.physics, steps=120, progress=False, settings=["shown=0.8"])
    tv = result.about.classical
    assert psnr(result.image, truth, data_range=1.0) > psnr(tv, truth, data_range=1.0) + 3


def test_a_large_hole_is_filled_as_well_as_by_total_variation():
    row = torch.arange(64)
    truth = (0.5 + 0.4 * torch.sin(row / 3.0))[None, :].expand(64, 64)[None, None]
    hole = box_mask((64, 64), (20, 20))
    physics = Inpaint(hole, (1, 64, 64))
    result = ut.reconstruct(physics.A(truth), physics, progress=False, steps=100)
    inside = ~hole
    ours, tv = ((x - truth)[..., inside].square().mean() for x in images(result))
    assert ours < tv


@pytest.mark.parametrize("preset", ut.methods.PRESETS)
@pytest.mark.parametrize("name", ["auto", "house", "fillin"])
def test_it_is_what_auto_and_house_mean_on_missing_pixels(name: str, preset: str) -> None:
    chosen = plan("inpaint", method=name, preset=preset, settings=["shown=0.6"])
    assert chosen.card.name == "fillin"
    assert chosen.recipe is not None
    assert chosen.recipe.method == FillIn(rounds=250 if preset == "fast" else 500, shown=0.6)
    with pytest.raises(UserError, match="FillIn has no field 'lam'; it has: rounds, inner, shown"):
        plan("inpaint", method=name, settings=["lam=1"])
    assert plan("denoise", method="house", settings=["lam=1"]).card.name == "house"


def test_it_does_no_other_task() -> None:
    with pytest.raises(UserError, match="'fillin' does not do denoise"):
        plan("denoise", method="fillin")


def images(result):
    return result.image, result.about.classical

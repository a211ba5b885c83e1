"""Images and seeds side by side: the numbers of each alone, each with its own end."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from skimage.data import camera
from torch import Tensor

import untrained as ut
from untrained.classical import baseline, pair_of_priors
from untrained.classical.pair_of_priors import settings
from untrained.cli import main
from untrained.core import network
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.nets import Compact
from untrained.problem.group import Group
from untrained.problem.stacking import stack_problems
from untrained.result import Result
from untrained.rules import WMV, Average, Blend, HeldOut, Nearer, Rollback, SelfValidation
from untrained.solver.procedure import fit_together, solve_each, solve_recipe

NET = Compact(widths=(8, 16), skip=4)
MUON = ut.Engine("muon", lr=0.02, warmup=3, precision="fp32")
ADAM = ut.Engine("adam", lr=0.01, clip=1.0, precision="fp32")
ONE_BY_ONE = HeldOut(fraction=0.2, patience=3, skip=1, again=True)


def pictures(count: int, size: tuple[int, int] = (18, 20)) -> Tensor:
    """Noisy pictures of different roughness, so that they overfit at different steps."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in size], indexing="ij")
    noise = torch.randn(count, 1, *size, generator=torch.Generator().manual_seed(0))
    clean = [0.5 + 0.3 * torch.sin(3 * (k + 1) * x) * torch.cos(2 * y) for k in range(count)]
    return torch.stack(clean)[:, None] + 0.1 * noise


def noisy(count: int = 3) -> ut.Problem:
    y = pictures(count)
    return ut.Problem(y, ut.physics.Denoise(y.shape[1:]), sigma=0.1)


def scans(count: int = 3, *, support: bool = False) -> list[ut.Problem]:
    """MRI of one mask, each with coil maps of its own."""
    mask = torch.zeros(20)
    mask[::3] = 1
    mask[7:13] = 1
    found = []
    for k, x in enumerate(pictures(count)):
        draw = torch.Generator().manual_seed(k)
        turn = 6 * torch.rand(4, 1, 1, generator=draw)
        maps = torch.polar((1 + k) * torch.rand(4, 18, 20, generator=draw), turn.expand(4, 18, 20))
        if support and k:
            maps[:, :3] = 0
        physics = ut.physics.MRI(mask, maps)
        found.append(ut.Problem(physics.A(torch.stack([x, 0.3 * x], 1)), physics))
    return found


def beside(recipe: Recipe, count: int) -> Recipe:
    return replace(recipe, engine=replace(recipe.engine, together=count))


def same(a: list[Result], b: list[Result]) -> None:
    """Equal up to the last digits: vectors of another length are added in another order."""
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one.image, other.image, atol=2e-3, rtol=0)
        assert one.steps == other.steps
        assert one.stop[0].step == other.stop[0].step
        assert one.stop[0].rule == other.stop[0].rule
        assert one.history.keys() == other.history.keys()
        assert one.history["phase"] == other.history["phase"]
        first, second = ([float(v) for v in h["data"]] for h in (one.history, other.history))
        assert first == pytest.approx(second, rel=1e-2)


RECIPES = {
    "dip": Recipe(ut.methods.DIP(rounds=14), NET, MUON, ONE_BY_ONE, Average(0.8)),
    "aseqdip": Recipe(ut.methods.ASeqDIP(rounds=7), NET, ADAM, ONE_BY_ONE, Average(0.8)),
    "house": Recipe(ut.methods.House(rounds=14), NET, MUON, ONE_BY_ONE, Blend(0.8, mu=0.1)),
    "more": Recipe(
        ut.methods.TVDIP(rounds=8), NET, MUON, replace(ONE_BY_ONE, more=0.5), Nearer(0.8)
    ),
    "wmv": Recipe(ut.methods.DIP(rounds=14), NET, ADAM, WMV(window=3, patience=2), Average(0.8)),
    "selfval": Recipe(
        ut.methods.DIP(rounds=8), NET, ADAM, SelfValidation(window=3, patience=2, side=8, batch=2)
    ),
    "guard": Recipe(ut.methods.SGLD(rounds=8), NET, ADAM, guard=Rollback(drop=0.01)),
    "trials": Recipe(
        ut.methods.ASeqDIP(rounds=40, inner=2),
        NET,
        ADAM,
        ONE_BY_ONE,
        Average(0.8),
        alternative=ut.methods.ASeqDIP(rounds=40, inner=2, lam=0.0),
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_three_side_by_side_are_three_in_turn(name: str) -> None:
    problem = noisy()
    each = [problem.select(i) for i in range(3)]
    alone = [solve_recipe(RECIPES[name], one) for one in each]
    same(solve_each(beside(RECIPES[name], 3), each, seeds=[0, 0, 0]), alone)


def test_each_has_a_closing_step_of_its_own() -> None:
    x = torch.from_numpy(camera()[100:148, 100:148].astype(np.float32) / 255)[None, None]
    physics = ut.physics.Blur(torch.ones(5, 5) / 25, (1, 48, 48))
    draw = torch.randn(3, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    levels = torch.tensor([0.5, 0.0, 0.2])[:, None, None, None]
    problem = ut.Problem(physics.A(x) + levels * draw, physics)
    recipe = Recipe(ut.methods.DIP(rounds=14), NET, MUON, ONE_BY_ONE, Average(0.8, ask=True))
    each = [problem.select(i) for i in range(3)]
    alone = [solve_recipe(recipe, one) for one in each]
    found = solve_each(beside(recipe, 3), each, seeds=[0, 0, 0])
    same(found, alone)
    weights = [one.history["closing mu"][0] for one in found]
    assert weights == [one.history["closing mu"][0] for one in alone]
    assert len(set(weights)) > 1


def test_each_ends_at_its_own_step() -> None:
    problem = noisy()
    each = [problem.select(i) for i in range(3)]
    found = solve_each(beside(RECIPES["selfval"], 3), each, seeds=[0, 0, 0])
    assert len({one.steps for one in found}) == 3


@pytest.mark.parametrize("support", [False, True])
def test_scans_with_maps_of_their_own_go_side_by_side(support: bool) -> None:
    each = scans(support=support)
    whole = stack_problems(each)
    assert whole is not None
    assert len(whole) == 3
    recipe = RECIPES["dip"]
    beside_each = solve_each(beside(recipe, 3), each, seeds=[0, 0, 0])
    for one, alone in zip(beside_each, [solve_recipe(recipe, p) for p in each], strict=True):
        torch.testing.assert_close(one.image, alone.image)
        assert one.stop[0].step == alone.stop[0].step


def test_scans_side_by_side_lean_on_classical_images_of_their_own() -> None:
    each = scans(2)
    recipe = RECIPES["house"]
    found = solve_each(beside(recipe, 2), each, seeds=[0, 0])
    same(found, [solve_recipe(recipe, one) for one in each])
    whole = stack_problems(each)
    assert whole is not None
    assert torch.equal(baseline(whole), torch.cat([baseline(one) for one in each]))


def test_a_batch_computes_no_classical_image_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    each = scans(2)
    physics = each[0].physics.joined([each[1].physics])
    y = torch.cat([p.to_units(p.y) for p in each])
    asked = []
    monkeypatch.setattr(pair_of_priors, "settings", lambda p: asked.append(len(p)) or settings(p))
    searched = []
    search = pair_of_priors._search
    monkeypatch.setattr(pair_of_priors, "_search", lambda p: searched.append(p) or search(p))
    ut.reconstruct(y, physics, steps=30, progress=False, compare=False)
    assert set(asked) == {1}
    # of two images one search on a part and one on all, but for an image that has no share
    assert 2 <= len(searched) <= 4
    assert len(set(map(id, searched))) == len(searched)


def test_joined_problems_keep_their_own_facts() -> None:
    each = scans()
    whole = stack_problems(each)
    assert whole is not None
    image = torch.rand(3, *whole.x_shape)
    alone = torch.cat([p.misfit(image[g : g + 1]) for g, p in enumerate(each)])
    torch.testing.assert_close(whole.misfit(image), alone)
    torch.testing.assert_close(whole.estimate(), torch.cat([p.estimate() for p in each]))
    assert len({p.norm_squared for p in each}) == 3
    assert whole.select(1) is each[1]
    fits, helds = zip(*[p.split(0.1, 0) for p in each], strict=True)
    fit, held = stack_problems(fits), stack_problems(helds)
    assert fit is not None
    assert held is not None
    expected = [
        f.expected_misfit(image[g : g + 1], h)
        for g, (f, h) in enumerate(zip(fits, helds, strict=True))
    ]
    torch.testing.assert_close(fit.expected_misfit(image, held), torch.cat(expected))


def test_problems_of_different_kinds_are_solved_in_turn() -> None:
    mixed = [noisy().select(0), noisy().select(1)]
    mixed[1].sigma = 0.2
    other = scans(1)[0]
    assert stack_problems(mixed) is None
    assert stack_problems([mixed[0], other]) is None
    half = torch.ones(20)
    half[::2] = 0
    masked = ut.Problem(other.y, ut.physics.MRI(half, other.physics.maps))
    assert stack_problems([other, masked]) is None
    recipe = RECIPES["dip"]
    same(
        solve_each(beside(recipe, 2), mixed, seeds=[0, 0]),
        [solve_recipe(recipe, one) for one in mixed],
    )


def test_problems_that_share_weights_end_together() -> None:
    recipe = Recipe(ut.methods.DIP(rounds=8), NET, ADAM, stop=ut.rules.MaxSteps(3))
    problem = noisy()
    result = fit_together(recipe, Group([problem.select(i) for i in range(3)]))
    assert result.steps == 3
    assert result.image.shape == problem.y.shape
    assert len(result.history["step"]) == 3


def test_seeds_side_by_side_are_seeds_in_turn() -> None:
    problem, recipe = noisy(1), replace(RECIPES["dip"], stop=ut.rules.MaxSteps(6))
    found = solve_each(beside(recipe, 3), [problem] * 3, seeds=[4, 5, 6])
    same(found, [solve_recipe(recipe, problem, seed=k) for k in (4, 5, 6)])
    assert [one.seed for one in found] == [4, 5, 6]


@pytest.mark.parametrize(
    ("name", "pause"), [("aseqdip", 5), ("aseqdip", 17), ("selfval", 5), ("selfval", 6)]
)
def test_a_paused_group_resumes_to_the_same_bits(
    name: str, pause: int, tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    """Also in the fit of everything, and after some have ended."""
    problem, recipe = noisy(), beside(RECIPES[name], 3)
    each = [problem.select(i) for i in range(3)]
    whole = solve_each(recipe, each, seeds=[0, 0, 0])
    part = solve_each(recipe, each, seeds=[0, 0, 0], run_dir=tmp_path, watch=[pause_after(pause)])
    assert not all(one.finished for one in part)
    rest = solve_each(recipe, each, seeds=[0, 0, 0], run_dir=tmp_path)
    same(rest, whole)
    for one, other in zip(rest, whole, strict=True):
        assert torch.equal(one.image, other.image)


@dataclass(frozen=True)
class FailsOnce(ut.methods.DIP):
    """The objective of the brightest image becomes NaN at step 5."""

    name: ClassVar[str] = "fails-once"

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        x, terms = super().loss(s)
        bright = (s.step == 4) & (s.problem.y.mean(dim=(1, 2, 3)) > 2)
        return x, {"data": torch.where(bright, torch.nan, terms["data"])}


def test_one_that_diverges_leaves_the_others() -> None:
    y = pictures(3)
    y[1] += 3
    problem = ut.Problem(y, ut.physics.Denoise(y.shape[1:]))
    each = [problem.select(i) for i in range(3)]
    recipe = Recipe(FailsOnce(rounds=8), NET, ADAM, output=Average(0.8))
    found = solve_each(beside(recipe, 3), each, seeds=[0, 0, 0])
    assert [one.stop[0].rule for one in found] == ["budget", "diverged", "budget"]
    assert [one.steps for one in found] == [8, 4, 8]
    same(found, [solve_recipe(recipe, one) for one in each])


def test_one_grouped_network_gives_what_singles_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluation that a GPU takes, on a CPU; not to the bit, and so for a few steps."""
    problem = noisy()
    each = [problem.select(i) for i in range(3)]
    for name in ("house", "aseqdip"):
        recipe = replace(RECIPES[name], stop=ut.rules.MaxSteps(4))
        alone = [solve_recipe(recipe, one) for one in each]
        with monkeypatch.context() as patch:
            patch.setattr(network, "in_one_call", lambda device: True)
            found = solve_each(beside(recipe, 3), each, seeds=[0, 0, 0])
        for one, other in zip(found, alone, strict=True):
            torch.testing.assert_close(one.image, other.image, atol=1e-4, rtol=1e-4)


def test_a_batch_with_a_reference_gets_a_record_and_numbers() -> None:
    y = pictures(2)
    physics = ut.physics.Denoise(y.shape[1:])
    result = ut.reconstruct(y, physics, truth=y, steps=4, progress=False, settings=["net.skip=4"])
    assert result.image.shape == y.shape
    assert len(result.history["psnr"]) == result.steps


def test_a_batch_of_seeds_equals_its_singles() -> None:
    y = pictures(2)
    physics = ut.physics.Denoise(y.shape[1:])
    options: dict = {"method": "dip", "steps": 6, "seeds": 2, "progress": False, "compare": False}
    batch = ut.reconstruct(y, physics, truth=y, **options)
    for i in range(2):
        alone = ut.reconstruct(y[i : i + 1], physics, **options)
        assert torch.equal(batch.image[i : i + 1], alone.image)
        assert batch.std is not None
        assert alone.std is not None
        assert torch.equal(batch.std[i : i + 1], alone.std)


def test_a_batch_of_scans_with_maps_of_their_own() -> None:
    each = scans(2, support=True)
    physics = each[0].physics.joined([each[1].physics])
    y = torch.cat([p.to_units(p.y) for p in each])
    options: dict = {"method": "dip", "steps": 4, "progress": False, "compare": False}
    batch = ut.reconstruct(y, physics, **options)
    for i, one in enumerate(each):
        alone = ut.reconstruct(y[i : i + 1], one.physics, **options)
        torch.testing.assert_close(batch.image[i : i + 1], alone.image)


def test_slices_of_a_file_go_side_by_side(tmp_path: Path) -> None:
    each = scans(2)
    kspace = torch.cat([torch.complex(p.y[:, 0], p.y[:, 1]) for p in each])
    maps = torch.cat([p.physics.maps for p in each])
    np.savez(tmp_path / "scan.npz", kspace=kspace.numpy(), maps=maps.numpy())
    command = ["reconstruct", "mri", str(tmp_path / "scan.npz"), "--method", "dip", "--quiet"]
    command += ["--slice", "all", "--steps", "4", "--set", "net.widths=8,16", "--stop", "none"]
    command += ["--no-compare"]
    for name, more in {"turn": [], "side": ["--set", "engine.together=2"]}.items():
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--out", str(tmp_path / name), *more])
    turn, side = (np.load(tmp_path / name / "reconstruction.npy") for name in ("turn", "side"))
    assert turn.shape[0] == 2
    np.testing.assert_allclose(side, turn, atol=1e-5 * abs(turn).max())


def test_a_negative_number_side_by_side_is_refused() -> None:
    with pytest.raises(ut.UserError, match=r"engine\.together"):
        ut.Engine(together=-1)

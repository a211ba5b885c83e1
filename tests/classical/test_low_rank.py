"""Groups of alike blocks: exact limits, and what they are worth on undersampled scans."""

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.classical import CLASSICAL, guide, guide_name, low_rank
from untrained.classical.alike import alike_blocks
from untrained.classical.low_rank import BLOCKS, shrink_groups
from untrained.data.phantoms import shepp_logan
from untrained.metrics import psnr


@pytest.mark.parametrize("size", [(40, 36), (7, 30), (3, 5), (6, 6)])
def test_a_flat_picture_stays_flat(size: tuple[int, int]) -> None:
    flat = torch.zeros(1, 1, *size)
    blocks = alike_blocks(flat, BLOCKS)
    torch.testing.assert_close(shrink_groups(flat + 0.7, blocks, 0.1), flat + 0.7)


def test_without_noise_nothing_is_lost_and_in_noise_only_the_mean_is_left() -> None:
    image = torch.rand(1, 2, 30, 30, generator=torch.Generator().manual_seed(0))
    blocks = alike_blocks(image, BLOCKS)
    torch.testing.assert_close(shrink_groups(image, blocks, 1e-5), image, atol=1e-3, rtol=0)
    heavy = shrink_groups(image, blocks, 10.0)
    values = image[0].flatten(1)[:, blocks]
    means = values.mean(2, keepdim=True).expand_as(values)
    total = torch.zeros(2, 900).index_add_(1, blocks.flatten(), means.flatten(1))
    count = torch.zeros(900).index_add_(0, blocks.flatten(), torch.ones(blocks.numel()))
    torch.testing.assert_close(heavy[0].flatten(1), total / count, atol=1e-5, rtol=1e-5)


def test_what_repeats_is_cleaned_of_noise(stripes: Tensor) -> None:
    clean = stripes
    noise = 0.2 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy = clean + noise
    found = shrink_groups(noisy, alike_blocks(noisy, BLOCKS), 0.2)
    assert (found - clean).square().mean() < 0.15 * noise.square().mean()


def scan(lines: int, size: int = 64) -> tuple[ut.Problem, Tensor]:
    """A phantom behind four coils, every third column, and the truth."""
    x = torch.from_numpy(shepp_logan(size))[None, None]
    x = torch.cat([x, 0.2 * x], 1)
    y, z = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    corners = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    far = torch.stack([((y - a) ** 2 + (z - b) ** 2) for a, b in corners])
    maps = torch.polar(torch.exp(-far / 3), far)
    mask = torch.zeros(size)
    mask[torch.randperm(size, generator=torch.Generator().manual_seed(1))[:lines]] = 1
    mask[size // 2 - 5 : size // 2 + 5] = 1
    physics = ut.physics.MRI(mask, maps)
    noise = torch.randn(1, 2, 4, size, size, generator=torch.Generator().manual_seed(2))
    return ut.Problem(physics.A(x) + 0.002 * noise * mask, physics), x


def test_it_beats_the_cosines_that_it_starts_from_on_undersampled_scans() -> None:
    problem, x = scan(14)
    quality = {
        name: psnr(problem.to_units(CLASSICAL[name](problem))[0], x[0], data_range=float(x.max()))
        for name in ("tv", "dct", "lowrank")
    }
    assert quality["lowrank"] > quality["dct"] + 1


def test_columns_that_come_to_a_part_are_solved_with_it_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem, x = scan(14)
    part, _ = problem.split(0.05, seed=0)
    rounds = []
    monkeypatch.setattr(
        low_rank, "shrink_groups", lambda *given: rounds.append(1) or shrink_groups(*given)
    )
    quality, taken = {}, {}
    for name, one in (("part", part), ("more", problem.after(part)), ("anew", problem)):
        before = len(rounds)
        image = one.to_units(guide(one))
        quality[name] = psnr(image[0], x[0], data_range=float(x.max()))
        taken[name] = len(rounds) - before
    assert taken == {"part": 30, "more": 30, "anew": 30}
    assert quality["more"] > quality["part"] + 0.1
    assert quality["more"] > quality["anew"] - 0.1


def test_the_same_numbers_in_other_units() -> None:
    problem, _ = scan(20, 32)
    other = ut.Problem(1e3 * problem.to_units(problem.y), problem.physics)
    mine = problem.to_units(CLASSICAL["lowrank"](problem))
    theirs = other.to_units(CLASSICAL["lowrank"](other))
    torch.testing.assert_close(theirs, 1e3 * mine, rtol=0, atol=0.05 * float(theirs.abs().max()))


def test_it_is_what_networks_lean_on_in_mri_with_little_noise() -> None:
    problem, _ = scan(14)
    assert torch.equal(guide(problem), problem.cache["lowrank"])
    assert guide_name(problem).startswith("groups of alike blocks")
    noise = torch.randn(problem.y.shape, generator=torch.Generator().manual_seed(3))
    noisy = ut.Problem(problem.y + 0.1 * noise * problem.physics.mask, problem.physics)
    assert torch.equal(guide(noisy), noisy.cache["dct"])


def few_views() -> tuple[ut.Problem, torch.Tensor]:
    """A picture of flat pieces, seen from 15 sides with noise."""
    picture = torch.zeros(1, 1, 48, 48)
    picture[..., 12:36, 10:30] = 1
    picture[..., 20:28, 16:24] = 0.4
    physics = ut.physics.CT((48, 48), torch.linspace(0, 168, 15), 68)
    noise = torch.randn(1, 1, 68, 15, generator=torch.Generator().manual_seed(0))
    return ut.Problem(physics.A(picture) + 0.3 * noise, physics), picture


def test_networks_lean_on_the_mean_of_two_in_ct() -> None:
    """At least as good as the worse of them, whichever that is, and close to the better."""
    problem, picture = few_views()
    found = guide(problem)
    each = [problem.cache["lowrank"], problem.cache["nlbayes"]]
    torch.testing.assert_close(found, sum(each) / 2)
    assert guide_name(problem) == "groups of alike blocks and non-local Bayes"
    error = [float((problem.to_units(x) - picture).square().mean()) for x in (found, *each)]
    assert error[0] < max(error[1:])
    assert error[0] < 1.2 * min(error[1:])


def test_held_out_views_weigh_the_two_in_ct() -> None:
    """The image of the part that explains them gets nearly all of the weight, either way round."""
    problem, picture = few_views()
    fit, _ = problem.split(0.2, seed=0)
    good, bad = fit.from_units(picture), 0 * fit.from_units(picture)
    for name, other, expected in (("nlbayes", "lowrank", 1.0), ("lowrank", "nlbayes", 0.0)):
        part, _ = problem.split(0.2, seed=0)
        part.cache |= {name: good, other: bad}
        whole = problem.after(part)
        mixed = guide(whole)
        share = float(whole.cache["share of nlbayes"])
        assert abs(share - expected) < 0.2
        torch.testing.assert_close(
            mixed, whole.cache["lowrank"].lerp(whole.cache["nlbayes"], share)
        )


def test_in_ct_answers_to_all_views_owe_nothing_to_those_to_a_part() -> None:
    problem, _ = few_views()
    fit, _ = problem.split(0.2, seed=0)
    guide(fit)
    after = problem.after(fit)
    for name in ("dct", "lowrank", "nlbayes"):
        torch.testing.assert_close(
            after.cached(name, CLASSICAL[name]),
            problem.cached(name, CLASSICAL[name]),
        )


def test_wrong_coil_maps_do_not_make_it_ever_brighter() -> None:
    problem, _ = scan(14)
    maps = problem.physics.maps.clone()
    maps[..., :3, :] = maps[..., :3, :].flip(1)  # the first rows belong to other coils
    wrong = ut.Problem(problem.y, ut.physics.MRI(problem.physics.mask[0, 0, 0], maps))
    size = CLASSICAL["lowrank"](wrong).square().sum(1).sqrt()
    start = wrong.cache["quick tv"].square().sum(1).sqrt()
    assert float(size.max()) < 1.3 * float(start.max())


def test_only_pictures() -> None:
    y = torch.rand(1, 1, 6, 6, 6)
    with pytest.raises(ut.UserError, match="lowrank is for pictures"):
        CLASSICAL["lowrank"](ut.Problem(y, ut.physics.Denoise(y.shape[1:])))

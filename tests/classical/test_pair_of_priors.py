"""Two denoisers in one splitting: what they are worth, and what networks lean on."""

from functools import cache

import pytest
import torch
from skimage.data import camera
from torch import Tensor

import untrained as ut
from untrained.classical import CLASSICAL, baseline, baseline_name, pair_of_priors, two_priors
from untrained.classical.pair_of_priors import COUPLINGS, settings
from untrained.classical.sliding_dct import dct_settings, hand_down
from untrained.classical.total_variation import rough_tv, tv_weight
from untrained.metrics import psnr
from untrained.physics import CT, MRI, Blur, PhaseRetrieval, SuperRes

Scan = tuple[ut.Problem, Tensor]


def textured(size: int = 64) -> Tensor:
    """Stripes of changing width on two halves of a disc: structure that repeats nearby."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    stripes = 0.5 + 0.3 * torch.sin(20 * x + 6 * y * (x > 0))
    return (stripes * (x.square() + y.square() < 0.8))[None, None]


def noise(like: Tensor, level: float) -> Tensor:
    return level * torch.randn(like.shape, generator=torch.Generator().manual_seed(0))


@cache
def few_views(level: float) -> ut.Problem:
    physics = CT((64, 64), torch.linspace(0, 174, 30), 92)
    y = physics.A(textured())
    return ut.Problem(y + noise(y, level * float(y.mean())), physics)


@cache
def few_columns(size: int = 64, every: int = 4, level: float = 0.002, seed: int = 1) -> Scan:
    """A photograph behind four coils, one of `every` columns and ten in the middle."""
    corner = torch.from_numpy(camera()[80:272:2, 180:372:2] / 255)[:size, :size]
    picture = corner[None, None].float()
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    corners = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    far = torch.stack([(y - a) ** 2 + (x - b) ** 2 for a, b in corners])
    mask = torch.zeros(size)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    mask[order[: size // every]] = 1
    mask[size // 2 - 5 : size // 2 + 5] = 1
    physics = MRI(mask, torch.polar(torch.exp(-far / 3), far))
    kspace = physics.A(torch.cat([picture, 0.2 * picture], 1))
    return ut.Problem(kspace + noise(kspace, level) * physics.mask, physics), picture


def score(problem: ut.Problem, image: Tensor, truth: Tensor) -> float:
    return float(psnr(problem.to_units(image)[0, :1], truth[0], data_range=float(truth.max())))


@pytest.mark.parametrize("level", [0.01, 0.05])
def test_few_views_with_little_and_with_much_noise(level: float) -> None:
    """The coupling follows the noise, so that no other classical answer is better."""
    problem = few_views(level)
    x = textured()
    best = max(score(problem, CLASSICAL[n](problem), x) for n in ("tv", "lowrank", "nlbayes"))
    assert score(problem, two_priors(problem), x) > best + 0.2


def test_few_columns() -> None:
    problem, x = few_columns()
    best = max(score(problem, CLASSICAL[n](problem), x) for n in ("tv", "lowrank", "nlbayes"))
    assert score(problem, two_priors(problem), x) > best + 0.2


def test_half_of_the_columns_with_noise() -> None:
    """Three held-out columns preferred a coupling of 2, and an image that was 11 dB worse."""
    problem, x = few_columns(48, every=2, level=0.005, seed=3)
    bayes, two = (score(problem, image(problem), x) for image in (CLASSICAL["nlbayes"], two_priors))
    assert settings(problem)[1] <= 0.06
    assert two > bayes - 0.5


def test_noise_asks_for_a_stronger_coupling() -> None:
    quiet, noisy = (settings(few_views(level))[1] for level in (0.003, 0.1))
    assert noisy > quiet
    assert {quiet, noisy} <= set(COUPLINGS)


@pytest.mark.parametrize("much", [False, True])
@pytest.mark.parametrize(("best", "raised"), [(0.9, 1), (1.5, 2**0.5), (9, 2**1.5)])
def test_on_ct_the_level_is_raised_while_views_are_predicted_better(
    monkeypatch: pytest.MonkeyPatch, best: float, raised: float, much: bool
) -> None:
    """Three times at most; with little noise it takes half of the octaves."""
    problem = few_views(0.1 if much else 0.003)

    def error(level: float, coupling: float) -> float:
        return abs(level - 0.01 * best) + coupling

    monkeypatch.setattr(pair_of_priors, "_descend", lambda *_: (0.01, 0.06))
    monkeypatch.setattr(pair_of_priors, "held_out_error", lambda *_: error)
    level, coupling = pair_of_priors._search(problem).tolist()
    assert level == pytest.approx(0.01 * (raised if much else raised**0.5))
    assert coupling == 0.06


def test_what_was_found_on_a_part_is_taken_over_in_its_units() -> None:
    physics = Blur(torch.ones(3, 3) / 9, (1, 64, 64))
    physics.unit_range = False
    problem = ut.Problem(100 * physics.A(textured()), physics)
    part, _ = problem.split(0.3, seed=0)
    part.cache["two priors settings"] = torch.tensor([0.05, 0.2], dtype=torch.float64)
    whole = problem.after(part)
    level, coupling = settings(whole)
    assert float(part.scale) != float(whole.scale)
    assert level == pytest.approx(0.05 * float(part.scale / whole.scale))
    assert coupling == 0.2
    scan, _ = few_columns(40)
    part, _ = scan.split(0.3, seed=0)
    part.cache["two priors settings"] = torch.tensor([0.05, 0.02], dtype=torch.float64)
    part.cache["dct settings"] = torch.tensor([0.03, 1], dtype=torch.float64)
    shrink = float(part.scale / scan.scale)
    whole = scan.after(part)
    assert settings(whole) == (pytest.approx(0.05 * shrink), 0.02)
    assert dct_settings(whole) == (pytest.approx(0.03 * shrink), True)
    hand_down(whole, part)  # and back
    assert dct_settings(part) == (pytest.approx(0.03), True)


def test_networks_lean_on_it_and_on_two_others_where_pixels_are_coarse() -> None:
    physics = SuperRes((1, 64, 64), 2)
    y = physics.A(textured())
    problem = ut.Problem(y + noise(y, 0.01), physics)
    bayes, flat = CLASSICAL["nlbayes"](problem), rough_tv(problem, tv_weight(problem))
    expected = 0.5 * two_priors(problem) + 0.3 * bayes + 0.2 * flat
    torch.testing.assert_close(baseline(problem), expected, atol=1e-5, rtol=0)
    assert baseline_name(problem) == "low rank, non-local Bayes and total variation"


def test_the_same_numbers_in_other_units() -> None:
    problem, _ = few_columns(40)
    other = ut.Problem(1e3 * problem.to_units(problem.y), problem.physics)
    mine, theirs = (one.to_units(two_priors(one)) for one in (problem, other))
    torch.testing.assert_close(theirs, 1e3 * mine, rtol=0, atol=0.05 * float(theirs.abs().max()))


def test_it_needs_a_linear_physics_and_a_picture() -> None:
    phase = PhaseRetrieval((1, 8, 8))
    with pytest.raises(ut.UserError, match="two_priors"):
        two_priors(ut.Problem(phase.A(textured(8)), phase))

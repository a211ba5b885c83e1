"""What networks lean on under noise and blur: several images, mixed without the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import brick, camera
from torch import Tensor

import untrained as ut
from untrained.classical import (
    baseline,
    baseline_name,
    lowrank,
    mixture,
    nlbayes,
    shares,
    tv,
    tv_weight,
    two_priors,
    weight,
)
from untrained.classical.flat_pieces import mixed_if_flat
from untrained.classical.mixture import (
    candidates,
    deblurred,
    filled,
    line_shares,
    samples_are_scattered,
)
from untrained.classical.shares import least_quadratic
from untrained.data.phantoms import gaussian_kernel
from untrained.metrics import psnr
from untrained.physics import CT, MRI, Blur, Denoise, Inpaint, random_mask

CAMERA = torch.from_numpy(camera()[100:196, 100:196].astype(np.float32) / 255)[None, None]

BRICK = torch.from_numpy(brick()[:96, :96].astype(np.float32) / 255)[None, None]


def flat_pieces(*sides: int) -> Tensor:
    """A ball in a ball, each of one grey value."""
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in sides), indexing="ij")
    r = torch.stack(axes).norm(dim=0)
    return ((r < 0.8) * 0.6 + (r < 0.4) * 0.3)[None, None]


def noisy(truth: Tensor, sigma: float = 0.1) -> ut.Problem:
    draw = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    return ut.Problem(truth + sigma * draw, Denoise(), sigma=sigma)


@pytest.mark.parametrize("sides", [(64, 64), (10, 40, 40)])
def test_flat_pieces_are_as_good_as_total_variation_makes_them(sides: tuple[int, ...]) -> None:
    truth = flat_pieces(*sides)
    problem = noisy(truth)
    mixed, flat, bayes = (psnr(f(problem), truth, data_range=1.0) for f in (baseline, tv, nlbayes))
    assert flat > bayes + 1.0
    assert mixed > flat - 0.02
    more = "low rank, " if len(sides) == 2 else ""
    assert baseline_name(problem) == f"non-local Bayes, {more}total variation"


def test_a_photograph_has_little_of_total_variation() -> None:
    problem = noisy(CAMERA)
    mixed, flat, bayes = (psnr(f(problem), CAMERA, data_range=1.0) for f in (baseline, tv, nlbayes))
    assert bayes > flat + 1.0
    assert mixed > bayes - 0.02


def test_a_photograph_gains_from_further_passes() -> None:
    """Bricks return all over the picture; total variation has nothing to add to it."""
    problem = noisy(BRICK)
    mixed, flat, bayes = (psnr(f(problem), BRICK, data_range=1.0) for f in (baseline, tv, nlbayes))
    assert bayes > flat + 1.0
    assert mixed > bayes + 0.05
    assert float(problem.cache["shares"][-1]) < 0.05


def test_the_shares_are_those_of_the_least_error() -> None:
    """Half a picture and half flat pieces: nearly what the truth would choose of the simplex."""
    truth = torch.cat([CAMERA, flat_pieces(96, 96)], dim=3)
    problem = noisy(truth)
    found = baseline(problem)
    images = candidates(problem, tv_weight(problem))
    shares = problem.cache["shares"]
    assert float(shares.sum()) == pytest.approx(1)
    assert float(shares.min()) >= 0
    assert len(shares) == len(images) == 4
    draw = torch.distributions.Dirichlet(torch.full((4,), 0.3)).sample((2000,)).float()
    error = (images - truth).flatten(1)
    best = float((draw @ error).square().mean(1).min())
    assert float((found - truth).square().mean()) < 1.01 * best


def test_all_pixels_take_the_share_of_the_part() -> None:
    part, _ = noisy(flat_pieces(40, 40)).split(0.05, seed=0)
    baseline(part)
    whole = noisy(flat_pieces(40, 40)).after(part)
    baseline(whole)
    assert "shares" in part.cache
    assert "shares" not in whole.cache


def test_an_unknown_level_is_estimated() -> None:
    known = noisy(BRICK)
    unknown = ut.Problem(known.y, Denoise())
    with_level, without = (psnr(baseline(p), BRICK, data_range=1.0) for p in (known, unknown))
    assert without > with_level - 0.3  # bricks look a little like noise


@pytest.mark.parametrize("y", [torch.full((1, 1, 12, 12), 0.5), CAMERA[..., :12, :12]])
def test_without_noise_to_speak_of_nothing_changes(y: Tensor) -> None:
    """Neither where the two images are the same, which leaves no parabola."""
    found = baseline(ut.Problem(y, Denoise(), sigma=1e-4))
    torch.testing.assert_close(found, y, atol=2e-3, rtol=0)


def blurred(truth: Tensor) -> ut.Problem:
    physics = Blur(gaussian_kernel(1.5), (1, *truth.shape[2:]))
    y = physics.A(truth)
    draw = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    return ut.Problem(y + 2 / 255 * draw, physics)


@pytest.mark.parametrize(("name", "truth"), [("flat", flat_pieces(64, 64)), ("camera", CAMERA)])
def test_a_deblurred_picture_is_as_good_as_the_best_of_its_parts(name: str, truth: Tensor) -> None:
    problem = blurred(truth)
    made = {f: f(problem) for f in (deblurred, tv, two_priors)}
    scores = {f.__name__: float(psnr(x, truth, data_range=1.0)) for f, x in made.items()}
    assert scores["deblurred"] > max(scores["tv"], scores["two_priors"]) - 0.15, scores
    if name == "flat":
        assert scores["tv"] > scores["two_priors"] + 0.3  # else the mixture has nothing to win


def test_the_share_of_a_part_is_that_of_the_whole() -> None:
    problem = blurred(CAMERA[..., :48, :48])
    fit, _ = problem.split(0.05, seed=0)
    deblurred(fit)
    whole = problem.after(fit)
    deblurred(whole)
    assert "share of two priors" in fit.cache
    assert "share of two priors" not in whole.cache


def test_hidden_pixels_do_not_count_as_noise(monkeypatch) -> None:
    problem = blurred(CAMERA[..., :48, :48])
    fit, _ = problem.split(0.05, seed=0)
    judged = []

    def judge(one: ut.Problem, image: Tensor) -> float:
        judged.append(weight.noise_level(one, image) * float(one.scale[0]))
        return 0.01

    monkeypatch.setattr(shares, "noise_level", judge)
    for one in (problem, fit):
        shares.split_noise_shares(one, lambda p: CAMERA[None, ..., :48, :48], CAMERA[..., :48, :48])
    assert judged == pytest.approx([2 / 255] * 2, rel=0.15)


def test_shares_are_those_of_least_error_and_never_negative() -> None:
    errors = torch.tensor([[1.0, 0.0, 2.0], [0.0, 2.0, 2.0]], dtype=torch.float64)
    shares = least_quadratic(errors.T @ errors, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(
        shares, torch.tensor([0.8, 0.2, 0.0], dtype=torch.float64), atol=1e-4, rtol=0
    )
    equal = least_quadratic(torch.zeros(2, 2), torch.zeros(2))
    assert equal.tolist() == [0.5, 0.5]


def half_missing(truth: Tensor) -> ut.Problem:
    physics = Inpaint(random_mask(truth.shape[2:], 0.5, 0), (1, *truth.shape[2:]))
    return ut.Problem(physics.A(truth), physics)


@pytest.mark.parametrize(
    "truth", [flat_pieces(64, 64), BRICK[..., :64, :64]], ids=["flat", "brick"]
)
def test_missing_pixels_are_filled_as_well_as_by_the_better_part(truth: Tensor) -> None:
    problem = half_missing(truth)
    made = {f.__name__: problem.to_units(f(problem)) for f in (filled, two_priors, lowrank)}
    scores = {name: float(psnr(x, truth, data_range=1.0)) for name, x in made.items()}
    assert scores["filled"] > max(scores["two_priors"], scores["lowrank"]) - 0.3, scores


def test_where_no_pixel_can_be_held_out_both_count_the_same(monkeypatch) -> None:
    problem = half_missing(CAMERA[..., :32, :32])

    def refuse(*_: object, **__: object) -> None:
        raise ut.UserError("too few")

    both = (two_priors(problem) + lowrank(problem)) / 2
    monkeypatch.setattr(ut.Problem, "split", refuse)
    torch.testing.assert_close(filled(problem), both, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("views", "shares"), [(12, (0, 0.58, 0.42)), (24, (0.7, 0.3, 0))])
def test_ct_leans_on_shares_by_the_number_of_views(views: int, shares: tuple[float, ...]) -> None:
    """A lost view counts as not measured."""
    mask = torch.ones(46, views + 1)
    mask[:, 3] = 0
    physics = CT((32, 32), np.arange(views + 1) * 180 / (views + 1), 46, mask=mask)
    y = physics.A(BRICK[..., :32, :32])
    draw = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    problem = ut.Problem((y + 0.01 * y.mean() * draw) * mask, physics)
    assert line_shares(problem) == pytest.approx(shares)
    images = (two_priors(problem), lowrank(problem), nlbayes(problem))
    expected = sum(share * image for share, image in zip(shares, images, strict=True))
    torch.testing.assert_close(baseline(problem), expected)


@pytest.mark.parametrize(
    ("columns", "shares"), [(4, (0.7, 0.3, 0)), (6, (0.6, 0.25, 0.15)), (8, (0.48, 0.2, 0.32))]
)
def test_few_columns_leave_no_share_to_bayes(columns: int, shares: tuple[float, ...]) -> None:
    mask = torch.zeros(32)
    mask[:columns] = 1
    problem = ut.Problem(torch.ones(1, 2, 1, 8, 32) * mask, MRI(mask, x_shape=(2, 8, 32)))
    problem.cache["share of Bayes"] = torch.tensor(0.4)
    assert line_shares(problem) == pytest.approx(shares)


@pytest.mark.parametrize("better", ["bayes", "two"])
def test_held_out_columns_give_the_rest_to_the_better_image(
    better: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside `lowrank`; where a part was solved before, its share is taken."""
    truth = CAMERA[..., :32, :32].repeat(1, 2, 1, 1)
    mask = torch.zeros(32)
    mask[::2] = 1
    mask[12:20] = 1
    physics = MRI(mask, x_shape=(2, 32, 32))
    problem = ut.Problem(physics.A(truth), physics)
    good, poor = (
        (lambda one, *_: one.from_units(truth)),
        (lambda one, *_: one.from_units(0.5 * truth)),
    )
    monkeypatch.setattr(mixture, "nlbayes", good if better == "bayes" else poor)
    monkeypatch.setattr(mixture, "solve_at", poor if better == "bayes" else good)
    shares = (0, 0.2, 0.8) if better == "bayes" else (0.8, 0.2, 0)
    assert line_shares(problem) == pytest.approx(shares, abs=1e-4)
    whole = problem.after(problem)
    monkeypatch.undo()
    assert line_shares(whole) == pytest.approx(shares, abs=1e-4)


@pytest.mark.parametrize("scattered", [False, True])
def test_single_samples_of_k_space_find_the_shares(scattered: bool) -> None:
    """Single samples are many, and find all three; columns only divide two of them."""
    draw = torch.rand(32, 32 if scattered else 1, generator=torch.Generator().manual_seed(0))
    mask = (draw < 0.5).float().expand(32, 32).clone()
    mask[12:20, 12:20] = 1
    if not scattered:
        mask[12:20] = 1
    physics = MRI(mask, x_shape=(2, 32, 32))
    problem = ut.Problem(physics.A(BRICK[..., :32, :32].repeat(1, 2, 1, 1)), physics)
    assert samples_are_scattered(problem) == scattered
    images = (two_priors(problem), lowrank(problem), nlbayes(problem))
    mixed = sum(s * x for s, x in zip(line_shares(problem), images, strict=True))
    fixed = mixed_if_flat(problem, mixed)
    assert torch.allclose(baseline(problem), fixed, atol=1e-5) != scattered

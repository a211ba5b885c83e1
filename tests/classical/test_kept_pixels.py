"""Noise in the kept pixels beside missing ones: found, taken out, nothing changed without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import brick, camera
from torch import Tensor

import untrained as ut
from untrained.classical import (
    CLASSICAL,
    baseline,
    baseline_name,
    closed,
    data_step,
    kept_noise,
    two_priors,
)
from untrained.classical.kept_pixels import white_noise
from untrained.classical.mixture import filled
from untrained.core.state import State
from untrained.methods import FillIn
from untrained.metrics import psnr
from untrained.nets import Compact
from untrained.physics import Denoise, Inpaint, random_mask
from untrained.rules import Blend

CAMERA = torch.from_numpy(camera()[:200, 60:260].astype(np.float32) / 255)[None, None]
SMALL = CAMERA[..., 80:120, 60:100]
BRICK = torch.from_numpy(brick()[:200, :200].astype(np.float32) / 255)[None, None]


def holed(
    truth: Tensor, sigma: float = 0.0, missing: float = 0.25, known: float | None = None
) -> ut.Problem:
    """Take pixels away; noise and the level that is told are relative to 255."""
    physics = Inpaint(random_mask(truth.shape[2:], missing, 0), tuple(truth.shape[1:]))
    draw = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    y = physics.A(truth + sigma / 255 * draw)
    return ut.Problem(y, physics, sigma=None if known is None else known / 255)


def score(image: Tensor, truth: Tensor) -> float:
    return float(psnr(image, truth, data_range=1.0))


@pytest.mark.parametrize("missing", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("truth", [CAMERA, BRICK], ids=["camera", "brick"])
def test_clean_pixels_are_told_from_noisy_ones(truth: Tensor, missing: float) -> None:
    assert kept_noise(holed(truth, missing=missing)) == 0
    assert kept_noise(holed(truth, 10, missing)) == pytest.approx(10 / 255, rel=0.35)


def test_a_volume_is_judged_by_its_planes() -> None:
    volume = CAMERA.reshape(1, 1, 2, 100, 200)
    draw = torch.randn(volume.shape, generator=torch.Generator().manual_seed(1))
    physics = Inpaint(random_mask((100, 200), 0.25, 0).expand(2, -1, -1), (1, 2, 100, 200))
    noisy = ut.Problem(physics.A(volume + 10 / 255 * draw), physics)
    assert kept_noise(noisy) == pytest.approx(10 / 255, rel=0.35)


def test_of_several_pictures_each_has_its_own_noise() -> None:
    physics = Inpaint(random_mask((200, 200), 0.25, 0), (1, 200, 200))
    noisy = CAMERA + 0.05 * torch.randn(CAMERA.shape, generator=torch.Generator().manual_seed(1))
    both = ut.Problem(physics.A(torch.cat([CAMERA, noisy])), physics)
    assert [kept_noise(one) for one in both.each()] == pytest.approx([0, 0.05], rel=0.2)
    assert kept_noise(both) == kept_noise(both.select(1))


def test_white_noise_is_what_does_not_depend_on_the_distance() -> None:
    """A slope alone has differences too, but the less of them the nearer two pixels are."""
    slope = torch.linspace(0, 1, 200).expand(1, 200, 200)
    kept = random_mask((200, 200), 0.5, 0)[None]
    draw = torch.randn(slope.shape, generator=torch.Generator().manual_seed(1))
    assert white_noise(slope, kept)[0] == 0
    assert white_noise(slope + 0.05 * draw, kept)[0] == pytest.approx(0.05, rel=0.1)


def test_too_few_neighbours_count_as_clean() -> None:
    assert kept_noise(holed(SMALL, 20, missing=0.8)) == 0
    scattered = torch.zeros(200, 200)
    scattered[::3, ::3] = 1  # no pixel has a neighbour
    physics = Inpaint(scattered, (1, 200, 200))
    assert kept_noise(ut.Problem(physics.A(CAMERA) + 0.1, physics)) == 0
    assert white_noise(torch.ones(1, 8, 8), torch.zeros(1, 8, 8)) == (0, 0)


def test_the_level_that_is_given_counts() -> None:
    assert kept_noise(holed(SMALL, known=3)) == pytest.approx(3 / 255)
    assert kept_noise(holed(CAMERA, 10, known=0)) == 0
    assert kept_noise(ut.Problem(SMALL, Denoise(), sigma=0.1)) == 0


def test_as_much_is_taken_out_as_there_is_noise() -> None:
    """All of a difference as small as the noise, its share of a larger one, none without noise."""
    problem = holed(SMALL, known=10)
    mask = problem.physics.mask
    for off, left in ((5, 1.0), (10, 1.0), (20, 0.25)):
        x = SMALL + off / 255 * mask
        z = data_step(problem, x, 0.1)
        expected = SMALL + left * off / 255 * mask
        torch.testing.assert_close(closed(problem, x, z), expected, atol=1e-5, rtol=0)
        assert closed(holed(SMALL, known=0), x, z) is z


def test_a_data_step_that_trusts_y_less_stays() -> None:
    problem = holed(SMALL, known=1)
    x = SMALL + 10 / 255
    z = data_step(problem, x, 2.0)
    assert closed(problem, x, z) is z


@pytest.mark.parametrize("name", ["dct", "nlbayes", "lowrank"])
def test_classical_answers_do_not_put_the_noise_back(name: str) -> None:
    noisy, told_clean = (holed(SMALL, 15, known=known) for known in (15, 0))
    denoised, kept = (score(CLASSICAL[name](p), SMALL) for p in (noisy, told_clean))
    assert denoised > kept + 0.3


@pytest.mark.parametrize("missing", [0.25, 0.75])
def test_what_auto_leans_on_is_above_every_classical_answer(missing: float) -> None:
    truth = CAMERA[..., 60:116, 50:106]
    problem = holed(truth, 15, missing, known=15)
    best = max(score(CLASSICAL[n](problem), truth) for n in ("tv", "dct", "lowrank", "nlbayes"))
    assert score(baseline(problem), truth) > best
    expected = 0.7 * two_priors(problem) + 0.3 * CLASSICAL["nlbayes"](problem)
    torch.testing.assert_close(filled(problem), expected)


def test_clean_pixels_leave_everything_as_it_is(monkeypatch) -> None:
    truth = SMALL[..., :32, :32]
    found = filled(holed(truth))
    monkeypatch.setattr("untrained.classical.mixture.kept_noise", lambda problem: 0.0)
    monkeypatch.setattr("untrained.classical.pair_of_priors.kept_noise", lambda problem: 0.0)
    monkeypatch.setattr("untrained.classical.kept_pixels.kept_noise", lambda problem: 0.0)
    assert torch.equal(found, filled(holed(truth)))


def test_the_report_says_that_kept_pixels_change() -> None:
    assert baseline_name(holed(SMALL, known=12)).endswith("; kept pixels denoised, sigma 12 of 255")
    assert baseline_name(holed(SMALL, known=0)) == "low rank and non-local Bayes"


@pytest.mark.parametrize("known", [0, 15])
def test_the_network_shows_the_pixels_of_the_classical_image(known: float) -> None:
    problem = holed(SMALL, 15, known=known)
    s = State(problem, Compact(widths=(8, 16)).build(FillIn().input_channels(1), 1), 0)
    FillIn().start(s)
    expected = problem.A(baseline(problem)) if known else problem.y
    assert torch.equal(s["kept"], expected)
    x, _ = FillIn().loss(s)
    same = (x == s["kept"]) & (problem.physics.mask > 0)
    assert float(same.float().mean()) > 0.4  # 70 % of three quarters are shown


@pytest.mark.parametrize("known", [0, 15])
def test_the_closing_step_of_the_mixture_leaves_noise_out(known: float) -> None:
    problem = holed(SMALL, 15, known=known)
    x = SMALL.clone()
    after = Blend(mu=0.1).finish(problem, x)
    assert (score(after, SMALL) > 40) == bool(known)


def test_the_answer_of_auto_is_denoised() -> None:
    truth = SMALL[..., :32, :32]
    problem = holed(truth, 15, known=15)
    result = ut.reconstruct(
        problem.y, problem.physics, sigma=15 / 255, steps=2, progress=False, compare=False
    )
    kept = problem.physics.mask[0, 0] > 0
    error = (result.image - truth)[0, 0][kept].square().mean().sqrt()
    assert float(error) < 0.8 * 15 / 255

"""Deep Video Prior: its order of frames, its two videos, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import untrained as ut
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.errors import UserError
from untrained.flicker import optical_flow, warped, warping_error
from untrained.methods import DVP
from untrained.nets import VCN
from untrained.physics import Denoise, Processed
from untrained.solver.procedure import solve_recipe

FRAMES, SIDE = 5, 24


def clip() -> np.ndarray:
    """A smooth pattern that moves by a pixel a frame, `(T, 1, H, W)`."""
    y, x = np.mgrid[:SIDE, :SIDE]
    frames = [0.5 + 0.3 * np.sin((x - t) / 3) * np.cos(y / 4) for t in range(FRAMES)]
    return np.stack(frames)[:, None]


def problem(gains: np.ndarray) -> ut.Problem:
    """Every frame times a gain of its own, as if an algorithm had processed it."""
    frames = torch.from_numpy(clip()).float().movedim(1, 0)[None]
    y = frames * torch.from_numpy(gains).float()[:, None, None]
    return ut.Problem(y, Processed(frames, 1))


def fit(method: DVP, one: ut.Problem, lr: float = 2e-3) -> ut.Result:
    recipe = Recipe(method=method, net=VCN(6, 2), engine=Engine("adam", lr=lr, precision="fp32"))
    return solve_recipe(recipe, one)


def test_the_answer_is_drawn_by_the_same_weights_in_all_frames():
    """Without a step of the weights every frame is f(I_t) of the drawn network, clipped."""
    one = problem(np.ones(FRAMES))
    found = fit(DVP(1), one, lr=1e-30)
    recipe = Recipe(method=DVP(1), net=VCN(6, 2))
    module = recipe.build(one)
    weights = {n: w[0] for n, w in found.weights.items()} if found.weights else {}
    with torch.no_grad():
        for t in range(FRAMES):
            frame = one.physics.frames[:, :, t]
            drawn = torch.func.functional_call(module, weights, (frame,)).clamp(0, 1)
            torch.testing.assert_close(found.image[:, :, t], drawn, atol=1e-5, rtol=1e-5)


def test_the_first_steps_of_two_videos_see_the_first_frame_alone():
    """While `irt` begins, what was made of the other frames changes nothing."""
    changed = np.ones(FRAMES)
    changed[1:] = 0.5
    images = [fit(DVP(6, irt=True, first=1.0), problem(g)).image for g in (np.ones(5), changed)]
    assert torch.equal(*images)
    images = [fit(DVP(6, irt=True, first=0.0), problem(g)).image for g in (np.ones(5), changed)]
    assert not torch.equal(*images)


def test_flicker_falls():
    """Random gains of the frames: half of the warping error, and nearer to the mean gain."""
    gains = 1 + 0.25 * np.array([-1, 1, -0.6, 0.8, -0.2])
    one = problem(gains)
    flow = optical_flow(clip())
    ours = fit(DVP(300, coarse=0.0), one, lr=2e-3).image[0].movedim(1, 0).double().numpy()
    made = one.y[0].movedim(1, 0).double().numpy()
    clean = gains.mean() * clip()
    assert warping_error(ours, clip(), flow) < 0.5 * warping_error(made, clip(), flow)
    assert ((ours - clean) ** 2).mean() < ((made - clean) ** 2).mean()


def test_the_warping_error_of_a_video_that_moves_as_its_input_is_zero():
    """Known flow of whole pixels: zero; a jump of brightness by d between frames: d^2."""
    frames = np.stack([np.roll(np.random.default_rng(0).random((1, 8, 9)), t, 2) for t in range(3)])
    flow = np.zeros((2, 2, 8, 9))
    flow[:, 1] = 1
    inside = frames[..., 2:-2]  # away from where it is rolled around
    assert np.array_equal(warped(frames[1], flow[0])[..., :-1], frames[0][..., :-1])
    assert warping_error(inside[..., :-1], inside[..., :-1], flow[..., 2:-3]) < 0.2
    still = np.repeat(frames[:1], 3, 0)
    jump = still + 0.1 * np.arange(3)[:, None, None, None]
    assert warping_error(still, still, 0 * flow) == 0
    assert warping_error(jump, still, 0 * flow) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="agree in size"):
        warping_error(frames, frames[:2])


def test_another_operator_is_refused():
    with pytest.raises(UserError, match="--processed"):
        fit(DVP(1), ut.Problem(torch.rand(1, 1, 4, 8, 8), Denoise((1, 4, 8, 8))))

"""Output rules: averages, the best step, mixtures with the classical image, the closing step."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from skimage.data import camera
from torch import Tensor

import untrained as ut
from untrained.classical import data_step
from untrained.core.rule import Last
from untrained.core.rule_memory import Memory
from untrained.nets import Compact
from untrained.rules import WMV, Average, Blend, HeldOut, Nearer
from untrained.rules.output import CLOSINGS
from untrained.run.solve import solve


def picture() -> Tensor:
    return torch.rand(1, 1, 24, 20, generator=torch.Generator().manual_seed(0))


def problem() -> ut.Problem:
    return ut.Problem(picture(), ut.physics.Denoise((1, 24, 20)), sigma=0.1)


def test_outputs_average_and_keep_best() -> None:
    stop, net = WMV(window=3, patience=100), Compact(widths=(8, 16), skip=4)
    dip = ut.methods.DIP(rounds=12)
    last = solve(dip, problem(), net=net, stop=stop, output=Last())
    best = solve(dip, problem(), net=net, stop=stop, output=Last(keep_best=True))
    variance = [float(v) for v in best.history["moving variance"]]
    chosen = min(range(2, 12), key=lambda i: variance[i])
    assert best.stop[0].step == chosen + 1
    assert last.stop[0].step == 12


def test_the_image_of_a_network_ends_with_the_coil_maps() -> None:
    maps = torch.ones(1, 2, 32, 36, dtype=torch.complex64) / 2**0.5
    maps[..., :4, :] = 0
    columns = torch.zeros(36)
    columns[::2] = columns[15:21] = 1
    physics = ut.physics.MRI(columns, maps)
    p = ut.Problem(physics.A(torch.ones(1, 2, 32, 36)), physics)
    net = Compact(widths=(4, 8), skip=2)
    result = solve(ut.methods.House(rounds=2, channels=2), p, net=net, output=Blend(mu=0.1))
    assert not bool(result.image[..., :4, :].any())
    assert bool((result.image[..., 4:, :] != 0).all())


def test_the_closing_data_step_fits_the_data_better() -> None:
    p = problem()
    net, method = Compact(widths=(4, 8), skip=2), ut.methods.House(rounds=5, channels=2)
    plain = solve(method, p, net=net, output=Blend())
    closer = solve(method, p, net=net, output=Blend(mu=0.5))
    expected = (plain.image * 0.5 + p.y) / 1.5  # the proximal point where A is the identity
    torch.testing.assert_close(closer.image, expected, atol=1e-5, rtol=0)


def test_a_prior_moves_the_share_where_the_held_out_error_says_little() -> None:
    p, net = problem(), Compact(widths=(4, 8), skip=2)
    shares = []
    for prior in (0.0, 300.0, 1e9):
        output = Blend(share=1.0, prior=prior)
        method = ut.methods.House(rounds=3, channels=2)
        result = solve(method, p, net=net, output=output, stop=HeldOut(fraction=0.2, again=False))
        shares.append(result.history["network share"][2])
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] == pytest.approx(1.0)


class Shifted(ut.physics.NonlinearPhysics):
    """A(x) = x + 1: not linear, though every step between two images is."""

    unit_range = True

    def A(self, x: Tensor) -> Tensor:
        return x + 1

    def initial(self, y: Tensor) -> Tensor:
        return torch.zeros_like(y)


def test_the_share_of_a_nonlinear_physics_is_found_between_its_two_images() -> None:
    x = picture()
    p = ut.Problem(0.3 * x + 1, Shifted(tuple(x.shape[1:]), tuple(x.shape[1:])))
    fit, held = p.split(0.2, seed=0)
    memory = Memory({}, "")
    state: Any = SimpleNamespace(problem=fit, device=fit.device, size=1, step=0)
    mixed = Blend().see(state, memory, x, held)
    assert float(memory["share"]) == pytest.approx(0.3, abs=1e-5)
    torch.testing.assert_close(mixed, 0.3 * x, rtol=1e-4, atol=1e-5)


def test_nearer_takes_what_predicts_better_and_a_refit_keeps_it() -> None:
    x = picture()
    p = ut.Problem(x, ut.physics.Denoise(tuple(x.shape[1:])))
    fit, held = p.split(0.2, seed=0)
    state: Any = SimpleNamespace(problem=fit, device=fit.device, size=1, step=0)
    output, memory = Nearer(decay=0.5), Memory({}, "")
    output.start(state, memory)
    output.see(state, memory, 0 * x, held)
    state.step = 1
    rising = output.see(state, memory, x, held)  # the average, x / 2, lags behind
    assert output.statistic(memory)["newest"].tolist() == [1.0]
    torch.testing.assert_close(rising, x)
    state.step = 2
    jumping = output.see(state, memory, 2 * x, held)  # the average is 1.25 x
    assert output.statistic(memory)["newest"].tolist() == [0.0]
    torch.testing.assert_close(jumping, 1.25 * x)
    fixed = output.with_choices_fixed({"newest": 1.0})
    again = Memory({}, "")
    fixed.start(state, again)
    torch.testing.assert_close(fixed.see(state, again, 3 * x, None), 3 * x)


def blurred(noise: float) -> tuple[ut.Problem, Tensor]:
    """A photograph blurred over 5 pixels, with noise, and the photograph."""
    x = torch.from_numpy(camera()[100:148, 100:148].astype(np.float32) / 255)[None, None]
    physics = ut.physics.Blur(torch.ones(5, 5) / 25, (1, 48, 48))
    y = physics.A(x)
    draw = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    return ut.Problem(y + noise * draw, physics), x


def test_held_out_measurements_say_how_far_to_go_towards_the_data() -> None:
    """All the way without noise, hardly or not at all where noise is all that is left to fit."""
    chosen = []
    for noise in (0.0, 0.2):
        problem, x = blurred(noise)
        fit, held = problem.split(0.1, seed=0, scattered=True)
        smooth = 0.5 * x + 0.5 * problem.A(x)
        chosen.append(Average(ask=True).choose_on_held_out(fit, smooth, held)["closing mu"])
    assert chosen[0] == min(CLOSINGS)
    assert chosen[1] == 0.0 or chosen[1] >= 1.0


def test_the_whole_is_closed_with_the_weight_that_its_part_found() -> None:
    problem, _ = blurred(0.0)
    parts: dict[str, Any] = {"net": Compact(widths=(4, 8), skip=2), "steps": 6}
    stop = HeldOut(fraction=0.1, skip=0, patience=99, again=True)
    method = ut.methods.DIP()
    plain = solve(method, problem, stop=stop, output=Average(), **parts)
    closed = solve(method, problem, stop=stop, output=Average(ask=True), **parts)
    mu = float(closed.history["closing mu"][0])
    assert mu > 0
    expected = data_step(problem, problem.from_units(plain.image), mu)
    torch.testing.assert_close(problem.from_units(closed.image), expected)
    assert closed.final_recipe().output == Average(mu=mu)
    fixed = solve(method, problem, stop=stop, output=Average(ask=True, mu=mu), **parts)
    torch.testing.assert_close(fixed.image, closed.image)
    assert "closing mu" not in fixed.history


def test_the_fit_alone_is_closed_where_nothing_follows_it() -> None:
    problem, _ = blurred(0.0)
    stop = HeldOut(fraction=0.1, skip=0, patience=99, again=False)
    parts: dict[str, Any] = {"net": Compact(widths=(4, 8), skip=2), "steps": 4, "stop": stop}
    plain, closed = (
        solve(ut.methods.DIP(), problem, output=Average(ask=ask), **parts) for ask in (False, True)
    )
    fit, _ = problem.split(0.1, seed=0)
    expected = data_step(fit, fit.from_units(plain.image), float(closed.history["closing mu"][0]))
    torch.testing.assert_close(fit.from_units(closed.image), expected)


def test_nothing_is_asked_where_nothing_is_held_out_or_a_step_has_no_meaning() -> None:
    problem, _ = blurred(0.0)
    parts: dict[str, Any] = {"net": Compact(widths=(4, 8), skip=2), "steps": 3}
    asked, plain = (
        solve(ut.methods.DIP(), problem, output=Average(ask=ask), **parts) for ask in (True, False)
    )
    assert torch.equal(asked.image, plain.image)
    assert asked.final_recipe().output == Average(ask=True)
    x = picture()
    bent = ut.Problem(0.3 * x + 1, Shifted(tuple(x.shape[1:]), tuple(x.shape[1:])))
    fit, held = bent.split(0.2, seed=0)
    assert Average(ask=True).choose_on_held_out(fit, x, held) == {}

"""What the labs on learned starts and on aSeqDIP's limit are made of, in cases that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from untrained.lab.educated import Setting, unseen
from untrained.lab.fixed_point import Limit, free_limit, least_misfit, smoothing, steps_to_lose
from untrained.lab.reuse import OtherInput, drift, first_state, similarity
from untrained.nets import Compact

SMALL = Setting(16, 5, Compact(widths=(4, 8), skip=0), 4, 3, 0)


def test_layers_are_the_same_up_to_a_rotation_a_scale_and_an_offset() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(1, 4, 9, 8, generator=generator)
    turn, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator))
    same = 3 * torch.einsum("ij,bjhw->bihw", turn, a) + 2
    assert similarity(a, same) == pytest.approx(1.0, abs=1e-6)
    assert similarity(a, torch.randn(1, 4, 9, 8, generator=generator)) < 0.3


def test_a_common_factor_of_singular_values_is_told_apart_from_a_change_of_shape() -> None:
    s = np.array([4.0, 2.0, 1.0])
    assert drift(s, np.e * s) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-12))
    both = drift(s, s * np.array([np.e, 1.0, 1 / np.e]))
    assert both[0] == pytest.approx(both[1]) == pytest.approx((2 / 3) ** 0.5)


def test_an_encoder_at_rest_and_foreign_inputs() -> None:
    problem, _ = SMALL.scan(np.arange(256.0).reshape(16, 16))
    usual = first_state(SMALL.recipe(), problem, None)
    rested = first_state(SMALL.recipe(frozen=True), problem, None)
    left = {name.removeprefix("net/") for name in rested.rates}
    assert left == set(usual.weights) - set(usual.part("encoder"))
    assert torch.equal(rested["z"], usual["z"])
    z = usual["z"]
    turned = first_state(SMALL.recipe(source="turned"), problem, None)["z"]
    assert torch.equal(turned, z.flip(-2).transpose(-1, -2))
    noise = first_state(SMALL.recipe(source="noise"), problem, None)["z"]
    assert float(noise.square().mean() / z.square().mean()) == pytest.approx(1.0, rel=0.3)
    assert OtherInput().source == "own"


def test_the_error_in_the_null_space_does_not_see_the_measured_part() -> None:
    problem, x = SMALL.scan(np.random.default_rng(0).random((16, 16)))
    measured = x + problem.physics.A_adjoint(torch.rand_like(problem.y))
    nothing, whole = unseen(problem, [measured, measured - x], x)
    assert nothing == pytest.approx(0.0, abs=1e-6)
    assert whole == pytest.approx(1.0, rel=1e-3)


def test_a_limit_of_aseqdip_need_not_solve_its_equation_6() -> None:
    found = Limit.draw(np.random.default_rng([0, 0]))
    assert found.converged
    assert found.distance < 1e-9
    assert found.inner < 1e-9  # stationary in the weights, z at rest
    assert found.gradient > 0.01  # and not in the weights that move z
    assert found.ratio > 1.01
    assert free_limit(np.random.default_rng(1)) < 1e-12  # a full Jacobian fits all of y


def test_the_least_misfit_is_zero_where_the_network_can_draw_the_image() -> None:
    generator = np.random.default_rng(0)
    D, U = smoothing(12), generator.standard_normal((12, 2))
    A = generator.standard_normal((6, 12))
    weights = np.array([0.5, -1.0, 0.7])
    y = A @ np.linalg.solve(np.eye(12) - 0.7 * D, U @ weights[:2])
    assert least_misfit(A, U, D, y, np.array([0.0, 0.0, 0.4])) < 1e-8 * float(y @ y)


def test_steps_until_a_decibel_is_lost() -> None:
    assert steps_to_lose(np.array([1.0, 5.0, 4.5, 3.9, 3.0])) == 4
    assert steps_to_lose(np.array([1.0, 5.0, 4.5])) == 0
    assert steps_to_lose(np.array([3.0, 1.0, 5.0, 4.5, 3.9])) == 5  # the best, not an early fall

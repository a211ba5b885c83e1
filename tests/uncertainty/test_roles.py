"""Measurements are divided in disjoint parts, of whole units."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import untrained as ut
from untrained import Problem
from untrained.physics import CT, MRI, CompressedSensing, Denoise, Inpaint, PhaseRetrieval, Physics
from untrained.physics.foreign import as_physics
from untrained.uncertainty.roles import divide, visible


def columns() -> torch.Tensor:
    kept = torch.rand(64, generator=torch.Generator().manual_seed(0)) < 0.5
    kept[28:36] = True
    return kept.expand(48, 64)


OPERATORS: dict[str, Physics] = {
    "denoise": Denoise((3, 16, 18)),
    "inpaint": Inpaint(torch.rand(16, 18) < 0.6, x_shape=(1, 16, 18)),
    "ct": CT((16, 16), np.arange(30) * 6.0, 23),
    "mri": MRI(columns(), torch.ones(1, 2, 48, 64, dtype=torch.complex64) / 2**0.5),
    "cs": CompressedSensing((1, 12, 12), 80),
    "phase": PhaseRetrieval((1, 12, 12)),
}


def problem(name: str) -> Problem:
    physics = OPERATORS[name]
    assert physics.x_shape is not None
    x = torch.rand(1, *physics.x_shape, generator=torch.Generator().manual_seed(1))
    return Problem(physics.A(x), physics)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_parts_are_disjoint_and_together_everything(name: str) -> None:
    one = problem(name)
    roles = divide(one, 0.1, 3)
    parts = [visible(p).int() for p in (roles.fit, roles.stop, roles.calibrate, roles.test)]
    assert all(int(part.sum()) for part in parts)
    assert torch.equal(sum(parts), visible(one).int())
    assert torch.equal(visible(roles.rest).int(), parts[0] + parts[1])


@pytest.mark.parametrize("name", OPERATORS)
def test_units_are_whole(name: str) -> None:
    one = problem(name)
    roles = divide(one, 0.1, 3)
    for part in (roles.calibrate, roles.test):
        units = roles.units_of(part).unique()
        whole = torch.isin(roles.units, units) & visible(one)
        assert torch.equal(whole, visible(part))
        assert -1 not in units


def test_views_columns_and_colours_are_units() -> None:
    assert divide(problem("ct"), 0.15, 0).counts() == {"calibrate": 3, "test": 3}
    roles = divide(problem("mri"), 0.05, 0)
    # whole columns of both coils, both parts of the complex number
    assert int(visible(roles.test).sum()) == 2 * 2 * 48 * roles.counts()["test"]
    assert int(visible(divide(problem("denoise"), 0.05, 0).test).sum()) % 3 == 0


def test_what_is_hidden_cannot_change_the_scale_of_the_fit() -> None:
    one = problem("ct")
    roles = divide(one, 0.15, 0)
    y = one.y.clone()
    hidden = visible(roles.calibrate) | visible(roles.test) | visible(roles.stop)
    y[0][hidden] *= 3
    other = divide(one.with_measurements(y), 0.15, 0)
    assert torch.equal(visible(other.fit), visible(roles.fit))
    ratio = other.fit.y.norm() / roles.fit.y.norm()
    assert float(ratio) == pytest.approx(1.0, rel=1e-5)


def test_positions_do_not_follow_the_noise_of_the_same_seed() -> None:
    """Noise and positions of one generator are dependent; positions come from a seed of our own."""
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    roles = divide(Problem(0.5 + 0.1 * noise, Denoise((1, 64, 64))), 0.05, 0)
    for part in (roles.stop, roles.test):
        assert float(noise[0][visible(part)].std()) == pytest.approx(1.0, abs=0.2)


def test_too_few_units_are_refused_with_what_to_do() -> None:
    physics = CT((16, 16), np.arange(8) * 20.0, 23)
    few = Problem(physics.A(torch.rand(1, 1, 16, 16)), physics)
    with pytest.raises(ut.UserError, match="at least 12 units.*8: leave --uncertainty out"):
        divide(few, 0.1, 0)


def test_an_operator_of_your_own_may_name_its_units() -> None:
    class Mine:
        x_shape = (1, 8, 8)

        def A(self, x: torch.Tensor) -> torch.Tensor:
            return x

        def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
            return y

    class Rows(Mine):
        def units(self, y: torch.Tensor) -> torch.Tensor:
            return torch.arange(8)[:, None].expand(1, 1, 8, 8)

    y = torch.rand(2, 1, 8, 8)
    assert len(as_physics(Mine()).units(y).unique()) == 64
    assert len(as_physics(Rows()).units(y).unique()) == 8

"""The unit of the data, of lengths and of an operator does not change the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

import untrained as ut
from untrained.metrics import psnr
from untrained.physics import CT, MRI
from untrained.physics.ct import FanBeam
from untrained.physics.stack import Stack

IMAGE = torch.zeros(1, 1, 24, 24)
IMAGE[..., 5:19, 4:20] = 0.6
IMAGE[..., 9:14, 8:12] = 1.0
VIEWS = np.arange(18) * 10.0
COLUMNS = np.zeros(24, bool)
COLUMNS[::3] = COLUMNS[9:15] = True


class Pool:
    """A linear operator of one's own."""

    x_shape = (1, 24, 24)

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def A(self, x: Tensor) -> Tensor:
        return self.gain * avg_pool2d(x, 2)


def parallel(gain: float) -> CT:
    return CT((24, 24), VIEWS, 34, pixel_size=gain, detector_pitch=gain)


def fan(gain: float) -> CT:
    beam = FanBeam(60 * gain, 90 * gain)
    return CT((24, 24), 2 * VIEWS, 40, pixel_size=gain, detector_pitch=1.5 * gain, fan=beam)


def mri(gain: float) -> MRI:
    place = torch.linspace(-1, 1, 24)
    maps = torch.stack([torch.exp(-((place - c) ** 2)).expand(24, 24) for c in (-0.7, 0.0, 0.7)])
    return MRI(COLUMNS, gain * maps / maps.square().sum(0).sqrt() * (1 + 0j))


OPERATORS: dict[str, Callable[[float], Any]] = {
    "parallel": parallel, "fan": fan, "mri": mri, "own": Pool,
}  # fmt: skip


def measured(physics: Any) -> Tensor:
    x = torch.cat([IMAGE, 0.2 * IMAGE], 1) if isinstance(physics, MRI) else IMAGE
    y = physics.A(x)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    noise = noise * (y != 0) if isinstance(physics, MRI) else noise
    return y + 0.01 * y.square().mean().sqrt() * noise


@pytest.mark.parametrize("method", ["tv", "house"])
@pytest.mark.parametrize("name", OPERATORS)
def test_the_unit_does_not_change_the_picture(
    name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "parallel":
        monkeypatch.undo()  # of `unsearched`: the search for levels has to be without a unit too
    usual = OPERATORS[name](1.0)
    y = measured(usual)
    how = {"method": method, "progress": False, "compare": False}
    how |= {} if method == "tv" else {"steps": 8, "settings": ["net.widths=8,16"]}
    best = ut.reconstruct(y, usual, **how).image
    units = ((1e-9, 1.0), (1.0, 1e9), (1e9, 1e-9))
    for data, gain in units if method == "tv" else units[-1:]:
        found = ut.reconstruct(data * y, OPERATORS[name](gain), **how).image
        same = psnr(found * (gain / data), best, data_range=float(best.abs().max()))
        assert same > 45, (data, gain, same)


def test_the_noise_level_and_a_guide_keep_their_meaning() -> None:
    y = measured(parallel(1.0))
    usual = ut.Problem(y, parallel(1.0), sigma=0.3, guide=IMAGE)
    tiny = ut.Problem(1e-8 * y, parallel(1e-9), sigma=0.3e-8, guide=IMAGE)
    relative = [p.sigma / float(p.y.norm()) for p in (tiny, usual)]
    assert relative[0] == pytest.approx(relative[1], rel=1e-3)
    torch.testing.assert_close(tiny.guide, usual.guide, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(tiny.scale, 10 * usual.scale, rtol=1e-3, atol=0)


def test_usual_units_change_no_bit() -> None:
    physics = parallel(1.0)
    problem = ut.Problem(measured(physics), physics)
    assert problem.physics is physics


def test_a_volume_in_metres() -> None:
    usual, tiny = (Stack(parallel(gain), 2) for gain in (1.0, 1e-9))
    y = usual.A(IMAGE[:, :, None].repeat(1, 1, 2, 1, 1))
    images = [
        ut.reconstruct(y, physics, method="tv", progress=False, compare=False).image * gain
        for physics, gain in ((usual, 1.0), (tiny, 1e-9))
    ]
    torch.testing.assert_close(images[1], images[0], rtol=0, atol=2e-3)


def test_a_rescaled_operator_is_a_multiple() -> None:
    for make in OPERATORS.values():
        physics = ut.physics.as_physics(make(1.0))
        gain = 2.0**20
        other = ut.problem.scaling.in_units(physics, gain, tuple(physics.x_shape))
        y = measured(make(1.0))
        x = physics.A_adjoint(y)
        torch.testing.assert_close(other.A(x) * gain, physics.A(x), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(other.A_adjoint(y) * gain, x, rtol=1e-5, atol=1e-5)
        image = physics.fbp(y)
        if image is not None:
            torch.testing.assert_close(other.fbp(y) / gain, image, rtol=1e-4, atol=1e-4)

"""Filtered backprojection: the ramp filter, and images of one where the object is one."""

import math

import numpy as np
import pytest
import torch
from ct_scans import SCANS, disc, noise

from untrained.physics.ct import FanBeam
from untrained.physics.ct_geometry import Geometry
from untrained.physics.fbp import fbp, filter_detectors, ramp


def test_ramp_is_the_absolute_frequency():
    response = ramp(100)
    frequency = np.fft.rfftfreq(256)
    assert response.min() > 0
    assert response[0] < 2e-3
    np.testing.assert_allclose(response, frequency, atol=2e-3)


def test_ramp_filter_of_a_disc_is_flat_inside():
    # The ramp-filtered chords 2 sqrt(R^2 - s^2) of a disc are 1/pi for |s| < R.
    s = torch.arange(401, dtype=torch.float64) - 200
    chords = 2 * (100.0**2 - s**2).clamp_min(0).sqrt()
    q = filter_detectors(chords[None, None, :, None], torch.from_numpy(ramp(401)))[0, 0, :, 0]
    inside = q[s.abs() < 80]
    assert torch.allclose(inside, torch.full_like(inside, 1 / math.pi), rtol=0.02)


@pytest.mark.parametrize(
    ("angles", "fan"),
    [
        (np.arange(180.0), None),
        (np.arange(360.0), None),
        (np.random.default_rng(0).permutation(np.arange(0, 180, 1.0) ** 1.1), None),
        (np.arange(0, 360, 2.0), FanBeam(45.0, 66.0)),
        (np.append(np.arange(0, 361, 2.0), [0.0, 4.0]), FanBeam(150.0, 220.0)),
        (np.arange(40, 40 + 180 + 40, 1.25), FanBeam(150.0, 220.0)),
    ],
    ids=["half", "full", "uneven", "fan", "fan_repeated", "fan_short"],
)
def test_fbp_of_a_disc_is_one_inside(angles, fan):
    side, pixel = 64, 0.5
    g = Geometry((side, side), angles, 97, pixel, 0.5 if fan is None else 0.75, 0.8, fan)
    position = (np.arange(97) - g.centre) * g.bin_width
    if fan is not None:
        position = position * fan.source_origin / np.hypot(position, fan.source_origin)
    chords = 2 * np.sqrt(np.clip(12.0**2 - position**2, 0, None))
    y = torch.from_numpy(np.repeat(chords[:, None], len(g.angles), 1)).float()
    image = fbp(y[None, None], g)
    inside = disc(side, 21.0) == 1
    assert image[inside].mean() == pytest.approx(1, abs=0.01)
    assert (image[inside] - 1).abs().mean() < 0.01
    assert (image[inside] - 1).abs().max() < 0.04
    assert image[(disc(side, 27.0) == 0)].abs().max() < 0.04


def test_fbp_of_a_wide_fan_is_flat():
    fan = FanBeam(30.0, 30.0)
    g = Geometry((64, 64), np.arange(0, 360, 1.5), 145, 0.5, 0.5, fan=fan)
    u = (np.arange(145) - g.centre) * g.bin_width
    chords = 2 * np.sqrt(np.clip(20.0**2 - (30 * u / np.hypot(30, u)) ** 2, 0, None))
    y = torch.from_numpy(np.repeat(chords[:, None], 240, 1)).float()
    image = fbp(y[None, None], g)
    for low, high in ((0, 8), (16, 20), (28, 36)):
        ring = (disc(64, low) == 0) & (disc(64, high) == 1)
        assert image[ring].mean() == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("name", ["even", "channels", "fan"])
def test_fbp_method(name):
    physics = SCANS[name]
    y = physics.A(noise(2, *physics.x_shape))
    image = physics.fbp(y)
    assert image.shape == (2, *physics.x_shape)
    assert torch.allclose(image[1:], physics.fbp(y[1:]), atol=1e-5)
    with pytest.raises(ValueError, match="y must be"):
        physics.fbp(y[..., 1:])
    with pytest.raises(ValueError, match="y must be"):
        fbp(y[..., 1:], physics.geometry)
